/**
 * How much may be in flight on a stream carrier. The carrier has its own congestion control; this
 * only keeps its send buffer short, since what it has swallowed can't be recalled. The bound is a
 * little more than the bandwidth-delay product as our own acknowledgements measure it: enough for
 * the carrier always to have something to send, and so to find out if it may send faster.
 *
 * @module
 */

import type { Instant } from '../contract.js';
import { BaseRtt } from './base-rtt.js';
import { type AckInfo, type CongestionController, MAX_WINDOW_BYTES } from './controller.js';
import { MaxFilter } from './max-filter.js';

/** What a kernel's TCP sends in its first flight (RFC 6928): more would only wait there. */
const INITIAL_WINDOW_BYTES = 14_600;
const MIN_WINDOW_BYTES = 14_600;
/** Above the product, so that the carrier is never idle between two acknowledgements. */
const WINDOW_GAIN = 1.1;
const WINDOW_SLACK_BYTES = 12 * 1024;
/** And two packets: what is counted as in flight while its acknowledgement waits for the next. */
const WINDOW_SLACK_MS = 4;
/**
 * How long the maximum of the delivery rate counts: in round trips of an empty path, since when
 * the carrier has lost its speed its own round trips are long.
 */
const BANDWIDTH_ROUND_TRIPS = 10;
/** But no fewer of those, or a path that has become longer would seem to have become slower. */
const BANDWIDTH_SLOW_ROUND_TRIPS = 5;
const BANDWIDTH_MIN_MS = 500;
const STARTUP_GAIN = 2;
const FULL_GROWTH = 1.25;
const FULL_ROUNDS = 3;
/** Of what is acknowledged, the share by which the window may grow. */
const GROWTH_SHARE = 0.5;
/** Start-up also ends when so many products are in flight: all but one of them stand in a queue. */
const STARTUP_MAX_PRODUCTS = 2.5;
/** The first rounds say little: their packets were few. */
const STARTUP_MIN_ROUNDS = 4;
/** A standing queue hides the smallest round trip: let it drain for a round this often. */
const DRAIN_INTERVAL_MS = 20_000;
const DRAIN_GAIN = 0.75;

export class StreamWindow implements CongestionController {
  readonly name = 'stream';
  readonly pacingRate = undefined;
  readonly #bandwidth = new MaxFilter();
  #window = INITIAL_WINDOW_BYTES;
  #round = 0;
  #roundEndBytes = 0;
  #fullBandwidth = 0;
  #fullRounds = 0;
  #filled = false;
  readonly #baseRtt = new BaseRtt();
  /** Over all the path's life: what a drained path is known to be capable of. */
  #minRttMs = Number.POSITIVE_INFINITY;
  #isDraining = false;
  #drainedAt: number | undefined;
  #measuringSince: number | undefined;

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
    const { rate } = info;
    const isRoundStart = rate !== undefined && rate.priorDeliveredBytes >= this.#roundEndBytes;
    if (isRoundStart) {
      this.#round += 1;
      this.#roundEndBytes = info.deliveredBytes;
    }
    if (rate !== undefined && (!rate.isAppLimited || rate.bytesPerMs > this.#bandwidth.value)) {
      const memoryMs = Math.max(
        BANDWIDTH_ROUND_TRIPS * Math.min(this.#baseRtt.valueMs, info.smoothedRttMs),
        BANDWIDTH_SLOW_ROUND_TRIPS * info.smoothedRttMs,
      );
      this.#bandwidth.update(rate.bytesPerMs, now, Math.max(BANDWIDTH_MIN_MS, memoryMs));
    }
    this.#measureRtt(info, isRoundStart, now);
    if (!this.#filled) this.#checkFull(info, isRoundStart);
    this.#setWindow(info);
  }

  #checkFull(info: AckInfo, isRoundStart: boolean): void {
    if (!isRoundStart || this.#round < STARTUP_MIN_ROUNDS) return;
    const products = STARTUP_MAX_PRODUCTS * this.#bandwidth.value * this.#baseRtt.valueMs;
    if (this.#window > INITIAL_WINDOW_BYTES && info.inFlightBytes > products) this.#filled = true;
    if (info.isAppLimited) return;
    if (this.#bandwidth.value >= this.#fullBandwidth * FULL_GROWTH) {
      this.#fullBandwidth = this.#bandwidth.value;
      this.#fullRounds = 0;
    } else {
      this.#fullRounds += 1;
    }
    if (this.#fullRounds >= FULL_ROUNDS) this.#filled = true;
  }

  #measureRtt(info: AckInfo, isRoundStart: boolean, now: Instant): void {
    const base = this.#baseRtt;
    base.sample(info.latestRttMs);
    this.#minRttMs = Math.min(this.#minRttMs, info.latestRttMs);
    if (this.#isDraining) {
      this.#drain(info, now);
    } else if (isRoundStart) {
      const inFlightMs = info.inFlightBytes / Math.max(0.01, this.#bandwidth.value);
      base.endRound(!this.#filled, inFlightMs, now);
      this.#isDraining = this.#filled && base.needsMeasuring(DRAIN_INTERVAL_MS, now);
    }
  }

  /** First what is queued has to go, however long that takes; then a round trip is measured. */
  #drain(info: AckInfo, now: Instant): void {
    if (this.#drainedAt === undefined) {
      if (info.inFlightBytes <= this.#drainWindow()) this.#drainedAt = now;
    } else if (this.#measuringSince === undefined) {
      // What was sent before has stood in the queue.
      if (info.largestSentAt < this.#drainedAt) return;
      this.#measuringSince = now;
      this.#baseRtt.restart();
    } else if (info.largestSentAt >= this.#measuringSince) {
      this.#baseRtt.replace(now);
      this.#drainedAt = undefined;
      this.#measuringSince = undefined;
      this.#isDraining = false;
    }
  }

  #drainWindow(): number {
    return Math.max(MIN_WINDOW_BYTES, DRAIN_GAIN * this.#bandwidth.value * this.#minRttMs);
  }

  #setWindow(info: AckInfo): void {
    const productBytes = this.#bandwidth.value * this.#baseRtt.valueMs;
    if (this.#isDraining) {
      this.#window = this.#drainWindow();
    } else if (this.#filled) {
      const slackBytes = WINDOW_SLACK_BYTES + WINDOW_SLACK_MS * this.#bandwidth.value;
      const target = WINDOW_GAIN * productBytes + slackBytes;
      // A jump would be a burst into queues that may not hold it.
      this.#window = Math.min(target, this.#window + GROWTH_SHARE * info.ackedBytes);
    } else if (!info.isAppLimited) {
      // As slow start does: twice as much each round while all of it is used; but no more than
      // twice what a round has delivered, since the rest would wait in the carrier's buffer.
      const most = Math.max(STARTUP_GAIN * productBytes, INITIAL_WINDOW_BYTES) + WINDOW_SLACK_BYTES;
      this.#window = Math.min(this.#window + info.ackedBytes, Math.max(this.#window, most));
    }
    this.#window = Math.min(MAX_WINDOW_BYTES, Math.max(MIN_WINDOW_BYTES, this.#window));
  }

  lost(): void {
    // A stream carrier loses nothing until it dies.
  }

  shareChanged(): void {
    // The carrier competes by its own rules.
  }

  packetSizeChanged(): void {
    // The carrier cuts its own packets.
  }

  lossWasSpurious(): void {
    // See lost().
  }
}
