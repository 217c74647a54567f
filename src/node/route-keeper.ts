/**
 * Keeps one route connected: dials it, dials again with back-off when it fails or falls silent, and
 * replaces a silent connection by a new one as soon as that one answers.
 *
 * @module
 */

import type { Address, CarrierId, PathId } from '../core/index.js';
import type { Carrier } from './carriers/carrier.js';
import { RETRY_DARK_MAX_MS, RETRY_MIN_MS, retryDelayMs } from './redial.js';
import { type Route, shownRoute } from './routes.js';
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
/** A path that lived for so long was good: when it ends, it is dialled again at once. */
const WAS_GOOD_MS = 1_000;

/** A carrier that is connected, and for datagrams where the server is. */
export interface Dialled {
  readonly carrier: Carrier;
  readonly remote?: Address;
}

/** Connects a route. Rejects with what went wrong, and when `signal` is aborted. */
export type Dial = (route: Route, signal: AbortSignal, timeoutMs: number) => Promise<Dialled>;

/** What a keeper needs of its session. */
export type KeptSession = Pick<
  RovingSession,
  'isEstablished' | 'isClosed' | 'attachCarrier' | 'detachCarrier' | 'abandonPath'
>;

/** Who owns the keepers: knows how all the routes of a session are. */
export interface KeeperOwner {
  readonly session: KeptSession;
  readonly dial: Dial;
  /** Nothing is dialled any more. */
  readonly isStopped: boolean;
  /** How long no path has been healthy, in ms; `undefined` while one is. */
  readonly darkMs: number | undefined;
  attached(carrierId: CarrierId, keeper: RouteKeeper): void;
  /** A carrier is no more, and what was a path over it. */
  carrierGone(carrierId: CarrierId): void;
  /** A route that is not wanted any more has lost its last carrier. */
  isOver(keeper: RouteKeeper): void;
}

interface Use {
  readonly carrierId: CarrierId;
  readonly since: number;
  pathId: PathId | undefined;
  isActive: boolean;
  wasActive: boolean;
  isSuspect: boolean;
}

/** One route as it stands, for people and programs. */
export interface RouteReport {
  readonly route: Route;
  readonly state: 'active' | 'suspect' | 'joining' | 'dialling' | 'waiting';
  /** Why the last attempt failed. */
  readonly lastError: string | undefined;
}

export class RouteKeeper {
  readonly key: string;
  route: Route;
  readonly #owner: KeeperOwner;
  readonly #attempts = new Set<AbortController>();
  /** Oldest first: normally one; two while one replaces a silent one. */
  readonly #uses: Use[] = [];
  /** Otherwise it ends with its last path. */
  #isWanted = true;
  #failures = 0;
  /** Connections in a row that did not live long. */
  #shortLived = 0;
  #retry: NodeJS.Timeout | undefined;
  #lastError: string | undefined;

  constructor(key: string, route: Route, owner: KeeperOwner) {
    this.key = key;
    this.route = route;
    this.#owner = owner;
  }

