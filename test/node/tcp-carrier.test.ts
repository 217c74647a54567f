/** TCP carriers over real sockets of the loopback interface. */
import { createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { CarrierError, InvariantError } from '../../src/core/index.js';
import type { Carrier, CarrierSink } from '../../src/node/carriers/carrier.js';
import { dialTcp, TCP_BUFFER_BYTES, TcpCarrier } from '../../src/node/carriers/tcp.js';
import { carrierConformance } from '../conformance/carrier.js';

const HOST = '127.0.0.1';
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ pauseOnConnect: true }, (socket) => {
    cleanups.push(() => socket.destroy());
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  cleanups.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

interface Pair {
  readonly client: TcpCarrier;
  readonly socket: Socket;
}

/** A dialled carrier, and the socket at the other end. */
async function dialled(): Promise<Pair> {
  const accepted: ((socket: Socket) => void)[] = [];
  const socketThere = new Promise<Socket>((resolve) => accepted.push(resolve));
  const port = await listen((socket) => accepted[0]?.(socket));
  const client = await dialTcp({ host: HOST, port });
  cleanups.push(() => client.close());
  return { client, socket: await socketThere };
}

carrierConformance('tcp, dialled to accepted', async () => {
  const { client, socket } = await dialled();
  return { a: client, b: new TcpCarrier(socket) };
});

carrierConformance('tcp, accepted to dialled', async () => {
  const { client, socket } = await dialled();
  return { a: new TcpCarrier(socket), b: client };
});

carrierConformance('a stream that is no socket', () => {
  const [a, b] = duplexPair();
  return { a: new TcpCarrier(a), b: new TcpCarrier(b) };
});

describe('a TCP carrier that is closed', () => {
  it.each([[true], [false]])('waits for the other end only if it has sent: %s', async (hasSent) => {
    const { client, socket } = await dialled();
    const accepted = new TcpCarrier(socket);
    const nothing = () => undefined;
    accepted.open({ onReceive: nothing, onWritable: nothing, onClosed: nothing });
    if (hasSent) {
      await new Promise((resolve) => setImmediate(resolve));
      accepted.send([Uint8Array.of(1)]);
    }
    accepted.close();
    expect(socket.destroyed).toBe(!hasSent);
    client.close();
  });
});

/** Two streams in memory: what is written to one can be read from the other. */
function duplexPair(): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  for (const other of [1, 0]) {
    ends.push(
      new Duplex({
        read() {},
        write(chunk, _encoding, callback) {
          ends[other]?.push(Buffer.from(chunk));
          setImmediate(callback);
        },
        final(callback) {
          ends[other]?.push(null);
          callback();
        },
      }),
    );
  }
  return [ends[0] as Duplex, ends[1] as Duplex];
}

/** What a carrier tells, in order. */
class Log implements CarrierSink {
  readonly told: string[] = [];
  readonly closed: Promise<Error | undefined>;
  granted = 0;
  received = 0;
  #close: (error: Error | undefined) => void = () => undefined;
  #waiting: (() => void)[] = [];

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  onReceive(bytes: Uint8Array): void {
    this.received += bytes.length;
    this.#tell(`received ${bytes.length}`);
  }

  onWritable(bytes: number): void {
    this.granted += bytes;
    this.#tell(`granted ${bytes}`);
  }

  onClosed(error?: Error): void {
    this.#tell('closed');
    this.#close(error);
  }

  #tell(what: string): void {
    this.told.push(what);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

function opened<T extends Carrier>(carrier: T): Log {
  const log = new Log();
  carrier.open(log);
  return log;
}

describe('dialTcp', () => {
  it('says with the system code why there is no connection', async () => {
    const port = await listen(() => undefined);
    for (const cleanup of cleanups.splice(0)) cleanup();
    const refused = dialTcp({ host: HOST, port });
    await expect(refused).rejects.toBeInstanceOf(CarrierError);
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_CARRIER',
      systemCode: 'ECONNREFUSED',
    });
    // An address that is none of ours.
    const foreign = dialTcp({ host: HOST, port: 1, localAddress: '192.0.2.1' });
    await expect(foreign).rejects.toMatchObject({ systemCode: 'EADDRNOTAVAIL' });
  });

  it('comes from the local address that it is told', async () => {
    const remotes: (string | undefined)[] = [];
    const port = await listen((socket) => remotes.push(socket.remoteAddress));
    const carrier = await dialTcp({ host: HOST, port, localAddress: '127.0.0.2' });
    cleanups.push(() => carrier.close());
    expect(carrier.local).toMatch(/^127\.0\.0\.2:\d+$/);
    expect(carrier.remote).toBe(`${HOST}:${port}`);
    expect([carrier.kind, carrier.name]).toEqual(['stream', 'tcp']);
  });

  it('gives up with the reason of the signal, before and during the attempt', async () => {
    const port = await listen(() => undefined);
    const reason = new Error('never mind');
    const aborted = AbortSignal.abort(reason);
    await expect(dialTcp({ host: HOST, port, signal: aborted })).rejects.toBe(reason);
    const controller = new AbortController();
    const attempt = dialTcp({ host: HOST, port, signal: controller.signal });
    controller.abort(reason);
    await expect(attempt).rejects.toBe(reason);
  });

