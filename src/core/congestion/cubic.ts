/**
 * CUBIC (RFC 9438), with HyStart's exit from slow start by rising delay (RFC 9406, simplified:
 * no conservative phase, since pacing takes the burst away).
 *
 * @module
 */

import type { Instant } from '../contract.js';
import { type AckInfo, type CongestionController, INITIAL_WINDOW_PACKETS } from './controller.js';
import { CubicCurve, type CurveState } from './cubic-curve.js';

export { CUBIC_BETA, CUBIC_C } from './cubic-curve.js';

/** RFC 9002 §7.7: sent a little faster than the window allows, so that it stays the limit. */
const PACING_GAIN = 1.25;
const PACING_GAIN_SLOW_START = 2;
/** RFC 9406 §4.3: bounds of the rise in delay that ends slow start, in ms. */
const HYSTART_MIN_RISE_MS = 4;
const HYSTART_MAX_RISE_MS = 16;
const HYSTART_MIN_SAMPLES = 8;

export class Cubic implements CongestionController {
  readonly name = 'cubic';
  readonly #curve: CubicCurve;
  #threshold = Number.POSITIVE_INFINITY;
  #recoverySince = Number.NEGATIVE_INFINITY;
  #smoothedRttMs = 0;
  #undo: { curve: CurveState; threshold: number; lostBytes: number } | undefined;
  #roundEndsAt = Number.NEGATIVE_INFINITY;
  #roundMinRttMs = Number.POSITIVE_INFINITY;
  #lastRoundMinRttMs = Number.POSITIVE_INFINITY;
  #roundSamples = 0;

  /** @param packetBytes the path's packet size. */
  constructor(packetBytes: number) {
    this.#curve = new CubicCurve(packetBytes, INITIAL_WINDOW_PACKETS * packetBytes);
  }

  packetSizeChanged(packetBytes: number): void {
    this.#curve.packetBytes = packetBytes;
  }

  shareChanged(share: number): void {
    this.#curve.share = share;
  }

  get congestionWindowBytes(): number {
    return this.#curve.windowBytes;
  }

  get isStarting(): boolean {
    return this.#curve.windowBytes < this.#threshold;
  }

  get bandwidth(): number {
    return this.#smoothedRttMs === 0 ? 0 : this.#curve.windowBytes / this.#smoothedRttMs;
  }

  get pacingRate(): number | undefined {
    if (this.#smoothedRttMs === 0) return undefined;
    const gain = this.isStarting ? PACING_GAIN_SLOW_START : PACING_GAIN;
    return (gain * this.#curve.windowBytes) / this.#smoothedRttMs;
  }

  acknowledged(info: AckInfo, now: Instant): void {
    this.#smoothedRttMs = info.smoothedRttMs;
    if (info.largestSentAt <= this.#recoverySince || info.isAppLimited) return;
    if (this.isStarting) {
      this.#curve.add(info.ackedBytes);
      this.#watchDelay(info, now);
      return;
    }
    this.#curve.grow(info.ackedBytes, info.smoothedRttMs, now);
  }

  #watchDelay(info: AckInfo, now: Instant): void {
    if (info.largestSentAt >= this.#roundEndsAt) {
      this.#lastRoundMinRttMs = this.#roundMinRttMs;
      this.#roundMinRttMs = Number.POSITIVE_INFINITY;
      this.#roundSamples = 0;
      this.#roundEndsAt = now;
    }
    this.#roundSamples += 1;
    this.#roundMinRttMs = Math.min(this.#roundMinRttMs, info.latestRttMs);
    if (this.#roundSamples < HYSTART_MIN_SAMPLES || !Number.isFinite(this.#lastRoundMinRttMs)) {
      return;
    }
    const rise = Math.min(
      HYSTART_MAX_RISE_MS,
      Math.max(HYSTART_MIN_RISE_MS, this.#lastRoundMinRttMs / 8),
    );
    if (this.#roundMinRttMs >= this.#lastRoundMinRttMs + rise)
      this.#threshold = this.#curve.windowBytes;
  }

  lost(lostBytes: number, largestLostSentAt: Instant, _inFlight: number, now: Instant): void {
    if (largestLostSentAt <= this.#recoverySince) {
      if (this.#undo !== undefined) this.#undo.lostBytes += lostBytes;
      return;
    }
    this.#undo = { curve: this.#curve.state, threshold: this.#threshold, lostBytes };
    this.#recoverySince = now;
    this.#curve.backOff();
    this.#threshold = this.#curve.windowBytes;
  }

  /** RFC 9438 §4.9: goes back to where it was. */
  lossWasSpurious(bytes: number): void {
    if (this.#undo === undefined) return;
    this.#undo.lostBytes -= bytes;
    if (this.#undo.lostBytes > 0) return;
    this.#curve.restore(this.#undo.curve);
    this.#threshold = this.#undo.threshold;
    this.#undo = undefined;
  }
}
