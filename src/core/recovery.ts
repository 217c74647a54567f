/**
 * Packets of one path that are on their way: acknowledgement, loss detection (RFC 9002 §6.1) and
 * what is in flight. On a stream carrier nothing is ever declared lost before the carrier dies.
 *
 * @module
 */

import type { AckRange, Frame } from '../wire/index.js';
import type { Instant } from './contract.js';
import type { RateMark } from './delivery-rate.js';
import { assert } from './errors.js';
import { GRANULARITY_MS, type RttEstimator } from './rtt.js';

/** RFC 9002 §6.1.1. Grows where packets overtake each other. */
export const PACKET_THRESHOLD = 3;
/** RFC 9002 §6.1.2. */
export const TIME_THRESHOLD = 9 / 8;
/** How far the packet threshold may grow before only time decides (RFC 8985 §6.2). */
export const MAX_PACKET_THRESHOLD = 16_384;
/**
 * The wait for reordered packets is at most so many round trips, and ends after so many losses that
 * were real (RFC 8985 §6.2).
 */
export const MAX_REORDER_ROUND_TRIPS = 2;
export const REORDER_MEMORY_LOSSES = 16;
/** Packets declared lost that are remembered, to notice when one arrives after all. */
export const MAX_REMEMBERED_LOST = 1_024;

/** What a packet carried, as far as it must be sent again when the packet is lost. */
export type SentFrame =
  | {
      readonly kind: 'stream';
      readonly streamId: number;
      readonly offset: number;
      readonly length: number;
      readonly fin: boolean;
    }
  | { readonly kind: 'control'; readonly frame: Frame };

export interface SentPacket {
  readonly number: number;
  readonly sentAt: Instant;
  readonly bytes: number;
  readonly frames: readonly SentFrame[];
  readonly rateMark: RateMark;
  /** When it should be at the other end, by the estimate at the time of sending. */
  readonly expectedArrivalAt: Instant;
  /** Its data has been queued for another path; its loss is of no further consequence. */
  isReinjected: boolean;
  /** Its data has been sent a second time, and it is still the one that answers for it. */
  isCopied: boolean;
}

export interface AckOutcome {
  /** Newly acknowledged, ascending by number. */
  readonly acked: readonly SentPacket[];
  readonly ackedBytes: number;
  /** Declared lost before, but arrived. */
  readonly spurious: readonly SentPacket[];
  /** The largest acknowledged packet, if it is newly acknowledged. */
  readonly largestAcked: SentPacket | undefined;
}

export class Recovery {
  readonly #ordered: boolean;
  /** Packets `#base` and up; undefined: acknowledged, lost, or not ack-eliciting. */
  #packets: (SentPacket | undefined)[] = [];
  #head = 0;
  #base = 0;
  #nextNumber = 0;
  #largestAcked = -1;
  #inFlightBytes = 0;
  #outstanding = 0;
  readonly #lost = new Map<number, SentPacket>();
  #packetThreshold = PACKET_THRESHOLD;
  #reorderWindowMs = 0;
  /** Times that packets were declared lost, since the last time that one arrived after all. */
  #realLosses = 0;
  #lossAt: Instant | undefined;

  /** @param ordered a stream carrier: nothing is lost, nothing overtakes. */
  constructor(ordered: boolean) {
    this.#ordered = ordered;
  }

  /** Number of the next packet. */
  get nextNumber(): number {
    return this.#nextNumber;
  }

