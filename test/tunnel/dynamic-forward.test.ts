import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/node/index.js';
import { DynamicForward, type DynamicForwardOptions } from '../../src/tunnel/index.js';
import { turns } from '../helpers/node-pair.js';
import {
  fate,
  freePort,
  readAll,
  readBytes,
  type TunnelScene,
  withTunnel,
} from '../helpers/tunnel.js';

const LOOPBACK = { host: undefined, port: 0 };
const LOGIN = { user: 'me', password: 'secret: word' };
const NO_LOGIN = Buffer.from([5, 1, 0]);
const WITH_PASSWORD = Buffer.from([5, 1, 2]);
const echo = (socket: Socket): void => void socket.pipe(socket);

async function proxy(scene: TunnelScene, options: Partial<DynamicForwardOptions> = {}) {
  const forward = scene.add(new DynamicForward(scene.client, { bind: LOOPBACK, ...options }));
  return { forward, port: (await forward.start()).port };
}

function socks5(host: string | number[], port: number, command = 1): Buffer {
  const address =
    typeof host === 'string'
      ? [3, host.length, ...Buffer.from(host)]
      : [host.length === 4 ? 1 : 4, ...host];
  return Buffer.from([5, command, 0, ...address, port >> 8, port & 0xff]);
}

function socks4(host: string | number[], port: number, command = 1): Buffer {
  const [ip, name] = typeof host === 'string' ? [[0, 0, 0, 1], host] : [host, undefined];
  const header = [4, command, port >> 8, port & 0xff, ...ip];
  const tail = name === undefined ? [] : [...Buffer.from(name), 0];
  return Buffer.from([...header, ...Buffer.from('user'), 0, ...tail]);
}

function login(user: string, password: string): Buffer {
  return Buffer.from([
    1,
    user.length,
    ...Buffer.from(user),
    password.length,
    ...Buffer.from(password),
  ]);
}

/** Asks with SOCKS5 and gives the number of the reply. */
async function replyTo(scene: TunnelScene, port: number, request: Buffer): Promise<number> {
  const socket = scene.dial(port);
  socket.write(Buffer.concat([NO_LOGIN, request]));
  expect(await readBytes(socket, 2)).toEqual(Buffer.from([5, 0]));
  const reply = await readBytes(socket, 10);
  expect([...reply]).toEqual([5, reply[1], 0, 1, 0, 0, 0, 0, 0, 0]);
  return reply[1] ?? -1;
}

