/**
 * The window that CUBIC (RFC 9438) would have after a loss: the curve alone, without slow start.
 *
 * @module
 */

import type { Instant } from '../contract.js';
import { MAX_WINDOW_BYTES, MIN_WINDOW_PACKETS } from './controller.js';

/** RFC 9438 §4.6. */
export const CUBIC_BETA = 0.7;
/** RFC 9438 §5: segments per second cubed. */
export const CUBIC_C = 0.4;

/** What {@link CubicCurve.restore} needs. */
export interface CurveState {
  readonly windowBytes: number;
  readonly maxBytes: number;
}

export class CubicCurve {
  packetBytes: number;
  /**
   * Of the flow that a lone connection would be, this path's part (protocol-independent; RFC 6356):
   * all paths of a group grow together as one. 1: the path is alone.
   */
  share = 1;
  #windowBytes: number;
  #maxBytes = 0;
  #epochAt: Instant | undefined;
  #kSeconds = 0;
  #renoBytes = 0;

  constructor(packetBytes: number, windowBytes: number) {
    this.packetBytes = packetBytes;
    this.#windowBytes = windowBytes;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  get state(): CurveState {
    return { windowBytes: this.#windowBytes, maxBytes: this.#maxBytes };
  }

  /** Growth by another rule, such as slow start. */
  add(bytes: number): void {
    this.#windowBytes = Math.min(MAX_WINDOW_BYTES, this.#windowBytes + bytes);
  }

  /**
   * Grows as far as what was acknowledged lets it. The rate of a CUBIC flow goes with the fourth
   * root of C, that of a Reno flow with the square root of its increase: so the share of a flow.
   */
  grow(ackedBytes: number, smoothedRttMs: number, now: Instant): void {
    const packet = this.packetBytes;
    const c = CUBIC_C * this.share ** 4;
    if (this.#epochAt === undefined) {
      this.#epochAt = now;
      this.#maxBytes = Math.max(this.#maxBytes, this.#windowBytes);
      this.#kSeconds = Math.cbrt((this.#maxBytes - this.#windowBytes) / packet / c);
      this.#renoBytes = this.#windowBytes;
    }
    const window = this.#windowBytes;
    const seconds = (now - this.#epochAt + smoothedRttMs) / 1000;
    const target = this.#maxBytes + c * (seconds - this.#kSeconds) ** 3 * packet;
    const alpha = ((3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA)) * this.share ** 2;
    this.#renoBytes += (alpha * packet * ackedBytes) / window;
    const bounded = Math.min(Math.max(target, window), 1.5 * window);
    const cubicBytes = window + ((bounded - window) * ackedBytes) / window;
    this.#windowBytes = Math.min(MAX_WINDOW_BYTES, Math.max(cubicBytes, this.#renoBytes));
  }

  /** A loss. @param windowBytes what was in use when it happened. */
  backOff(windowBytes = this.#windowBytes): void {
    this.#epochAt = undefined;
    // RFC 9438 §4.7, fast convergence.
    this.#maxBytes =
      windowBytes < this.#maxBytes ? (windowBytes * (1 + CUBIC_BETA)) / 2 : windowBytes;
    const least = MIN_WINDOW_PACKETS * this.packetBytes;
    this.#windowBytes = Math.max(least, windowBytes * CUBIC_BETA);
  }

  /** RFC 9438 §4.9: there was no loss after all. */
  restore(state: CurveState): void {
    this.#windowBytes = Math.max(this.#windowBytes, state.windowBytes);
    this.#maxBytes = state.maxBytes;
    this.#epochAt = undefined;
  }
}
