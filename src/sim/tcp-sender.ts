/**
 * The sending half of a simulated TCP connection: what is outstanding, what is lost, what may go.
 *
 * @module
 */

import { ByteStore } from './byte-store.js';
import { Cubic } from './cubic.js';
import { Deque } from './deque.js';
import type { Range, Segment } from './packet.js';

const NEVER = Number.POSITIVE_INFINITY;
/** RFC 6298 §2. */
const INITIAL_RTO_MS = 1000;
/** Linux TCP_RTO_MIN: the least that the variance adds to the smoothed RTT. */
const MIN_RTO_MARGIN_MS = 200;
/** Linux TCP_RTO_MAX. */
const MAX_RTO_MS = 120_000;
/** Linux `tcp_retries2` and `tcp_orphan_retries`. */
const MAX_RETRIES = 15;
const MAX_ORPHAN_RETRIES = 8;
/** RFC 6675: so many later segments delivered, and a segment counts as lost. */
const LOSS_THRESHOLD = 3;
/** RFC 8985 §6.2: a segment sent this part of an RTT before a delivered one counts as lost. */
const REORDER_WINDOW_RTTS = 0.25;
/** RFC 8985 §7.2, and Linux's allowance for the delayed acknowledgement of a single segment. */
const TLP_RTTS = 2;
const TLP_MARGIN_MS = 2;
const TLP_SINGLE_MARGIN_MS = 200;

const OUTSTANDING = 0;
const SACKED = 1;
const LOST = 2;
const ACKNOWLEDGED = 3;

interface SentSegment {
  readonly sequence: number;
  readonly end: number;
  readonly bytes: number;
  readonly fin: boolean;
  /** Counts transmissions: tells the latest transmission from those before. */
  order: number;
  sentAt: number;
  retransmitted: boolean;
  state: number;
}

/** Hands a segment to the network; `length` 0 without `fin` is a window probe. */
export type TransmitSegment = (sequence: number, length: number, fin: boolean) => void;

/** Counters for measurements. */
export interface TcpSenderStats {
  sentSegments: number;
  retransmittedSegments: number;
  timeouts: number;
  tailProbes: number;
}

export class TcpSender {
  readonly store = new ByteStore();
  readonly congestion = new Cubic();
  readonly stats: TcpSenderStats = {
    sentSegments: 0,
    retransmittedSegments: 0,
    timeouts: 0,
    tailProbes: 0,
  };
  /** Everything before has been acknowledged. */
  acknowledged = 0;
  /** The next new sequence number. */
  next = 0;
  smoothedRttMs = 0;
  minRttMs = NEVER;
  /** Set once the owner is done: FIN follows the last byte. */
  finWanted = false;
  /** When {@link TcpSender.handleTimeout} is to be called. */
  deadline = NEVER;
  private readonly maxSegment: number;
  private readonly transmit: TransmitSegment;
  private readonly segments = new Deque<SentSegment>();
  private readonly lost = new Deque<SentSegment>();
  /** Every transmission in order; an entry is stale once its segment has a later order. */
  private readonly sentOrder = new Deque<SentSegment>();
  private readonly sentOrderNumbers = new Deque<number>();
  private dataEnd = NEVER;
  private finSent = false;
  private windowEnd = 0;
  private flightBytes = 0;
  private sackedCount = 0;
  private nextOrder = 1;
  private newestDelivered = 0;
  private newestDeliveredSentAt = 0;
  private rttVarMs = 0;
  private recovery: 'none' | 'fast' | 'timeout' = 'none';
  private recoveryEnd = 0;
  private forceOne = false;
  private backoff = 0;
  private tailProbed = false;
  private rtoFrom = 0;
  private lastSentAt = 0;
  private roundEnd = 0;
  private limitedUntil = -1;

  constructor(maxSegment: number, transmit: TransmitSegment) {
    this.maxSegment = maxSegment;
    this.transmit = transmit;
  }

  /** The end of what is to be sent. */
  get end(): number {
    return Math.min(this.store.end, this.dataEnd);
  }