describe('the proxy speaks', () => {
  it.each([
    ['a name', 'localhost'],
    ['IPv4', [127, 0, 0, 1]],
    ['IPv4 in IPv6', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]],
  ])('SOCKS5 with %s, whatever way it is cut', (_what, host) =>
    withTunnel({}, async (scene) => {
      const target = await scene.serve(echo);
      const { port } = await proxy(scene);
      const whole = scene.dial(port);
      whole.end(Buffer.concat([NO_LOGIN, socks5(host, target), Buffer.from('early')]));
      expect([...(await readBytes(whole, 12))].slice(0, 4)).toEqual([5, 0, 5, 0]);
      expect((await readAll(whole)).toString()).toBe('early');

      const cut = scene.dial(port);
      for (const byte of Buffer.concat([NO_LOGIN, socks5(host, target), Buffer.from('late')])) {
        cut.write(Buffer.from([byte]));
        await turns(3);
      }
      cut.end();
      await readBytes(cut, 12);
      expect((await readAll(cut)).toString()).toBe('late');
    }),
  );

  it.each([
    ['SOCKS4', [127, 0, 0, 1]],
    ['SOCKS4a', 'localhost'],
  ])('%s', (_what, host) =>
    withTunnel({}, async (scene) => {
      const target = await scene.serve(echo);
      const { port } = await proxy(scene);
      const socket = scene.dial(port);
      socket.end(Buffer.concat([socks4(host, target), Buffer.from('hello')]));
      expect([...(await readBytes(socket, 8))]).toEqual([0, 90, 0, 0, 0, 0, 0, 0]);
      expect((await readAll(socket)).toString()).toBe('hello');
    }),
  );

  it('HTTP CONNECT', () =>
    withTunnel({}, async (scene) => {
      const target = await scene.serve(echo);
      const { port } = await proxy(scene);
      const socket = scene.dial(port);
      socket.end(`CONNECT localhost:${target} HTTP/1.1\r\nHost: x\r\n\r\nhello`);
      const answer = (await readAll(socket)).toString();
      expect(answer).toBe('HTTP/1.1 200 Connection established\r\n\r\nhello');
    }));

  it('plain HTTP, handing on one request as its target expects it', () =>
    withTunnel({}, async (scene) => {
      let heard = '';
      const target = await scene.serve((socket) => {
        socket.on('data', (chunk) => {
          heard += chunk.toString();
          if (heard.endsWith('body')) socket.end('HTTP/1.1 204 No Content\r\n\r\n');
        });
      });
      const { port } = await proxy(scene);
      const socket = scene.dial(port);
      const fields = [
        'Host: other.example',
        'Connection: keep-alive, X-Mine',
        'Proxy-Authorization: Basic c2VjcmV0',
        'Proxy-Connection: keep-alive',
        'X-Mine: 1',
        'X-Yours: 2',
        'Content-Length: 4',
      ];
      const first = `POST http://localhost:${target}/a?b HTTP/1.1`;
      socket.write(`${[first, ...fields].join('\r\n')}\r\n\r\nbody`);
      expect((await readAll(socket)).toString()).toContain('204');
      const expected = ['POST /a?b HTTP/1.1', `Host: localhost:${target}`, 'X-Yours: 2'];
      expected.push('Content-Length: 4', 'Connection: close', '', 'body');
      expect(heard).toBe(expected.join('\r\n'));
    }));
});

