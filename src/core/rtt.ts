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

/**
 * A path has become longer if all of so many samples, over as long as a round trip took, are so
 * many times what it was and what stands in our own queue, and this much more. Jitter and loss
 * always leave some that are shorter.
 */
const LONGER = 2;
const LONGER_MS = 50;
const LONGER_SAMPLES = 32;

/** A sample that is longer than the one before by this share of the shortest, and this much more. */
const JUMP_SHARE = 0.6;
const JUMP_MS = 3;

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
  #jumps = 0;
  #steadySince = Number.POSITIVE_INFINITY;
  /** Of the latest samples, all of a longer path: the smallest, how many they are, since when. */
  #longer = Number.POSITIVE_INFINITY;
  #longerCount = 0;
  #longerSince = 0;

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

  /**
   * The smallest sample of the last {@link MIN_RTT_WINDOW_MS}, or since the path has become longer;
   * the smoothed one before any.
   */
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

  /**
   * How often a sample was longer than the one before by more than half a round trip: a queue grows
   * slowly, but what waits for the repair of a loss in a stream carrier waits for a round trip.
   */
  get jumps(): number {
    return this.#jumps;
  }

  /** When that was the last time; before any, when the first sample was; infinite before that. */
  get steadySince(): number {
    return this.#steadySince;
  }

  get hasSample(): boolean {
    return this.#sampled;
  }

  /**
   * @param ackDelayMs what the peer says it held the acknowledgement, already capped.
   * @param inFlightMs how long the path needs to deliver what we have in flight; infinite where a
   *   long round trip says nothing of the path.
   */
  sample(rttMs: number, ackDelayMs: number, now: Instant, inFlightMs = 0): void {
    if (this.#sampled && rttMs - this.#latest > JUMP_SHARE * this.#minimum + JUMP_MS) {
      this.#jumps += 1;
      this.#steadySince = now;
    }
    this.#latest = rttMs;
    if (now - this.#recentSince >= RECENT_RTT_MS) {
      const isFresh = now - this.#recentSince < 2 * RECENT_RTT_MS;
      this.#beforeMs = isFresh ? this.#recentMs : Number.POSITIVE_INFINITY;
      this.#recentMs = rttMs;
      this.#recentSince = now;
    }
    this.#recentMs = Math.min(this.#recentMs, rttMs);
    this.#watchLonger(rttMs, inFlightMs, now);
    if (rttMs <= this.#minimum || now - this.#minimumAt > MIN_RTT_WINDOW_MS) {
      this.#minimum = rttMs;
      this.#minimumAt = now;
    }
    if (!this.#sampled) {
      this.#sampled = true;
      this.#steadySince = now;
      this.#smoothed = rttMs;
      this.#variance = rttMs / 2;
      return;
    }
    const adjusted = rttMs - ackDelayMs >= this.#minimum ? rttMs - ackDelayMs : rttMs;
    this.#variance = 0.75 * this.#variance + 0.25 * Math.abs(this.#smoothed - adjusted);
    this.#smoothed = 0.875 * this.#smoothed + 0.125 * adjusted;
  }

  #watchLonger(rttMs: number, inFlightMs: number, now: Instant): void {
    const longerMs = Math.max(
      LONGER * Math.max(this.#minimum, inFlightMs),
      this.#minimum + LONGER_MS,
    );
    if (!this.#sampled || rttMs <= longerMs) {
      this.#longerCount = 0;
      return;
    }
    if (this.#longerCount === 0) {
      this.#longer = rttMs;
      this.#longerSince = now;
    }
    this.#longer = Math.min(this.#longer, rttMs);
    this.#longerCount += 1;
    if (this.#longerCount < LONGER_SAMPLES || now - this.#longerSince < this.#minimum) return;
    this.#minimum = this.#longer;
    this.#minimumAt = now;
    this.#longerCount = 0;
  }

  /**
   * The path has been silent and is back, perhaps as another one: of all samples only the latest
   * says something of it. It counts as a first one does (RFC 9002 §5.2, §5.3).
   */
  restart(now: Instant): void {
    if (!this.#sampled) return;
    this.#minimum = this.#latest;
    this.#minimumAt = now;
    this.#smoothed = this.#latest;
    this.#variance = this.#latest / 2;
    this.#longerCount = 0;
  }

  /** How long after sending an acknowledgement should be here (RFC 9002 §6.2.1), without back-off. */
  probeTimeoutMs(maxAckDelayMs: number): number {
    return this.#smoothed + Math.max(4 * this.#variance, MIN_VARIANCE_MS) + maxAckDelayMs;
  }
}