  it('gives up after its time', async () => {
    const port = await listen(() => undefined);
    const attempt = dialTcp({ host: HOST, port, timeoutMs: 0 });
    // The timer and the connection race; whichever wins, there is one outcome.
    const outcome = await attempt.then(
      (carrier) => carrier.close(),
      (error: CarrierError) => error.systemCode,
    );
    expect([undefined, 'ETIMEDOUT']).toContain(outcome);
  });
});

describe('TCP carriers', () => {
  it('grant what their buffer holds, and not more until the kernel has taken it', async () => {
    const { client, socket } = await dialled();
    socket.pause();
    const log = opened(client);
    await log.until(() => log.granted > 0);
    expect(log.granted).toBe(TCP_BUFFER_BYTES);
    // Nobody reads: the kernel takes some megabytes at most, and then nothing is granted any more.
    let sent = 0;
    while (log.granted > sent && sent < 2 ** 28) {
      client.send([new Uint8Array(log.granted - sent)]);
      sent = log.granted;
      expect(client.bufferedBytes).toBeLessThanOrEqual(TCP_BUFFER_BYTES);
      for (let turn = 0; turn < 3 && log.granted === sent; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    expect(sent).toBeLessThan(2 ** 28);
    expect(() => client.send([new Uint8Array(1)])).toThrow(InvariantError);
  });

  it('give the bytes that were read before the carrier was there first', async () => {
    const { client, socket } = await dialled();
    const carrier = new TcpCarrier(socket, { head: Uint8Array.of(1, 2) });
    const seen: number[] = [];
    const log = new Log();
    carrier.open({
      onReceive: (bytes) => {
        seen.push(...bytes);
        log.onReceive(bytes);
      },
      onWritable: () => undefined,
      onClosed: () => undefined,
    });
    const clientLog = opened(client);
    await clientLog.until(() => clientLog.granted > 0);
    client.send([Uint8Array.of(3)]);
    await log.until(() => seen.length >= 3);
    expect(seen).toEqual([1, 2, 3]);
  });

  it('are closed in good order when the other end closes its direction only', async () => {
    const { client, socket } = await dialled();
    socket.allowHalfOpen = true;
    const log = opened(client);
    const ended = new Promise((resolve) => socket.once('end', resolve));
    socket.end('last words');
    socket.resume();
    expect(await log.closed).toBeUndefined();
    expect(log.received).toBe(10);
    expect(log.told.at(-1)).toBe('closed');
    await ended;
  });

  it('tell of a reset with the system code', async () => {
    const { client, socket } = await dialled();
    const log = opened(client);
    socket.resetAndDestroy();
    const error = await log.closed;
    expect(error).toBeInstanceOf(CarrierError);
    expect(error).toMatchObject({ systemCode: 'ECONNRESET' });
    expect(log.told.filter((what) => what === 'closed')).toHaveLength(1);
  });

  it('tell of what happened between construction and opening', async () => {
    const { client, socket } = await dialled();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resetAndDestroy();
    await closed;
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    const log = opened(client);
    expect(await log.closed).toMatchObject({ systemCode: 'ECONNRESET' });
  });

  it('tell when somebody else destroys the stream', async () => {
    const [stream] = duplexPair();
    const log = opened(new TcpCarrier(stream));
    stream.destroy();
    expect(await log.closed).toMatchObject({ systemCode: 'ECONNABORTED' });
  });

  it('deliver what was sent last although the other end sends on', async () => {
    const { client, socket } = await dialled();
    const log = opened(client);
    await log.until(() => log.granted > 0);
    socket.write(new Uint8Array(1_000_000));
    client.send([new Uint8Array(TCP_BUFFER_BYTES)]);
    client.close();
    let received = 0;
    socket.on('data', (bytes) => {
      received += bytes.length;
    });
    const failed: Error[] = [];
    socket.on('error', (error) => failed.push(error));
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(received).toBe(TCP_BUFFER_BYTES);
    expect(failed).toEqual([]);
  });

  it('leave time for others: a sender without end does not hold up timers', async () => {
    const { client, socket } = await dialled();
    const log = opened(client);
    const receiver = opened(new TcpCarrier(socket));
    let turns = 0;
    let isOver = false;
    const perTurn: number[] = [];
    let lastReceived = 0;
    const count = () => {
      turns += 1;
      perTurn.push(log.granted - lastReceived);
      lastReceived = log.granted;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    let sent = 0;
    while (sent < 50_000_000) {
      await log.until(() => log.granted > sent);
      client.send([new Uint8Array(log.granted - sent)]);
      sent = log.granted;
    }
    await receiver.until(() => receiver.received === sent);
    isOver = true;
    expect(Math.max(...perTurn)).toBeLessThanOrEqual(TCP_BUFFER_BYTES);
    expect(turns).toBeGreaterThanOrEqual(50_000_000 / TCP_BUFFER_BYTES);
  });
});
