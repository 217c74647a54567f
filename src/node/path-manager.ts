/**
 * Chooses which paths a client's session has: dials every route that could lead to the server,
 * dials again what has failed or fallen silent, follows the machine's addresses as they come and
 * go, and says which paths are only for need.
 *
 * @module
 */

import type { Address, CarrierId, PathId } from '../core/index.js';
import type { Carrier } from './carriers/carrier.js';
import { InterfaceWatch, localAddresses } from './interfaces.js';
import { type GroupedPath, PathGroups } from './path-groups.js';
import { RETRY_DARK_MAX_MS, RETRY_MIN_MS, retryDelayMs } from './redial.js';
import { pickRoutes, type Route, routeKey, shownRoute } from './routes.js';
import type { PathChange, RovingSession } from './session.js';

/** Attempts of one route that may be under way at a time: while all is dark, none waits for another. */
export const MAX_ATTEMPTS_PER_ROUTE = 4;
/** An attempt is given up after this time. */
export const DIAL_TIMEOUT_MS = 10_000;
export const DIAL_TIMEOUT_DARK_MS = 3_000;
/** A carrier that never became an active path makes room for another attempt after this time. */
export const JOIN_TIMEOUT_MS = 5_000;
/** A datagram path that is silent for so long is tried from a new port: its NAT may be stuck. */
export const NEW_PORT_AFTER_MS = 1_500;
/** How often it is looked at what the paths move. */
export const SAMPLE_INTERVAL_MS = 250;
/** A path that lived for so long was good: when it ends, it is dialled again at once. */
const WAS_GOOD_MS = 1_000;
/** The names of servers are resolved again this often while no path is healthy. */
const RESOLVE_DARK_MS = 5_000;
/** And this often while one of them has never been. */
const RESOLVE_PARTIAL_MS = 60_000;

/** A carrier that is connected, and for datagrams where the server is. */
export interface Dialled {
  readonly carrier: Carrier;
  readonly remote?: Address;
}

/** Connects a route. Rejects with what went wrong, and when `signal` is aborted. */
export type Dial = (route: Route, signal: AbortSignal, timeoutMs: number) => Promise<Dialled>;

export interface FoundRoutes {
  readonly routes: readonly Route[];
  /** Names were not resolved: it is worth asking again. */
  readonly isPartial: boolean;
}

/**
 * Finds all routes as things stand: names are resolved, interfaces looked at. Calls `onLate` if more
 * is known later.
 */
export type FindRoutes = (onLate: () => void) => Promise<FoundRoutes>;

export interface PathManagerOptions {
  readonly findRoutes: FindRoutes;
  readonly dial: Dial;
  /** More routes than this are not dialled; the best are. */
  readonly maxRoutes: number;
}

interface Use {
  readonly carrierId: CarrierId;
  readonly since: number;
  pathId: PathId | undefined;
  isActive: boolean;
  wasActive: boolean;
  isSuspect: boolean;
}

/** A route and what has become of it. */
interface RouteState {
  route: Route;
  /** Otherwise it ends with its last path. */
  isWanted: boolean;
  readonly key: string;
  readonly attempts: Set<AbortController>;
  /** Oldest first: normally one; two while one replaces a silent one. */
  readonly uses: Use[];
  failures: number;
  /** Connections in a row that did not live long. */
  shortLived: number;
  retry: NodeJS.Timeout | undefined;
  lastError: string | undefined;
}

/** One route as it stands, for people and programs. */
export interface RouteReport {
  readonly route: Route;
  readonly state: 'active' | 'suspect' | 'joining' | 'dialling' | 'waiting';
  /** Why the last attempt failed. */
  readonly lastError: string | undefined;
}

export class PathManager {
  readonly #session: RovingSession;
  readonly #options: PathManagerOptions;
  readonly #routes = new Map<string, RouteState>();
  readonly #byCarrier = new Map<CarrierId, RouteState>();
  readonly #groups: PathGroups;
  /** By the key of a TCP route: how many connections run beside it. */
  readonly #extraConnections = new Map<string, number>();
  #planned: readonly Route[] = [];
  #sampling: NodeJS.Timeout | undefined;
  #watch: InterfaceWatch | undefined;
  #darkSince: number | undefined = performance.now();
  #resolveTimer: NodeJS.Timeout | undefined;
  #isFinding = false;
  #isPartial = false;
  /** Which part of more routes than there may be. */
  #turn = 0;
  #mustFindAgain = false;
  #isStopped = false;

