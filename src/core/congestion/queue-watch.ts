/**
 * Whether a loss was congestion. A queue that overflows was full before: the round trip is near the
 * longest of late. Where it is not, the loss was the path's own, and no sender is to blame.
 *
 * @module
 */

import type { Instant } from '../contract.js';
import { MaxFilter } from './max-filter.js';

/** How long the shortest and the longest mean of a round count. */
const SHORTEST_MS = 30_000;
const LONGEST_MS = 10_000;
/** A queue that never held more than this share of the round trip is not worth the name. */
const MIN_SWING = 0.4;
const MIN_SWING_MS = 4;
/** Full is what is above this share of the way from the shortest to the longest. */
const FULL_SHARE = 0.5;

export class QueueWatch {
  /** Of the negated means: its maximum is the shortest. */
  readonly #shortest = new MaxFilter();
  readonly #longest = new MaxFilter();
  #sumMs = 0;
  #count = 0;

  sample(rttMs: number): void {
    this.#sumMs += rttMs;
    this.#count += 1;
  }

  endRound(now: Instant): void {
    if (this.#count === 0) return;
    const meanMs = this.#sumMs / this.#count;
    this.#sumMs = 0;
    this.#count = 0;
    this.#shortest.update(-meanMs, now, SHORTEST_MS);
    this.#longest.update(meanMs, now, LONGEST_MS);
  }

  /** @param rttMs the present round trip, smoothed. */
  isFull(rttMs: number): boolean {
    const shortestMs = -this.#shortest.value;
    const swingMs = this.#longest.value - shortestMs;
    if (swingMs < Math.max(MIN_SWING_MS, MIN_SWING * shortestMs)) return false;
    return rttMs > shortestMs + FULL_SHARE * swingMs;
  }
}
