/**
 * Which of the paths between the same two machines carry data. They share a network, so that more
 * of them help only where one alone cannot fill it; and they differ in what they cost.
 *
 * @module
 */

import type { PathId } from '../core/index.js';
import { type Route, routeRank } from './routes.js';
import { GroupTuner } from './tuner.js';

/** TCP connections between the same two addresses, where each of them is limited by loss. */
export const MAX_TCP_CONNECTIONS = 8;
/** Behind TCP, which costs a fraction of the processor's time, as long as that does as well. */
const UDP_BESIDE_TCP = 0.5;
/** A queue stands when no recent round trip was shorter than the shortest by less than this. */
const QUEUED_SHARE = 0.1;
const QUEUED_MS = 3;

/** An active path with what is known of it. */
export interface GroupedPath {
  readonly pathId: PathId;
  readonly route: Route;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly rttMs: number;
  /** The shortest round trip known, and the shortest of the last second or two. */
  readonly minRttMs: number;
  readonly recentRttMs: number;
  /** How often a round trip was far longer than the one before. */
  readonly rttJumps: number;
}

export interface GroupActions {
  /** Asks for a sign of life; `receivedPackets` will show it. */
  probe(pathId: PathId): void;
  /** A path is for need only from now on, or for use. */
  setBackup(pathId: PathId, isBackup: boolean): void;
  /** So many further connections shall run beside that of this TCP route. */
  setExtraConnections(route: Route, count: number): void;
}

interface Counts {
  readonly sent: number;
  readonly received: number;
  readonly jumps: number;
}

interface Group {
  readonly base: Route;
  tuner: GroupTuner;
  maxLevel: number;
  extraConnections: number;
  sentBytes: number;
  receivedBytes: number;
  rttJumps: number;
  /** The shortest round trip since little was sent the last time: without a queue, it is hoped. */
  emptyRttMs: number;
}

/** The paths with the same ends: what is tried together. */
function groupOf({ near, local, host }: Route): string {
  return `${near ?? local ?? ''} ${host}`;
}

function isDirectTcp({ carrier, via }: Route): boolean {
  return carrier === 'tcp' && via === undefined;
}

export class PathGroups {
  readonly #actions: GroupActions;
  readonly #groups = new Map<string, Group>();
  readonly #backups = new Map<PathId, boolean>();
  /** Paths that shall be used if they are alive, with what they had received when they were asked. */
  readonly #asked = new Map<PathId, number>();
  /** What each path had counted when it was last looked at. */
  readonly #counted = new Map<PathId, Counts>();

  constructor(actions: GroupActions) {
    this.#actions = actions;
  }