  constructor(session: RovingSession, options: PathManagerOptions) {
    this.#session = session;
    this.#options = options;
    this.#groups = new PathGroups({
      probe: (pathId) => session.probePath(pathId),
      setBackup: (pathId, isBackup) => {
        session.setPathStatus(pathId, isBackup ? 'backup' : 'available');
      },
      setExtraConnections: (route, count) => {
        this.#extraConnections.set(routeKey(route), count);
        this.#reconcile();
      },
    });
    session.on('path', (change) => this.#pathChanged(change));
    session.once('established', () => {
      // From now on it is the session's choice whether the process stays.
      for (const { retry } of this.#routes.values()) retry?.unref();
      // The server may allow fewer paths.
      if (this.#routes.size > this.#maxRoutes) void this.#find();
    });
    session.on('close', () => this.stop());
  }

  /** Finds the routes and dials them all. @returns when they are known. */
  async start(): Promise<void> {
    this.#watch = new InterfaceWatch(({ hasSlept }) => {
      if (hasSlept) this.#woke();
      else this.#addressesChanged();
    });
    this.#sampling = setInterval(() => {
      const active = this.#activePaths();
      if (active.length > 0) this.#groups.sample(active, performance.now());
    }, SAMPLE_INTERVAL_MS);
    this.#sampling.unref();
    await this.#find();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#sampling);
    this.#watch?.close();
    clearTimeout(this.#resolveTimer);
    for (const state of this.#routes.values()) this.#dropAttempts(state);
  }

  #woke(): void {
    this.#probeAll();
    this.redial();
  }

  /** The server may have nowhere to send to until it hears from the new address. */
  #addressesChanged(): void {
    this.#probeAll();
    void this.#find();
  }

  #probeAll(): void {
    for (const { pathId } of this.#session.paths) this.#session.probePath(pathId);
  }

  /** Dials everything that is not active, now. */
  redial(): void {
    for (const state of this.#routes.values()) {
      state.failures = 0;
      if (!state.uses.some((use) => use.isActive)) this.#dial(state);
    }
    void this.#find();
  }

  report(): RouteReport[] {
    return [...this.#routes.values()].map((state) => ({
      route: shownRoute(state.route),
      state: stateOf(state),
      lastError: state.lastError,
    }));
  }

  // Which routes there are.

  async #find(): Promise<void> {
    if (this.#isFinding) {
      this.#mustFindAgain = true;
      return;
    }
    this.#isFinding = true;
    try {
      do {
        this.#mustFindAgain = false;
        const { routes, isPartial } = await this.#options.findRoutes(() => void this.#find());
        if (this.#isStopped) return;
        this.#isPartial = isPartial;
        this.#plan(routes);
      } while (this.#mustFindAgain);
    } catch {
      // The system is short of something: what is planned stays.
      this.#isPartial = true;
    } finally {
      this.#isFinding = false;
    }
    this.#resolveLater();
  }

  get #maxRoutes(): number {
    return Math.min(this.#options.maxRoutes, this.#session.maxPaths);
  }

  /** As long as nothing answers, other routes have their turn. */
  #plan(routes: readonly Route[]): void {
    const darkMs = this.#darkSince === undefined ? 0 : performance.now() - this.#darkSince;
    this.#turn = darkMs < RESOLVE_DARK_MS ? 0 : this.#turn + 1;
    this.#planned = pickRoutes(routes, this.#maxRoutes, this.#turn);
    this.#reconcile();
  }

  /** Names may lead elsewhere by now, but asking is worth it only where nothing else helps. */
  #resolveLater(): void {
    clearTimeout(this.#resolveTimer);
    const isDark = this.#darkSince !== undefined;
    if (this.#isStopped || (!isDark && !this.#isPartial)) return;
    const delayMs = isDark ? RESOLVE_DARK_MS : RESOLVE_PARTIAL_MS;
    this.#resolveTimer = setTimeout(() => void this.#find(), delayMs);
    this.#resolveTimer.unref();
  }

  /** What is planned, and the further connections that pay, as far as there may be so many paths. */
  #wantedRoutes(): Map<string, Route> {
    const wanted = new Map(this.#planned.map((route) => [routeKey(route), route]));
    for (const route of this.#planned) {
      const count = this.#extraConnections.get(routeKey(route)) ?? 0;
      for (let index = 1; index <= count && wanted.size < this.#maxRoutes; index++) {
        const extra = { ...route, index };
        wanted.set(routeKey(extra), extra);
      }
    }
    return wanted;
  }

  #reconcile(): void {
    const wanted = this.#wantedRoutes();
    const present = new Set(localAddresses().map(({ address }) => address));
    for (const [key, state] of this.#routes) {
      if (wanted.has(key)) continue;
      state.isWanted = false;
      this.#dropAttempts(state);
      if (mayLast(state, present)) continue;
      this.#routes.delete(key);
      for (const use of [...state.uses]) this.#drop(state, use);
    }
    for (const [key, route] of wanted) {
      const known = this.#routes.get(key);
      if (known === undefined) this.#dial(this.#newRoute(key, route));
      else {
        const isBack = !known.isWanted;
        known.route = route;
        known.isWanted = true;
        if (isBack && this.#needsDial(known)) this.#dial(known);
      }
    }
  }

  #newRoute(key: string, route: Route): RouteState {
    const state: RouteState = {
      route,
      isWanted: true,
      key,
      attempts: new Set(),
      uses: [],
      failures: 0,
      shortLived: 0,
      retry: undefined,
      lastError: undefined,
    };
    this.#routes.set(key, state);
    return state;
  }

  // Dialling.

  #dial(state: RouteState): void {
    clearTimeout(state.retry);
    state.retry = undefined;
    if (this.#isStopped || this.#session.isClosed || !state.isWanted) return;
    if (state.attempts.size >= MAX_ATTEMPTS_PER_ROUTE) return;
    const controller = new AbortController();
    state.attempts.add(controller);
    const timeoutMs = this.#darkSince === undefined ? DIAL_TIMEOUT_MS : DIAL_TIMEOUT_DARK_MS;
    this.#options.dial(state.route, controller.signal, timeoutMs).then(
      (dialled) => {
        state.attempts.delete(controller);
        if (controller.signal.aborted || this.#isStopped) dialled.carrier.close();
        else this.#tryToUse(state, dialled);
      },
      (error: Error) => {
        state.attempts.delete(controller);
        if (controller.signal.aborted || this.#isStopped) return;
        state.lastError = error.message;
        this.#retryLater(state);
      },
    );
    // While all is dark the next attempt does not wait for this one's end.
    if (this.#darkSince !== undefined && state.route.carrier !== 'udp') this.#retryLater(state);
  }

  #retryLater(state: RouteState): void {
    state.failures += 1;
    this.#dialAfter(state, this.#retryDelayMs(state));
  }

  #retryDelayMs({ failures, shortLived }: RouteState): number {
    const darkMs = this.#darkSince === undefined ? undefined : performance.now() - this.#darkSince;
    const delayMs = retryDelayMs({
      failures: Math.max(1, failures),
      darkMs,
      chance: Math.random(),
    });
    // A server bears only so many joins, also in the dark.
    const restMs = Math.min(RETRY_DARK_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(30, shortLived - 1));
    return shortLived === 0 ? delayMs : Math.max(delayMs, restMs);
  }

  #dialAfter(state: RouteState, delayMs: number): void {
    if (this.#isStopped || state.retry !== undefined || !state.isWanted) return;
    state.retry = setTimeout(() => {
      state.retry = undefined;
      if (this.#needsDial(state)) this.#dial(state);
      else if (!state.uses.some((use) => use.isActive)) this.#dialAfter(state, JOIN_TIMEOUT_MS);
    }, delayMs);
    if (this.#session.isEstablished) state.retry.unref();
  }

  /** A silent datagram path goes on by itself, as soon as it can: a new port is the second try. */
  #needsDial(state: RouteState): boolean {
    return !state.uses.some((use) => use.isActive || isFresh(use));
  }

  #tryToUse(state: RouteState, dialled: Dialled): void {
    try {
      this.#use(state, dialled);
    } catch {
      // The session ended at this moment.
      dialled.carrier.close();
    }
  }

  #use(state: RouteState, { carrier, remote }: Dialled): void {
    for (const use of state.uses.slice(1)) this.#drop(state, use);
    this.#cancelRetry(state);
    const carrierId = this.#session.attachCarrier(carrier, remote, (error) => {
      this.#carrierGone(state, carrierId, error);
    });
    const since = performance.now();
    const flags = { isActive: false, wasActive: false, isSuspect: false };
    state.uses.push({ carrierId, since, pathId: undefined, ...flags });
    this.#byCarrier.set(carrierId, state);
    this.#dialAfter(state, JOIN_TIMEOUT_MS);
  }

  #cancelRetry(state: RouteState): void {
    clearTimeout(state.retry);
    state.retry = undefined;
  }

  #carrierGone(state: RouteState, carrierId: CarrierId, error: Error | undefined): void {
    this.#byCarrier.delete(carrierId);
    const index = state.uses.findIndex((use) => use.carrierId === carrierId);
    const [use] = index < 0 ? [] : state.uses.splice(index, 1);
    if (use === undefined || this.#isStopped) return;
    state.lastError = error?.message ?? 'the other end closed the connection';
    this.#noteDarkness();
    if (!state.isWanted) {
      if (state.uses.length === 0 && this.#routes.get(state.key) === state) {
        this.#routes.delete(state.key);
      }
      return;
    }
    const wasGood = use.wasActive && performance.now() - use.since > WAS_GOOD_MS;
    state.shortLived = wasGood ? 0 : state.shortLived + 1;
    if (!this.#needsDial(state)) return;
    this.#cancelRetry(state);
    if (!wasGood) return this.#retryLater(state);
    state.failures = 0;
    this.#dial(state);
  }

  #dropAttempts(state: RouteState): void {
    clearTimeout(state.retry);
    state.retry = undefined;
    for (const controller of state.attempts) controller.abort();
    state.attempts.clear();
  }

  /** What ends by our own will is no failure. */
  #drop(state: RouteState, use: Use): void {
    state.uses.splice(state.uses.indexOf(use), 1);
    if (use.pathId === undefined) this.#session.detachCarrier(use.carrierId);
    else this.#session.abandonPath(use.pathId);
  }

  // What becomes of paths.

  #pathChanged(change: PathChange): void {
    const state = this.#byCarrier.get(change.carrierId);
    const use = state?.uses.find((one) => one.carrierId === change.carrierId);
    if (state === undefined || use === undefined) {
      // Its carrier went first, or we dropped it.
      this.#noteDarkness();
      this.#groups.choose(this.#activePaths());
      return;
    }
    use.pathId = change.pathId;
    use.isActive = change.state === 'active';
    use.wasActive ||= use.isActive;
    use.isSuspect = change.state === 'suspect';
    this.#noteDarkness();
    if (change.state === 'active') this.#becameActive(state, use);
    else if (change.state === 'suspect') this.#becameSuspect(state, use);
    this.#groups.choose(this.#activePaths());
  }

  #becameActive(state: RouteState, use: Use): void {
    state.failures = 0;
    state.lastError = undefined;
    this.#dropAttempts(state);
    for (const other of [...state.uses]) if (other !== use) this.#drop(state, other);
  }

  #becameSuspect(state: RouteState, { wasActive }: Use): void {
    if (this.#isStopped || state.uses.some((use) => use.isActive)) return;
    if (state.route.carrier === 'udp') this.#dialAfter(state, NEW_PORT_AFTER_MS);
    // A kernel's back-off can outlast the fault: a new connection does not.
    else if (wasActive || this.#darkSince !== undefined) this.#dial(state);
    else {
      // It was connected and never answered: a portal that takes everything, perhaps.
      this.#cancelRetry(state);
      this.#retryLater(state);
    }
  }

  #noteDarkness(): void {
    const isLit = this.#session.paths.some((path) => path.state === 'active');
    if (isLit) this.#darkSince = undefined;
    else if (this.#darkSince === undefined) {
      this.#darkSince = performance.now();
      if (this.#isPartial) void this.#find();
      else this.#resolveLater();
      for (const state of this.#routes.values()) {
        // What waits for its time in the light has to hurry now.
        if (state.retry === undefined || state.uses.length > 0) continue;
        clearTimeout(state.retry);
        state.retry = undefined;
        this.#dial(state);
      }
    }
  }

  #activePaths(): GroupedPath[] {
    return this.#session.paths.flatMap(({ pathId, carrierId, state, statistics }) => {
      const route = this.#byCarrier.get(carrierId)?.route;
      if (route === undefined || state !== 'active') return [];
      const { sentBytes, receivedBytes, receivedPackets, smoothedRttMs: rttMs } = statistics;
      return [{ pathId, route, sentBytes, receivedBytes, receivedPackets, rttMs }];
    });
  }
}

/** A path whose route is not planned any more lasts while the machine has its address. */
function mayLast({ route, uses }: RouteState, present: ReadonlySet<string>): boolean {
  const local = route.near ?? route.local;
  if (route.index !== undefined || !uses.some((use) => use.isActive || use.isSuspect)) return false;
  return local === undefined || present.has(local);
}

/** Not a path yet, but it may still become one. */
function isFresh(use: Use): boolean {
  return !use.isSuspect && performance.now() - use.since < JOIN_TIMEOUT_MS;
}

function stateOf({ uses, attempts }: RouteState): RouteReport['state'] {
  if (uses.some((use) => use.isActive)) return 'active';
  if (uses.some((use) => use.isSuspect)) return 'suspect';
  if (uses.length > 0) return 'joining';
  return attempts.size > 0 ? 'dialling' : 'waiting';
}
