/**
 * How much the peer may send, for one stream or for the session (RFC 9000 §4). The window grows by
 * itself while the peer fills it and the application reads as fast.
 *
 * @module
 */

import type { Instant } from '../contract.js';

/** The window doubles when half of it was used up within this many round trips. */
const GROW_WITHIN_ROUND_TRIPS = 2;

export class ReceiveWindow {
  readonly #maxWindow: number;
  #window: number;
  #consumed = 0;
  #advertised: number;
  #updatedAt: number;
  #widenedAt = Number.NEGATIVE_INFINITY;

  /** Sizes in bytes. The peer has been promised `window`: a smaller maximum only means no growth. */
  constructor(window: number, maxWindow: number, now: Instant) {
    this.#window = window;
    this.#maxWindow = Math.max(window, maxWindow);
    this.#advertised = this.#window;
    this.#updatedAt = now;
  }

  /** The limit that the peer was told last. */
  get advertised(): number {
    return this.#advertised;
  }

  get windowBytes(): number {
    return this.#window;
  }

  /**
   * Half of the window is full, and its beginning is missing: one path is much slower than others,
   * and they must be able to go on meanwhile. Returns the new limit if there is one.
   */
  widen(rttMs: number, now: Instant): number | undefined {
    if (this.#window >= this.#maxWindow || now - this.#widenedAt < rttMs) return undefined;
    this.#widenedAt = now;
    this.#window = Math.min(this.#maxWindow, this.#window * 2);
    this.#advertised = Math.max(this.#advertised, this.#consumed + this.#window);
    return this.#advertised;
  }

  /** Makes the window at least so large, if it may be. Returns the new limit if there is one. */
  growTo(bytes: number): number | undefined {
    const window = Math.min(this.#maxWindow, bytes);
    if (window <= this.#window) return undefined;
    this.#window = window;
    this.#advertised = Math.max(this.#advertised, this.#consumed + window);
    return this.#advertised;
  }

  /**
   * The application took `bytes` out. Returns the new limit if the peer should be told one now.
   *
   * @param rttMs the longest round trip of the paths in use.
   */
  consume(bytes: number, rttMs: number, now: Instant): number | undefined {
    this.#consumed += bytes;
    const left = this.#advertised - this.#consumed;
    if (left > this.#window / 2) return undefined;
    if (now - this.#updatedAt < GROW_WITHIN_ROUND_TRIPS * rttMs) {
      this.#window = Math.min(this.#maxWindow, this.#window * 2);
    }
    this.#updatedAt = now;
    this.#advertised = Math.max(this.#advertised, this.#consumed + this.#window);
    return this.#advertised;
  }
}
