import { describe, expect, it } from 'vitest';
import type { LocalAddress } from '../../src/node/interfaces.js';
import {
  RETRY_DARK_MAX_MS,
  RETRY_DARK_MS,
  RETRY_MAX_MS,
  RETRY_MIN_MS,
  retryDelayMs,
} from '../../src/node/redial.js';
import { pickRoutes, planRoutes, type RouteQuestion, routeKey } from '../../src/node/routes.js';
import { DEFAULT_PORT, parseServerAddress, splitHostPort } from '../../src/node/server-address.js';

function local(address: string, name: string): LocalAddress {
  const family = address.includes(':') ? 6 : 4;
  return { address, family, interface: name, isLoopback: name === 'lo' };
}

const LOCALS = [
  local('127.0.0.1', 'lo'),
  local('192.0.2.7', 'wlan0'),
  local('198.51.100.7', 'lte0'),
  local('2001:db8::7', 'wlan0'),
];

const NO_PROXY = { url: '', isOnly: false };

function plan(question: Partial<RouteQuestion>): string[] {
  const { host, port } = { host: '203.0.113.1', port: 7600 };
  const server = { kind: 'host', host, port } as const;
  const defaults: RouteQuestion = {
    servers: [{ server, resolved: [{ address: host, family: 4 }] }],
    locals: LOCALS,
    carriers: ['udp', 'tcp', 'ws'],
    paths: undefined,
    proxyFor: () => NO_PROXY,
  };
  return planRoutes({ ...defaults, ...question }).map(routeKey);
}

describe('routes', () => {
  it('lead from each local address that can reach the server, by each carrier', () => {
    expect(plan({}).map((key) => key.trim())).toEqual([
      'udp 192.0.2.7 203.0.113.1 7600',
      'tcp 192.0.2.7 203.0.113.1 7600',
      'udp 198.51.100.7 203.0.113.1 7600',
      'tcp 198.51.100.7 203.0.113.1 7600',
    ]);
  });

  it('are those of the carriers and paths that were asked for', () => {
    const keys = plan({ carriers: ['tcp'], paths: ['lte0', '192.0.2.99'] });
    expect(keys.map((key) => key.split(' ').slice(0, 2).join(' '))).toEqual([
      'tcp 198.51.100.7',
      'tcp 192.0.2.99',
    ]);
  });

  it('lead to loopback from loopback only', () => {
    const server = { kind: 'host', host: 'localhost', port: 1 } as const;
    const resolved = [{ address: '127.0.0.1', family: 4 }] as const;
    const keys = plan({ servers: [{ server, resolved }], carriers: ['tcp'] });
    expect(keys.map((key) => key.trim())).toEqual(['tcp 127.0.0.1 127.0.0.1 1']);
  });

  it('are left to the system where no known address fits', () => {
    const keys = plan({ locals: [local('127.0.0.1', 'lo')], carriers: ['tcp'] });
    expect(keys.map((key) => key.trim())).toEqual(['tcp * 203.0.113.1 7600']);
    expect(plan({ locals: [], paths: ['lte0'] })).toEqual([]);
  });

  it('through a proxy come last, or alone', () => {
    const url = 'http://proxy.example:3128';
    const beside = plan({ carriers: ['tcp'], proxyFor: () => ({ url, isOnly: false }) });
    expect(beside.length).toBe(3);
    expect(beside.at(-1)).toContain(url);
    const only = plan({ proxyFor: () => ({ url, isOnly: true }) });
    expect(only).toEqual([`tcp * 203.0.113.1 7600 ${url}`]);
  });

  it('through a proxy that is the only way lead from the paths that were asked for', () => {
    const through = (url: string, paths: string[]) =>
      plan({ paths, proxyFor: () => ({ url, isOnly: true }) });
    const named = 'http://proxy.example:3128';
    expect(through(named, ['lte0', '192.0.2.99'])).toEqual([
      `tcp 198.51.100.7 203.0.113.1 7600 ${named}`,
      `tcp 192.0.2.99 203.0.113.1 7600 ${named}`,
    ]);
    const literal = 'socks5://192.0.2.1:1080';
    expect(through(literal, ['wlan0'])).toEqual([`tcp 192.0.2.7 203.0.113.1 7600 ${literal}`]);
    expect(through(literal, ['eth7'])).toEqual([]);
    expect(through('socks5://127.0.0.1:1080', ['lte0'])).toEqual([]);
  });

  it('to a WebSocket address are WebSockets', () => {
    const server = parseServerAddress('wss://example.net/roving');
    const resolved = [{ address: '2001:db8::1', family: 6 }] as const;
    const keys = plan({ servers: [{ server, resolved }] });
    expect(keys.map((key) => key.trim())).toEqual(['ws 2001:db8::7 wss://example.net/roving']);
  });
});

