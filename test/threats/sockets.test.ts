/**
 * Strangers and forgers at real sockets: what the core promises must hold with all that is in front
 * of it (docs/security.md). Times are only ever waited for, never measured.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { dialTcp } from '../../src/node/carriers/tcp.js';
import { openUdp } from '../../src/node/carriers/udp.js';
import { dialWs, WS_MAX_MESSAGE_BYTES } from '../../src/node/carriers/ws.js';
import type { RovingSession } from '../../src/node/session.js';
import { firstCertificate } from '../helpers/certificates.js';
import { turns } from '../helpers/node-pair.js';
import { TestPrng } from '../helpers/prng.js';
import {
  Cleanup,
  echo,
  HOST,
  listenKeeping,
  listenPlain,
  portOf,
  type ServerBed,
  Stranger,
  serve,
  startClient,
  until,
} from '../helpers/sockets.js';

const SEED = Number(process.env['SEED'] ?? 1);
const CASES = Number(process.env['FUZZ_CASES'] ?? 300);
const SHORT = { strangerTimeoutMs: 150 };
const SHORT_CORE = { handshakeTimeoutMs: 150 };
const UPGRADE =
  'GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** A session over UDP and TCP that is to go on, whatever happens around it. */
async function liveSession(bed: ServerBed): Promise<RovingSession> {
  const client = startClient(cleanup, bed.ticket);
  const { udp } = bed;
  client.addPath(await openUdp({ remote: udp.local, localAddress: HOST }), udp.local);
  await once(client, 'established');
  client.addPath(await dialTcp({ host: HOST, port: bed.tcpPort }));
  await until(() => client.paths.filter(({ state }) => state === 'active').length === 2);
  return client;
}

async function staysAlive(client: RovingSession): Promise<void> {
  await echo(client, Buffer.from(new TestPrng(SEED).bytes(50_000)));
  expect(client.paths.map(({ state }) => state)).toEqual(['active', 'active']);
}

const record = (length: number, ...bytes: number[]) =>
  Buffer.from([length >>> 8, length & 0xff, ...bytes]);

