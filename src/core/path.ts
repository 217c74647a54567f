/**
 * One path of a session: its keys, its packet numbers, what it has measured, and its state.
 *
 * A path belongs to one carrier for all its life. On a datagram carrier the address of the other
 * end may change while the path, its keys and its packet numbers stay ({@link AddressBook}); on a
 * stream carrier nothing changes, and the path ends with the carrier. Path id, packet number space
 * and keys are one: an id is never used twice, so neither is a nonce.
 *
 * @module
 */

import type { PacketOpener, PacketSealer, ReplayWindow } from '../crypto/index.js';
import type { Frame } from '../wire/index.js';
import { AckTracker } from './ack-tracker.js';
import type { AddressBook } from './address-book.js';
import type { Ahead } from './ahead.js';
import type { Carrier } from './carrier.js';
import { type CongestionController, DelayTrace } from './congestion/index.js';
import type { Address, CarrierId, CarrierName, Instant, PathId } from './contract.js';
import { DeliveryRate } from './delivery-rate.js';
import { assert } from './errors.js';
import { KeepAlive, type KeepAliveBounds } from './keep-alive.js';
import { PathHealth } from './path-health.js';
import { PathMtu, SPEC_BASE_DATAGRAM_BYTES } from './path-mtu.js';
import { Recovery } from './recovery.js';
import { RttEstimator } from './rtt.js';
import type { Piece } from './streams/stream-table.js';

/**
 * - `joining`: opened by us, nothing authentic has come back yet. Its first flight may carry data.
 * - `active`: in use.
 * - `suspect`: no acknowledgement came in time. Only probes go on it.
 * - `closed`: for good.
 */
export type PathState = 'joining' | 'active' | 'suspect' | 'closed';

/** How a path may be used: a backup carries data only while no available path does. */
export type PathStatus = 'available' | 'backup';

/** All counted from the path's beginning; sizes in bytes of packets, without the carrier's headers. */
export interface PathStatistics {
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly lostPackets: number;
  /** Declared lost, but arrived. */
  readonly spuriousLosses: number;
  /** Stream bytes that were sent although another path had them in flight. */
  readonly reinjectedBytes: number;
  /** Packets that were not authentic. */
  readonly rejectedPackets: number;
  /** Packets with a number that had come before, or that is too old to tell; none of them counts. */
  readonly replayedPackets: number;
  readonly suspectCount: number;
  readonly smoothedRttMs: number;
  readonly minRttMs: number;
  /** The smallest of the last second or two. */
  readonly recentRttMs: number;
  readonly rttVarianceMs: number;
  /** How often a round trip was longer than the one before by more than half of the shortest. */
  readonly rttJumps: number;
  /** Delivery rate in bytes per millisecond. */
  readonly bandwidth: number;
  readonly inFlightBytes: number;
  readonly congestionWindowBytes: number;
  /** The largest packet that is sent now; on a datagram path what is known to pass. */
  readonly packetBytes: number;
  /**
   * Datagram paths: which part of one flow this path is in competition with others. 1: it shares its
   * bottleneck with no other path of the session, as far as delays tell.
   */
  readonly bottleneckShare: number;
}

/** After a pause, this much may go at once. */
const PACING_BURST_MS = 2;
/**
 * A driver that comes late while something waits for its turn has this much caught up with: on a
 * busy machine timers are late by many milliseconds, and a rate that is not used is soon forgotten.
 */
const PACING_CATCH_UP_MS = 20;
/** Packets on stream carriers hold about this much time of the path's rate. */
const STREAM_PACKET_MS = 4;
const STREAM_PACKET_MIN_BYTES = 4_096;
const STREAM_PACKET_INITIAL_BYTES = 4_096;

export interface PathParts {
  readonly id: PathId;
  readonly carrier: Carrier;
  readonly addresses: AddressBook | undefined;
  readonly sealer: PacketSealer;
  readonly opener: PacketOpener;
  readonly replay: ReplayWindow;
  /** Datagram carriers: goes in front of the packets that we send, and of those we receive. */
  readonly sendConnectionId: Uint8Array;
  readonly receiveConnectionId: Uint8Array;
  readonly congestion: CongestionController;
  readonly maxAckDelayMs: number;
  readonly keepAlive: KeepAliveBounds;
  readonly state: 'joining' | 'active';
  readonly now: Instant;
}

