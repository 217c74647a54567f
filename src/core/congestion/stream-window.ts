/**
 * How much may be in flight on a stream carrier. The carrier has its own congestion control; this
 * only keeps its send buffer short, since what it has swallowed can't be recalled. The bound is a
 * little more than the bandwidth-delay product as our own acknowledgements measure it: enough for
 * the carrier always to have something to send, and so to find out if it may send faster.
 *
 * @module
 */

import type { Instant } from '../contract.js';
import { type AckInfo, type CongestionController, MAX_WINDOW_BYTES } from './controller.js';
import { MaxFilter } from './max-filter.js';

const INITIAL_WINDOW_BYTES = 64 * 1024;
const MIN_WINDOW_BYTES = 16 * 1024;
/** Above the product, so that the carrier is never idle between two acknowledgements. */
const WINDOW_GAIN = 1.15;
const WINDOW_SLACK_BYTES = 16 * 1024;
/** Acknowledgements of a stream come in lumps when it recovers from a loss: look back further. */
const BANDWIDTH_ROUNDS = 10;
const FULL_GROWTH = 1.25;
const FULL_ROUNDS = 3;
/** A standing queue hides the smallest round trip: let it drain for a round this often. */
const DRAIN_INTERVAL_MS = 10_000;
const DRAIN_GAIN = 0.75;

export class StreamWindow implements CongestionController {
  readonly name = 'stream';
  readonly pacingRate = undefined;
  readonly #bandwidth = new MaxFilter(BANDWIDTH_ROUNDS);
  #window = INITIAL_WINDOW_BYTES;
  #round = 0;
  #roundEndBytes = 0;
  #fullBandwidth = 0;
  #fullRounds = 0;
  #filled = false;
  #minRttMs = Number.POSITIVE_INFINITY;
  #minRttAt = 0;
  #drainUntil: number | undefined;

  get congestionWindowBytes(): number {
    return this.#window;
  }

  get isStarting(): boolean {
    return !this.#filled;
  }

  get bandwidth(): number {
    return this.#bandwidth.value;
  }

  acknowledged(info: AckInfo, now: Instant): void {
    const isRoundStart =
      info.rate !== undefined && info.rate.priorDeliveredBytes >= this.#roundEndBytes;
    if (isRoundStart) {
      this.#round += 1;
      this.#roundEndBytes = info.deliveredBytes;
    }
    const rate = info.rate;
    if (rate !== undefined && (!rate.isAppLimited || rate.bytesPerMs > this.#bandwidth.value)) {
      this.#bandwidth.update(rate.bytesPerMs, this.#round);
    }
    if (isRoundStart && rate?.isAppLimited !== true) this.#checkFull();
    this.#updateMinRtt(info, now);
    this.#setWindow(info, now);
  }

  #checkFull(): void {
    if (this.#filled) return;
    if (this.#bandwidth.value >= this.#fullBandwidth * FULL_GROWTH) {
      this.#fullBandwidth = this.#bandwidth.value;
      this.#fullRounds = 0;
    } else {
      this.#fullRounds += 1;
    }
    this.#filled = this.#fullRounds >= FULL_ROUNDS;
  }

  #updateMinRtt(info: AckInfo, now: Instant): void {
    const draining = this.#drainUntil !== undefined;
    if (info.latestRttMs <= this.#minRttMs) {
      this.#minRttMs = info.latestRttMs;
      this.#minRttAt = now;
    } else if (!draining && this.#filled && now - this.#minRttAt > DRAIN_INTERVAL_MS) {
      // Two round trips: one until the smaller window shows, one to measure.
      this.#drainUntil = now + 2 * info.smoothedRttMs;
      this.#minRttMs = info.latestRttMs;
    } else if (draining && now >= (this.#drainUntil ?? 0)) {
      this.#drainUntil = undefined;
      this.#minRttAt = now;
    }
  }

  #setWindow(info: AckInfo, now: Instant): void {
    const productBytes = this.#bandwidth.value * this.#minRttMs;
    if (this.#drainUntil !== undefined && now < this.#drainUntil) {
      this.#window = Math.max(MIN_WINDOW_BYTES, DRAIN_GAIN * productBytes);
      return;
    }
    if (!this.#filled) {
      // As slow start does: twice as much each round while all of it is used.
      if (!info.isAppLimited) this.#window += info.ackedBytes;
    } else {
      const jitterBytes = this.#bandwidth.value * 2 * info.rttVarianceMs;
      this.#window = WINDOW_GAIN * productBytes + jitterBytes + WINDOW_SLACK_BYTES;
    }
    this.#window = Math.min(MAX_WINDOW_BYTES, Math.max(MIN_WINDOW_BYTES, this.#window));
  }

  lost(): void {
    // A stream carrier loses nothing until it dies.
  }

  lossWasSpurious(): void {
    // See lost().
  }
}
