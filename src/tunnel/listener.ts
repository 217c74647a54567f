/** Listening where a forward was told to. @module */

import { once } from 'node:events';
import { createServer, isIP, type Server, type Socket } from 'node:net';
import { UsageError } from '../node/index.js';
import { formatHostPort, type HostPort, isLoopback } from './address.js';
import { systemResolver } from './dial.js';
import type { Bind } from './grammar.js';

/** Connections that one listener has open; further ones are closed at once. */
export const MAX_CONNECTIONS = 1_024;

const LOOPBACK_HOSTS = ['127.0.0.1', '::1'] as const;

export type OnConnection = (socket: Socket) => void;

/** Where to listen, once names are resolved. All addresses share one port. */
export interface ListenPlace {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly isLoopback: boolean;
}

/**
 * Without a host, and for `localhost`, both loopback addresses; for `*`, all addresses.
 *
 * @throws the system's error if a name can't be resolved.
 */
export async function resolveBind({ host, port }: Bind): Promise<ListenPlace> {
  if (host === undefined || host.toLowerCase() === 'localhost') {
    return { hosts: LOOPBACK_HOSTS, port, isLoopback: true };
  }
  if (host === '*') return { hosts: ['::', '0.0.0.0'], port, isLoopback: false };
  const [address = host] = isIP(host) === 0 ? await systemResolver(host) : [host];
  return { hosts: [address], port, isLoopback: isLoopback(address) };
}

/**
 * Refuses to serve whoever can reach the machine, unless that is what was asked for (T47).
 *
 * @throws UsageError that says how to ask for it.
 */
export function requireLoopback(place: ListenPlace, how: string): void {
  if (place.isLoopback) return;
  const [host = '*'] = place.hosts;
  throw new UsageError(
    `${formatHostPort({ host, port: place.port })} can be reached from other machines, and anyone ` +
      `there could use your session: ${how}`,
  );
}

/** A port that is listened on, at one or several addresses. */
export class Listener {
  readonly #servers: readonly Server[];
  readonly address: HostPort;

  private constructor(servers: readonly Server[], address: HostPort) {
    this.#servers = servers;
    this.address = address;
  }

  /**
   * @returns with the port that was chosen, if that was left to the system.
   * @throws the system's error, such as `EADDRINUSE`, if the first address can't be listened on.
   */
  static async open(
    place: ListenPlace,
    onConnection: OnConnection,
    maxConnections = MAX_CONNECTIONS,
  ): Promise<Listener> {
    const servers: Server[] = [];
    let { port } = place;
    let host: string | undefined;
    let missing: unknown;
    for (const wanted of place.hosts) {
      try {
        const server = await listen({ host: wanted, port }, onConnection, maxConnections);
        servers.push(server);
        const address = server.address();
        if (typeof address === 'object' && address !== null) port = address.port;
        host ??= wanted;
      } catch (error) {
        if (host === undefined && !isMissingFamily(error)) throw error;
        missing = error;
      }
    }
    // Where there is only one family, or `::` has taken the port of IPv4 along, one is enough.
    if (host === undefined) throw missing;
    return new Listener(servers, { host, port });
  }

  /** Accepts nothing more. The connections that are there go on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }
}

function isMissingFamily(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
}

async function listen(
  at: HostPort,
  onConnection: OnConnection,
  maxConnections: number,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  server.maxConnections = maxConnections;
  server.on('connection', (socket) => {
    // Whoever takes it over listens too; until then nothing may be uncaught.
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  server.listen(at);
  await once(server, 'listening');
  // An error of accepting, as when descriptors run out, costs that connection only.
  server.on('error', () => undefined);
  return server;
}
