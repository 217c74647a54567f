/**
 * The round trip of a path whose queues are empty: the smallest mean of a round, or of several
 * short ones. A mean, since on a path whose delay varies by itself the smallest single sample
 * promises what it can't keep.
 *
 * @module
 */

import type { Instant } from '../contract.js';

/**
 * The mean of fewer samples is too much a matter of luck; more rounds are taken together. While a
 * path starts, its queues fill from round to round: there a few samples must do.
 */
const MIN_SAMPLES = 32;
const MIN_SAMPLES_STARTING = 8;

/** A mean that is larger by no more than this confirms the value. */
const TOLERANCE = 0.02;
const TOLERANCE_MS = 0.5;

/**
 * A round this much longer than the base, and than what is in flight explains, is a surprise; so
 * many in a row mean that the path has become longer. Waiting for the regular measurement would
 * cost seconds: with the old base the window is too small, and each round delivers less.
 */
const SURPRISE = 1.1;
const SURPRISE_MS = 2;
const SURPRISING_ROUNDS = 3;
/** Between two measurements for such a reason: if the first one found a longer path, if not. */
const SURPRISED_AGAIN_MS = 2_000;
const REASSURED_MS = 10_000;

export class BaseRtt {
  #sumMs = 0;
  #count = 0;
  #valueMs = Number.POSITIVE_INFINITY;
  #measuredAt = 0;
  #surprises = 0;
  #calmUntil = 0;

  /** In ms; before the first round its mean so far. */
  get valueMs(): number {
    if (Number.isFinite(this.#valueMs)) return this.#valueMs;
    return this.#count === 0 ? Number.POSITIVE_INFINITY : this.#sumMs / this.#count;
  }

  /** When a round was as short as {@link valueMs} the last time. */
  get measuredAt(): number {
    return this.#measuredAt;
  }

  /** Whether it should be measured now, with queues drained; regularly after `intervalMs`. */
  needsMeasuring(intervalMs: number, now: Instant): boolean {
    if (now - this.#measuredAt > intervalMs) return true;
    return this.#surprises >= SURPRISING_ROUNDS && now >= this.#calmUntil;
  }

  sample(rttMs: number): void {
    this.#sumMs += rttMs;
    this.#count += 1;
  }

  /**
   * A round is over.
   *
   * @param inFlightMs how long the path needs to deliver what is in flight.
   */
  endRound(isStarting: boolean, inFlightMs: number, now: Instant): void {
    if (this.#count < (isStarting ? MIN_SAMPLES_STARTING : MIN_SAMPLES)) return;
    const mean = this.#sumMs / this.#count;
    this.restart();
    const isSurprise = mean > SURPRISE * Math.max(this.#valueMs, inFlightMs) + SURPRISE_MS;
    this.#surprises = isSurprise && !isStarting ? this.#surprises + 1 : 0;
    if (mean > this.#valueMs * (1 + TOLERANCE) + TOLERANCE_MS) return;
    this.#valueMs = Math.min(this.#valueMs, mean);
    this.#measuredAt = now;
  }

  /** Forgets the samples of the present round. */
  restart(): void {
    this.#sumMs = 0;
    this.#count = 0;
  }

  /** What was measured since {@link restart} replaces the value, also if it is larger. */
  replace(now: Instant): void {
    const before = this.#valueMs;
    if (this.#count > 0) this.#valueMs = this.#sumMs / this.#count;
    const isLonger = this.#valueMs > SURPRISE * before;
    this.#calmUntil = now + (isLonger ? SURPRISED_AGAIN_MS : REASSURED_MS);
    this.#surprises = 0;
    this.#measuredAt = now;
    this.restart();
  }
}
