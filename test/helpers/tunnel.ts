/** Forwards over sessions in memory, between real servers and programs on loopback. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { InMemoryOptions, InMemoryPair } from '../../src/node/index.js';
import { ServiceHost } from '../../src/service/index.js';
import { ForwardServer, type ForwardServerOptions } from '../../src/tunnel/index.js';
import { withPair } from './node-pair.js';

export interface TunnelScene extends InMemoryPair {
  readonly far: ForwardServer;
  /** Closed, with what has come to it, after the test. */
  serve(onConnection: (socket: Socket) => void): Promise<number>;
  /** Closed after the test. */
  add<T extends { close(): unknown }>(forward: T): T;
  /** A program's connection, which may still be on its way; destroyed after the test. */
  dial(port: number): Socket;
}

export interface TunnelSceneOptions extends InMemoryOptions, ForwardServerOptions {
  readonly grants?: readonly string[];
}

/** A session whose server end forwards what the grants allow; `forward` if none are named. */
export function withTunnel(
  options: TunnelSceneOptions,
  action: (scene: TunnelScene) => Promise<void>,
): Promise<void> {
  const far = new ForwardServer(options);
  const cleanups: (() => unknown)[] = [];
  return withPair(options, async (pair) => {
    new ServiceHost(far.services).attach(pair.server, options.grants ?? ['forward']);
    const scene: TunnelScene = {
      ...pair,
      far,
      async serve(onConnection) {
        const sockets = new Set<Socket>();
        const server = createServer({ allowHalfOpen: true }, (socket) => {
          sockets.add(socket);
          socket.on('error', () => undefined);
          onConnection(socket);
        });
        const port = await listening(server);
        cleanups.push(() => {
          server.close();
          for (const socket of sockets) socket.destroy();
        });
        return port;
      },
      add(forward) {
        cleanups.push(() => forward.close());
        return forward;
      },
      dial(port) {
        const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        socket.on('error', () => undefined);
        cleanups.push(() => socket.destroy());
        return socket;
      },
    };
    try {
      await action(scene);
    } finally {
      for (const clean of cleanups.reverse()) await clean();
    }
  });
}

export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens on: it was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** All that a socket says up to its end. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Exactly so many bytes. */
export function readBytes(socket: Socket, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (action: () => void): void => {
      for (const event of EVENTS) socket.off(event, look);
      action();
    };
    const look = (): void => {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes?.length === length) settle(() => resolve(bytes));
      else if (bytes !== null || socket.readableEnded || socket.destroyed) {
        settle(() => reject(new Error('the socket has ended')));
      }
    };
    // Listened to all the time: a listener for `readable` that comes anew is called at once.
    for (const event of EVENTS) socket.on(event, look);
    look();
  });
}
const EVENTS = ['readable', 'end', 'close'];

/** How a socket ends: the code of its error, or `end`. Reads and drops what comes before. */
export function fate(socket: Socket): Promise<string> {
  socket.resume();
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('end'));
    if (socket.errored) resolve((socket.errored as NodeJS.ErrnoException).code ?? 'error');
  });
}
