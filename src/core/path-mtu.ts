/**
 * How large a datagram the path carries (RFC 8899, DPLPMTUD). The search begins at what passes
 * nearly everywhere and probes with packets of PADDING, which nobody misses when they are lost.
 * A probe is no part of what is in flight: its loss tells of its size, and of nothing else.
 *
 * @module
 */

import type { AckRange } from '../wire/index.js';
import type { Instant } from './contract.js';

/** Passes nearly everywhere (RFC 9000 §14; BASE_PLPMTU of RFC 8899 §5.1.2). */
export const SPEC_BASE_DATAGRAM_BYTES = 1_200;
/** What IPv4 leaves of an Ethernet frame: the first guess, and most often the last. */
const LIKELY_DATAGRAM_BYTES = 1_472;
/** A size is given up after so many lost probes (MAX_PROBES of RFC 8899 §5.1.2). */
const MAX_PROBES = 3;
/** The search ends when no more than this is to be gained: 1 % of a packet. */
const GRAIN_BYTES = 16;
/** After this long the path may have become wider (PMTU_RAISE_TIMER of RFC 8899 §5.1.1). */
const RAISE_AFTER_MS = 600_000;
/** A probe that is unanswered for so many probe timeouts is lost, whatever else arrives. */
const PROBE_TIMEOUTS = 3;
/**
 * So many larger packets lost with none of them arriving, while a small one does, make a black
 * hole (RFC 8899 §4.3).
 */
const BLACK_HOLE_PACKETS = 3;

interface Probe {
  readonly number: number;
  readonly bytes: number;
  readonly expiresAt: number;
}

/** A packet as this search sees it. */
interface SizedPacket {
  readonly number: number;
  readonly bytes: number;
}

export class PathMtu {
  readonly #baseBytes: number;
  readonly #ceilingBytes: number;
  #packetBytes: number;
  /** The smallest size that failed; above the ceiling if none has. */
  #failedBytes: number;
  #attempts = 0;
  #probe: Probe | undefined;
  /** A packet was full: only then is a larger size worth a probe. */
  #isWanted = false;
  #raiseAt = Number.POSITIVE_INFINITY;
  #lostLarge = 0;
  #largestLargeAcked = -1;
  #hasSmallArrived = false;

  /** @param ceilingBytes the carrier's limit. */
  constructor(ceilingBytes: number) {
    this.#ceilingBytes = ceilingBytes;
    this.#baseBytes = Math.min(SPEC_BASE_DATAGRAM_BYTES, ceilingBytes);
    this.#packetBytes = this.#baseBytes;
    this.#failedBytes = ceilingBytes + 1;
  }

  /** The largest datagram that is known to arrive, header and tag included. */
  get packetBytes(): number {
    return this.#packetBytes;
  }

  /** A size for which there is no need of proof. */
  get baseBytes(): number {
    return this.#baseBytes;
  }

  /** A packet that is no probe was sent. */
  sent(bytes: number): void {
    if (bytes > this.#packetBytes - GRAIN_BYTES) this.#isWanted = true;
  }

  /** The size of the probe to send now, if any; {@link probed} must follow. */
  nextProbeBytes(now: Instant): number | undefined {
    if (!this.#isWanted || this.#probe !== undefined) return undefined;
    if (now >= this.#raiseAt) this.#failedBytes = this.#ceilingBytes + 1;
    const bytes = this.#candidate();
    if (bytes === undefined) {
      this.#isWanted = false;
      return undefined;
    }
    return bytes;
  }

  #candidate(): number | undefined {
    const isFresh = this.#failedBytes > this.#ceilingBytes;
    if (this.#packetBytes >= this.#ceilingBytes) return undefined;
    if (isFresh && this.#packetBytes < LIKELY_DATAGRAM_BYTES) {
      return Math.min(LIKELY_DATAGRAM_BYTES, this.#ceilingBytes);
    }
    if (isFresh) return this.#ceilingBytes;
    if (this.#failedBytes - this.#packetBytes <= GRAIN_BYTES) return undefined;
    return (this.#packetBytes + this.#failedBytes) >> 1;
  }

  probed(number: number, bytes: number, probeTimeoutMs: number, now: Instant): void {
    this.#probe = { number, bytes, expiresAt: now + PROBE_TIMEOUTS * probeTimeoutMs };
    this.#raiseAt = now + RAISE_AFTER_MS;
  }

  /** When {@link expire} has something to do. */
  get expiresAt(): Instant | undefined {
    return this.#probe?.expiresAt as Instant | undefined;
  }

  expire(now: Instant): void {
    if (this.#probe !== undefined && now >= this.#probe.expiresAt) this.#probeLost(this.#probe);
  }

  /** @param threshold a probe is lost when a packet so much later has arrived. */
  acknowledged(ranges: readonly AckRange[], threshold: number): void {
    const probe = this.#probe;
    if (probe === undefined) return;
    const { number, bytes } = probe;
    if (ranges.some((range) => number >= range.smallest && number <= range.largest)) {
      this.#probe = undefined;
      this.#attempts = 0;
      this.#packetBytes = bytes;
      this.#trustLarge(number);
    } else if ((ranges[0]?.largest ?? 0) >= number + threshold) {
      this.#probeLost(probe);
    }
  }

  #probeLost(probe: Probe): void {
    this.#probe = undefined;
    this.#attempts += 1;
    if (this.#attempts < MAX_PROBES) return;
    this.#attempts = 0;
    this.#failedBytes = probe.bytes;
  }

  #trustLarge(number: number): void {
    this.#largestLargeAcked = Math.max(this.#largestLargeAcked, number);
    this.#lostLarge = 0;
    this.#hasSmallArrived = false;
  }

  /**
   * What became of packets that were no probes.
   *
   * @returns whether larger packets no longer pass: the size is the smallest again.
   */
  settled(acked: readonly SizedPacket[], lost: readonly SizedPacket[]): boolean {
    if (this.#packetBytes === this.#baseBytes) return false;
    for (const { number, bytes } of acked) {
      if (bytes > this.#baseBytes) this.#trustLarge(number);
      else if (number > this.#largestLargeAcked) this.#hasSmallArrived = true;
    }
    for (const { number, bytes } of lost) {
      if (bytes > this.#baseBytes && number > this.#largestLargeAcked) this.#lostLarge += 1;
    }
    if (this.#lostLarge < BLACK_HOLE_PACKETS || !this.#hasSmallArrived) return false;
    this.restart();
    return true;
  }

  /** What was learnt is void: another network, or one that swallows what passed before. */
  restart(): void {
    this.#packetBytes = this.#baseBytes;
    this.#failedBytes = this.#ceilingBytes + 1;
    this.#attempts = 0;
    this.#probe = undefined;
    this.#lostLarge = 0;
    this.#hasSmallArrived = false;
    // The losses behind us are of the old size.
    this.#largestLargeAcked = -1;
    this.#isWanted = true;
    this.#raiseAt = Number.POSITIVE_INFINITY;
  }
}
