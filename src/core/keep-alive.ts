/**
 * How often an idle datagram path says something, so that the NATs on it do not forget it. How long
 * they remember differs from 20 seconds to minutes, and nobody tells: it is learnt from what
 * happens after a silence.
 *
 * @module
 */

import type { Instant } from './contract.js';

/** A shorter silence says nothing of a NAT; nor does an interval go below, unless it began there. */
export const MIN_KEEP_ALIVE_MS = 10_000;
/** The interval grows by this after a silence that the way back has survived. */
const GROWTH = 1.25;
/** And keeps this far below a silence that it has not. */
const MARGIN = 0.7;
/** What was learnt holds for so long: the network may be another one by then. */
const MEMORY_MS = 3_600_000;
/** After a silence, what the peer does within this time is told by whether the way back held. */
const VERDICT_MS = 3_000;

export interface KeepAliveBounds {
  /** At first; 0: never. */
  readonly startMs: number;
  readonly maxMs: number;
}

export class KeepAlive {
  readonly #minMs: number;
  readonly #maxMs: number;
  #intervalMs: number;
  /** A silence this long was too long. */
  #limitMs = Number.POSITIVE_INFINITY;
  #limitSince = 0;
  /** The last silence that we ended, and when; its verdict is still out. */
  #silence: { readonly ms: number; readonly endedAt: number } | undefined;

  constructor({ startMs, maxMs }: KeepAliveBounds) {
    this.#minMs = Math.min(MIN_KEEP_ALIVE_MS, startMs);
    this.#maxMs = Math.max(startMs, maxMs);
    this.#intervalMs = startMs;
  }

  /** After such a silence something is sent; 0: never. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Something is sent after a silence in both directions. */
  spoke(silenceMs: number, now: Instant): void {
    if (silenceMs < this.#minMs) return;
    if (this.#silence !== undefined) this.#survived(this.#silence.ms, now);
    this.#silence = { ms: silenceMs, endedAt: now };
  }

  /** The peer spoke first after a silence, and was heard. */
  heardFirst(silenceMs: number, now: Instant): void {
    if (silenceMs >= this.#minMs) this.#survived(silenceMs, now);
  }

  /**
   * A challenge came, or packets before the one that came are missing: if that is soon after a
   * silence, the way back was closed meanwhile.
   */
  doubted(now: Instant): void {
    const silence = this.#silence;
    if (silence === undefined || now > silence.endedAt + VERDICT_MS) return;
    this.#silence = undefined;
    this.#limitMs = Math.min(this.#limitMs, silence.ms);
    this.#limitSince = now;
    this.#intervalMs = Math.max(this.#minMs, Math.min(this.#intervalMs, MARGIN * silence.ms));
  }

  #survived(silenceMs: number, now: Instant): void {
    this.#silence = undefined;
    if (now > this.#limitSince + MEMORY_MS) this.#limitMs = Number.POSITIVE_INFINITY;
    const most = Math.max(this.#minMs, Math.min(this.#maxMs, MARGIN * this.#limitMs));
    // Only a silence as long as the interval proves that more may be tried.
    if (silenceMs < 0.99 * this.#intervalMs || this.#intervalMs >= most) return;
    this.#intervalMs = Math.min(most, this.#intervalMs * GROWTH);
  }
}