  get windowBytes(): number {
    return Math.floor(this.congestion.window * this.maxSegment);
  }

  get inFlightBytes(): number {
    return this.flightBytes;
  }

  get isFinAcknowledged(): boolean {
    return this.finSent && this.acknowledged > this.end;
  }

  get rtoMs(): number {
    const base =
      this.smoothedRttMs === 0
        ? INITIAL_RTO_MS
        : this.smoothedRttMs + Math.max(MIN_RTO_MARGIN_MS, 4 * this.rttVarMs);
    return Math.min(MAX_RTO_MS, base * 2 ** this.backoff);
  }

  /** The owner has gone: what has not been sent never will be, and FIN comes next. */
  dropUnsent(): void {
    if (!this.finSent) this.dataEnd = Math.min(this.store.end, this.next);
    this.finWanted = true;
  }

  openWindow(bytes: number): void {
    this.windowEnd = Math.max(this.windowEnd, bytes);
  }

  sampleRtt(rttMs: number): void {
    this.minRttMs = Math.min(this.minRttMs, rttMs);
    if (this.smoothedRttMs === 0) {
      this.smoothedRttMs = rttMs;
      this.rttVarMs = rttMs / 2;
    } else {
      this.rttVarMs += (Math.abs(rttMs - this.smoothedRttMs) - this.rttVarMs) / 4;
      this.smoothedRttMs += (rttMs - this.smoothedRttMs) / 8;
    }
  }

  /** Takes in what an arriving segment acknowledges. Returns how many bytes became free. */
  handleAck(segment: Segment, now: number): number {
    if (!segment.ack || segment.acknowledged > this.next) return 0;
    this.openWindow(segment.acknowledged + segment.windowBytes);
    const before = this.acknowledged;
    const flightBefore = this.flightBytes;
    const sample = this.takeAcknowledged(segment.acknowledged);
    const sackSample = segment.sacks === undefined ? undefined : this.takeSacks(segment.sacks);
    const newest = sackSample ?? sample;
    const freed = Math.min(this.acknowledged, this.end) - Math.min(before, this.end);
    if (newest !== undefined && !newest.retransmitted) {
      this.sampleRtt(now - newest.sentAt);
      this.congestion.sampleRtt(now - newest.sentAt);
    }
    if (newest !== undefined) this.detectLosses();
    if (this.acknowledged > before) {
      this.store.free(this.acknowledged);
      this.backoff = 0;
      this.tailProbed = false;
      this.rtoFrom = now;
      this.growWindow(this.acknowledged - before, flightBefore, now);
    }
    this.arm(now);
    return freed;
  }

  /** Sends what the windows allow: what is lost first, then what is new. */
  sendMore(now: number): void {
    this.restartIfIdle(now);
    const window = this.windowBytes;
    let sent = 0;
    for (;;) {
      const lost = this.nextLost();
      if (lost !== undefined) {
        const fits = this.flightBytes + lost.bytes <= window || this.flightBytes === 0;
        if (!fits && !this.forceOne) break;
        this.forceOne = false;
        this.lost.shift();
        this.resend(lost, now);
      } else {
        const length = this.newLength();
        if (length < 0) break;
        if (this.flightBytes > 0 && this.flightBytes + length > window) {
          this.limitedUntil = this.next;
          break;
        }
        this.sendNew(length, now);
      }
      sent++;
    }
    if (sent > 0 || this.deadline === NEVER) this.arm(now);
  }

  /**
   * The deadline has come: probes the tail, retransmits or probes a closed window. Returns false
   * if the connection has to be given up.
   */
  handleTimeout(now: number): boolean {
    if (now < this.deadline) return true;
    if (this.segments.length === 0) {
      if (this.end > this.next) {
        this.backoff = Math.min(this.backoff + 1, MAX_RETRIES);
        this.transmit(this.acknowledged - 1, 0, false);
        this.rtoFrom = now;
      }
      this.arm(now);
      return true;
    }
    if (now < this.rtoFrom + this.rtoMs) {
      this.probeTail(now);
      return true;
    }
    return this.timeOut(now);
  }

