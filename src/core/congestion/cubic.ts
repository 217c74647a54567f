/**
 * CUBIC (RFC 9438), with HyStart's exit from slow start by rising delay (RFC 9406, simplified:
 * no conservative phase, since pacing takes the burst away).
 *
 * @module
 */

import type { Instant } from '../contract.js';
import {
  type AckInfo,
  type CongestionController,
  INITIAL_WINDOW_PACKETS,
  MAX_WINDOW_BYTES,
  MIN_WINDOW_PACKETS,
} from './controller.js';

/** RFC 9438 §4.6. */
export const CUBIC_BETA = 0.7;
/** RFC 9438 §5: segments per second cubed. */
export const CUBIC_C = 0.4;
/** RFC 9002 §7.7: sent a little faster than the window allows, so that it stays the limit. */
const PACING_GAIN = 1.25;
const PACING_GAIN_SLOW_START = 2;
/** RFC 9406 §4.3: bounds of the rise in delay that ends slow start, in ms. */
const HYSTART_MIN_RISE_MS = 4;
const HYSTART_MAX_RISE_MS = 16;
const HYSTART_MIN_SAMPLES = 8;

export class Cubic implements CongestionController {
  readonly name = 'cubic';
  #packetBytes: number;
  #window: number;
  #threshold = Number.POSITIVE_INFINITY;
  #windowMax = 0;
  #epochAt: Instant | undefined;
  #k = 0;
  #renoWindow = 0;
  #recoverySince = Number.NEGATIVE_INFINITY;
  #smoothedRttMs = 0;
  #undo: { window: number; threshold: number; windowMax: number } | undefined;
  #roundEndsAt = Number.NEGATIVE_INFINITY;
  #roundMinRttMs = Number.POSITIVE_INFINITY;
  #lastRoundMinRttMs = Number.POSITIVE_INFINITY;
  #roundSamples = 0;

  /** @param packetBytes the path's packet size. */
  constructor(packetBytes: number) {
    this.#packetBytes = packetBytes;
    this.#window = INITIAL_WINDOW_PACKETS * packetBytes;
  }

  packetSizeChanged(packetBytes: number): void {
    this.#packetBytes = packetBytes;
  }

  get congestionWindowBytes(): number {
    return this.#window;
  }

  get isStarting(): boolean {
    return this.#window < this.#threshold;
  }

  get bandwidth(): number {
    return this.#smoothedRttMs === 0 ? 0 : this.#window / this.#smoothedRttMs;
  }

  get pacingRate(): number | undefined {
    if (this.#smoothedRttMs === 0) return undefined;
    const gain = this.isStarting ? PACING_GAIN_SLOW_START : PACING_GAIN;
    return (gain * this.#window) / this.#smoothedRttMs;
  }

  acknowledged(info: AckInfo, now: Instant): void {
    this.#smoothedRttMs = info.smoothedRttMs;
    if (info.largestSentAt <= this.#recoverySince || info.isAppLimited) return;
    if (this.isStarting) {
      this.#window = Math.min(MAX_WINDOW_BYTES, this.#window + info.ackedBytes);
      this.#watchDelay(info, now);
      return;
    }
    this.#grow(info, now);
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
    if (this.#roundMinRttMs >= this.#lastRoundMinRttMs + rise) this.#threshold = this.#window;
  }

  #grow(info: AckInfo, now: Instant): void {
    const packet = this.#packetBytes;
    if (this.#epochAt === undefined) {
      this.#epochAt = now;
      this.#windowMax = Math.max(this.#windowMax, this.#window);
      this.#k = Math.cbrt((this.#windowMax - this.#window) / packet / CUBIC_C);
      this.#renoWindow = this.#window;
    }
    const seconds = (now - this.#epochAt + info.smoothedRttMs) / 1000;
    const target = this.#windowMax + CUBIC_C * (seconds - this.#k) ** 3 * packet;
    const alpha = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA);
    this.#renoWindow += (alpha * packet * info.ackedBytes) / this.#window;
    const bounded = Math.min(Math.max(target, this.#window), 1.5 * this.#window);
    const cubicWindow = this.#window + ((bounded - this.#window) * info.ackedBytes) / this.#window;
    this.#window = Math.min(MAX_WINDOW_BYTES, Math.max(cubicWindow, this.#renoWindow));
  }

  lost(_lostBytes: number, largestLostSentAt: Instant, _inFlight: number, now: Instant): void {
    if (largestLostSentAt <= this.#recoverySince) return;
    this.#undo = {
      window: this.#window,
      threshold: this.#threshold,
      windowMax: this.#windowMax,
    };
    this.#recoverySince = now;
    this.#epochAt = undefined;
    // RFC 9438 §4.7, fast convergence.
    this.#windowMax =
      this.#window < this.#windowMax ? (this.#window * (1 + CUBIC_BETA)) / 2 : this.#window;
    this.#window = Math.max(MIN_WINDOW_PACKETS * this.#packetBytes, this.#window * CUBIC_BETA);
    this.#threshold = this.#window;
  }

  /** RFC 9438 §4.9: goes back to where it was. */
  lossWasSpurious(): void {
    if (this.#undo === undefined) return;
    this.#window = Math.max(this.#window, this.#undo.window);
    this.#threshold = this.#undo.threshold;
    this.#windowMax = this.#undo.windowMax;
    this.#undo = undefined;
    this.#epochAt = undefined;
  }
}