describe('the proxy tells', () => {
  const resolver = (name: string) => {
    const code = name.split('.')[0]?.toUpperCase() ?? '';
    return Promise.reject(Object.assign(new Error(name), { code }));
  };

  it.each([
    ['enetunreach.example', 3],
    ['ehostunreach.example', 4],
    ['enotfound.example', 4],
    ['etimedout.example', 6],
    ['eacces.example', 1],
    ['169.254.169.254', 2],
  ])('SOCKS5 programs that %s gives reply %i', (host, reply) =>
    withTunnel({ resolver }, async (scene) => {
      const { port } = await proxy(scene);
      expect(await replyTo(scene, port, socks5(host, 80))).toBe(reply);
    }),
  );

  it('each in its protocol that nobody listens', () =>
    withTunnel({}, async (scene) => {
      const nobody = await freePort();
      const { port } = await proxy(scene);
      expect(await replyTo(scene, port, socks5([127, 0, 0, 1], nobody))).toBe(5);
      const four = scene.dial(port);
      four.write(socks4([127, 0, 0, 1], nobody));
      expect((await readAll(four))[1]).toBe(91);
      const http = scene.dial(port);
      http.write(`CONNECT 127.0.0.1:${nobody} HTTP/1.1\r\n\r\n`);
      expect((await readAll(http)).toString()).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    }));

  it.each([
    ['169.254.169.254', '403 Forbidden'],
    ['etimedout.example', '504 Gateway Timeout'],
    ['enotfound.example', '502 Bad Gateway'],
  ])('HTTP programs that %s gives %s', (host, status) =>
    withTunnel({ resolver }, async (scene) => {
      const { port } = await proxy(scene);
      const socket = scene.dial(port);
      socket.write(`GET http://${host}/ HTTP/1.1\r\n\r\n`);
      expect((await readAll(socket)).toString()).toContain(`HTTP/1.1 ${status}\r\n`);
    }),
  );

  it('everyone that there is no session', () =>
    withTunnel({}, async (scene) => {
      const { port } = await proxy(scene);
      scene.client.abort();
      expect(await replyTo(scene, port, socks5('localhost', 80))).toBe(1);
      const http = scene.dial(port);
      http.write('CONNECT localhost:80 HTTP/1.1\r\n\r\n');
      expect((await readAll(http)).toString()).toContain('503 Service Unavailable');
    }));

  it.each([
    ['BIND', 2],
    ['UDP ASSOCIATE (T48)', 3],
  ])('SOCKS programs that %s is not offered', (_what, command) =>
    withTunnel({}, async (scene) => {
      const { port } = await proxy(scene);
      expect(await replyTo(scene, port, socks5([127, 0, 0, 1], 80, command))).toBe(7);
      const four = scene.dial(port);
      four.write(socks4([127, 0, 0, 1], 80, command));
      expect((await readAll(four))[1]).toBe(91);
      expect(scene.far.connections.counts.totalCount).toBe(0);
    }),
  );

  it('SOCKS5 programs that an address is of an unknown type', () =>
    withTunnel({}, async (scene) => {
      const { port } = await proxy(scene);
      expect(await replyTo(scene, port, Buffer.from([5, 1, 0, 9, 1, 1]))).toBe(8);
    }));

  it.each([
    ['GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', '400'],
    ['POST /x HTTP/1.1\r\n\r\n', '400'],
    ['GET https://host.example/ HTTP/1.1\r\n\r\n', '400'],
    ['GET http://user:word@host.example/ HTTP/1.1\r\n\r\n', '400'],
    ['CONNECT host.example HTTP/1.1\r\n\r\n', '400'],
    ['GET http://host.example/ HTTP/1.1\r\nA : b\r\n\r\n', '400'],
    ['GET http://host.example/ HTTP/1.1\r\n folded\r\n\r\n', '400'],
    ['GET http://host.example/ HTTP/1.1\r\nConnection: content-length\r\n\r\n', '400'],
    ['what is this\r\n\r\n', '400'],
    [`GET http://host.example/ HTTP/1.1\r\nA: ${'b'.repeat(17_000)}`, '431'],
  ])('HTTP programs that %j is wrong', (request, status) =>
    withTunnel({}, async (scene) => {
      const { port } = await proxy(scene);
      const socket = scene.dial(port);
      socket.write(request);
      expect((await readAll(socket)).toString()).toContain(`HTTP/1.1 ${status} `);
      expect(scene.far.connections.counts.totalCount).toBe(0);
    }),
  );
});

