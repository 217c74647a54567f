/** Connections through proxies that are really there. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CarrierError } from '../../src/core/index.js';
import { TcpCarrier } from '../../src/node/carriers/tcp.js';
import { dialWs } from '../../src/node/carriers/ws.js';
import { dialThroughProxy, proxyFor, redactProxy } from '../../src/node/proxy.js';
import { carrierConformance } from '../conformance/carrier.js';
import { firstCertificate } from '../helpers/certificates.js';
import { connectProxy, proxyUrl, socksProxy } from '../helpers/proxies.js';
import { Cleanup, echo, HOST, listenPlain, serve, startClient, until } from '../helpers/sockets.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const tls = { ca: firstCertificate.cert, servername: 'localhost' };
const kept = (socket: Socket): Socket => {
  cleanup.add(() => socket.destroy());
  return socket;
};

/** Sends back what it gets. */
const echoServer = () => listenPlain(cleanup, (socket) => void socket.pipe(socket));

async function echoes(socket: Socket): Promise<void> {
  socket.write('there');
  const [back] = await once(socket, 'data');
  expect(String(back)).toBe('there');
}

const KINDS = [
  ['http', () => connectProxy(cleanup, SECRETS)],
  ['https', () => connectProxy(cleanup, { ...SECRETS, tls: true })],
  ['socks5', () => socksProxy(cleanup, SECRETS)],
  ['socks5h', () => socksProxy(cleanup, SECRETS)],
  ['socks4a', () => socksProxy(cleanup, { names: { 'inner.invalid': HOST } })],
] as const;
const SECRETS = { user: 'u@r', password: 'p:ss/w', names: { 'inner.invalid': HOST } };
const CREDENTIALS = 'u%40r:p%3Ass%2Fw@';

describe.each(KINDS)('through a proxy with %s', (scheme, start) => {
  it('names and addresses are reached, and names are the proxy’s affair', async () => {
    const proxy = await start();
    const port = await echoServer();
    const url = proxyUrl(scheme, proxy, CREDENTIALS);
    for (const host of [HOST, 'inner.invalid']) {
      await echoes(kept(await dialThroughProxy(url, host, port, { tls })));
    }
    expect(proxy.asked).toEqual([`${HOST}:${port}`, `inner.invalid:${port}`]);
  });

  it('a refusal is an error that tells no password, wherever one looks', async () => {
    const proxy = await start();
    const nobody = await listenPlain(cleanup, () => undefined);
    await cleanup.run();
    const again = await start();
    for (const [port, credentials] of [
      [again.port, CREDENTIALS],
      [again.port, 'other:s3cret@'],
      [proxy.port, CREDENTIALS],
    ] as const) {
      const url = proxyUrl(scheme, { port, asked: [] }, credentials);
      const failed = dialThroughProxy(url, HOST, nobody, { tls });
      const error = await failed.then(
        () => undefined,
        (reason) => reason,
      );
      expect(error).toBeInstanceOf(CarrierError);
      const all = inspect(error, { depth: 9, showHidden: true }) + String(error.stack);
      expect(all).not.toMatch(/u@r|u%40r|p:ss|p%3Ass|s3cret/);
      expect(error.message).toContain(`${scheme}://${HOST}:${port}`);
    }
  });

  it('ends with the signal, or with its time', async () => {
    const sockets: Socket[] = [];
    const port = await listenPlain(cleanup, (socket) => sockets.push(socket.resume()));
    const url = proxyUrl(scheme, { port, asked: [] });
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = dialThroughProxy(url, HOST, 9, { signal, tls });
    await until(() => sockets.length === 1);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(dialThroughProxy(url, HOST, 9, { signal, tls })).rejects.toThrow('enough');
    const late = dialThroughProxy(url, HOST, 9, { timeoutMs: 20, tls });
    await expect(late).rejects.toHaveProperty('systemCode', 'ETIMEDOUT');
    await until(() => sockets.every((socket) => socket.destroyed));
  });
});