  private timeOut(now: number): boolean {
    this.stats.timeouts++;
    if (this.recovery !== 'timeout') {
      if (this.backoff === 0) this.congestion.collapse();
      this.recovery = 'timeout';
    }
    this.recoveryEnd = this.next;
    this.congestion.window = 1;
    this.lost.clear();
    this.flightBytes = 0;
    for (let i = 0; i < this.segments.length; i++) {
      const segment = this.segments.at(i);
      if (segment.state === OUTSTANDING) segment.state = LOST;
      if (segment.state === LOST) this.lost.push(segment);
    }
    this.backoff++;
    if (this.backoff > (this.finWanted ? MAX_ORPHAN_RETRIES : MAX_RETRIES)) return false;
    this.rtoFrom = now;
    this.forceOne = true;
    this.sendMore(now);
    this.arm(now);
    return true;
  }

  private probeTail(now: number): void {
    this.stats.tailProbes++;
    this.tailProbed = true;
    this.rtoFrom = now;
    const length = this.newLength();
    if (length >= 0) this.sendNew(length, now);
    else {
      const last = this.segments.at(this.segments.length - 1);
      if (last.state === OUTSTANDING) this.flightBytes -= last.bytes;
      this.resend(last, now);
    }
    this.arm(now);
  }

  /** Pops what is acknowledged; returns its segment that was sent last. */
  private takeAcknowledged(to: number): SentSegment | undefined {
    let newest: SentSegment | undefined;
    while (this.segments.length > 0) {
      const segment = this.segments.at(0);
      if (segment.end > to) break;
      this.segments.shift();
      if (segment.state === SACKED) this.sackedCount--;
      else {
        if (segment.state === OUTSTANDING) this.flightBytes -= segment.bytes;
        if (newest === undefined || segment.order > newest.order) newest = segment;
        this.noteDelivered(segment);
      }
      segment.state = ACKNOWLEDGED;
    }
    this.acknowledged = Math.max(this.acknowledged, to);
    return newest;
  }

  private takeSacks(sacks: readonly Range[]): SentSegment | undefined {
    let newest: SentSegment | undefined;
    for (const range of sacks) {
      for (let i = this.firstFrom(range.start); i < this.segments.length; i++) {
        const segment = this.segments.at(i);
        if (segment.end > range.end) break;
        if (segment.state === SACKED) continue;
        if (segment.state === OUTSTANDING) this.flightBytes -= segment.bytes;
        segment.state = SACKED;
        this.sackedCount++;
        if (newest === undefined || segment.order > newest.order) newest = segment;
        this.noteDelivered(segment);
      }
    }
    return newest;
  }