describe('a proxy with a login', () => {
  it('lets in those who know it', () =>
    withTunnel({}, async (scene) => {
      const target = await scene.serve(echo);
      const { port } = await proxy(scene, { login: LOGIN });
      const five = scene.dial(port);
      const words = login(LOGIN.user, LOGIN.password);
      five.end(Buffer.concat([WITH_PASSWORD, words, socks5('localhost', target)]));
      expect([...(await readBytes(five, 6))]).toEqual([5, 2, 1, 0, 5, 0]);
      const http = scene.dial(port);
      const basic = Buffer.from(`${LOGIN.user}:${LOGIN.password}`).toString('base64');
      const field = `Proxy-Authorization: Basic ${basic}`;
      http.end(`CONNECT localhost:${target} HTTP/1.1\r\n${field}\r\n\r\nhello`);
      expect((await readAll(http)).toString()).toMatch(/ 200 .*hello$/s);
    }));

  it.each([
    ['SOCKS5 without', NO_LOGIN, [5, 0xff]],
    [
      'SOCKS5 with a wrong password',
      Buffer.concat([WITH_PASSWORD, login('me', 'no')]),
      [5, 2, 1, 1],
    ],
    [
      'SOCKS5 with a wrong user',
      Buffer.concat([WITH_PASSWORD, login('no', LOGIN.password)]),
      [5, 2, 1, 1],
    ],
    [
      'SOCKS5 with an unknown login',
      Buffer.concat([WITH_PASSWORD, Buffer.from([2])]),
      [5, 2, 1, 1],
    ],
    ['SOCKS4', socks4('localhost', 80), [0, 93, 0, 0, 0, 0, 0, 0]],
  ])('refuses %s', (_what, said, heard) =>
    withTunnel({}, async (scene) => {
      const { port } = await proxy(scene, { login: LOGIN });
      const socket = scene.dial(port);
      socket.write(said);
      expect([...(await readAll(socket))]).toEqual(heard);
    }),
  );

  it.each(['', 'Proxy-Authorization: Basic bWU6bm8=\r\n', 'Proxy-Authorization: Bearer x\r\n'])(
    'refuses HTTP with %j',
    (field) =>
      withTunnel({}, async (scene) => {
        const { port } = await proxy(scene, { login: LOGIN });
        const socket = scene.dial(port);
        socket.write(`CONNECT localhost:80 HTTP/1.1\r\n${field}\r\n`);
        const answer = (await readAll(socket)).toString();
        expect(answer).toContain('HTTP/1.1 407 ');
        expect(answer).toContain('Proxy-Authenticate: Basic realm="roving"');
      }),
  );

  it.each([
    { user: '', password: 'x' },
    { user: 'a:b', password: 'x' },
    { user: 'a', password: 'x'.repeat(256) },
  ])('can not be %j', (wrong) => {
    const create = () =>
      new DynamicForward(() => Promise.reject(new Error()), { bind: LOOPBACK, login: wrong });
    expect(create).toThrow(UsageError);
  });
});

describe('T47: a proxy that others reach', () => {
  it.each(['*', '0.0.0.0', '::', '192.0.2.1'])('at %s is refused without a login', (host) =>
    withTunnel({}, async (scene) => {
      const starting = new DynamicForward(scene.client, { bind: { host, port: 0 } }).start();
      await expect(starting).rejects.toThrow(UsageError);
      await expect(starting).rejects.toThrow('ask for a login');
    }),
  );

  it('is there with a login, or when it is asked for', () =>
    withTunnel({}, async (scene) => {
      const bind = { host: '0.0.0.0', port: 0 };
      await proxy(scene, { bind, login: LOGIN });
      await proxy(scene, { bind, gatewayPorts: true });
    }));
});

describe('a program that', () => {
  it.each([
    ['says nothing', ''],
    ['never ends a greeting', '\x05\xff\x00'],
    ['never ends a user', '\x04\x01\x00\x50\x7f\x00\x00\x01user'],
    ['never ends a head', 'GET http://host.example/ HTTP/1.1\r\nA: b'],
  ])('%s is closed at the deadline', (_what, said) =>
    withTunnel({}, async (scene) => {
      const { port, forward } = await proxy(scene, { requestTimeoutMs: 30 });
      const socket = scene.dial(port);
      socket.write(Buffer.from(said, 'latin1'));
      expect(['end', 'ECONNRESET']).toContain(await fate(socket));
      expect(forward.connections.counts).toMatchObject({ openCount: 0, failedCount: 1 });
    }),
  );

  it('goes while it waits is not connected', async () => {
    let askedCount = 0;
    const resolver = () => {
      askedCount += 1;
      return new Promise<string[]>(() => undefined);
    };
    await withTunnel({ resolver }, async (scene) => {
      const { port, forward } = await proxy(scene);
      const socket = scene.dial(port);
      socket.write(Buffer.concat([NO_LOGIN, socks5('slow.example', 80)]));
      while (askedCount === 0) await turns(1);
      socket.resetAndDestroy();
      while (scene.far.connections.counts.openCount > 0) await turns(1);
      expect(forward.connections.counts).toMatchObject({ openCount: 0, failedCount: 1 });
    });
  });
});
