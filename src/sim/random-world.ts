/**
 * Whole random worlds from one seed: faults first, then everything is well again, and then all
 * that was promised must arrive within a bound of simulated time.
 *
 * What must hold all the time: no wrong byte, nobody accuses the peer, nothing is thrown, buffers
 * stay within their limits. What must hold in the end: every stream is complete, no stream is left
 * behind at either end, an idle session sends nothing, a graceful close ends both sides without an
 * error, and then nothing happens any more.
 *
 * @module
 */

import { DEFAULT_SESSION_OPTIONS, type PathId } from '../core/index.js';
import { Bed, type BedEnd } from './bed.js';
import { applyFault } from './faults.js';
import { Nat } from './nat.js';
import { RandomApps, type Role } from './random-apps.js';
import { drawPlan, type PlannedFault, type PlannedPath, type WorldPlan } from './random-plan.js';
import { World } from './world.js';

export interface WorldReport {
  readonly ok: boolean;
  /** What was wrong first; empty if nothing was. */
  readonly why: string;
  readonly traceHash: string;
  readonly summary: WorldSummary;
}

export interface WorldSummary {
  readonly seed: number;
  readonly paths: string;
  readonly bytes: number;
  readonly faults: number;
  /** From the heal until everything had arrived, in simulated ms. */
  readonly livenessMs: number;
  readonly packets: number;
  readonly events: number;
}

/** A core that wakes more often than this has a timer that comes at once, again and again. */
const EVENTS_PER_PACKET = 12;
const SPARE_EVENTS = 10_000;
/** After the heal: for redialling, for back-off, and for suspects to prove themselves. */
const LIVENESS_BASE_MS = 150_000;
/** Any world that does more than this is spinning. */
const MAX_EVENTS = 6_000_000;
/** Acknowledgements and repairs after the last byte. */
const SETTLE_MS = 25_000;
/** In this time an idle session without keep-alives has to be silent. NATs bear both together. */
const SILENCE_MS = 60_000;
const CLOSE_WITHIN_MS = 60_000;
/** How often the client's owner tries to open what is missing after the heal. */
const MEND_MS = 500;
/** An attempt gets this long before the next. */
const MEND_AGAIN_MS = 10_000;
/** From the question to the alarm. */
const FIND_OUT_MS = 10_000;
/** So long a suspect path is given to come back by itself. */
const PATIENCE_MS = 60_000;
const MIN_HEALED_RATE = 2e6;

/** Draws the world of a seed and runs it. Never throws: what is thrown inside is reported. */
export function runRandomWorld(seed: number): WorldReport {
  return runPlan(drawPlan(seed));
}

