/** Round-trip estimates of one path (RFC 9002 §5), all in milliseconds. @module */

import type { Instant } from './contract.js';

/** Before the first sample (RFC 9002 §6.2.2 has 333 ms, without a handshake's knowledge). */
export const INITIAL_RTT_MS = 333;
/** A probe timeout leaves this much for what has nothing to do with the network. */
export const MIN_VARIANCE_MS = 4;
/** Timers are no finer than this (RFC 9002 §6.1.2). */
export const GRANULARITY_MS = 1;
/**
 * How long a minimum counts. A standing queue would else pass for a longer path for ever, or a
 * path that became longer for a full queue.
 */
export const MIN_RTT_WINDOW_MS = 30_000;
/** A recent minimum is that of one to two of these. */
export const RECENT_RTT_MS = 1_000;

export class RttEstimator {
  #smoothed: number;
  #variance: number;
  #latest = 0;
  #sampled = false;
  #minimum = Number.POSITIVE_INFINITY;
  #minimumAt = Number.NEGATIVE_INFINITY;
  /** Of the present interval of {@link RECENT_RTT_MS}, and of the one before with samples. */
  #recentMs = Number.POSITIVE_INFINITY;
  #beforeMs = Number.POSITIVE_INFINITY;
  #recentSince = Number.NEGATIVE_INFINITY;

  /** @param initialMs a guess that stands until the first sample; how long a challenge took, say. */
  constructor(initialMs = INITIAL_RTT_MS) {
    this.#smoothed = initialMs;
    this.#variance = initialMs / 2;
  }

  get smoothedRttMs(): number {
    return this.#smoothed;
  }

  get rttVarianceMs(): number {
    return this.#variance;
  }

  get latestRttMs(): number {
    return this.#latest;
  }

  /** The smallest sample of the last {@link MIN_RTT_WINDOW_MS}, or the smoothed one before any. */
  get minRttMs(): number {
    return this.#sampled ? this.#minimum : this.#smoothed;
  }

  /**
   * The smallest of the last samples, those of one to two seconds while there are some: above
   * {@link minRttMs} by what stands in queues all the time.
   */
  get recentRttMs(): number {
    return this.#sampled ? Math.min(this.#recentMs, this.#beforeMs) : this.#smoothed;
  }

  get hasSample(): boolean {
    return this.#sampled;
  }

  /** @param ackDelayMs what the peer says it held the acknowledgement, already capped. */
  sample(rttMs: number, ackDelayMs: number, now: Instant): void {
    this.#latest = rttMs;
    if (now - this.#recentSince >= RECENT_RTT_MS) {
      const isFresh = now - this.#recentSince < 2 * RECENT_RTT_MS;
      this.#beforeMs = isFresh ? this.#recentMs : Number.POSITIVE_INFINITY;
      this.#recentMs = rttMs;
      this.#recentSince = now;
    }
    this.#recentMs = Math.min(this.#recentMs, rttMs);
    if (rttMs <= this.#minimum || now - this.#minimumAt > MIN_RTT_WINDOW_MS) {
      this.#minimum = rttMs;
      this.#minimumAt = now;
    }
    if (!this.#sampled) {
      this.#sampled = true;
      this.#smoothed = rttMs;
      this.#variance = rttMs / 2;
      return;
    }
    const adjusted = rttMs - ackDelayMs >= this.#minimum ? rttMs - ackDelayMs : rttMs;
    this.#variance = 0.75 * this.#variance + 0.25 * Math.abs(this.#smoothed - adjusted);
    this.#smoothed = 0.875 * this.#smoothed + 0.125 * adjusted;
  }

  /** How long after sending an acknowledgement should be here (RFC 9002 §6.2.1), without back-off. */
  probeTimeoutMs(maxAckDelayMs: number): number {
    return this.#smoothed + Math.max(4 * this.#variance, MIN_VARIANCE_MS) + maxAckDelayMs;
  }
}