describe('strangers at real sockets', () => {
  it('T1 random bytes get no answer, by TCP or UDP, and TCP is closed', async () => {
    const bed = await serve(cleanup, { limits: SHORT }, SHORT_CORE);
    const client = await liveSession(bed);
    const prng = new TestPrng(SEED);
    const udp = createSocket('udp4').bind(0, HOST);
    cleanup.add(() => udp.close());
    await once(udp, 'listening');
    let answers = 0;
    udp.on('message', () => (answers += 1));
    const before = bed.driver.endpoint.statistics();
    for (let i = 0; i < 100; i++)
      udp.send(prng.bytes(prng.below(1_500)), portOf(bed.udp.local), HOST);
    const strangers = Array.from({ length: 60 }, (_none, i) => {
      const stranger = new Stranger(cleanup, bed.tcpPort);
      const bytes = Buffer.from(prng.bytes(1 + prng.below(400)));
      // A third like a record, a third like TLS: there is no certificate here.
      if (i % 3 === 0) bytes[0] = prng.below(6);
      if (i % 3 === 1) Buffer.from([0x16, 3, 1, 0, 9, 1]).copy(bytes);
      stranger.socket.write(bytes);
      return stranger;
    });
    for (const stranger of strangers) expect(await stranger.closed()).toBe('');
    await staysAlive(client);
    expect(answers).toBe(0);
    expect(bed.driver.endpoint.statistics()).not.toEqual(before);
  });

  it('T10 lengths that nobody may claim are refused before anything is held', async () => {
    // Deadlines that do not come: what is closed here is closed for what it claims.
    const bed = await serve(cleanup, { limits: { strangerTimeoutMs: 600_000 } });
    for (const head of [record(1_501), record(0)]) {
      const stranger = new Stranger(cleanup, bed.tcpPort);
      stranger.socket.write(head);
      expect(await stranger.closed(), head.toString('hex')).toBe('');
    }
    const longest = Buffer.alloc(8);
    longest.writeBigUInt64BE(2n ** 63n - 1n);
    const tooLong = Buffer.alloc(8);
    tooLong.writeBigUInt64BE(BigInt(WS_MAX_MESSAGE_BYTES + 1));
    for (const length of [longest, tooLong]) {
      const stranger = new Stranger(cleanup, bed.tcpPort);
      stranger.socket.write(UPGRADE);
      await until(() => stranger.received.includes('\r\n\r\n'));
      stranger.socket.write(Buffer.concat([Buffer.from([0x82, 0xff]), length, Buffer.alloc(4)]));
      await until(() => stranger.isClosed || stranger.socket.readableEnded);
    }
    const header = new Stranger(cleanup, bed.tcpPort);
    header.socket.write(`GET / HTTP/1.1\r\nX: ${'x'.repeat(64 * 1024)}`);
    expect(await header.closed()).toBe('');
  });

  it('T24 a flood of first messages is not answered, and a session goes on within it', async () => {
    const bed = await serve(cleanup, {}, SHORT_CORE);
    const client = await liveSession(bed);
    const hello = await firstDatagram(bed);
    const prng = new TestPrng(SEED);
    const flooders: ReturnType<typeof createSocket>[] = [];
    let answers = 0;
    for (let i = 0; i < 4; i++) {
      const flooder = createSocket('udp4').bind(0, HOST);
      cleanup.add(() => flooder.close());
      await once(flooder, 'listening');
      flooder.on('message', () => (answers += 1));
      flooders.push(flooder);
    }
    const flood = (async () => {
      for (let sent = 0; sent < 3_000; sent++) {
        const forged = hello.slice();
        const at = 1 + prng.below(forged.length - 1);
        forged[at] = (forged[at] ?? 0) ^ (1 + prng.below(255));
        flooders[sent % flooders.length]?.send(forged, portOf(bed.udp.local), HOST);
        if (sent % 16 === 0) await turns(1);
      }
    })();
    await staysAlive(client);
    await flood;
    await staysAlive(client);
    expect(answers).toBe(0);
    expect(bed.driver.endpoint.statistics().halfOpen).toBe(0);
    expect(bed.sessions.length).toBe(1);
  });

  it('T25 silent connections have a place each as long as there is one, and a deadline', async () => {
    const limits = { maxStrangers: 50, strangerTimeoutMs: 1_000 };
    const bed = await serve(cleanup, { limits });
    const client = await liveSession(bed);
    const strangers: Stranger[] = [];
    for (let i = 0; i < 200; i++) {
      strangers.push(await new Stranger(cleanup, bed.tcpPort).connected());
      expect(bed.listener.statistics.strangers).toBeLessThanOrEqual(50);
    }
    await staysAlive(client);
    // A client that comes now finds a place, too.
    client.addPath(await dialTcp({ host: HOST, port: bed.tcpPort }));
    await until(() => client.paths.filter(({ state }) => state === 'active').length === 3);
    for (const stranger of strangers) expect(await stranger.closed()).toBe('');
    await until(() => bed.listener.statistics.strangers === 0);
    const { evictedCount, timedOutCount } = bed.listener.statistics;
    expect(evictedCount).toBeGreaterThanOrEqual(150);
    expect(evictedCount + timedOutCount).toBe(200);
    for (const { state } of client.paths) expect(state).toBe('active');
  });

  it('T24 who fills the places makes room alone: others keep theirs, however old', async () => {
    const limits = { maxStrangers: 10, strangerTimeoutMs: 600_000 };
    const { listener, port } = await listenKeeping(cleanup, { limits });
    const from = (localAddress: string): Socket => {
      const socket = connectTcp({ port, host: HOST, localAddress });
      cleanup.add(() => socket.destroy());
      return socket.on('error', () => undefined);
    };
    const others = ['127.0.1.1', '127.0.2.1'].map(from);
    await until(() => listener.statistics.strangers === 2);
    for (let i = 0; i < 40; i++) from('127.0.0.1');
    await until(() => listener.statistics.evictedCount === 32);
    expect(listener.statistics.strangers).toBe(10);
    // Whoever keeps a place may still show what it speaks.
    for (const other of others) other.write(record(40));
    await until(() => listener.statistics.carrierCount === 2);
  });

  it.each([
    ['a method', 'OPTIONS', ''],
    ['headers', 'GET / HTTP/1.1\r\nX: ', 'x'],
    ['the body of a request', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n', ''],
    ['a ClientHello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'x'],
    ['what nobody speaks', '\xff', 'x'],
  ])('T26 %s in single bytes do not move the deadline', async (_what, start, more) => {
    const { listener, port } = await listenKeeping(cleanup, {
      limits: SHORT,
      tls: firstCertificate,
    });
    const { socket } = await new Stranger(cleanup, port).connected();
    let sent = 0;
    const bytes = Buffer.from(start, 'latin1');
    const drip = setInterval(() => {
      const next = bytes.subarray(sent, sent + 1);
      socket.write(next.length === 1 ? next : more);
      sent += 1;
    }, 5);
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    clearInterval(drip);
    await until(() => listener.statistics.strangers === 0);
    expect(sent).toBeGreaterThan(0);
    expect(listener.statistics.carrierCount).toBe(0);
  });

  it('T52 whatever a connection begins with, nothing is thrown and everybody is gone', async () => {
    const bed = await serve(cleanup, { limits: SHORT, tls: firstCertificate }, SHORT_CORE);
    const client = await liveSession(bed);
    const prng = new TestPrng(SEED);
    const starts = [
      Buffer.from('GET / HTTP/1.1\r\nHost: h\r\n\r\n'),
      Buffer.from(UPGRADE),
      Buffer.concat([Buffer.from(UPGRADE), Buffer.from([0x82, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9])]),
      Buffer.from([0x16, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3]),
      Buffer.concat([record(40), await firstDatagram(bed)]),
    ];
    for (let round = 0; round < CASES; ) {
      const some = Array.from({ length: Math.min(30, CASES - round) }, () => {
        round += 1;
        const bytes = Buffer.from(prng.pick(starts));
        for (let i = prng.below(4); i > 0; i--) bytes[prng.below(bytes.length)] = prng.below(256);
        const stranger = new Stranger(cleanup, bed.tcpPort);
        const cut = prng.below(bytes.length + 1);
        stranger.socket.write(bytes.subarray(0, cut));
        stranger.socket.write(bytes.subarray(cut));
        if (prng.chance(0.2)) stranger.socket.end();
        if (prng.chance(0.1)) stranger.socket.once('connect', () => stranger.socket.destroy());
        return stranger;
      });
      for (const stranger of some) await stranger.closed();
    }
    await until(() => bed.listener.statistics.strangers === 0);
    await staysAlive(client);
  });
});

/** The HELLO of a client, as a forger sees it. */
async function firstDatagram(bed: ServerBed): Promise<Buffer> {
  const socket = createSocket('udp4').bind(0, HOST);
  await once(socket, 'listening');
  const client = startClient(cleanup, bed.ticket);
  const remote = `${HOST}:${socket.address().port}`;
  client.addPath(await openUdp({ remote, localAddress: HOST }), remote);
  const [bytes] = await once(socket, 'message');
  socket.close();
  client.on('close', () => undefined).abort();
  return bytes;
}

/** A way to the server that can be cut as an attacker on it would. */
async function relay(port: number): Promise<{ port: number; sockets: [Socket, Socket][] }> {
  const sockets: [Socket, Socket][] = [];
  const front = await listenPlain(cleanup, (near) => {
    const far = connectTcp({ port, host: HOST, allowHalfOpen: true });
    cleanup.add(() => far.destroy());
    far.on('error', () => undefined);
    near.pipe(far);
    far.pipe(near);
    sockets.push([near, far]);
  });
  return { port: front, sockets };
}

/** The same for datagrams. While it is closed, the kernel refuses what comes to its port. */
async function udpRelay(to: number, at = 0): Promise<{ port: number; close(): Promise<void> }> {
  const front = createSocket('udp4').bind(at, HOST);
  const back = createSocket('udp4').bind(0, HOST);
  await Promise.all([once(front, 'listening'), once(back, 'listening')]);
  let client = 0;
  front.on('message', (bytes, { port }) => {
    client = port;
    back.send(bytes, to, HOST);
  });
  back.on('message', (bytes) => front.send(bytes, client, HOST));
  let closed: Promise<unknown> | undefined;
  const close = async () => {
    closed ??= Promise.all([once(front.close(), 'close'), once(back.close(), 'close')]);
    await closed;
  };
  cleanup.add(close);
  return { port: front.address().port, close };
}

describe('forgers at real sockets', () => {
  it.each(['RST', 'FIN'])('T20 a %s on one path is no end of a stream', async (kind) => {
    const bed = await serve(cleanup);
    const client = await liveSession(bed);
    for (const dial of ['tcp', 'ws'] as const) {
      const way = await relay(bed.tcpPort);
      const url = `ws://${HOST}:${way.port}/`;
      const carrier = dial === 'tcp' ? dialTcp({ host: HOST, port: way.port }) : dialWs({ url });
      const pathId = client.addPath(await carrier);
      const stateOf = () => client.paths.find((path) => path.pathId === pathId)?.state;
      await until(() => stateOf() === 'active');
      const done = echo(client, Buffer.from(new TestPrng(SEED).bytes(3_000_000)));
      await turns(20);
      for (const pair of way.sockets) {
        for (const socket of pair) {
          socket.unpipe();
          if (kind === 'RST') socket.resetAndDestroy();
          else socket.end();
        }
      }
      await done;
      await until(() => stateOf() === undefined);
    }
    await staysAlive(client);
  });

  it('T22 ICMP says that nobody is there, and the session waits until somebody is', async () => {
    const bed = await serve(cleanup);
    const client = startClient(cleanup, bed.ticket);
    const way = await udpRelay(portOf(bed.udp.local));
    const remote = `${HOST}:${way.port}`;
    const carrier = await openUdp({ remote, localAddress: HOST });
    client.addPath(carrier, remote);
    await once(client, 'established');
    await echo(client, Buffer.from('before'));
    await way.close();
    // Each of these is answered by the kernel: port unreachable.
    const stream = client.openStream();
    stream.end('while nobody was there');
    for (let i = 0; i < 50; i++) {
      carrier.send([new Uint8Array(30)], remote);
      await turns(1);
    }
    expect([client.isClosed, client.paths.length]).toEqual([false, 1]);
    await udpRelay(portOf(bed.udp.local), way.port);
    const back: Buffer[] = [];
    for await (const chunk of stream) back.push(chunk);
    expect(Buffer.concat(back).toString()).toBe('while nobody was there');
  });
});