const LEGAL_BEFORE: Record<PathState, readonly PathState[]> = {
  joining: [],
  active: ['joining', 'suspect'],
  suspect: ['joining', 'active'],
  closed: ['joining', 'active', 'suspect'],
};

export class Path {
  readonly id: PathId;
  readonly carrier: Carrier;
  readonly addresses: AddressBook | undefined;
  readonly sealer: PacketSealer;
  readonly opener: PacketOpener;
  readonly replay: ReplayWindow;
  readonly sendConnectionId: Uint8Array;
  readonly receiveConnectionId: Uint8Array;
  readonly acks: AckTracker;
  readonly rate = new DeliveryRate();
  readonly recovery: Recovery;
  readonly health: PathHealth;
  /** Datagram carriers: how large a packet may be. */
  readonly mtu: PathMtu | undefined;
  readonly keepAlive: KeepAlive;
  readonly openedAt: Instant;
  /** Round trips over time, to compare with those of other paths. */
  delays = new DelayTrace();
  /** Which part of a flow it is at its bottleneck; 1 if it shares it with no other path. */
  #share = 1;
  /** Frames that must travel on this path. */
  readonly pinned: Frame[] = [];
  /** Data that another path carries and that shall go on this one too (scheduler `redundant`). */
  readonly copies: Piece[] = [];
  /** Copies of what is under way, for an address that the path will most likely move to. */
  ahead: Ahead | undefined;
  rtt = new RttEstimator();
  congestion: CongestionController;
  #state: PathState;
  /** How we wish it to be used, and how the peer does. */
  localStatus: PathStatus = 'available';
  peerStatus: PathStatus = 'available';
  statusSequence = 0;
  peerStatusSequence = -1;
  /** The window, or pacing, held something back since the last ACK. */
  wasWindowLimited = false;
  lastReceivedAt: Instant;
  lastSentAt: Instant;
  #pacedUntil = 0;
  /** Something waits for the pacer. */
  isHeldByPacer = false;
  readonly counters = {
    sentPackets: 0,
    sentBytes: 0,
    receivedPackets: 0,
    receivedBytes: 0,
    lostPackets: 0,
    spuriousLosses: 0,
    reinjectedBytes: 0,
    rejectedPackets: 0,
    replayedPackets: 0,
    suspectCount: 0,
  };

  constructor(parts: PathParts) {
    this.id = parts.id;
    this.carrier = parts.carrier;
    this.addresses = parts.addresses;
    this.sealer = parts.sealer;
    this.opener = parts.opener;
    this.replay = parts.replay;
    this.sendConnectionId = parts.sendConnectionId;
    this.receiveConnectionId = parts.receiveConnectionId;
    this.congestion = parts.congestion;
    this.acks = new AckTracker(parts.maxAckDelayMs, parts.carrier.isStream);
    this.recovery = new Recovery(parts.carrier.isStream);
    this.health = new PathHealth(parts.now);
    this.keepAlive = new KeepAlive(parts.keepAlive);
    this.mtu = parts.carrier.isStream
      ? undefined
      : new PathMtu(parts.carrier.info.maxDatagramBytes ?? SPEC_BASE_DATAGRAM_BYTES);
    this.#state = parts.state;
    this.openedAt = parts.now;
    this.lastReceivedAt = parts.now;
    this.lastSentAt = parts.now;
  }

  get state(): PathState {
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#state !== 'closed';
  }

  get isBackup(): boolean {
    return this.localStatus === 'backup' || this.peerStatus === 'backup';
  }

  /** May carry new data. */
  get isUsable(): boolean {
    return this.#state === 'active' || this.#state === 'joining';
  }

  /** Active, and not in doubt: everything on it was acknowledged in time. */
  get isHealthy(): boolean {
    return this.#state === 'active' && this.health.timeoutCount === 0;
  }

