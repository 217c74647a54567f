/**
 * How much may be in flight on a path, and how fast it is sent. One controller a path.
 *
 * @module
 */

import type { Instant } from '../contract.js';
import type { RateSample } from '../delivery-rate.js';

export interface AckInfo {
  readonly ackedBytes: number;
  /** In flight after this ACK. */
  readonly inFlightBytes: number;
  readonly deliveredBytes: number;
  /** When the largest newly acknowledged packet was sent. */
  readonly largestSentAt: Instant;
  readonly rate: RateSample | undefined;
  readonly minRttMs: number;
  readonly smoothedRttMs: number;
  readonly rttVarianceMs: number;
  readonly latestRttMs: number;
  /** The sender had not filled the window before this ACK. */
  readonly isAppLimited: boolean;
}

export interface CongestionController {
  readonly name: string;
  readonly congestionWindowBytes: number;
  /** Bytes per millisecond; `undefined` where the carrier paces by itself. */
  readonly pacingRate: number | undefined;
  /** What the path delivers, in bytes per millisecond; 0 before anything is known. */
  readonly bandwidth: number;
  /** Whether the controller still looks for the path's rate: its estimates are too low. */
  readonly isStarting: boolean;
  acknowledged(info: AckInfo, now: Instant): void;
  /** @param largestLostSentAt one reaction covers all losses of packets sent before it. */
  lost(lostBytes: number, largestLostSentAt: Instant, inFlightBytes: number, now: Instant): void;
  /** The path's packets are of another size now. */
  packetSizeChanged(packetBytes: number): void;
  /**
   * Which part of a flow this path is at its bottleneck, above 0 and up to 1: it grows accordingly
   * when it competes.
   */
  shareChanged(share: number): void;
  /**
   * So much of what was declared lost arrived after all. A reaction is taken back only when all that
   * it was for has arrived (RFC 4015): one packet that was late does not unsay the others.
   */
  lossWasSpurious(bytes: number): void;
}

/** Windows never go below two packets (RFC 9002 §7.2). */
export const MIN_WINDOW_PACKETS = 2;
/** RFC 9002 §7.2: ten packets at first. */
export const INITIAL_WINDOW_PACKETS = 10;
/** No window is larger; bounds what in-flight records can hold of memory. */
export const MAX_WINDOW_BYTES = 64 * 1024 * 1024;
