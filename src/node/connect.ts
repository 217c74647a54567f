/**
 * A client's way to a session.
 *
 * @module
 */

import {
  ConnectTimeoutError,
  DEFAULT_SESSION_OPTIONS,
  type SessionError,
  type SessionOptions,
  type Ticket,
  UsageError,
} from '../core/index.js';
import { formatAddress } from './addresses.js';
import type { WsTlsOptions } from './carriers/ws.js';
import { dialWith } from './dial.js';
import { Driver } from './driver.js';
import { localAddresses, usualLocalAddress } from './interfaces.js';
import { type FoundRoutes, PathManager } from './path-manager.js';
import { proxyFor } from './proxy.js';
import { ServerResolver } from './resolver.js';
import type { Dial, RouteReport } from './route-keeper.js';
import { planRoutes, ROUTE_CARRIERS, type RouteCarrier, routeKey } from './routes.js';
import { parseServerAddress, type ServerAddress } from './server-address.js';
import { RovingSession } from './session.js';
import { asTicket } from './ticket.js';

/** How long `connect` tries, unless `connectTimeoutMs` says otherwise. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 15_000;
export interface ConnectOptions extends Partial<SessionOptions> {
  /** What may move the bytes; all that the ticket's addresses allow. */
  readonly carriers?: readonly RouteCarrier[];
  /** Local addresses or names of interfaces; all that can reach the server. */
  readonly paths?: readonly string[];
  /**
   * The only way for TCP and WebSocket, a proxy's URL; from each of `paths`, if given. If absent, the
   * environment's proxy beside the direct ways, unless `paths` are given.
   */
  readonly via?: string;
  /** What is trusted in `wss:` connections, beside what Node trusts. */
  readonly tls?: WsTlsOptions;
  /** Gives up, also after the session is established: it is aborted then. */
  readonly signal?: AbortSignal;
  /** @internal Instead of real sockets. */
  readonly dial?: Dial;
}

/** A session that was opened here, with the path manager that cares for it. */
export interface ClientPaths {
  /** All routes as they stand, also those that lead nowhere. */
  routes(): RouteReport[];
  /** Tries everything again at once. */
  redial(): void;
}

const managers = new WeakMap<RovingSession, PathManager>();

/** The path manager's face of a session that {@link connect} made; `undefined` for others. */
export function pathsOf(session: RovingSession): ClientPaths | undefined {
  const manager = managers.get(session);
  if (manager === undefined) return undefined;
  return { routes: () => manager.report(), redial: () => manager.redial() };
}

/**
 * Connects to the server of a ticket: tries every route at once, carries data over the first that
 * is answered, and joins with the others. The session then keeps its paths by itself.
 *
 * @param ticket a ticket, or its text.
 * @throws UsageError for a ticket or an option that makes no sense, ConnectTimeoutError if nobody
 *   answers in time, the signal's reason when it is aborted.
 */
export async function connect(
  ticket: Ticket | string,
  options: ConnectOptions = {},
): Promise<RovingSession> {
  const { carriers, paths, via, tls, signal, ...others } = options;
  const { dial = dialWith(tls), ...sessionOptions } = others;
  const parsed = asTicket(ticket);
  if (parsed.addresses.length === 0) {
    throw new UsageError('the ticket holds no address: make it with `--address HOST:PORT`');
  }
  let servers = parsed.addresses.map(parseServerAddress);
  signal?.throwIfAborted();
  const driver = new Driver();
  const settings = { connectTimeoutMs: DEFAULT_CONNECT_TIMEOUT_MS, ...sessionOptions };
  const core = driver.command((endpoint, now) => endpoint.connect(parsed, settings, now));
  const session = new RovingSession(driver, core);
  const resolver = new ServerResolver();
  const manager = new PathManager(session, {
    dial,
    findRoutes: (onLate) => findRoutes(servers, { carriers, paths, via, resolver, onLate }),
    maxRoutes: sessionOptions.maxPaths ?? DEFAULT_SESSION_OPTIONS.maxPaths,
  });
  managers.set(session, manager);
  session.on('serverAddresses', ({ addresses, avoidFirst }) => {
    servers = addressesTold(parsed.addresses, addresses, avoidFirst);
    manager.redial();
  });
  const abort = (): void => session.abort(1, 'the signal was aborted');
  signal?.addEventListener('abort', abort, { once: true });
  session.once('close', () => signal?.removeEventListener('abort', abort));
  const established = new Promise<void>((resolve, reject) => {
    session.once('established', resolve);
    session.once('close', (error) => {
      if (signal?.aborted === true) reject(signal.reason);
      else reject(explain(error, manager, paths));
    });
  });
  void manager.start();
  await established;
  return session;
}

/** Where the server is, by the ticket and by what it says itself; what makes no sense is left out. */
function addressesTold(
  ticket: readonly string[],
  told: readonly string[],
  avoidFirst: boolean,
): ServerAddress[] {
  const wanted = avoidFirst && told.length > 0 ? told : new Set([...ticket, ...told]);
  return [...wanted].flatMap((address) => {
    try {
      return [parseServerAddress(address)];
    } catch {
      return [];
    }
  });
}

async function findRoutes(
  servers: readonly ServerAddress[],
  options: {
    readonly carriers: readonly RouteCarrier[] | undefined;
    readonly paths: readonly string[] | undefined;
    readonly via: string | undefined;
    readonly resolver: ServerResolver;
    readonly onLate: () => void;
  },
): Promise<FoundRoutes> {
  const { resolver, onLate } = options;
  const known = await resolver.resolve(
    servers.map(({ host }) => host),
    onLate,
  );
  const resolved = servers.map((server) => ({ server, resolved: known.get(server.host) ?? [] }));
  const usual = new Map<string, string | undefined>();
  for (const { address } of resolved.flatMap((one) => one.resolved)) {
    usual.set(address, await usualLocalAddress(address));
  }
  const routes = planRoutes({
    servers: resolved,
    usualLocal: (remote) => usual.get(remote),
    locals: localAddresses(),
    carriers: options.carriers ?? ROUTE_CARRIERS,
    paths: options.paths,
    proxyFor: ({ host, port }) => {
      const url = options.via ?? proxyFor(formatAddress(host, port)) ?? '';
      return { url, isOnly: options.via !== undefined };
    },
  });
  return { routes, isPartial: resolved.some((one) => one.resolved.length === 0) };
}

/** What was tried and what came of it, so that a person can see what to mend. */
function explain(
  error: SessionError | undefined,
  manager: PathManager,
  paths: readonly string[] | undefined,
): Error {
  if (!(error instanceof ConnectTimeoutError)) {
    return (
      error ?? new ConnectTimeoutError('the session was closed while it was being established')
    );
  }
  const tried = manager.report().map(({ route, lastError, state }) => {
    return `${routeKey(route).trim()}: ${lastError ?? (state === 'dialling' ? 'no answer' : 'silent')}`;
  });
  const among = (paths ?? []).map((path) => ` --path ${path}`).join('');
  const nothing = `no local address can reach any of the server’s${among && ` with${among}`}`;
  const what = tried.length === 0 ? nothing : tried.join('; ');
  return new ConnectTimeoutError(`${error.message} (tried: ${what})`);
}
