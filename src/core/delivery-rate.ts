/**
 * How fast a path delivers (draft-cheng-iccrg-delivery-rate-estimation): each packet remembers how
 * much had been delivered when it was sent, and its acknowledgement makes a sample of the rate
 * between the two, by the slower of sending and acknowledging.
 *
 * @module
 */

import type { Instant } from './contract.js';

/** What a packet remembers for its rate sample. */
export interface RateMark {
  readonly deliveredBytes: number;
  readonly deliveredAt: Instant;
  readonly firstSentAt: Instant;
  readonly isAppLimited: boolean;
}

export interface RateSample {
  readonly bytesPerMs: number;
  /** The sender had too little to send: the path may be faster than this. */
  readonly isAppLimited: boolean;
  /** What had been delivered when the packet was sent; tells rounds. */
  readonly priorDeliveredBytes: number;
}

export class DeliveryRate {
  #deliveredBytes = 0;
  #deliveredAt = 0 as Instant;
  #firstSentAt = 0 as Instant;
  #appLimitedUntilBytes = 0;
  #prior: { readonly mark: RateMark; readonly sentAt: Instant } | undefined;

  get deliveredBytes(): number {
    return this.#deliveredBytes;
  }

  /** Call before each packet is added to what is in flight. */
  mark(inFlightBytes: number, now: Instant): RateMark {
    if (inFlightBytes === 0) {
      this.#firstSentAt = now;
      this.#deliveredAt = now;
    }
    return {
      deliveredBytes: this.#deliveredBytes,
      deliveredAt: this.#deliveredAt,
      firstSentAt: this.#firstSentAt,
      isAppLimited: this.#appLimitedUntilBytes > 0,
    };
  }

  /** The path could carry more than there is to send: samples until all this is delivered say little. */
  limitedByApplication(inFlightBytes: number): void {
    this.#appLimitedUntilBytes = this.#deliveredBytes + Math.max(1, inFlightBytes);
  }

  /** One packet of an ACK; call {@link takeSample} after the last. */
  delivered(mark: RateMark, bytes: number, sentAt: Instant, now: Instant): void {
    this.#deliveredBytes += bytes;
    this.#deliveredAt = now;
    if (this.#prior === undefined || mark.deliveredBytes > this.#prior.mark.deliveredBytes) {
      this.#prior = { mark, sentAt };
      this.#firstSentAt = sentAt;
    }
    if (this.#appLimitedUntilBytes > 0 && this.#deliveredBytes > this.#appLimitedUntilBytes) {
      this.#appLimitedUntilBytes = 0;
    }
  }

  takeSample(minRttMs: number, now: Instant): RateSample | undefined {
    const prior = this.#prior;
    this.#prior = undefined;
    if (prior === undefined) return undefined;
    const { mark, sentAt } = prior;
    const sendMs = sentAt - mark.firstSentAt;
    const ackMs = now - mark.deliveredAt;
    const intervalMs = Math.max(sendMs, ackMs);
    // Too short an interval is compressed acknowledgements, not a fast path.
    if (intervalMs <= 0 || intervalMs < minRttMs * 0.5) return undefined;
    return {
      bytesPerMs: (this.#deliveredBytes - mark.deliveredBytes) / intervalMs,
      isAppLimited: mark.isAppLimited,
      priorDeliveredBytes: mark.deliveredBytes,
    };
  }
}