  get largestAcked(): number {
    return this.#largestAcked;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Ack-eliciting packets neither acknowledged nor declared lost. */
  get outstandingCount(): number {
    return this.#outstanding;
  }

  /** When `detectLost` has to be called for packets that time alone makes lost. */
  get lossAt(): Instant | undefined {
    return this.#lossAt;
  }

  get packetThreshold(): number {
    return this.#packetThreshold;
  }

  /** A packet that needs no acknowledgement took this number. */
  skipNumber(): void {
    this.#packets.push(undefined);
    this.#nextNumber += 1;
    this.#dropHead();
  }

  sent(packet: SentPacket): void {
    assert(packet.number === this.#nextNumber, 'packets are sent in the order of their numbers');
    this.#packets.push(packet);
    this.#nextNumber += 1;
    this.#outstanding += 1;
    this.#inFlightBytes += packet.bytes;
  }

  /** Oldest first. */
  *outstanding(): Generator<SentPacket> {
    for (let i = this.#head; i < this.#packets.length; i++) {
      const packet = this.#packets[i];
      if (packet !== undefined) yield packet;
    }
  }

  get oldestOutstanding(): SentPacket | undefined {
    this.#dropHead();
    return this.#packets[this.#head];
  }

  /**
   * Since when an acknowledgement is owed for the oldest outstanding packet from this number on: it
   * may be held back for `maxAckDelayMs`, but the second packet calls for it at once.
   */
  owedSince(fromNumber: number, maxAckDelayMs: number): number | undefined {
    let owedAt: number | undefined;
    const from = Math.max(this.#head, fromNumber - this.#base);
    for (let i = from; i < this.#packets.length; i++) {
      const sentAt = this.#packets[i]?.sentAt;
      if (sentAt === undefined) continue;
      if (owedAt !== undefined) return Math.min(owedAt, sentAt);
      owedAt = sentAt + maxAckDelayMs;
    }
    return owedAt;
  }

  /** @returns `undefined` if the ACK names a packet that was never sent. */
  acknowledge(ranges: readonly AckRange[], now: Instant): AckOutcome | undefined {
    const largest = ranges[0]?.largest ?? -1;
    if (largest >= this.#nextNumber) return undefined;
    const acked: SentPacket[] = [];
    const spurious: SentPacket[] = [];
    let ackedBytes = 0;
    this.#acknowledgeLost(ranges, spurious, now);
    for (let r = ranges.length - 1; r >= 0; r--) {
      const range = ranges[r] as AckRange;
      // A stream carrier has delivered all that went before: a gap is a lie that would be kept.
      const smallest = this.#ordered ? 0 : range.smallest;
      const from = Math.max(smallest, this.#base + this.#head);
      for (let number = from; number <= range.largest; number++) {
        const index = number - this.#base;
        const packet = this.#packets[index];
        if (packet === undefined) continue;
        this.#packets[index] = undefined;
        this.#outstanding -= 1;
        this.#inFlightBytes -= packet.bytes;
        ackedBytes += packet.bytes;
        acked.push(packet);
      }
    }
    const newest = acked[acked.length - 1];
    const largestAcked = newest?.number === largest ? newest : undefined;
    if (largest > this.#largestAcked) this.#largestAcked = largest;
    this.#dropHead();
    return { acked, ackedBytes, spurious, largestAcked };
  }

  /** One pass, whatever the number of ranges: a peer may send hundreds of ACKs in a packet. */
  #acknowledgeLost(ranges: readonly AckRange[], spurious: SentPacket[], now: Instant): void {
    for (const [number, packet] of this.#lost) {
      if (!isWithin(ranges, number)) continue;
      this.#lost.delete(number);
      spurious.push(packet);
      const distance = this.#largestAcked - number + 1;
      this.#packetThreshold = Math.min(
        MAX_PACKET_THRESHOLD,
        Math.max(this.#packetThreshold, Math.ceil(distance * 1.5)),
      );
      this.#reorderWindowMs = Math.max(this.#reorderWindowMs, now - packet.sentAt);
      this.#realLosses = 0;
    }
  }

  /**
   * Packets that must be taken for lost now; also sets {@link lossAt}. They no longer count as in
   * flight.
   */
  detectLost(rtt: RttEstimator, now: Instant): SentPacket[] {
    this.#lossAt = undefined;
    if (this.#ordered || this.#largestAcked < 0) return [];
    const delayMs = this.#lossDelayMs(rtt);
    const lost: SentPacket[] = [];
    const end = Math.min(this.#packets.length, this.#largestAcked + 1 - this.#base);
    for (let i = this.#head; i < end; i++) {
      const packet = this.#packets[i];
      if (packet === undefined) continue;
      const isOld = packet.sentAt + delayMs <= now;
      if (isOld || this.#largestAcked - packet.number >= this.#packetThreshold) {
        this.#packets[i] = undefined;
        this.#forget(packet);
        lost.push(packet);
      } else if (this.#lossAt === undefined) {
        this.#lossAt = (packet.sentAt + delayMs) as Instant;
      }
    }
    this.#dropHead();
    if (lost.length > 0) this.#realLosses += 1;
    if (this.#realLosses >= REORDER_MEMORY_LOSSES) this.resetReordering();
    return lost;
  }

  /** As RACK does (RFC 8985 §6.2), the wait adapts to the reordering that was seen. */
  #lossDelayMs(rtt: RttEstimator): number {
    const base = TIME_THRESHOLD * Math.max(rtt.smoothedRttMs, rtt.latestRttMs);
    const longestMs = MAX_REORDER_ROUND_TRIPS * rtt.smoothedRttMs;
    const reorderMs = Math.min(this.#reorderWindowMs, longestMs);
    return Math.max(base, reorderMs * TIME_THRESHOLD, GRANULARITY_MS);
  }

  /** A packet is given up for lost although no later one was acknowledged. */
  declareLost(packet: SentPacket): void {
    const index = packet.number - this.#base;
    if (this.#packets[index] !== packet) return;
    this.#packets[index] = undefined;
    this.#forget(packet);
    this.#dropHead();
  }

  #forget(packet: SentPacket): void {
    this.#outstanding -= 1;
    this.#inFlightBytes -= packet.bytes;
    this.#lost.set(packet.number, packet);
    if (this.#lost.size > MAX_REMEMBERED_LOST) {
      for (const number of this.#lost.keys()) {
        this.#lost.delete(number);
        break;
      }
    }
  }

  /** What was learnt of reordering is void: an address has changed (RFC 9000 §9.4), or it is over. */
  resetReordering(): void {
    this.#realLosses = 0;
    this.#packetThreshold = PACKET_THRESHOLD;
    this.#reorderWindowMs = 0;
  }

  #dropHead(): void {
    while (this.#head < this.#packets.length && this.#packets[this.#head] === undefined) {
      this.#head += 1;
    }
    if (this.#head > 64 && this.#head * 2 > this.#packets.length) {
      this.#packets.splice(0, this.#head);
      this.#base += this.#head;
      this.#head = 0;
    }
  }
}

/** @param ranges from the highest down. */
function isWithin(ranges: readonly AckRange[], number: number): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as AckRange).smallest > number) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low];
  return range !== undefined && number <= range.largest;
}
