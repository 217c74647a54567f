/**
 * Chooses which paths a client's session has: dials every route that could lead to the server,
 * dials again what has failed or fallen silent, follows the machine's addresses as they come and
 * go, and says which paths are only for need.
 *
 * @module
 */

import type { Address, CarrierId, PathId } from '../core/index.js';
import type { Carrier } from './carriers/carrier.js';
import { InterfaceWatch } from './interfaces.js';
import { type GroupedPath, PathGroups } from './path-groups.js';
import { retryDelayMs } from './redial.js';
import { type Route, routeKey, shownRoute } from './routes.js';
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

/** A carrier that is connected, and for datagrams where the server is. */
export interface Dialled {
  readonly carrier: Carrier;
  readonly remote?: Address;
}

/** Connects a route. Rejects with what went wrong, and when `signal` is aborted. */
export type Dial = (route: Route, signal: AbortSignal, timeoutMs: number) => Promise<Dialled>;

/** Finds all routes as things stand: names are resolved, interfaces looked at. */
export type FindRoutes = () => Promise<readonly Route[]>;

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
  isSuspect: boolean;
}

/** A route and what has become of it. */
interface RouteState {
  route: Route;
  readonly key: string;
  readonly attempts: Set<AbortController>;
  /** Oldest first: normally one; two while one replaces a silent one. */
  readonly uses: Use[];
  failures: number;
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
    session.on('close', () => this.stop());
  }

  /** Finds the routes and dials them all. @returns when they are known. */
  async start(): Promise<void> {
    this.#watch = new InterfaceWatch(({ hasSlept }) => {
      if (hasSlept) this.redial();
      else void this.#find();
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
    do {
      this.#mustFindAgain = false;
      const routes = await this.#options.findRoutes();
      if (this.#isStopped) return;
      this.#planned = routes.slice(0, this.#options.maxRoutes);
      this.#reconcile();
    } while (this.#mustFindAgain);
    this.#isFinding = false;
    this.#resolveLater();
  }

  /** Names may lead elsewhere by now, but asking is worth it only where nothing else helps. */
  #resolveLater(): void {
    clearTimeout(this.#resolveTimer);
    if (this.#isStopped || this.#darkSince === undefined) return;
    this.#resolveTimer = setTimeout(() => void this.#find(), RESOLVE_DARK_MS);
    this.#resolveTimer.unref();
  }

  /** What is planned, and the further connections that pay, as far as there may be so many paths. */
  #wantedRoutes(): Map<string, Route> {
    const wanted = new Map(this.#planned.map((route) => [routeKey(route), route]));
    for (const route of this.#planned) {
      const count = this.#extraConnections.get(routeKey(route)) ?? 0;
      for (let index = 1; index <= count && wanted.size < this.#options.maxRoutes; index++) {
        const extra = { ...route, index };
        wanted.set(routeKey(extra), extra);
      }
    }
    return wanted;
  }

  #reconcile(): void {
    const wanted = this.#wantedRoutes();
    for (const [key, state] of this.#routes) {
      if (wanted.has(key)) continue;
      this.#routes.delete(key);
      this.#dropAttempts(state);
      for (const use of [...state.uses]) this.#drop(use);
    }
    for (const [key, route] of wanted) {
      const known = this.#routes.get(key);
      if (known !== undefined) {
        known.route = route;
        continue;
      }
      const state: RouteState = {
        route,
        key,
        attempts: new Set(),
        uses: [],
        failures: 0,
        retry: undefined,
        lastError: undefined,
      };
      this.#routes.set(key, state);
      this.#dial(state);
    }
  }

  // Dialling.

  #dial(state: RouteState): void {
    clearTimeout(state.retry);
    state.retry = undefined;
    if (this.#isStopped || this.#session.isClosed) return;
    if (state.attempts.size >= MAX_ATTEMPTS_PER_ROUTE) return;
    const controller = new AbortController();
    state.attempts.add(controller);
    const timeoutMs = this.#darkSince === undefined ? DIAL_TIMEOUT_MS : DIAL_TIMEOUT_DARK_MS;
    this.#options.dial(state.route, controller.signal, timeoutMs).then(
      (dialled) => {
        state.attempts.delete(controller);
        if (controller.signal.aborted || this.#isStopped) dialled.carrier.close();
        else this.#use(state, dialled);
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

  #retryDelayMs({ failures }: RouteState): number {
    const darkMs = this.#darkSince === undefined ? undefined : performance.now() - this.#darkSince;
    return retryDelayMs({ failures: Math.max(1, failures), darkMs, chance: Math.random() });
  }

  #dialAfter(state: RouteState, delayMs: number): void {
    if (this.#isStopped || state.retry !== undefined || !this.#routes.has(state.key)) return;
    state.retry = setTimeout(() => {
      state.retry = undefined;
      if (this.#needsDial(state)) this.#dial(state);
    }, delayMs);
    if (this.#session.isEstablished) state.retry.unref();
  }

  /** A silent datagram path goes on by itself, as soon as it can: a new port is the second try. */
  #needsDial(state: RouteState): boolean {
    return !state.uses.some((use) => use.isActive || isFresh(use));
  }

  #use(state: RouteState, { carrier, remote }: Dialled): void {
    clearTimeout(state.retry);
    state.retry = undefined;
    for (const use of state.uses.slice(1)) this.#drop(use);
    const carrierId = this.#session.attachCarrier(carrier, remote, (error) => {
      this.#carrierGone(state, carrierId, error);
    });
    const since = performance.now();
    state.uses.push({ carrierId, since, pathId: undefined, isActive: false, isSuspect: false });
    this.#byCarrier.set(carrierId, state);
    this.#dialAfter(state, JOIN_TIMEOUT_MS);
  }

  #carrierGone(state: RouteState, carrierId: CarrierId, error: Error | undefined): void {
    this.#byCarrier.delete(carrierId);
    const index = state.uses.findIndex((use) => use.carrierId === carrierId);
    const [use] = index < 0 ? [] : state.uses.splice(index, 1);
    if (use === undefined || this.#isStopped || !this.#routes.has(state.key)) return;
    state.lastError = error?.message ?? 'the other end closed the connection';
    this.#noteDarkness();
    if (!this.#needsDial(state)) return;
    if (use.pathId !== undefined && performance.now() - use.since > WAS_GOOD_MS) {
      state.failures = 0;
      clearTimeout(state.retry);
      state.retry = undefined;
      this.#dial(state);
    } else {
      this.#retryLater(state);
    }
  }

  #dropAttempts(state: RouteState): void {
    clearTimeout(state.retry);
    state.retry = undefined;
    for (const controller of state.attempts) controller.abort();
    state.attempts.clear();
  }

  #drop(use: Use): void {
    if (use.pathId === undefined) this.#session.detachCarrier(use.carrierId);
    else this.#session.abandonPath(use.pathId);
  }

  // What becomes of paths.

  #pathChanged(change: PathChange): void {
    const state = this.#byCarrier.get(change.carrierId);
    const use = state?.uses.find((one) => one.carrierId === change.carrierId);
    if (state === undefined || use === undefined) return;
    use.pathId = change.pathId;
    use.isActive = change.state === 'active';
    use.isSuspect = change.state === 'suspect';
    this.#noteDarkness();
    if (change.state === 'active') this.#becameActive(state, use);
    else if (change.state === 'suspect') this.#becameSuspect(state);
    this.#groups.choose(this.#activePaths());
  }

  #becameActive(state: RouteState, use: Use): void {
    state.failures = 0;
    state.lastError = undefined;
    this.#dropAttempts(state);
    for (const other of [...state.uses]) if (other !== use) this.#drop(other);
  }

  #becameSuspect(state: RouteState): void {
    if (this.#isStopped || state.uses.some((use) => use.isActive)) return;
    if (state.route.carrier === 'udp') this.#dialAfter(state, NEW_PORT_AFTER_MS);
    // A kernel's back-off can outlast the fault: a new connection does not.
    else this.#dial(state);
  }

  #noteDarkness(): void {
    const isLit = this.#session.paths.some((path) => path.state === 'active');
    if (isLit) this.#darkSince = undefined;
    else if (this.#darkSince === undefined) {
      this.#darkSince = performance.now();
      this.#resolveLater();
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
