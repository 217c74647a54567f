/**
 * A controller of the BBR family (Cardwell et al., "BBR: congestion-based congestion control", and
 * draft-ietf-ccwg-bbr): it models the path by the largest delivery rate and the smallest round
 * trip, and does not take single losses for congestion. From the later draft: the gentle
 * ProbeRTT (half a bandwidth-delay product instead of four packets).
 *
 * @module
 */

import type { Instant } from '../contract.js';
import { BaseRtt } from './base-rtt.js';
import {
  type AckInfo,
  type CongestionController,
  INITIAL_WINDOW_PACKETS,
  MAX_WINDOW_BYTES,
} from './controller.js';
import { CubicCurve, type CurveState } from './cubic-curve.js';
import { MaxFilter } from './max-filter.js';
import { QueueWatch } from './queue-watch.js';

/** 2/ln 2: the smallest gain that doubles the sending rate each round. */
const STARTUP_GAIN = 2.885;
const DRAIN_GAIN = 1 / STARTUP_GAIN;
const WINDOW_GAIN = 2;
const CYCLE_GAINS = [1.25, 0.75, 1, 1, 1, 1, 1, 1] as const;
/** Rounds over which the maximum of the delivery rate is taken. */
const BANDWIDTH_ROUNDS = 10;
/** Start-up ends when three rounds brought less than a quarter more. */
const FULL_GROWTH = 1.25;
const FULL_ROUNDS = 3;
/** Start-up also ends after a round that lost this share, and no fewer packets: the queue is full. */
const STARTUP_LOSS_SHARE = 0.05;
const STARTUP_LOSS_PACKETS = 8;
/** The smallest round trip is measured anew after this time without a sample as small. */
const PROBE_RTT_INTERVAL_MS = 10_000;
const PROBE_RTT_WINDOW_GAIN = 0.5;
const PROBE_RTT_MIN_MS = 50;
const MIN_WINDOW_PACKETS_BBR = 4;
/** Sends a little below the model, so that queues do not creep up. */
const PACING_MARGIN = 0.99;

/** A round that lost this share, and no fewer packets, was congested, whatever its round trip. */
const CONGESTED_LOSS_SHARE = 0.06;
const CONGESTED_LOSS_PACKETS = 8;

type Mode = 'startup' | 'drain' | 'probeBandwidth' | 'probeRtt';

export class Bbr implements CongestionController {
  readonly name = 'bbr';
  #packetBytes: number;
  readonly #bandwidth = new MaxFilter();
  #mode: Mode = 'startup';
  #window: number;
  #round = 0;
  #roundEndBytes = 0;
  #roundLostBytes = 0;
  /**
   * Of that, what was sent above the path's rate to probe it: a loss of our own making, which ends
   * the probe and says nothing of others (draft-ietf-ccwg-bbr, BBRAdaptLowerBoundsFromCongestion:
   * no lower bound while it probes).
   */
  #roundProbeLostBytes = 0;
  /** When the last probe began and ended. */
  #probeFrom = Number.POSITIVE_INFINITY;
  #probeTo = Number.POSITIVE_INFINITY;
  #roundStartedAt = 0;
  #roundStartBytes = 0;
  #fullBandwidth = 0;
  #fullRounds = 0;
  #filled = false;
  readonly #baseRtt = new BaseRtt();
  #cycleIndex = 0;
  #cycleAt = 0;
  #probeRttUntil: number | undefined;
  #smoothedRttMs = 0;
  readonly #queue = new QueueWatch();
  /**
   * What a CUBIC flow would have in flight since the last congestion; `undefined` while none is
   * near. The model alone would take from such a flow whatever it gives up.
   */
  #bound: CubicCurve | undefined;
  #share = 1;
  #recoverySince = Number.NEGATIVE_INFINITY;
  #undo: { readonly bound: CurveState | undefined; lostBytes: number } | undefined;

  /** @param packetBytes the path's packet size. */
  constructor(packetBytes: number) {
    this.#packetBytes = packetBytes;
    this.#window = INITIAL_WINDOW_PACKETS * packetBytes;
  }

