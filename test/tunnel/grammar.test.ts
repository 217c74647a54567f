import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/node/index.js';
import {
  formatHostPort,
  parseBind,
  parseForwardSpec,
  parseHostPort,
} from '../../src/tunnel/index.js';

describe('-L and -R take', () => {
  it.each([
    ['8080:localhost:80', undefined, 8080, 'localhost', 80],
    ['0:example.org:443', undefined, 0, 'example.org', 443],
    ['127.0.0.1:8080:10.0.0.1:80', '127.0.0.1', 8080, '10.0.0.1', 80],
    ['[::1]:8080:[2001:db8::1]:80', '::1', 8080, '2001:db8::1', 80],
    ['8080:[fe80::1%eth0]:80', undefined, 8080, 'fe80::1%eth0', 80],
    ['*:8080:host:80', '*', 8080, 'host', 80],
    [':8080:host:80', '*', 8080, 'host', 80],
    ['localhost:8080:host:80', 'localhost', 8080, 'host', 80],
  ])('%s', (text, bindHost, bindPort, host, port) => {
    const expected = { bind: { host: bindHost, port: bindPort }, target: { host, port } };
    expect(parseForwardSpec(text)).toEqual(expected);
  });

  it.each([
    ['', 'is not [BIND:]PORT:HOST:PORT'],
    ['8080', 'is not [BIND:]PORT:HOST:PORT'],
    ['8080:host', 'is not [BIND:]PORT:HOST:PORT'],
    ['a:b:c:d:e', 'is not [BIND:]PORT:HOST:PORT'],
    ['::1:8080:host:80', 'is not [BIND:]PORT:HOST:PORT'],
    ['8080:host:http', "'http' is no port"],
    ['8080:host:0', "'0' is no port"],
    ['65536:host:80', "'65536' is no port"],
    ['-1:host:80', "'-1' is no port"],
    ['8080::80', "'' is no name or address"],
    ['8080:ho st:80', "'ho st' is no name or address"],
    ['8080:[host]:80', "'[host]' is no name or address"],
    ['8080:[::1:80', 'brackets belong around a whole IPv6 address'],
    ['8080:[::1]x:80', 'brackets belong around a whole IPv6 address'],
    ['8080:/run/socket', 'sockets of the file system are not forwarded'],
  ])('not %j', (text, why) => {
    expect(() => parseForwardSpec(text)).toThrow(UsageError);
    expect(() => parseForwardSpec(text)).toThrow(why);
  });
});

describe('-D takes', () => {
  it.each([
    ['1080', undefined, 1080],
    ['0', undefined, 0],
    ['*:1080', '*', 1080],
    [':1080', '*', 1080],
    ['[::1]:1080', '::1', 1080],
    ['10.1.2.3:1080', '10.1.2.3', 1080],
  ])('%s', (text, host, port) => {
    expect(parseBind(text)).toEqual({ host, port });
  });

  it.each(['', 'x', 'a:b', '1:2:3', '::1:1080', '[::1]1080'])('not %j', (text) => {
    expect(() => parseBind(text)).toThrow(UsageError);
  });
});

describe('HOST:PORT', () => {
  it.each(['example.org:443', '[::1]:22', '10.0.0.1:1'])('%s is read and written', (text) => {
    expect(formatHostPort(parseHostPort(text))).toBe(text);
  });

  it.each(['example.org', ':22', '::1:22', 'a:b:1', 'a:0', 'user@host:22'])('not %j', (text) => {
    expect(() => parseHostPort(text)).toThrow(UsageError);
  });
});