  moveTo(state: PathState): void {
    assert(
      LEGAL_BEFORE[state].includes(this.#state),
      `a path goes from ${this.#state} to ${state}`,
    );
    this.#state = state;
    if (state === 'suspect') this.counters.suspectCount += 1;
  }

  // What may be sent, and when.

  /** Bytes that the window leaves free. */
  get windowSpaceBytes(): number {
    return this.congestion.congestionWindowBytes - this.recovery.inFlightBytes;
  }

  /** Bytes that the carrier, or an unvalidated address, allows now. */
  get carrierSpaceBytes(): number {
    if (this.carrier.isStream) return this.carrier.grantBytes;
    return this.addresses?.budgetBytes ?? Number.POSITIVE_INFINITY;
  }

  /** When pacing allows the next packet; in the past if it does now. */
  get pacedUntil(): Instant {
    return this.#pacedUntil as Instant;
  }

  /** Whole packet sizes, header and tag included. */
  get packetBytes(): number {
    if (this.mtu !== undefined) return this.mtu.packetBytes;
    const { bandwidth, congestionWindowBytes } = this.congestion;
    if (bandwidth === 0) return STREAM_PACKET_INITIAL_BYTES;
    const wanted = Math.min(bandwidth * STREAM_PACKET_MS, congestionWindowBytes / 12);
    return Math.max(STREAM_PACKET_MIN_BYTES, Math.floor(wanted));
  }

  get share(): number {
    return this.#share;
  }

  set share(share: number) {
    this.#share = share;
    this.congestion.shareChanged(share);
  }

  countSent(bytes: number, ackEliciting: boolean, now: Instant): void {
    this.counters.sentPackets += 1;
    this.counters.sentBytes += bytes;
    this.keepAlive.spoke(now - Math.max(this.lastSentAt, this.lastReceivedAt), now);
    this.lastSentAt = now;
    const rate = this.congestion.pacingRate;
    if (rate === undefined || rate === 0 || !ackEliciting) return;
    const burstMs = this.isHeldByPacer ? PACING_CATCH_UP_MS : PACING_BURST_MS;
    this.#pacedUntil = Math.max(this.#pacedUntil, now - burstMs) + bytes / rate;
    if (this.#pacedUntil >= now) this.isHeldByPacer = false;
  }

  /** Milliseconds until `bytes` more would have arrived at the other end, by what is known. */
  arrivalMs(bytes: number): number {
    const oneWayMs = this.rtt.minRttMs / 2;
    const rate = this.ratePerMs;
    const ahead = this.recovery.inFlightBytes + bytes - rate * this.rtt.minRttMs;
    const modelMs = oneWayMs + Math.max(0, ahead) / rate;
    if (!this.carrier.isStream || this.recovery.inFlightBytes === 0) return modelMs;
    // A stream carrier that repairs its losses holds up all behind them: only the round trip shows it.
    return Math.max(modelMs, this.rtt.smoothedRttMs - oneWayMs);
  }

  /** Bytes per millisecond that the path carries; a guess from its window before any sample. */
  get ratePerMs(): number {
    const { bandwidth, congestionWindowBytes } = this.congestion;
    const guess = congestionWindowBytes / this.rtt.smoothedRttMs;
    return Math.max(
      0.01,
      bandwidth === 0 || this.congestion.isStarting ? Math.max(guess, bandwidth) : bandwidth,
    );
  }

  statistics(): PathStatistics {
    return {
      ...this.counters,
      smoothedRttMs: this.rtt.smoothedRttMs,
      minRttMs: this.rtt.minRttMs,
      recentRttMs: this.rtt.recentRttMs,
      rttVarianceMs: this.rtt.rttVarianceMs,
      rttJumps: this.rtt.jumps,
      bandwidth: this.congestion.bandwidth,
      inFlightBytes: this.recovery.inFlightBytes,
      congestionWindowBytes: this.congestion.congestionWindowBytes,
      packetBytes: this.packetBytes,
      bottleneckShare: this.#share,
    };
  }
}

/** What an owner of the session may know of a path. */
export interface PathInfo {
  readonly pathId: PathId;
  readonly carrierId: CarrierId;
  /** What moves its bytes. */
  readonly carrier: CarrierName;
  readonly state: PathState;
  readonly isBackup: boolean;
  readonly local: string;
  readonly remote: Address | undefined;
  readonly statistics: PathStatistics;
}

export function pathInfo(path: Path): PathInfo {
  return {
    pathId: path.id,
    carrierId: path.carrier.id,
    carrier: path.carrier.info.name,
    state: path.state,
    isBackup: path.isBackup,
    local: path.carrier.info.local,
    remote: path.addresses?.current ?? path.carrier.info.remote,
    statistics: path.statistics(),
  };
}