  packetSizeChanged(packetBytes: number): void {
    this.#packetBytes = packetBytes;
    if (this.#bound !== undefined) this.#bound.packetBytes = packetBytes;
  }

  shareChanged(share: number): void {
    this.#share = share;
    if (this.#bound !== undefined) this.#bound.share = share;
  }

  get congestionWindowBytes(): number {
    return Math.min(this.#window, this.#bound?.windowBytes ?? MAX_WINDOW_BYTES);
  }

  get isStarting(): boolean {
    return !this.#filled;
  }

  get bandwidth(): number {
    return this.#bandwidth.value;
  }

  get pacingRate(): number | undefined {
    if (this.#smoothedRttMs === 0) return undefined;
    if (this.#bandwidth.value === 0) return (STARTUP_GAIN * this.#window) / this.#smoothedRttMs;
    const rate = PACING_MARGIN * this.#pacingGain() * this.#bandwidth.value;
    const initial = (INITIAL_WINDOW_PACKETS * this.#packetBytes) / this.#smoothedRttMs;
    return this.#filled ? rate : Math.max(rate, initial);
  }

  #pacingGain(): number {
    switch (this.#mode) {
      case 'startup':
        return STARTUP_GAIN;
      case 'drain':
        return DRAIN_GAIN;
      case 'probeBandwidth':
        return CYCLE_GAINS[this.#cycleIndex] ?? 1;
      case 'probeRtt':
        return 1;
    }
  }

  #bdpBytes(): number {
    return this.#bandwidth.value * this.#baseRtt.valueMs;
  }

  acknowledged(info: AckInfo, now: Instant): void {
    this.#smoothedRttMs = info.smoothedRttMs;
    this.#queue.sample(info.latestRttMs);
    const isRoundStart = this.#countRound(info, now);
    if (isRoundStart) this.#queue.endRound(now);
    if (info.rate !== undefined) {
      if (!info.rate.isAppLimited || info.rate.bytesPerMs > this.#bandwidth.value) {
        this.#bandwidth.update(info.rate.bytesPerMs, this.#round, BANDWIDTH_ROUNDS);
      }
    }
    if (isRoundStart) this.#checkFull(info);
    this.#measureRtt(info, isRoundStart, now);
    this.#advance(info, now);
    this.#setWindow(info);
    this.#growBound(info, now);
  }

  #countRound(info: AckInfo, now: Instant): boolean {
    if (info.rate === undefined || info.rate.priorDeliveredBytes < this.#roundEndBytes) {
      return false;
    }
    this.#round += 1;
    this.#roundEndBytes = info.deliveredBytes;
    if (!this.#filled) {
      this.#filled = this.#wasRoundLossy(info, STARTUP_LOSS_SHARE, STARTUP_LOSS_PACKETS);
    } else if (
      this.#recoverySince < this.#roundStartedAt &&
      this.#wasRoundLossy(
        info,
        CONGESTED_LOSS_SHARE,
        CONGESTED_LOSS_PACKETS,
        this.#roundProbeLostBytes,
      )
    ) {
      this.#backOff(info.inFlightBytes, now);
    }
    this.#roundStartedAt = now;
    this.#roundStartBytes = info.deliveredBytes;
    this.#roundLostBytes = 0;
    this.#roundProbeLostBytes = 0;
    return true;
  }

  #wasRoundLossy(info: AckInfo, share: number, packets: number, excusedBytes = 0): boolean {
    const lost = this.#roundLostBytes - excusedBytes;
    const total = lost + info.deliveredBytes - this.#roundStartBytes;
    return lost > share * total && lost >= packets * this.#packetBytes;
  }

  #checkFull(info: AckInfo): void {
    if (this.#filled || info.rate?.isAppLimited === true) return;
    if (this.#bandwidth.value >= this.#fullBandwidth * FULL_GROWTH) {
      this.#fullBandwidth = this.#bandwidth.value;
      this.#fullRounds = 0;
    } else {
      this.#fullRounds += 1;
    }
    this.#filled = this.#fullRounds >= FULL_ROUNDS;
  }

  #measureRtt(info: AckInfo, isRoundStart: boolean, now: Instant): void {
    this.#baseRtt.sample(info.latestRttMs);
    if (this.#mode === 'probeRtt') return;
    const inFlightMs = info.inFlightBytes / Math.max(0.01, this.#bandwidth.value);
    if (isRoundStart) this.#baseRtt.endRound(!this.#filled, inFlightMs, now);
    const isOld = this.#baseRtt.needsMeasuring(PROBE_RTT_INTERVAL_MS, now);
    if (isOld && this.#mode === 'probeBandwidth') {
      this.#endProbe(now);
      this.#mode = 'probeRtt';
      this.#probeRttUntil = undefined;
    }
  }

  #advance(info: AckInfo, now: Instant): void {
    if (this.#mode === 'startup' && this.#filled) this.#mode = 'drain';
    if (this.#mode === 'drain' && info.inFlightBytes <= this.#bdpBytes()) {
      // What was sent before, and is lost, was lost to a queue of our own.
      this.#recoverySince = now;
      this.#enterProbeBandwidth(now);
    }
    if (this.#mode === 'probeBandwidth') this.#advanceCycle(info, now);
    if (this.#mode === 'probeRtt') this.#advanceProbeRtt(info, now);
  }

  #enterProbeBandwidth(now: Instant): void {
    this.#mode = 'probeBandwidth';
    this.#cycleIndex = 2;
    this.#cycleAt = now;
  }

  #advanceCycle(info: AckInfo, now: Instant): void {
    const gain = this.#pacingGain();
    const elapsed = now - this.#cycleAt > this.#baseRtt.valueMs;
    const drained = gain < 1 && info.inFlightBytes <= this.#bdpBytes();
    const probed =
      gain > 1 && (this.#roundLostBytes > 0 || info.inFlightBytes >= gain * this.#bdpBytes());
    const over = gain > 1 ? elapsed && (probed || info.isAppLimited) : elapsed || drained;
    if (!over) return;
    this.#cycleIndex = (this.#cycleIndex + 1) % CYCLE_GAINS.length;
    this.#cycleAt = now;
    this.#endProbe(now);
    if (this.#pacingGain() <= 1) return;
    this.#probeFrom = now;
    this.#probeTo = Number.POSITIVE_INFINITY;
  }

  #endProbe(now: Instant): void {
    this.#probeTo = Math.min(this.#probeTo, now);
  }

  #advanceProbeRtt(info: AckInfo, now: Instant): void {
    if (this.#probeRttUntil === undefined) {
      if (info.inFlightBytes > this.#probeRttWindow()) return;
      this.#probeRttUntil = now + Math.max(PROBE_RTT_MIN_MS, info.latestRttMs);
      this.#baseRtt.restart();
    }
    if (now < this.#probeRttUntil) return;
    this.#baseRtt.replace(now);
    this.#probeRttUntil = undefined;
    this.#enterProbeBandwidth(now);
  }

  #probeRttWindow(): number {
    const floor = MIN_WINDOW_PACKETS_BBR * this.#packetBytes;
    return Math.max(floor, PROBE_RTT_WINDOW_GAIN * this.#bdpBytes());
  }

  #setWindow(info: AckInfo): void {
    const floor = MIN_WINDOW_PACKETS_BBR * this.#packetBytes;
    if (this.#mode === 'probeRtt') {
      this.#window = Math.min(this.#window, this.#probeRttWindow());
      return;
    }
    const gain = this.#filled ? WINDOW_GAIN : STARTUP_GAIN;
    const target = gain * this.#bdpBytes() + 3 * this.#packetBytes;
    if (this.#filled) this.#window = Math.min(target, this.#window + info.ackedBytes);
    else if (this.#window < target || this.#bandwidth.value === 0) this.#window += info.ackedBytes;
    this.#window = Math.min(MAX_WINDOW_BYTES, Math.max(floor, this.#window));
  }

  #growBound(info: AckInfo, now: Instant): void {
    const bound = this.#bound;
    if (bound === undefined || info.largestSentAt <= this.#recoverySince) return;
    if (!info.isAppLimited) bound.grow(info.ackedBytes, info.smoothedRttMs, now);
    // The model asks for less: whoever filled the queue has gone, or leaves us our share.
    if (bound.windowBytes >= this.#window && this.#mode !== 'probeRtt') this.#bound = undefined;
  }

  lost(lostBytes: number, largestLostSentAt: Instant, inFlightBytes: number, now: Instant): void {
    this.#roundLostBytes += lostBytes;
    if (largestLostSentAt >= this.#probeFrom && largestLostSentAt <= this.#probeTo) {
      this.#roundProbeLostBytes += lostBytes;
    }
    if (largestLostSentAt <= this.#recoverySince) {
      if (this.#undo !== undefined) this.#undo.lostBytes += lostBytes;
      return;
    }
    if (this.#queue.isFull(this.#smoothedRttMs)) this.#backOff(inFlightBytes + lostBytes, now);
  }

  #backOff(inFlightBytes: number, now: Instant): void {
    // While it starts it fills queues by itself, and looks at losses by itself.
    if (this.#mode === 'startup' || this.#mode === 'drain') return;
    this.#recoverySince = now;
    this.#undo = { bound: this.#bound?.state, lostBytes: this.#roundLostBytes };
    const usedBytes = Math.min(this.congestionWindowBytes, inFlightBytes);
    this.#bound ??= new CubicCurve(this.#packetBytes, usedBytes);
    this.#bound.share = this.#share;
    this.#bound.backOff(usedBytes);
  }

  lossWasSpurious(bytes: number): void {
    this.#roundLostBytes = Math.max(0, this.#roundLostBytes - bytes);
    this.#roundProbeLostBytes = Math.min(this.#roundProbeLostBytes, this.#roundLostBytes);
    const undo = this.#undo;
    if (undo === undefined) return;
    undo.lostBytes -= bytes;
    if (undo.lostBytes > 0) return;
    this.#undo = undefined;
    if (undo.bound === undefined) this.#bound = undefined;
    else this.#bound?.restore(undo.bound);
  }
}