/** Runs a plan, drawn or changed by hand. */
export function runPlan(plan: WorldPlan): WorldReport {
  const run = new Run(plan);
  let why = '';
  try {
    why = run.run() ?? '';
  } catch (error) {
    why = `thrown: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  return { ok: why === '', why, traceHash: run.bed.world.traceHash(), summary: run.summary() };
}

class Run {
  readonly plan: WorldPlan;
  readonly bed: Bed;
  readonly apps: RandomApps;
  livenessMs = -1;
  #isMending = false;
  #isClosing = false;
  #healedAt = 0;
  readonly #mendedAt = new Map<string, number>();

  constructor(plan: WorldPlan) {
    this.plan = plan;
    const world = new World({ seed: `random world ${plan.seed}` });
    this.bed = new Bed({
      seed: plan.seed,
      world,
      client: plan.client,
      server: plan.server,
      paths: plan.paths.map((path) => ({
        name: path.name,
        carrier: path.carrier,
        link: { up: path.up, down: path.down },
        ...(path.nat === undefined ? {} : { boxes: [new Nat(world, path.nat)] }),
      })),
    });
    this.apps = new RandomApps(plan.streams, {
      client: { ...DEFAULT_SESSION_OPTIONS, ...plan.client }.sendBufferBytes,
      server: { ...DEFAULT_SESSION_OPTIONS, ...plan.server }.sendBufferBytes,
    });
  }

  get world(): World {
    return this.bed.world;
  }

  summary(): WorldSummary {
    const { plan, world } = this;
    return {
      seed: plan.seed,
      paths: plan.paths
        .map((one) => `${one.carrier} ${one.rateMbps.toFixed(1)}/${one.rttMs.toFixed(0)}`)
        .join(', '),
      bytes: plan.streams.reduce((sum, one) => sum + one.bytes + (one.replyBytes ?? 0), 0),
      faults: plan.faults.length,
      livenessMs: this.livenessMs,
      packets: world.trace.sentPackets,
      events: world.eventCount,
    };
  }

  /** @returns what was wrong. */
  run(): string | undefined {
    this.#connect();
    const { plan, world } = this;
    const connected = plan.faultsFromStart
      ? undefined
      : this.#runUntil(() => this.#isConnected, LIVENESS_BASE_MS, 'connecting');
    if (connected !== undefined) return connected;
    const start = world.now;
    for (const fault of plan.faults) world.schedule(start + fault.at, () => this.#apply(fault));
    const faulty = this.#runUntil(() => false, plan.healAtMs, undefined);
    if (faulty !== undefined) return faulty;
    this.#healedAt = world.now;
    this.#heal();
    const alive = this.#runUntil(() => this.apps.isQuiet, this.#livenessBound(), 'liveness');
    if (alive !== undefined) return alive;
    this.livenessMs = world.now - this.#healedAt;
    const recovered = () => this.#isRecovered;
    const agreed = this.#runUntil(recovered, this.#livenessBound(), 'recovery of the paths');
    return agreed ?? this.#checkLingering() ?? this.#checkIdle() ?? this.#checkClose();
  }

  #connect(): void {
    const { bed, plan, world } = this;
    bed.onAccepted.push((end) => {
      if (bed.accepted.length === 1) this.apps.start('server', end);
    });
    const first = plan.paths.filter((path) => path.opensAtMs === undefined);
    // Its listener must be there before the first event.
    const client = bed.connect({}, []);
    this.apps.start('client', client);
    for (const path of first) bed.openPath(path.name);
    for (const { name, opensAtMs } of plan.paths) {
      if (opensAtMs !== undefined) {
        world.schedule(world.now + opensAtMs, () => this.#onClient(() => this.#open(name)));
      }
    }
  }

  /** Both ends are awake, and know the same paths, all in use. */
  get #isRecovered(): boolean {
    const { bed, world } = this;
    const ends = [bed.client, bed.server];
    // Whoever slept, or was cut off, finds out by its next keep-alive only.
    const { keepAliveMs = 0 } = this.plan.client;
    const from = Math.max(this.#healedAt, ...ends.map(({ host }) => host.machine.asleepUntil));
    if (world.now < from + keepAliveMs + FIND_OUT_MS) return false;
    const paths = ends.map(({ session }) => session.paths());
    if (paths.some((list) => list.length === 0 || list.some((one) => one.state !== 'active'))) {
      return false;
    }
    const ids = paths.map((list) => list.map((one) => one.pathId).sort((a, b) => a - b));
    return ids[0]?.join() === ids[1]?.join();
  }

  get #isConnected(): boolean {
    return this.bed.client.session.lifecycle === 'established' && this.bed.accepted.length > 0;
  }

  /** Runs on; something is wrong if the condition does not come true in time, where it has a name. */
  #runUntil(until: () => boolean, forMs: number, what: string | undefined): string | undefined {
    const { world } = this;
    let problem: string | undefined;
    const result = world.run({
      forMs,
      maxEvents: MAX_EVENTS,
      until: () => {
        problem = this.#problem();
        return problem !== undefined || until();
      },
    });
    if (problem !== undefined) return problem;
    const { eventCount, trace } = world;
    if (eventCount > EVENTS_PER_PACKET * trace.sentPackets + SPARE_EVENTS) {
      return `${eventCount} events for ${trace.sentPackets} packets: a timer spins`;
    }
    if (result === 'events') return `more than ${MAX_EVENTS} events (${what ?? 'faults'})`;
    if (what === undefined || result === 'done') return undefined;
    const paths = this.#describePaths();
    return `${what}: not in ${forMs} ms (${result}); ${this.apps.describe()}; ${paths}`;
  }

  #describePaths(): string {
    const ends: [string, BedEnd | undefined][] = [
      ['client', this.bed.client],
      ['server', this.bed.accepted[0]],
    ];
    return ends
      .map(([name, end]) => {
        const paths = end?.session.paths().map((one) => {
          const { inFlightBytes, congestionWindowBytes } = one.statistics;
          const load = `${inFlightBytes}/${Math.round(congestionWindowBytes)}`;
          return `${one.pathId}:${one.local}-${one.remote} ${one.state} ${load}`;
        });
        return `${name}: ${end?.session.lifecycle} [${paths?.join('; ') ?? ''}]`;
      })
      .join(', ');
  }

  /** What must never be, at any time. */
  #problem(): string | undefined {
    const { bed, apps } = this;
    if (apps.problem !== undefined) return apps.problem;
    if (bed.accepted.length > 1) return 'a second session was accepted';
    for (const end of [bed.client, ...bed.accepted]) {
      if (end.isClosed && !this.#isClosing) {
        return `the session ended at the ${end.session.role}: ${end.error?.message ?? 'closed'}`;
      }
      if (end.error !== undefined) return `the end was not good: ${end.error.message}`;
    }
    return undefined;
  }

  // Faults.

  #apply(fault: PlannedFault): void {
    const { bed, world } = this;
    switch (fault.type) {
      case 'open':
        return this.#onClient(() => this.#open(fault.path));
      case 'move':
        return this.#move(fault.path, fault.old);
      case 'abandon':
        return this.#withPath(fault.role, fault.n, (end, id) => end.session.abandonPath(id));
      case 'status':
        return this.#withPath(fault.role, fault.n, (end, id) =>
          end.session.setPathStatus(id, fault.status),
        );
      default:
        if (fault.type === 'suspend' && bed.accepted.length === 0) return;
        applyFault(world, fault);
    }
  }

  /** What the client's owner does, it does when its machine is awake. */
  #onClient(action: () => void): void {
    const { world, bed } = this;
    const { asleepUntil } = world.machine('client');
    if (world.now < asleepUntil) world.schedule(asleepUntil, () => this.#onClient(action));
    else if (bed.client.session.isOpen) action();
  }

  #open(name: string): void {
    // As many sockets as the faults ask for would hide what one socket does.
    if (this.bed.client.session.paths().length < 8) this.bed.openPath(name);
  }

  #move(name: string, old: 'abandon' | 'close' | 'keep'): void {
    const { bed } = this;
    bed.paths.get(name)?.readdress();
    this.#onClient(() => {
      if (old !== 'keep') this.#giveUp(name, old);
      this.#open(name);
    });
  }

  #giveUp(name: string, how: 'abandon' | 'close'): void {
    const { bed } = this;
    const { session, host } = bed.client;
    const carrierId = bed.clientCarriers.get(name);
    if (carrierId === undefined) return;
    const info = session.paths().find((path) => path.carrierId === carrierId);
    if (how === 'close') host.closeCarrier(carrierId);
    else if (info !== undefined) host.command(() => session.abandonPath(info.pathId));
  }

  #withPath(role: Role, n: number, action: (end: BedEnd, pathId: PathId) => void): void {
    const { bed, world } = this;
    const end = role === 'client' ? bed.client : bed.accepted[0];
    if (end === undefined || end.session.lifecycle !== 'established') return;
    if (world.now < end.host.machine.asleepUntil) return;
    const paths = end.session.paths();
    const path = paths[n % Math.max(1, paths.length)];
    if (path !== undefined) end.host.command(() => action(end, path.pathId));
  }

  // The heal.

  #heal(): void {
    const { bed, plan, world } = this;
    for (const planned of plan.paths) bed.paths.get(planned.name)?.set(healthy(planned));
    this.#isMending = true;
    this.#onClient(() => this.#dropStale());
    const mend = (): void => {
      if (!this.#isMending) return;
      this.#onClient(() => this.#openMissing());
      world.schedule(world.now + MEND_MS, mend);
    };
    mend();
  }

  /**
   * Paths from addresses that the client does not have any more. Without keep-alives all of them:
   * nobody notices that a silent path is dead, its owner has to.
   */
  #dropStale(): void {
    const { bed, plan } = this;
    const { session, host } = bed.client;
    const present = [...bed.paths.values()].map((path) => `${path.clientAddress}:`);
    for (const { pathId, local } of session.paths()) {
      const isStale = !present.some((address) => local.startsWith(address));
      if (!isStale && plan.client.keepAliveMs !== 0) continue;
      host.command(() => session.abandonPath(pathId));
    }
  }

  /** One path at least over each interface, from its present address, as a path manager sees to. */
  #openMissing(): void {
    const { bed, plan, world } = this;
    const { session } = bed.client;
    // The other end may have given up a path in a way that we never heard of.
    const isPatient = world.now < this.#healedAt + PATIENCE_MS;
    for (const { name } of plan.paths) {
      const paths = session.paths();
      const host = bed.paths.get(name)?.clientAddress;
      const good = paths.filter((path) => isPatient || path.state !== 'suspect');
      if (good.some((path) => path.local.startsWith(`${host}:`))) continue;
      const hasRoom = paths.length < this.#maxPaths || paths.some((one) => one.state === 'suspect');
      const triedAt = this.#mendedAt.get(name) ?? Number.NEGATIVE_INFINITY;
      if (!hasRoom || world.now < triedAt + MEND_AGAIN_MS) continue;
      this.#mendedAt.set(name, world.now);
      bed.openPath(name);
    }
  }

  get #maxPaths(): number {
    const { client, server } = this.plan;
    const { maxPaths } = DEFAULT_SESSION_OPTIONS;
    return Math.min(client.maxPaths ?? maxPaths, server.maxPaths ?? maxPaths);
  }

  #livenessBound(): number {
    const { plan } = this;
    const bytes = plan.streams.reduce((sum, one) => sum + one.bytes + (one.replyBytes ?? 0), 0);
    const asleepMs = Math.max(
      0,
      ...['client', 'server'].map((name) => this.world.machine(name).asleepUntil - this.world.now),
    );
    const slowest = Math.min(...plan.paths.map((path) => path.rateMbps));
    const transferMs = (bytes * 8 * 6) / (Math.max(0.5, slowest * 0.2) * 1000);
    return LIVENESS_BASE_MS + asleepMs + transferMs + 60_000 * 3;
  }

  // The end.

  #checkLingering(): string | undefined {
    this.apps.release();
    return this.#runUntil(() => this.apps.isDone, LIVENESS_BASE_MS, 'the end of what lingered');
  }

  #checkIdle(): string | undefined {
    const { bed, plan } = this;
    this.#isMending = false;
    // It would go on where the limit of open paths does not let it have all that it wants.
    bed.redials = false;
    for (const end of [bed.client, bed.server]) {
      const { bufferedBytes, role } = end.session;
      if (bufferedBytes !== 0) return `${bufferedBytes} bytes are still buffered at the ${role}`;
    }
    const settled = this.#runUntil(() => false, SETTLE_MS, undefined);
    if (settled !== undefined || plan.client.keepAliveMs !== 0) return settled;
    const before = this.#sentPackets;
    const silent = this.#runUntil(() => false, SILENCE_MS, undefined);
    if (silent !== undefined) return silent;
    const sent = this.#sentPackets - before;
    return sent === 0 ? undefined : `idle: ${sent} packets; ${this.#describePaths()}`;
  }

  /** By both sessions: kernels may still say good-bye on connections that are given up. */
  get #sentPackets(): number {
    let sum = 0;
    for (const { session } of [this.bed.client, this.bed.server]) {
      for (const { statistics } of session.paths()) sum += statistics.sentPackets;
    }
    return sum;
  }

  #checkClose(): string | undefined {
    const { bed, plan, world } = this;
    this.#isClosing = true;
    const closer = plan.closer === 'client' ? bed.client : bed.server;
    closer.host.command(() => closer.session.close(world.now));
    const bothClosed = () => bed.client.isClosed && bed.server.isClosed;
    const closed = this.#runUntil(bothClosed, CLOSE_WITHIN_MS, 'closing');
    if (closed !== undefined) return closed;
    const result = world.run({ maxEvents: MAX_EVENTS, until: () => this.#problem() !== undefined });
    if (result !== 'idle') return `after the close: ${this.#problem() ?? result}`;
    for (const { host } of [bed.client, bed.server]) {
      const { sessions, halfOpen, unattachedCarriers } = host.core.statistics();
      if (sessions + halfOpen + unattachedCarriers > 0) {
        return `left behind: ${sessions} sessions, ${halfOpen} half-open, ${unattachedCarriers} carriers`;
      }
    }
    return undefined;
  }
}

function healthy(path: PlannedPath): Partial<PlannedPath['up']> {
  return {
    black: false,
    loss: 0,
    burstLoss: undefined,
    duplicate: 0,
    jitterMs: 0,
    queueMs: 50,
    rateBitsPerSec: Math.max(MIN_HEALED_RATE, path.rateMbps * 1e6),
    delayMs: path.rttMs / 2,
  };
}