  private firstFrom(sequence: number): number {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.segments.at(middle).sequence < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private noteDelivered(segment: SentSegment): void {
    if (segment.order <= this.newestDelivered) return;
    this.newestDelivered = segment.order;
    this.newestDeliveredSentAt = segment.sentAt;
  }

  private detectLosses(): void {
    const byOrder = this.newestDelivered - LOSS_THRESHOLD;
    const byTime = this.newestDeliveredSentAt - REORDER_WINDOW_RTTS * this.smoothedRttMs;
    let found = false;
    while (this.sentOrder.length > 0) {
      const segment = this.sentOrder.at(0);
      const order = this.sentOrderNumbers.at(0);
      const live = segment.state === OUTSTANDING && segment.order === order;
      if (live && !(order <= byOrder || segment.sentAt < byTime)) break;
      this.sentOrder.shift();
      this.sentOrderNumbers.shift();
      if (!live) continue;
      segment.state = LOST;
      this.flightBytes -= segment.bytes;
      this.lost.push(segment);
      found = true;
    }
    if (!found || this.recovery !== 'none') return;
    this.recovery = 'fast';
    this.recoveryEnd = this.next;
    this.forceOne = true;
    this.congestion.reduce();
  }

  private growWindow(bytes: number, flightBefore: number, now: number): void {
    if (this.acknowledged >= this.roundEnd) {
      this.roundEnd = this.next;
      this.congestion.startRound();
    }
    if (this.recovery !== 'none' && this.acknowledged >= this.recoveryEnd) this.recovery = 'none';
    if (this.recovery === 'fast') return;
    const slow = this.congestion.inSlowStart && this.windowBytes < 2 * flightBefore;
    const limited = this.acknowledged <= this.limitedUntil || this.recovery === 'timeout';
    if (slow || limited) {
      this.congestion.grow(bytes / this.maxSegment, now, this.smoothedRttMs);
    } else this.congestion.pause();
  }

  private nextLost(): SentSegment | undefined {
    while (this.lost.length > 0) {
      const segment = this.lost.at(0);
      if (segment.state === LOST) return segment;
      this.lost.shift();
    }
    return undefined;
  }

  /** How many bytes the next new segment has; 0: a FIN alone; -1: there is none. */
  private newLength(): number {
    const unsent = this.end - this.next;
    if (unsent <= 0) return this.finWanted && !this.finSent ? 0 : -1;
    const wanted = Math.min(this.maxSegment, unsent);
    const length = Math.min(wanted, this.windowEnd - this.next);
    if (length <= 0) return -1;
    // RFC 9293 §3.8.6.2.1: no runts because of the receiver's window.
    return length < wanted && this.segments.length > 0 ? -1 : length;
  }

  private sendNew(length: number, now: number): void {
    const sequence = this.next;
    const isLast = this.finWanted && sequence + length === this.end;
    if (isLast) this.finSent = true;
    this.next = sequence + length + (isLast ? 1 : 0);
    if (this.segments.length === 0) this.rtoFrom = now;
    const segment: SentSegment = {
      sequence,
      end: this.next,
      bytes: length,
      fin: isLast,
      order: 0,
      sentAt: now,
      retransmitted: false,
      state: OUTSTANDING,
    };
    this.segments.push(segment);
    this.launch(segment, now);
  }

  private resend(segment: SentSegment, now: number): void {
    segment.retransmitted = true;
    if (segment.state === LOST) segment.state = OUTSTANDING;
    if (segment === this.segments.at(0)) this.rtoFrom = now;
    this.stats.retransmittedSegments++;
    this.launch(segment, now);
  }

  private launch(segment: SentSegment, now: number): void {
    segment.order = this.nextOrder++;
    segment.sentAt = now;
    if (segment.state === OUTSTANDING) this.flightBytes += segment.bytes;
    this.sentOrder.push(segment);
    this.sentOrderNumbers.push(segment.order);
    this.stats.sentSegments++;
    this.lastSentAt = now;
    this.transmit(segment.sequence, segment.bytes, segment.fin);
  }

  private restartIfIdle(now: number): void {
    if (this.segments.length > 0 || this.lastSentAt === 0 || this.end === this.next) return;
    const idle = now - this.lastSentAt;
    if (idle > this.rtoMs) this.congestion.restartAfterIdle(idle, this.rtoMs);
  }

  private arm(now: number): void {
    if (this.segments.length === 0) {
      const blocked = this.end > this.next && this.windowEnd <= this.next;
      this.deadline = blocked ? Math.max(this.rtoFrom, this.lastSentAt) + this.rtoMs : NEVER;
      if (blocked && this.deadline <= now) this.deadline = now + this.rtoMs;
      return;
    }
    const timeout = this.rtoFrom + this.rtoMs;
    const mayProbe =
      this.recovery === 'none' &&
      this.backoff === 0 &&
      !this.tailProbed &&
      this.sackedCount === 0 &&
      this.smoothedRttMs > 0;
    const margin = this.segments.length === 1 ? TLP_SINGLE_MARGIN_MS : TLP_MARGIN_MS;
    const probe = now + TLP_RTTS * this.smoothedRttMs + margin;
    this.deadline = mayProbe ? Math.min(probe, timeout) : timeout;
  }
}
