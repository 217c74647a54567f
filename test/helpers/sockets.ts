/** Real sockets of the loopback interface for tests, and servers made of them. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'vitest';
import { type EndpointLimits, KeyRing, type Ticket } from '../../src/core/index.js';
import { parseAddress } from '../../src/node/addresses.js';
import type { Carrier, CarrierSink } from '../../src/node/carriers/carrier.js';
import { bindUdp, type UdpCarrier } from '../../src/node/carriers/udp.js';
import { Driver } from '../../src/node/driver.js';
import { type ListenTcpOptions, listenTcp, type TcpListener } from '../../src/node/listener.js';
import { RovingSession } from '../../src/node/session.js';
import { turns } from './node-pair.js';

export const HOST = '127.0.0.1';
const MAX_TURNS = 100_000;

/** What is to be closed after a test, in the order in which it was opened. */
export class Cleanup {
  readonly #actions: (() => unknown)[] = [];

  add(action: () => unknown): void {
    this.#actions.push(action);
  }

  async run(): Promise<void> {
    for (const action of this.#actions.splice(0)) await action();
  }
}

/** Waits for turns of the event loop, not for a time. */
export async function until(holds: () => boolean, what = 'what should happen'): Promise<void> {
  for (let turn = 0; turn < MAX_TURNS && !holds(); turn++) await turns(1);
  expect(holds(), what).toBe(true);
}

export function portOf(address: string): number {
  return parseAddress(address)?.port ?? 0;
}

/** A plain server of TCP. */
export async function listenPlain(
  cleanup: Cleanup,
  onSocket: (socket: Socket) => void,
): Promise<number> {
  const server: Server = createServer((socket) => {
    cleanup.add(() => socket.destroy());
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  cleanup.add(() => server.close());
  server.listen(0, HOST);
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Someone who connects without being a client, and what that one sees. */
export class Stranger {
  readonly socket: Socket;
  readonly #received: Buffer[] = [];
  isClosed = false;

  constructor(cleanup: Cleanup, port: number, host = HOST) {
    this.socket = connect({ port, host });
    cleanup.add(() => this.socket.destroy());
    this.socket.on('error', () => undefined);
    this.socket.on('data', (bytes) => this.#received.push(bytes));
    this.socket.on('close', () => {
      this.isClosed = true;
    });
  }

  get received(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  async connected(): Promise<this> {
    if (this.socket.connecting) await once(this.socket, 'connect');
    return this;
  }

  async closed(): Promise<string> {
    if (this.isClosed) return this.received;
    // Not by `once`, which a reset would reject.
    await new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    return this.received;
  }
}

/** A listener whose carriers are kept. */
export async function listenKeeping(
  cleanup: Cleanup,
  options: Partial<ListenTcpOptions> = {},
): Promise<{ listener: TcpListener; carriers: Carrier[]; port: number }> {
  const carriers: Carrier[] = [];
  const onCarrier = (carrier: Carrier) => carriers.push(carrier);
  const listener = await listenTcp({ host: HOST, ...options, onCarrier });
  cleanup.add(() => {
    for (const carrier of carriers) carrier.close();
    return listener.close();
  });
  return { listener, carriers, port: portOf(listener.address) };
}

/** Opens a carrier, and writes down what it hears. */
export function record(carrier: Carrier): { bytes: Buffer; closed: (Error | undefined)[] } {
  const heard = { bytes: Buffer.alloc(0), closed: [] as (Error | undefined)[] };
  const sink: CarrierSink = {
    onReceive: (bytes) => {
      heard.bytes = Buffer.concat([heard.bytes, bytes]);
    },
    onWritable: () => undefined,
    onClosed: (error) => heard.closed.push(error),
  };
  carrier.open(sink);
  return heard;
}

export interface ServerBed {
  readonly driver: Driver;
  readonly listener: TcpListener;
  readonly udp: UdpCarrier;
  readonly ticket: Ticket;
  readonly sessions: RovingSession[];
  readonly tcpPort: number;
}

/** A whole server on all carriers. */
export async function serve(
  cleanup: Cleanup,
  options: Partial<ListenTcpOptions> = {},
  endpointLimits: Partial<EndpointLimits> = {},
): Promise<ServerBed> {
  const keyRing = new KeyRing(randomBytes(32), randomBytes(32));
  const [keyId, secret] = [new Uint8Array(randomBytes(8)), new Uint8Array(randomBytes(32))];
  keyRing.add({ keyId, secret, name: 'test', grants: [] });
  const sessions: RovingSession[] = [];
  const driver: Driver = new Driver({
    keyRing,
    limits: endpointLimits,
    onAccepted: (core) => {
      const session = new RovingSession(driver, core);
      session.on('stream', (stream) => stream.on('error', () => undefined).pipe(stream));
      sessions.push(session);
    },
  });
  const onCarrier = (carrier: Carrier) => driver.addCarrier(carrier);
  const listener = await listenTcp({ host: HOST, ...options, onCarrier });
  const udp = await bindUdp({ host: HOST });
  driver.addCarrier(udp);
  cleanup.add(async () => {
    for (const session of sessions) if (!session.isClosed) session.abort();
    await listener.close();
    driver.close();
  });
  const ticket = { keyId, secret, doorKey: keyRing.doorKey, addresses: [] };
  return { driver, listener, udp, ticket, sessions, tcpPort: portOf(listener.address) };
}

/** A client's session with no path yet. */
export function startClient(cleanup: Cleanup, ticket: Ticket): RovingSession {
  const driver = new Driver();
  const core = driver.command((endpoint, now) => endpoint.connect(ticket, {}, now));
  const session = new RovingSession(driver, core);
  cleanup.add(() => {
    if (!session.isClosed) session.abort();
    driver.close();
  });
  return session;
}

/** Sends `bytes` through an echo, and compares what comes back. */
export async function echo(session: RovingSession, bytes: Buffer): Promise<void> {
  const stream = session.openStream();
  stream.end(bytes);
  const back: Buffer[] = [];
  for await (const chunk of stream) back.push(chunk as Buffer);
  expect(Buffer.compare(Buffer.concat(back), bytes)).toBe(0);
}
