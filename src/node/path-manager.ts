/**
 * Chooses which paths a client's session has: plans the routes that could lead to the server, follows
 * the machine's addresses as they come and go, and says which paths are only for need. Each route is
 * kept connected by a {@link RouteKeeper}.
 *
 * @module
 */

import type { CarrierId } from '../core/index.js';
import { type InterfaceChange, InterfaceWatch, localAddresses } from './interfaces.js';
import { type GroupedPath, PathGroups } from './path-groups.js';
import {
  type Dial,
  type KeeperOwner,
  type KeptSession,
  RouteKeeper,
  type RouteReport,
} from './route-keeper.js';
import { pickRoutes, type Route, routeKey } from './routes.js';
import type { PathChange, RovingSession } from './session.js';

/** How often it is looked at what the paths move. */
export const SAMPLE_INTERVAL_MS = 250;
/** The names of servers are resolved again this often while no path is healthy. */
const RESOLVE_DARK_MS = 5_000;
/** And this often while one of them has never been. */
const RESOLVE_PARTIAL_MS = 60_000;

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
  /** What there is to know of the machine, if not of this one. */
  readonly machine?: Machine;
}

/** The machine's addresses, and its changes. */
export interface Machine {
  addresses(): readonly { readonly address: string }[];
  watch(onChange: (change: InterfaceChange) => void): { close(): void };
}

const THIS_MACHINE: Machine = {
  addresses: localAddresses,
  watch: (onChange) => new InterfaceWatch(onChange),
};

/** What the path manager needs of a session. */
export type ManagedSession = KeptSession &
  Pick<RovingSession, 'paths' | 'maxPaths' | 'probePath' | 'setPathStatus' | 'on' | 'once'>;

export class PathManager {
  readonly #session: ManagedSession;
  readonly #options: PathManagerOptions;
  readonly #machine: Machine;
  readonly #owner: KeeperOwner;
  readonly #routes = new Map<string, RouteKeeper>();
  readonly #byCarrier = new Map<CarrierId, RouteKeeper>();
  readonly #groups: PathGroups;
  /** By the key of a TCP route: how many connections run beside it. */
  readonly #extraConnections = new Map<string, number>();
  #planned: readonly Route[] = [];
  #sampling: NodeJS.Timeout | undefined;
  #watch: { close(): void } | undefined;
  #darkSince: number | undefined = performance.now();
  #resolveTimer: NodeJS.Timeout | undefined;
  #isFinding = false;
  #isPartial = false;
  /** Which part of more routes than there may be. */
  #turn = 0;
  #mustFindAgain = false;
  #isStopped = false;

  constructor(session: ManagedSession, options: PathManagerOptions) {
    this.#session = session;
    this.#options = options;
    this.#machine = options.machine ?? THIS_MACHINE;
    this.#owner = this.#keeperOwner();
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
      for (const keeper of this.#routes.values()) keeper.unref();
      // The server may allow fewer paths.
      if (this.#routes.size > this.#maxRoutes) void this.#find();
    });
    session.on('close', () => this.stop());
  }

  #keeperOwner(): KeeperOwner {
    const manager = this;
    return {
      session: this.#session,
      dial: this.#options.dial,
      get isStopped() {
        return manager.#isStopped;
      },
      get darkMs() {
        return manager.#darkMs;
      },
      attached: (carrierId, keeper) => this.#byCarrier.set(carrierId, keeper),
      carrierGone: (carrierId) => {
        this.#byCarrier.delete(carrierId);
        if (!this.#isStopped) this.#noteDarkness();
      },
      isOver: (keeper) => {
        if (this.#routes.get(keeper.key) === keeper) this.#routes.delete(keeper.key);
      },
    };
  }

  get #darkMs(): number | undefined {
    return this.#darkSince === undefined ? undefined : performance.now() - this.#darkSince;
  }

  /** Finds the routes and dials them all. @returns when they are known. */
  async start(): Promise<void> {
    this.#watch = this.#machine.watch(({ hasSlept }) => {
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
    for (const keeper of this.#routes.values()) keeper.stop();
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
    for (const keeper of this.#routes.values()) keeper.redial();
    void this.#find();
  }

  report(): RouteReport[] {
    return [...this.#routes.values()].map((keeper) => keeper.report());
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
    const darkMs = this.#darkMs ?? 0;
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
    const present = new Set(this.#machine.addresses().map(({ address }) => address));
    for (const [key, keeper] of this.#routes) {
      if (wanted.has(key) || keeper.unwant(present)) continue;
      this.#routes.delete(key);
      keeper.release();
    }
    for (const [key, route] of wanted) {
      const known = this.#routes.get(key);
      if (known !== undefined) known.want(route);
      else {
        const keeper = new RouteKeeper(key, route, this.#owner);
        this.#routes.set(key, keeper);
        keeper.dial();
      }
    }
  }

  // What becomes of paths.

  #pathChanged(change: PathChange): void {
    const keeper = this.#byCarrier.get(change.carrierId);
    keeper?.note(change);
    this.#noteDarkness();
    keeper?.react(change);
    this.#groups.choose(this.#activePaths());
  }

  #noteDarkness(): void {
    const isLit = this.#session.paths.some((path) => path.state === 'active');
    if (isLit) this.#darkSince = undefined;
    else if (this.#darkSince === undefined) {
      this.#darkSince = performance.now();
      if (this.#isPartial) void this.#find();
      else this.#resolveLater();
      for (const keeper of this.#routes.values()) keeper.hurry();
    }
  }

  #activePaths(): GroupedPath[] {
    return this.#session.paths.flatMap(({ pathId, carrierId, state, statistics }) => {
      const route = this.#byCarrier.get(carrierId)?.route;
      if (route === undefined || state !== 'active') return [];
      return [{ pathId, route, ...statistics, rttMs: statistics.smoothedRttMs }];
    });
  }
}
