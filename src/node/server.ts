/**
 * A server's way to sessions.
 *
 * @module
 */

import { EventEmitter } from 'node:events';
import {
  type Address,
  type EndpointLimits,
  type KeyRing,
  type SessionOptions,
  UsageError,
} from '../core/index.js';
import { Driver } from './driver.js';
import {
  type InheritedSocket,
  type Listening,
  type ListenParts,
  listen,
  listenInherited,
} from './listen.js';
import type { ListenerTls } from './listener.js';
import { ROUTE_CARRIERS, type RouteCarrier } from './routes.js';
import { DEFAULT_PORT } from './server-address.js';
import { RovingSession } from './session.js';

/** How long {@link RovingServer.close} lets sessions deliver what they have. */
export const CLOSE_TIMEOUT_MS = 3_000;
/** How long at least it then tells the others that it is over, again if what tells them is lost. */
export const FAREWELL_TIMEOUT_MS = 500;
const FAREWELL_POLL_MS = 20;

export interface ServerOptions {
  /** Who may come, and with what; add keys to it, or remove them by {@link RovingServer.revoke}. */
  readonly keys: KeyRing;
  readonly session?: Partial<SessionOptions>;
  readonly limits?: Partial<EndpointLimits>;
}

export interface ListenOptions {
  /**
   * A name or an address of this machine; all of them if absent, or `*`; those of IPv4 with
   * `0.0.0.0`, those of IPv6 with `::`.
   */
  readonly host?: string;
  /** {@link DEFAULT_PORT}; 0 for any free one, the same for TCP and UDP. */
  readonly port?: number;
  /** `udp`, and `tcp`; `ws` shares the port of TCP. */
  readonly carriers?: readonly RouteCarrier[];
  /** A socket that a service manager has opened, instead of `host`, `port` and `carriers`. */
  readonly inherited?: InheritedSocket;
  /** For `wss:` the server's certificate, at the same port; behind a proxy that has one, none. */
  readonly tls?: ListenerTls;
}

/** The events of a {@link RovingServer} and their arguments. */
export interface RovingServerEvents {
  /** A client is there. Its streams come by the session's event `stream`. */
  session: [session: RovingSession];
  /** One more address is listened on. */
  listening: [address: Address];
  /** Something that was listened on has failed; the others go on. */
  error: [error: Error];
  /** All is closed. */
  close: [];
}

/** Accepts sessions from those who hold a ticket for one of its keys. Strangers get no answer. */
export class RovingServer extends EventEmitter<RovingServerEvents> {
  readonly #driver: Driver;
  readonly #sessions = new Set<RovingSession>();
  readonly #listening: Listening[] = [];
  #closed: Promise<void> | undefined;

  /** @internal Servers come from {@link createServer}. */
  constructor({ keys, session, limits }: ServerOptions) {
    super();
    this.#driver = new Driver({
      keyRing: keys,
      ...(session === undefined ? {} : { session }),
      ...(limits === undefined ? {} : { limits }),
      onAccepted: (core, entry) => this.#accepted(new RovingSession(this.#driver, core, entry)),
    });
  }

  #accepted(session: RovingSession): void {
    if (this.#closed !== undefined) return session.abort(0, 'the server is closing');
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    if (!this.emit('session', session)) session.abort(0, 'nobody serves sessions here');
  }

  /**
   * Listens on one more address, for TCP and UDP on the same port.
   *
   * @throws the system's error with its `code`, such as `EADDRINUSE`. UsageError after `close`.
   */
  async listen(options: ListenOptions = {}): Promise<void> {
    if (this.#closed !== undefined) throw new UsageError('the server is closed');
    const { host, port = DEFAULT_PORT, carriers = ROUTE_CARRIERS, tls, inherited } = options;
    const parts: ListenParts = {
      host,
      port,
      carriers,
      tls,
      onCarrier: (carrier, onGone) => this.#driver.addCarrier(carrier, onGone),
      onCarrierGone: (carrierId) => this.#driver.closeCarrier(carrierId),
      onError: (error) => this.emit('error', error),
      unvouched: {
        count: () => this.statistics.unattachedCarriers,
        evict: () => this.#driver.command((endpoint) => endpoint.evictUnattached()),
      },
    };
    const listening = await (inherited === undefined
      ? listen(parts)
      : listenInherited(inherited, parts));
    if (this.#closed !== undefined) return listening.close();
    this.#listening.push(listening);
    this.emit('listening', listening.address);
  }

  /**
   * Takes another certificate for `wss:`, at all addresses, for connections from now on.
   *
   * @throws Error of Node's if it is not a usable one; the old one stays then.
   */
  setTls(tls: ListenerTls): void {
    for (const listening of this.#listening) listening.setTls(tls);
  }

  /** Where it listens, as `host:port`. */
  get addresses(): Address[] {
    return this.#listening.map(({ address }) => address);
  }

  /** The sessions that are open. */
  get sessions(): ReadonlySet<RovingSession> {
    return this.#sessions;
  }

  /** What arrived and led nowhere, and how much is half open. */
  get statistics() {
    return this.#driver.endpoint.statistics();
  }

  /**
   * Takes a key away: nobody gets in with it any more.
   *
   * @param endSessions whether those that run are ended too, with `ERR_REVOKED`.
   * @returns whether there was such a key.
   */
  revoke(keyId: Uint8Array, endSessions = true): boolean {
    return this.#driver.command((endpoint, now) => endpoint.revoke(keyId, endSessions, now));
  }

  /**
   * Stops listening and closes all sessions: gracefully within {@link CLOSE_TIMEOUT_MS}, then
   * at once.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const deadline = performance.now() + CLOSE_TIMEOUT_MS;
    for (const listening of this.#listening) listening.stop();
    this.#driver.command((endpoint) => endpoint.stopAccepting());
    const sessions = [...this.#sessions];
    const graceful = Promise.allSettled(sessions.map((session) => session.close()));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    });
    await Promise.race([graceful, late]);
    clearTimeout(timer);
    for (const session of this.#sessions) session.abort(0, 'the server is closing');
    await this.#farewell(Math.max(deadline, performance.now() + FAREWELL_TIMEOUT_MS));
    for (const listening of this.#listening.splice(0)) await listening.close();
    this.#driver.close();
    this.emit('close');
  }

  /** The core keeps a session until its client knows that it is over. */
  async #farewell(deadline: number): Promise<void> {
    // What tells the clients so goes out first.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.statistics.sessions > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, FAREWELL_POLL_MS));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Makes a server; {@link RovingServer.listen} opens it.
 *
 * @param onSession listener of the event `session`.
 * @throws UsageError if an option is out of its range.
 */
export function createServer(
  options: ServerOptions,
  onSession?: (session: RovingSession) => void,
): RovingServer {
  const server = new RovingServer(options);
  if (onSession !== undefined) server.on('session', onSession);
  return server;
}
