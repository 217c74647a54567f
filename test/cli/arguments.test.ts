/** What stands in arguments, read and refused. */
import { describe, expect, it } from 'vitest';
import {
  parseDuration,
  parseExpiry,
  parseHostPort,
  parseTicketAddress,
} from '../../src/cli/arguments.js';
import { formatBytes, formatDuration, formatMs, formatRate } from '../../src/cli/format.js';
import { parseGrants } from '../../src/cli/grants.js';
import { HIDDEN, redactText, redactValue } from '../../src/cli/redact.js';

describe('HOST:PORT', () => {
  const rule = { option: '--to' };
  it.each([
    ['server.example:22', 'server.example', 22],
    ['192.0.2.1:65535', '192.0.2.1', 65_535],
    ['[2001:db8::1]:22', '2001:db8::1', 22],
    // As ssh writes %h:%p.
    ['2001:db8::1:22', '2001:db8::1', 22],
    ['::1:22', '::1', 22],
    ['fe80::1%eth0:22', 'fe80::1%eth0', 22],
  ])('%s is %s and %i', (text, host, port) => {
    expect(parseHostPort(text, rule)).toEqual({ host, port });
  });

  it.each([
    '',
    'server',
    ':22',
    'a b:22',
    'server:',
    'server:0',
    'server:65536',
    '[server]:22',
    'a:1:2',
  ])('%j is refused', (text) => {
    expect(() => parseHostPort(text, rule)).toThrow(expect.objectContaining({ exitCode: 64 }));
  });

  it('may have a default port', () => {
    const withDefault = { option: '--listen', defaultPort: 7600, allowZero: true };
    expect(parseHostPort('a', withDefault).port).toBe(7600);
    expect(parseHostPort('::1', withDefault)).toEqual({ host: '::1', port: 7600 });
    expect(parseHostPort('[::1]', withDefault)).toEqual({ host: '::1', port: 7600 });
    expect(parseHostPort('a:0', withDefault).port).toBe(0);
  });
});

describe('an address of a ticket', () => {
  it.each([
    ['server.example', 'server.example:7600'],
    ['2001:db8::1', '[2001:db8::1]:7600'],
    ['ws://server.example/path', 'ws://server.example/path'],
  ])('%s is %s', (text, expected) => {
    expect(parseTicketAddress(text)).toBe(expected);
  });

  it.each(['http://a', 'wss://user:password@a/', 'ws://', 'a b'])('%s is refused', (text) => {
    expect(() => parseTicketAddress(text)).toThrow();
  });
});

describe('times', () => {
  it.each([
    ['90', 90_000],
    ['1.5s', 1_500],
    ['10m', 600_000],
    ['30d', 30 * 86_400_000],
  ])('%s', (text, expected) => {
    expect(parseDuration(text, '--seconds')).toBe(expected);
  });

  it.each(['', '0', '-1', '1y', 'NaN', '1e3', 'Infinity'])('%j is refused', (text) => {
    expect(() => parseDuration(text, '--seconds')).toThrow();
  });

  it('an expiry is a time from now, or a date to come', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(parseExpiry('1d', now).toISOString()).toBe('2026-01-02T00:00:00.000Z');
    expect(parseExpiry('2026-02-03', now).toISOString()).toBe('2026-02-03T00:00:00.000Z');
    expect(() => parseExpiry('2025-12-31', now)).toThrow('past');
    expect(() => parseExpiry('2026-13-01', now)).toThrow();
  });
});

describe('grants', () => {
  it('are taken apart at commas, once each', () => {
    expect(parseGrants(['forward,files:/srv', 'forward'])).toEqual(['forward', 'files:/srv']);
    expect(parseGrants([])).toEqual([]);
  });

  it('name absolute folders, wherever the server is started', () => {
    expect(parseGrants(['files:data'])).toEqual([`files:${process.cwd()}/data`]);
  });

  it.each(['foward', 'files', 'files:', 'shell', 'forward:nonsense'])('%s is refused', (text) => {
    expect(() => parseGrants([text])).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  });
});

describe('numbers for people', () => {
  it('have three digits or so, and units', () => {
    expect([0, 999, 1000, 1_234_567, 5e12].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '1.2 MB',
      '5.0 TB',
    ]);
    expect(formatRate(1_250_000)).toBe('10.0 Mbit/s');
    expect([0.42, 21.4, 1234, undefined].map(formatMs)).toEqual(['0.4 ms', '21 ms', '1.2 s', '-']);
    expect([0, 61_000, 90_061_000].map(formatDuration)).toEqual(['0 s', '1 m 1 s', '1 d 1 h']);
  });
});

describe('T45: redaction', () => {
  const secrets = 'p7mJ0sXbQ1k3Zr8tVw2yUa5cDf6gHj9lMnOqRiTeSxW';
  const ticket = `roving://a:1,b:2#${secrets}${secrets}0123456789`;

  it('takes tickets, secrets and passwords out of texts', () => {
    const text = `bad "${ticket}" and ${secrets}, via http://me:hunter2@proxy:8080/`;
    const clean = redactText(text);
    expect(clean).toBe(
      `bad "roving://${HIDDEN}" and ${HIDDEN}, via http://me:${HIDDEN}@proxy:8080/`,
    );
  });

  it('leaves other texts as they are', () => {
    const text = 'path 3 (192.0.2.1:4711) is suspect: no acknowledgement for 120 ms';
    expect(redactText(text)).toBe(text);
  });

  it('takes them out of values, at any depth', () => {
    const value = {
      name: 'laptop',
      secret: 'x',
      nested: [{ doorKey: new Uint8Array(32) }, { note: ticket }],
      error: new Error(ticket),
      bytes: Buffer.from('abc'),
    };
    const clean = redactValue(value);
    expect(clean).toEqual({
      name: 'laptop',
      secret: HIDDEN,
      nested: [{ doorKey: HIDDEN }, { note: `roving://${HIDDEN}` }],
      error: `Error: roving://${HIDDEN}`,
      bytes: HIDDEN,
    });
  });
});