  report(): RouteReport {
    return { route: shownRoute(this.route), state: this.#state, lastError: this.#lastError };
  }

  get #state(): RouteReport['state'] {
    if (this.#isActive) return 'active';
    if (this.#uses.some((use) => use.isSuspect)) return 'suspect';
    if (this.#uses.length > 0) return 'joining';
    return this.#attempts.size > 0 ? 'dialling' : 'waiting';
  }

  get #isActive(): boolean {
    return this.#uses.some((use) => use.isActive);
  }

  // Whether it is wanted.

  /** It is planned once more. */
  want(route: Route): void {
    const isBack = !this.#isWanted;
    this.route = route;
    this.#isWanted = true;
    if (isBack && this.#needsDial) this.dial();
  }

  /**
   * It is not planned any more.
   *
   * @param present the machine's addresses: a path lasts as long as its own is among them.
   * @returns whether one lasts; otherwise there is nothing left to keep.
   */
  unwant(present: ReadonlySet<string>): boolean {
    this.#isWanted = false;
    this.stop();
    const local = this.route.near ?? this.route.local;
    const isThere = local === undefined || present.has(local);
    const isUsed = this.#uses.some((use) => use.isActive || use.isSuspect);
    return this.route.index === undefined && isUsed && isThere;
  }

  /** Lets go of all it has; what ends by our own will is no failure. */
  release(): void {
    for (const use of [...this.#uses]) this.#drop(use);
  }

  /** Ends what is being tried. */
  stop(): void {
    this.#cancelRetry();
    for (const controller of this.#attempts) controller.abort();
    this.#attempts.clear();
  }

  /** From now on it is the session's choice whether the process stays. */
  unref(): void {
    this.#retry?.unref();
  }

  // Dialling.

  /** Now, unless it carries data; what failed before is forgotten. */
  redial(): void {
    this.#failures = 0;
    if (!this.#isActive) this.dial();
  }

  /** All is dark: what waits for its time in the light has to hurry. */
  hurry(): void {
    if (this.#retry !== undefined && this.#uses.length === 0) this.dial();
  }

  dial(): void {
    this.#cancelRetry();
    const { isStopped, session, darkMs } = this.#owner;
    if (isStopped || session.isClosed || !this.#isWanted) return;
    if (this.#attempts.size >= MAX_ATTEMPTS_PER_ROUTE) return;
    const controller = new AbortController();
    this.#attempts.add(controller);
    const timeoutMs = darkMs === undefined ? DIAL_TIMEOUT_MS : DIAL_TIMEOUT_DARK_MS;
    this.#owner.dial(this.route, controller.signal, timeoutMs).then(
      (dialled) => {
        this.#attempts.delete(controller);
        if (controller.signal.aborted || this.#owner.isStopped) dialled.carrier.close();
        else this.#tryToUse(dialled);
      },
      (error: Error) => {
        this.#attempts.delete(controller);
        if (controller.signal.aborted || this.#owner.isStopped) return;
        this.#lastError = error.message;
        this.#retryLater();
      },
    );
    // While all is dark the next attempt does not wait for this one's end.
    if (darkMs !== undefined && this.route.carrier !== 'udp') this.#retryLater();
  }

  #retryLater(): void {
    this.#failures += 1;
    this.#dialAfter(this.#retryDelayMs());
  }

  #retryDelayMs(): number {
    const { darkMs } = this.#owner;
    const failures = Math.max(1, this.#failures);
    const delayMs = retryDelayMs({ failures, darkMs, chance: Math.random() });
    if (this.#shortLived === 0) return delayMs;
    // A server bears only so many joins, also in the dark.
    const doubling = RETRY_MIN_MS * 2 ** Math.min(30, this.#shortLived - 1);
    return Math.max(delayMs, Math.min(RETRY_DARK_MAX_MS, doubling));
  }

  #dialAfter(delayMs: number): void {
    if (this.#owner.isStopped || this.#retry !== undefined || !this.#isWanted) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (this.#needsDial) this.dial();
      else if (!this.#isActive) this.#dialAfter(JOIN_TIMEOUT_MS);
    }, delayMs);
    if (this.#owner.session.isEstablished) this.#retry.unref();
  }

  #cancelRetry(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  /** A silent datagram path goes on by itself, as soon as it can: a new port is the second try. */
  get #needsDial(): boolean {
    return !this.#uses.some((use) => use.isActive || isFresh(use));
  }

  #tryToUse(dialled: Dialled): void {
    try {
      this.#use(dialled);
    } catch {
      // The session ended at this moment.
      dialled.carrier.close();
    }
  }

  #use({ carrier, remote }: Dialled): void {
    for (const use of this.#uses.slice(1)) this.#drop(use);
    this.#cancelRetry();
    const carrierId = this.#owner.session.attachCarrier(carrier, remote, (error) => {
      this.#carrierGone(carrierId, error);
    });
    const since = performance.now();
    const flags = { isActive: false, wasActive: false, isSuspect: false };
    this.#uses.push({ carrierId, since, pathId: undefined, ...flags });
    this.#owner.attached(carrierId, this);
    this.#dialAfter(JOIN_TIMEOUT_MS);
  }

  #drop(use: Use): void {
    this.#uses.splice(this.#uses.indexOf(use), 1);
    if (use.pathId === undefined) this.#owner.session.detachCarrier(use.carrierId);
    else this.#owner.session.abandonPath(use.pathId);
  }

  // What becomes of its connections.

  #carrierGone(carrierId: CarrierId, error: Error | undefined): void {
    const index = this.#uses.findIndex((use) => use.carrierId === carrierId);
    const [use] = index < 0 ? [] : this.#uses.splice(index, 1);
    this.#owner.carrierGone(carrierId);
    if (use === undefined || this.#owner.isStopped) return;
    this.#lastError = error?.message ?? 'the other end closed the connection';
    if (!this.#isWanted) {
      if (this.#uses.length === 0) this.#owner.isOver(this);
      return;
    }
    const wasGood = use.wasActive && performance.now() - use.since > WAS_GOOD_MS;
    this.#shortLived = wasGood ? 0 : this.#shortLived + 1;
    if (!this.#needsDial) return;
    this.#cancelRetry();
    if (!wasGood) return this.#retryLater();
    this.#failures = 0;
    this.dial();
  }

  /** Notes what a path of its has become; what follows of it is {@link react}'s. */
  note({ carrierId, pathId, state }: PathChange): void {
    const use = this.#uses.find((one) => one.carrierId === carrierId);
    if (use === undefined) return;
    use.pathId = pathId;
    use.isActive = state === 'active';
    use.wasActive ||= use.isActive;
    use.isSuspect = state === 'suspect';
  }

  react({ carrierId, state }: PathChange): void {
    const use = this.#uses.find((one) => one.carrierId === carrierId);
    if (use === undefined) return;
    if (state === 'active') this.#becameActive(use);
    else if (state === 'suspect') this.#becameSuspect(use);
  }

  #becameActive(use: Use): void {
    this.#failures = 0;
    this.#lastError = undefined;
    this.stop();
    for (const other of [...this.#uses]) if (other !== use) this.#drop(other);
  }

  #becameSuspect({ wasActive }: Use): void {
    if (this.#owner.isStopped || this.#isActive) return;
    if (this.route.carrier === 'udp') this.#dialAfter(NEW_PORT_AFTER_MS);
    // A kernel's back-off can outlast the fault: a new connection does not.
    else if (wasActive || this.#owner.darkMs !== undefined) this.dial();
    else {
      // It was connected and never answered: a portal that takes everything, perhaps.
      this.#cancelRetry();
      this.#retryLater();
    }
  }
}

/** Not a path yet, but it may still become one. */
function isFresh(use: Use): boolean {
  return !use.isSuspect && performance.now() - use.since < JOIN_TIMEOUT_MS;
}