describe('a server address', () => {
  it.each([
    ['example.net', 'example.net', DEFAULT_PORT],
    ['example.net:80', 'example.net', 80],
    ['[2001:db8::1]:80', '2001:db8::1', 80],
    ['2001:db8::1', '2001:db8::1', DEFAULT_PORT],
    ['wss://example.net/x', 'example.net', 443],
    ['ws://[::1]:8080/', '::1', 8080],
  ])('%s is %s, port %i', (text, host, port) => {
    expect(parseServerAddress(text)).toMatchObject({ host, port });
  });

  it.each(['', ':80', 'a b', 'host:port', 'host:70000', '[nonsense]:1', 'wss://', 'ws://u:p@h/'])(
    '%s is refused',
    (text) => {
      expect(() => parseServerAddress(text)).toThrow(
        expect.objectContaining({ code: 'ERR_USAGE' }),
      );
    },
  );

  it('may have no port', () => {
    expect(splitHostPort('[::1]')).toEqual({ host: '::1', port: undefined });
  });
});

describe('a retry', () => {
  const chance = 0.5;

  it('waits twice as long after each failure, up to a bound', () => {
    const delays = [1, 2, 3, 50].map((failures) =>
      retryDelayMs({ failures, darkMs: undefined, chance }),
    );
    expect(delays).toEqual([RETRY_MIN_MS, 2 * RETRY_MIN_MS, 4 * RETRY_MIN_MS, RETRY_MAX_MS]);
  });

  it('comes soon while no path is healthy, and less often after hours of that', () => {
    const delay = (darkMs: number) => retryDelayMs({ failures: 50, darkMs, chance });
    expect(delay(1_000)).toBe(RETRY_DARK_MS);
    expect(delay(60_000)).toBeLessThanOrEqual(600);
    expect(delay(3_600_000)).toBe(RETRY_DARK_MAX_MS);
  });

  it('is varied by chance', () => {
    const at = (one: number) => retryDelayMs({ failures: 1, darkMs: undefined, chance: one });
    expect(at(0)).toBeLessThan(at(1));
  });
});

describe('of more routes than there may be', () => {
  const routes = ['a', 'b'].flatMap((host) =>
    ['1', '2', '3', '4'].flatMap((local) =>
      (['udp', 'tcp'] as const).map((carrier) => ({ carrier, local, host, port: 1 })),
    ),
  );

  it('some of each kind are picked, the first of each first', () => {
    const picked = pickRoutes(routes, 4).map(({ carrier, local, host }) => carrier + local + host);
    expect(picked).toEqual(['udp1a', 'tcp1a', 'udp1b', 'tcp1b']);
  });

  it('all have their turn', () => {
    const seen = new Set([0, 1, 2, 3].flatMap((turn) => pickRoutes(routes, 4, turn)));
    expect(seen.size).toBe(routes.length);
    expect(pickRoutes(routes, 4, 4)).toEqual(pickRoutes(routes, 4));
    expect(pickRoutes(routes, 5, 3).length).toBe(5);
  });

  it('and all are taken where there is room', () => {
    expect(pickRoutes(routes, 16, 3).length).toBe(16);
  });
});

describe('what is no address', () => {
  it('is not repeated if it may be a secret', () => {
    for (const text of ['roving:#s3cret', 'wss://user:s3cret@[', 'http://s3cret', 'a@s3cret:1:2']) {
      expect(() => parseServerAddress(text)).not.toThrow(/s3cret/);
      expect(() => parseServerAddress(text)).toThrow(/this is/);
    }
    expect(() => parseServerAddress('a b')).toThrow(/`a b`/);
  });
});
