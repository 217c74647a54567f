/**
 * Which paths run through one bottleneck, and what part of a flow each of them may be there.
 *
 * A queue that two paths share delays both at the same times. So the means of their round trips in
 * intervals of time are correlated (the idea of RFC 8382, with the correlation itself in place of its
 * three summaries, since one end sees the delays of all paths on one clock). The paths of a group
 * grow together as one flow would (RFC 6356). Paths that share nothing are left alone.
 *
 * @module
 */

import type { Instant } from '../contract.js';

/** Long enough to hold some samples, short enough to see queues come and go. */
const INTERVAL_MS = 100;
/** So many intervals are compared. */
const INTERVALS = 40;
/** And no fewer than this, in which both paths have samples. */
const MIN_INTERVALS = 24;
/** The groups are looked at anew so often. */
const EVALUATE_MS = 500;
/** A path whose delay varies less has no queue to speak of. */
const MIN_DEVIATION_MS = 1;
/** Correlations that speak for a common queue, and against it. */
const SHARED_CORRELATION = 0.6;
const APART_CORRELATION = 0.3;
/** Verdicts in a row, less those to the contrary, that join two paths; and the most that count. */
const JOIN_SCORE = 3;
const MAX_SCORE = 6;

/** Mean round trips of one path, by interval. */
export class DelayTrace {
  readonly #sumMs = new Float64Array(INTERVALS + 1);
  readonly #count = new Float64Array(INTERVALS + 1);
  readonly #index = new Float64Array(INTERVALS + 1).fill(-1);

  /** @param atMs when the packet was about at the bottleneck. */
  sample(rttMs: number, atMs: number): void {
    const index = Math.floor(atMs / INTERVAL_MS);
    const slot = ((index % (INTERVALS + 1)) + INTERVALS + 1) % (INTERVALS + 1);
    if (this.#index[slot] !== index) {
      this.#index[slot] = index;
      this.#sumMs[slot] = 0;
      this.#count[slot] = 0;
    }
    this.#sumMs[slot] = (this.#sumMs[slot] ?? 0) + rttMs;
    this.#count[slot] = (this.#count[slot] ?? 0) + 1;
  }

  meanMs(index: number): number | undefined {
    const slot = ((index % (INTERVALS + 1)) + INTERVALS + 1) % (INTERVALS + 1);
    const count = this.#count[slot] ?? 0;
    return this.#index[slot] === index && count > 0 ? (this.#sumMs[slot] ?? 0) / count : undefined;
  }
}

/**
 * The correlation of two paths' delays in the last intervals before `now` (Pearson's r), or
 * `undefined` if there is too little to compare.
 */
export function correlation(a: DelayTrace, b: DelayTrace, now: Instant): number | undefined {
  const last = Math.floor(now / INTERVAL_MS) - 1;
  let count = 0;
  let [sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0];
  for (let index = last - INTERVALS + 1; index <= last; index++) {
    const x = a.meanMs(index);
    const y = b.meanMs(index);
    if (x === undefined || y === undefined) continue;
    count += 1;
    sumA += x;
    sumB += y;
    sumAA += x * x;
    sumBB += y * y;
    sumAB += x * y;
  }
  if (count < MIN_INTERVALS) return undefined;
  const varianceA = sumAA / count - (sumA / count) ** 2;
  const varianceB = sumBB / count - (sumB / count) ** 2;
  if (Math.min(varianceA, varianceB) < MIN_DEVIATION_MS ** 2) return undefined;
  return (sumAB / count - (sumA / count) * (sumB / count)) / Math.sqrt(varianceA * varianceB);
}

/** What is needed of a path to find and to couple its group. */
export interface GroupMember {
  readonly delays: DelayTrace;
  readonly windowBytes: number;
  readonly rttMs: number;
  /** Its delays say nothing yet, since it fills its own queue. */
  readonly isStarting: boolean;
}

/** Which of a session's paths belong together; one for each session. */
export class Bottlenecks {
  readonly #scores = new Map<string, number>();
  #evaluatedAt = Number.NEGATIVE_INFINITY;

  /** Whether the delays are worth another look. */
  isDue(now: Instant): boolean {
    return now >= this.#evaluatedAt + EVALUATE_MS;
  }

  /**
   * Each member's part of a flow: 1 if it is alone.
   *
   * @param members by path id.
   */
  shares(members: ReadonlyMap<number, GroupMember>, now: Instant): Map<number, number> {
    this.#evaluatedAt = now;
    const shares = new Map<number, number>();
    for (const group of this.#groups(members, now)) {
      const parts = group.map((id) => members.get(id)).filter((one) => one !== undefined);
      for (const id of group) shares.set(id, shareOf(members.get(id), parts));
    }
    return shares;
  }

  #groups(members: ReadonlyMap<number, GroupMember>, now: Instant): number[][] {
    const ids = [...members.keys()];
    const groupOf = new Map<number, number[]>(ids.map((id) => [id, [id]]));
    const scores = new Map<string, number>();
    for (const [at, a] of ids.entries()) {
      for (const b of ids.slice(at + 1)) {
        const key = `${a} ${b}`;
        const score = this.#score(key, members.get(a), members.get(b), now);
        scores.set(key, score);
        const [groupA = [], groupB = []] = [groupOf.get(a), groupOf.get(b)];
        if (score < JOIN_SCORE || groupA === groupB) continue;
        groupA.push(...groupB);
        for (const id of groupB) groupOf.set(id, groupA);
      }
    }
    // Only of pairs that are still there: paths come and go.
    this.#scores.clear();
    for (const [key, score] of scores) this.#scores.set(key, score);
    return [...new Set(groupOf.values())];
  }

  #score(
    key: string,
    a: GroupMember | undefined,
    b: GroupMember | undefined,
    now: Instant,
  ): number {
    const before = this.#scores.get(key) ?? 0;
    if (a === undefined || b === undefined || a.isStarting || b.isStarting) return before;
    const r = correlation(a.delays, b.delays, now);
    if (r === undefined || (r < SHARED_CORRELATION && r > APART_CORRELATION)) return before;
    return Math.max(0, Math.min(MAX_SCORE, before + (r >= SHARED_CORRELATION ? 1 : -1)));
  }
}

/**
 * RFC 6356 §3: the increase of a path is `alpha / total` instead of `1 / window`. A path that grows
 * as the square of its part of a flow does just that.
 */
function shareOf(member: GroupMember | undefined, group: readonly GroupMember[]): number {
  if (member === undefined || group.length < 2) return 1;
  let best = 0;
  let sum = 0;
  for (const { windowBytes, rttMs } of group) {
    best = Math.max(best, windowBytes / rttMs ** 2);
    sum += windowBytes / rttMs;
  }
  return sum === 0 ? 1 : Math.min(1, Math.sqrt((member.windowBytes * best) / sum ** 2));
}