describe('proxies', () => {
  it('carry a session over TCP, WebSocket and TLS', async () => {
    const { ticket, tcpPort } = await serve(cleanup, { tls: firstCertificate });
    const http = await connectProxy(cleanup);
    const socks = await socksProxy(cleanup);
    const client = startClient(cleanup, ticket);
    const socket = await dialThroughProxy(proxyUrl('http', http), HOST, tcpPort);
    client.addPath(new TcpCarrier(socket));
    await once(client, 'established');
    const secure = `wss://localhost:${tcpPort}/`;
    client.addPath(await dialWs({ url: secure, via: proxyUrl('socks5', socks), tls }));
    const plain = `ws://${HOST}:${tcpPort}/`;
    client.addPath(await dialWs({ url: plain, via: proxyUrl('http', http) }));
    await until(() => client.paths.filter(({ state }) => state === 'active').length === 3);
    await echo(client, randomBytes(1_000_000));
    expect(http.asked).toEqual([`${HOST}:${tcpPort}`, `${HOST}:${tcpPort}`]);
    expect(socks.asked).toEqual([`localhost:${tcpPort}`]);
    await client.close();
  });

  it('that answer nonsense, or for ever, are an error', async () => {
    for (const answer of [
      'SSH-2.0-x\r\n',
      'HTTP/1.1 200 OK\r\nX: '.padEnd(100_000, 'x'),
      '\x05\xff',
    ]) {
      const port = await listenPlain(cleanup, (socket) => socket.end(answer, 'latin1'));
      for (const scheme of ['http', 'socks5', 'socks4a']) {
        const failed = dialThroughProxy(`${scheme}://${HOST}:${port}`, HOST, 9);
        await expect(failed, `${scheme} ${answer.slice(0, 9)}`).rejects.toBeInstanceOf(
          CarrierError,
        );
      }
    }
  });

  it('with addresses that make no sense are refused', async () => {
    for (const url of ['', 'proxy:3128', 'ftp://u:s3cret@h', 'http://', 'nonsense s3cret']) {
      const failed = dialThroughProxy(url, HOST, 9);
      await expect(failed, url).rejects.toBeInstanceOf(CarrierError);
      await expect(failed, url).rejects.not.toThrow(/s3cret/);
    }
    const long = `socks5://${'u'.repeat(256)}:x@${HOST}:9`;
    await expect(dialThroughProxy(long, HOST, 9)).rejects.toThrow(/255/);
    await expect(dialThroughProxy(`socks4a://${HOST}:9`, '::1', 9)).rejects.toThrow(/IPv6/);
    expect(redactProxy('http://u:s3cret@h')).toBe('http://h:80');
    expect(redactProxy('s3cret')).not.toMatch(/s3cret/);
  });
});

carrierConformance('tcp through a proxy', async () => {
  const proxy = await socksProxy(cleanup);
  const accepted: Socket[] = [];
  const port = await listenPlain(cleanup, (socket) => accepted.push(socket.pause()));
  const socket = await dialThroughProxy(proxyUrl('socks5', proxy), HOST, port);
  await until(() => accepted.length === 1);
  return { a: new TcpCarrier(socket), b: new TcpCarrier(accepted[0] as Socket) };
});

describe('the proxy of the environment', () => {
  const NAMES = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'];
  const ALL = [...NAMES, ...NAMES.map((name) => name.toLowerCase())];
  let before: [string, string | undefined][] = [];
  beforeEach(() => {
    before = ALL.map((name) => [name, process.env[name]]);
    for (const name of ALL) delete process.env[name];
  });
  afterEach(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });

  const TARGETS = [
    'host.example:7600',
    'ws://host.example/x',
    'wss://host.example/x',
    '[2001:db8::1]:1',
  ];

  it('is none without one', () => {
    for (const target of TARGETS) expect(proxyFor(target)).toBeUndefined();
    process.env['HTTP_PROXY'] = 'http://plain:1';
    for (const target of TARGETS) expect(proxyFor(target)).toBeUndefined();
  });

  it.each(['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'])('is that of %s', (name) => {
    for (const [value, url] of [
      ['http://u:p@proxy:3128', 'http://u:p@proxy:3128'],
      ['socks5h://proxy:1080', 'socks5h://proxy:1080'],
      ['https://proxy', 'https://proxy'],
      ['proxy:3128', 'http://proxy:3128'],
    ]) {
      process.env[name] = value;
      for (const target of TARGETS) expect(proxyFor(target), target).toBe(url);
    }
  });

  it('is not asked for what NO_PROXY names', () => {
    process.env['HTTPS_PROXY'] = 'http://proxy:3128';
    process.env['NO_PROXY'] = 'host.example:7600, .inside, [2001:db8::1]';
    expect(TARGETS.map((target) => proxyFor(target) === undefined)).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(proxyFor('a.inside:1')).toBeUndefined();
    expect(proxyFor('inside.example:1')).toBe('http://proxy:3128');
    process.env['no_proxy'] = '*';
    for (const target of TARGETS) expect(proxyFor(target)).toBeUndefined();
  });
});
