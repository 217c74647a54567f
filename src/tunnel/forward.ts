/** What local and dynamic forwards have in common: a port here, connections through a session. @module */

import type { Socket } from 'node:net';
import { CarrierError, type RovingSession } from '../node/index.js';
import { formatHostPort, type HostPort } from './address.js';
import { type ConnectionKind, type OpenConnection, TunnelConnections } from './connections.js';
import { DIAL_TIMEOUT_MS } from './dial.js';
import type { Bind } from './grammar.js';
import { Listener, type ListenPlace, resolveBind } from './listener.js';
import { splice } from './splice.js';
import { openTunnel, type SessionSource, type Tunnel, toSource } from './tunnel.js';

export interface ForwardOptions {
  readonly bind: Bind;
  /**
   * Listens also where other machines can reach it; `false`. As ssh's option of this name.
   */
  readonly gatewayPorts?: boolean;
  /** Where connections are listed; the forward's own. */
  readonly connections?: TunnelConnections;
}

/**
 * Listens on this machine. Connections outlive changes of paths, as the session does. If the
 * session ends they are reset; new ones use what the source gives then.
 */
export abstract class Forward {
  readonly connections: TunnelConnections;
  readonly #source: SessionSource;
  readonly #bind: Bind;
  readonly #sockets = new Set<Socket>();
  #listener: Listener | undefined;
  #isClosed = false;

  constructor(session: RovingSession | SessionSource, options: ForwardOptions) {
    this.#source = toSource(session);
    this.#bind = options.bind;
    this.connections = options.connections ?? new TunnelConnections();
  }

  /**
   * Begins to listen.
   *
   * @returns the address, with the port that the system has chosen if it was asked for 0.
   * @throws UsageError if other machines could use it and that was not asked for; otherwise the
   *   system's error, such as `EADDRINUSE`.
   */
  async start(): Promise<HostPort> {
    const place = await resolveBind(this.#bind);
    this.checkPlace(place);
    const listener = await Listener.open(place, (socket) => this.#accept(socket));
    if (this.#isClosed) listener.close();
    this.#listener = listener;
    return listener.address;
  }

  /** Where it listens; `undefined` before `start`. */
  get address(): HostPort | undefined {
    return this.#listener?.address;
  }

  /** Stops listening and resets the connections that are open. */
  close(): void {
    this.#isClosed = true;
    this.#listener?.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** @internal Throws if it must not listen there. */
  protected abstract checkPlace(place: ListenPlace): void;

  /** @internal Handles one connection to its end. A rejection resets it. */
  protected abstract serve(socket: Socket, connection: OpenConnection): Promise<Error | undefined>;

  protected abstract readonly kind: ConnectionKind;

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const connection = this.connections.begin(this.kind, originOf(socket));
    this.serve(socket, connection).then(
      (error) => connection.ended(error),
      (error: Error) => {
        if (!socket.destroyed) socket.resetAndDestroy();
        connection.ended(error);
      },
    );
  }

  /**
   * @internal Opens a way to the target, unless the program has gone meanwhile, or there is no
   * session for {@link DIAL_TIMEOUT_MS}.
   */
  protected async open(socket: Socket, target: HostPort, connection: OpenConnection) {
    connection.describe(formatHostPort(target), socket);
    const session = await soon(this.#source());
    if (socket.destroyed)
      throw socket.errored ?? new Error('the program has closed the connection');
    return openTunnel(session, target);
  }

  /** @internal Joins both until they have ended. */
  protected carry(socket: Socket, tunnel: Tunnel, connection: OpenConnection) {
    tunnel.connected.then(
      () => connection.opened(),
      () => undefined,
    );
    return splice(socket, tunnel.stream, tunnel.connected);
  }
}

/** @throws CarrierError with `ETIMEDOUT` if there is no session in time. */
function soon(session: RovingSession | Promise<RovingSession>): Promise<RovingSession> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new CarrierError('there is no session at present', { systemCode: 'ETIMEDOUT' }));
    }, DIAL_TIMEOUT_MS);
    Promise.resolve(session)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

/** `HOST:PORT` of the other end; `undefined` if it has gone already. */
export function originOf({ remoteAddress, remotePort }: Socket): string | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  const host = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  return formatHostPort({ host, port: remotePort });
}
