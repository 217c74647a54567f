/**
 * What has arrived on one path, and when to say so (RFC 9000 §13.2).
 *
 * @module
 */

import type { AckRange } from '../wire/index.js';
import type { Instant } from './contract.js';
import { RangeSet } from './range-set.js';

/** Ranges kept; the newest. Old gaps are never filled, so more would only lengthen each ACK. */
export const MAX_TRACKED_RANGES = 32;
/**
 * ACK frames in one packet: each may cost a look at all that was declared lost of late
 * (protocol.md#ack).
 */
export const SPEC_MAX_ACKS_PER_PACKET = 64;
/** So many are put into one for each of two reasons: a CLOSE, and because they are due. */
export const MAX_ACKS_SENT_AT_ONCE = SPEC_MAX_ACKS_PER_PACKET / 2;
/** An ACK is due after this many ack-eliciting packets (RFC 9000 §13.2.2). */
export const ACK_ELICITING_THRESHOLD = 2;
/**
 * On a stream carrier a packet of this size is acknowledged at once: it is as much as many
 * datagrams, and the sender's window waits for it. Larger ones come so fast that every second will do.
 */
export const ACK_AT_ONCE_MIN_BYTES = 4_000;
export const ACK_AT_ONCE_MAX_BYTES = 32_000;

export class AckTracker {
  readonly #received = new RangeSet();
  readonly #maxAckDelayMs: number;
  readonly #ordered: boolean;
  #largest = -1;
  #largestAt = 0;
  #elicitingCount = 0;
  #deadline: Instant | undefined;
  #immediate = false;
  /** Also said on a path that may be dead, before it is said on a better one. */
  isEchoed = false;

  /** @param ordered a stream carrier: nothing is missing, so gaps need no hurry. */
  constructor(maxAckDelayMs: number, ordered: boolean) {
    this.#maxAckDelayMs = maxAckDelayMs;
    this.#ordered = ordered;
  }

  /** The largest packet number received, -1 if none. */
  get largest(): number {
    return this.#largest;
  }

  received(packetNumber: number, bytes: number, ackEliciting: boolean, now: Instant): void {
    const inOrder = packetNumber === this.#largest + 1;
    this.#received.add(packetNumber, packetNumber + 1);
    if (this.#received.rangeCount > MAX_TRACKED_RANGES) this.#received.shift();
    if (packetNumber > this.#largest) {
      this.#largest = packetNumber;
      this.#largestAt = now;
    }
    if (!ackEliciting) return;
    this.#elicitingCount += 1;
    this.#deadline ??= (now + this.#maxAckDelayMs) as Instant;
    if (!inOrder && !this.#ordered) this.#immediate = true;
    if (this.#elicitingCount >= ACK_ELICITING_THRESHOLD) this.#immediate = true;
    const isLarge = bytes >= ACK_AT_ONCE_MIN_BYTES && bytes <= ACK_AT_ONCE_MAX_BYTES;
    if (this.#ordered && isLarge) this.#immediate = true;
  }

  /** Lets the next opportunity carry the ACK, for a packet that asks for haste (a probe). */
  hurry(): void {
    if (this.#elicitingCount > 0) this.#immediate = true;
  }

  /** Whether an ACK has to go out now, in a packet of its own if need be. */
  isDue(now: Instant): boolean {
    return this.#immediate || (this.#deadline !== undefined && now >= this.#deadline);
  }

  /** Whether an ACK would tell anything new. */
  get isPending(): boolean {
    return this.#elicitingCount > 0;
  }

  get deadline(): Instant | undefined {
    return this.#deadline;
  }

  /** The ranges to report, descending, and the delay in microseconds. See {@link reported}. */
  report(now: Instant): { ranges: AckRange[]; delayUs: number } {
    const ranges: AckRange[] = [];
    const kept = this.#received.ranges;
    for (let i = kept.length - 1; i >= 0; i--) {
      const range = kept[i];
      if (range !== undefined) ranges.push({ smallest: range.start, largest: range.end - 1 });
    }
    return { ranges, delayUs: Math.max(0, Math.round((now - this.#largestAt) * 1000)) };
  }

  /** The report is in a packet that is as good as any: nothing is owed any more. */
  reported(): void {
    this.#elicitingCount = 0;
    this.#deadline = undefined;
    this.#immediate = false;
    this.isEchoed = false;
  }
}