  /**
   * Among the paths of one local address, those of the best rank carry data, the others only if
   * none of these is healthy. To be called when a path has become active or is no longer.
   */
  choose(active: readonly GroupedPath[]): void {
    const ranked = active.map((path) => ({
      ...path,
      local: path.route.near ?? path.route.local,
      rank: this.#rank(path.route, active),
    }));
    for (const path of ranked) {
      const { pathId, local, rank } = path;
      // Where a way through a proxy comes from is the system's choice: it stands by behind all.
      const isProxied = path.route.via !== undefined;
      const isBackup = ranked.some((one) => {
        return one.rank < rank && (isProxied || one.local === local);
      });
      if (isBackup) this.#asked.delete(pathId);
      if ((this.#backups.get(pathId) ?? false) === isBackup) continue;
      const canWait = ranked.some((one) => one.local !== local);
      if (!isBackup && canWait && !this.#isAlive(path)) continue;
      this.#backups.set(pathId, isBackup);
      this.#actions.setBackup(pathId, isBackup);
    }
    for (const pathId of this.#backups.keys()) {
      if (active.some((path) => path.pathId === pathId)) continue;
      this.#backups.delete(pathId);
      this.#asked.delete(pathId);
    }
  }

  /**
   * What has silenced a better path has most likely silenced those beside it too, which nobody has
   * noticed since they stood by. As long as others carry the data, they have to answer first.
   */
  #isAlive({ pathId, receivedPackets }: GroupedPath): boolean {
    const before = this.#asked.get(pathId);
    if (before === undefined) {
      this.#asked.set(pathId, receivedPackets);
      this.#actions.probe(pathId);
      return false;
    }
    if (receivedPackets === before) return false;
    this.#asked.delete(pathId);
    return true;
  }

  #rank(route: Route, active: readonly GroupedPath[]): number {
    const rank = routeRank(route);
    if (route.carrier !== 'udp') return rank;
    const group = groupOf(route);
    const hasTcp = active.some((path) => isDirectTcp(path.route) && groupOf(path.route) === group);
    const isWanted = (this.#groups.get(group)?.tuner.level ?? 0) > 0;
    return hasTcp && !isWanted ? rank + UDP_BESIDE_TCP : rank;
  }

  /** Looks whether more of the paths of a group pay. To be called some times a second. */
  sample(active: readonly GroupedPath[], now: number): void {
    const groups = groupBy(active);
    for (const [key, { base, extraConnections }] of this.#groups) {
      if (groups.has(key)) continue;
      this.#groups.delete(key);
      if (extraConnections > 0) this.#actions.setExtraConnections(base, 0);
    }
    for (const pathId of this.#counted.keys()) {
      if (!active.some((path) => path.pathId === pathId)) this.#counted.delete(pathId);
    }
    let hasChanged = false;
    for (const [key, paths] of groups) {
      const base = paths.find(({ route }) => isDirectTcp(route) && route.index === undefined);
      if (base === undefined) continue;
      if (this.#sampleGroup(key, base.route, paths, now)) hasChanged = true;
    }
    if (hasChanged || this.#asked.size > 0) this.choose(active);
  }

  #sampleGroup(key: string, base: Route, paths: readonly GroupedPath[], now: number): boolean {
    const hasUdp = paths.some(({ route }) => route.carrier === 'udp');
    const group = this.#group(key, base, hasUdp ? 1 : MAX_TCP_CONNECTIONS - 1);
    for (const { pathId, route, ...path } of paths) {
      const { sentBytes: sent, receivedBytes: received, rttJumps: jumps } = path;
      const before = this.#counted.get(pathId) ?? { sent, received, jumps };
      group.sentBytes += sent - before.sent;
      group.receivedBytes += received - before.received;
      if (isDirectTcp(route)) group.rttJumps += jumps - before.jumps;
      this.#counted.set(pathId, { sent, received, jumps });
    }
    const movedBytes = Math.max(group.sentBytes, group.receivedBytes);
    const rttMs = Math.max(...paths.map((path) => path.rttMs));
    const isQueued = this.#isQueued(group, paths, now);
    const { rttJumps } = group;
    const hasChanged = group.tuner.sample({ now, movedBytes, rttMs, isQueued, rttJumps });
    if (group.tuner.isLooking(now)) for (const { pathId } of paths) this.#actions.probe(pathId);
    const extras = hasUdp ? 0 : group.tuner.level;
    if (extras !== group.extraConnections) {
      group.extraConnections = extras;
      this.#actions.setExtraConnections(base, extras);
    }
    return hasChanged;
  }

  /**
   * A path that is limited by loss finds the queue empty again and again, and so does one that stands
   * by and is asked, even if the bytes of a lossy TCP wait for each other.
   */
  #isQueued(group: Group, paths: readonly GroupedPath[], now: number): boolean {
    const isBusy = group.tuner.isBusy(now);
    const shortest = Math.min(...paths.map((path) => path.minRttMs));
    group.emptyRttMs = isBusy ? Math.min(group.emptyRttMs, shortest) : shortest;
    const recent = Math.min(...paths.map((path) => path.recentRttMs));
    return recent > group.emptyRttMs * (1 + QUEUED_SHARE) + QUEUED_MS;
  }

  #group(key: string, base: Route, maxLevel: number): Group {
    let group = this.#groups.get(key);
    if (group === undefined) {
      const tuner = new GroupTuner(maxLevel);
      const none = { extraConnections: 0, sentBytes: 0, receivedBytes: 0, rttJumps: 0 };
      group = { base, tuner, maxLevel, ...none, emptyRttMs: Number.POSITIVE_INFINITY };
      this.#groups.set(key, group);
    } else if (group.maxLevel !== maxLevel) {
      group.tuner = new GroupTuner(maxLevel);
      group.maxLevel = maxLevel;
    }
    return group;
  }
}

function groupBy(paths: readonly GroupedPath[]): Map<string, GroupedPath[]> {
  const groups = new Map<string, GroupedPath[]>();
  for (const path of paths) {
    const key = groupOf(path.route);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [path]);
    else group.push(path);
  }
  return groups;
}
