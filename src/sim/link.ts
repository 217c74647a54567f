/**
 * One direction of a simulated link, sans-IO: packets and time in, packets and the next time out.
 *
 * A packet waits in a drop-tail queue that is served at the link's rate; then it may be lost, so a
 * lost packet has used its time on the link; then it travels through a delay line.
 *
 * @module
 */

import type { Instant } from '../core/contract.js';
import type { Prng } from './prng.js';
import { PacketRing } from './ring.js';

/** Losses in bursts (Gilbert 1960, Elliott 1963): a good and a bad state, changed per packet. */
export interface BurstLoss {
  /** Probability, per packet, of leaving the good state. */
  readonly goodToBad: number;
  /** Probability, per packet, of leaving the bad state. */
  readonly badToGood: number;
  /** Probability of loss in the bad state. */
  readonly lossWhenBad: number;
  /** Probability of loss in the good state. */
  readonly lossWhenGood: number;
}

/** How one direction of a link behaves. Sizes are those of IP packets, headers included. */
export interface LinkParams {
  /** Bits per second; 0 is unlimited. */
  readonly rateBitsPerSec: number;
  /** One-way delay. */
  readonly delayMs: number;
  /** Each packet's delay varies uniformly by up to this much either way, never below 0. */
  readonly jitterMs: number;
  /** Whether jitter lets packets overtake each other; if not, they keep their order. */
  readonly reorder: boolean;
  /** Probability of independent loss, 0 to 1. */
  readonly loss: number;
  readonly burstLoss?: BurstLoss | undefined;
  /** Probability that a packet arrives twice, 0 to 1. */
  readonly duplicate: number;
  /** Limit of the queue in bytes, the packet in transmission included. */
  readonly queueBytes?: number | undefined;
  /** Limit of the queue in ms at the present rate; wins over `queueBytes`. Neither: endless. */
  readonly queueMs?: number | undefined;
  /** Drops everything; setting it drops what is queued or on the way, too. */
  readonly black: boolean;
  /** Larger packets are dropped. */
  readonly mtu: number;
}

/** No delay, no loss, no limit but the usual MTU. */
export const IDEAL_LINK: LinkParams = {
  rateBitsPerSec: 0,
  delayMs: 0,
  jitterMs: 0,
  reorder: false,
  loss: 0,
  duplicate: 0,
  black: false,
  mtu: 1500,
};

/** Totals since the link was made. */
export interface LinkStats {
  offeredPackets: number;
  offeredBytes: number;
  deliveredPackets: number;
  deliveredBytes: number;
  droppedByQueue: number;
  droppedByLoss: number;
  droppedByBlack: number;
  droppedByMtu: number;
  duplicatedPackets: number;
  /** Longest time from a packet's arrival to the end of its transmission. */
  queueDelayMaxMs: number;
}

/** Packets that a link without a queue limit holds at most; more are dropped as by its queue. */
export const LINK_MAX_QUEUE_PACKETS = 1_000_000;

const NEVER = Number.POSITIVE_INFINITY;

/**
 * The link. After `submit`, `set` or a `take`, look at {@link Link.nextAt} and call `take` then,
 * until it gives nothing. Time must not go back.
 */
export class Link<T> {
  readonly stats: LinkStats = {
    offeredPackets: 0,
    offeredBytes: 0,
    deliveredPackets: 0,
    deliveredBytes: 0,
    droppedByQueue: 0,
    droppedByLoss: 0,
    droppedByBlack: 0,
    droppedByMtu: 0,
    duplicatedPackets: 0,
    queueDelayMaxMs: 0,
  };
  private current: LinkParams;
  private readonly prng: Prng;
  private readonly clone: (packet: T) => T;
  /** Waiting or in transmission, with the time of arrival. */
  private readonly queue = new PacketRing<T>();
  /** On the way, with the time when due. */
  private readonly line = new PacketRing<T>();
  private backlogBytes = 0;
  private msPerByte = 0;
  private limitBytes = NEVER;
  /** The end of the transmission of the queue's head. */
  private transmittedAt = NEVER;
  private freeAt = 0;
  private lastDueAt = 0;
  private inBadState = false;

  /** `clone` copies a packet that arrives twice; without it both arrivals are the same object. */
  constructor(params: Partial<LinkParams>, prng: Prng, clone?: (packet: T) => T) {
    this.current = { ...IDEAL_LINK, ...params };
    this.prng = prng;
    this.clone = clone ?? ((packet) => packet);
    this.derive();
  }

  get params(): LinkParams {
    return this.current;
  }

  /** Bytes in the queue, the packet in transmission included, as of the last call. */
  get queuedBytes(): number {
    return this.backlogBytes;
  }

  /** Gives a packet to the link; false if it was dropped at once. */
  submit(packet: T, sizeBytes: number, now: Instant): boolean {
    const { stats, current } = this;
    stats.offeredPackets++;
    stats.offeredBytes += sizeBytes;
    if (current.black) {
      stats.droppedByBlack++;
      return false;
    }
    if (sizeBytes > current.mtu) {
      stats.droppedByMtu++;
      return false;
    }
    this.serve(now);
    if (this.msPerByte === 0) {
      this.depart(packet, sizeBytes, now);
      return true;
    }
    const full = this.backlogBytes > 0 && this.backlogBytes + sizeBytes > this.limitBytes;
    if (full || this.queue.length >= LINK_MAX_QUEUE_PACKETS) {
      stats.droppedByQueue++;
      return false;
    }
    if (this.queue.length === 0) {
      this.transmittedAt = Math.max(now, this.freeAt) + sizeBytes * this.msPerByte;
    }
    this.queue.push(packet, sizeBytes, now);
    this.backlogBytes += sizeBytes;
    return true;
  }

  /** The earliest time at which `take` may give something; Infinity if nothing is on the way. */
  get nextAt(): number {
    const due = this.line.length > 0 ? this.line.headTime : NEVER;
    // Without overtaking, what is queued comes after all that is on the line.
    if (this.queue.length === 0 || (due !== NEVER && !this.current.reorder)) return due;
    return Math.min(due, this.transmittedAt + this.shortestDelay());
  }

  /** The next packet that has arrived by `now`. */
  take(now: Instant): T | undefined {
    if (this.transmittedAt <= now) this.serve(now);
    if (this.line.length === 0 || this.line.headTime > now) return undefined;
    this.stats.deliveredPackets++;
    this.stats.deliveredBytes += this.line.headSize;
    return this.line.shift();
  }

  /**
   * Changes parameters. A new rate applies to what is left of the packet in transmission; delay,
   * jitter and loss apply to every packet that has not left the queue yet.
   */
  set(params: Partial<LinkParams>, now: Instant): void {
    this.serve(now);
    const oldMsPerByte = this.msPerByte;
    this.current = { ...this.current, ...params };
    this.derive();
    if (this.current.black) this.blacken();
    if (this.queue.length > 0 && oldMsPerByte > 0) {
      const left = (this.transmittedAt - now) / oldMsPerByte;
      this.transmittedAt = now + left * this.msPerByte;
      this.serve(now);
    }
  }

  private derive(): void {
    const { rateBitsPerSec, queueMs, queueBytes } = this.current;
    this.msPerByte = rateBitsPerSec > 0 ? 8000 / rateBitsPerSec : 0;
    const byTime = queueMs === undefined ? NEVER : (rateBitsPerSec * queueMs) / 8000;
    this.limitBytes = queueMs === undefined ? (queueBytes ?? NEVER) : byTime;
  }

  private shortestDelay(): number {
    return Math.max(0, this.current.delayMs - this.current.jitterMs);
  }

  /** Moves what has been transmitted by `now` from the queue to the delay line. */
  private serve(now: number): void {
    const { queue } = this;
    while (this.transmittedAt <= now) {
      const end = this.transmittedAt;
      const size = queue.headSize;
      const waited = end - queue.headTime;
      if (waited > this.stats.queueDelayMaxMs) this.stats.queueDelayMaxMs = waited;
      const packet = queue.shift();
      this.backlogBytes -= size;
      this.freeAt = end;
      if (queue.length === 0) this.transmittedAt = NEVER;
      else {
        this.transmittedAt = Math.max(end, queue.headTime) + queue.headSize * this.msPerByte;
      }
      this.depart(packet, size, end);
    }
  }

  private depart(packet: T, size: number, at: number): void {
    if (this.isLost()) {
      this.stats.droppedByLoss++;
      return;
    }
    this.enterLine(packet, size, at);
    if (this.current.duplicate > 0 && this.prng.chance(this.current.duplicate)) {
      this.stats.duplicatedPackets++;
      this.enterLine(this.clone(packet), size, at);
    }
  }

  private enterLine(packet: T, size: number, at: number): void {
    const { delayMs, jitterMs, reorder } = this.current;
    let delay = delayMs;
    if (jitterMs > 0) delay = Math.max(0, delay + (2 * this.prng.float() - 1) * jitterMs);
    const due = at + delay;
    if (reorder) {
      this.line.insertByTime(packet, size, due);
      this.lastDueAt = Math.max(this.lastDueAt, due);
    } else {
      this.lastDueAt = Math.max(this.lastDueAt, due);
      this.line.push(packet, size, this.lastDueAt);
    }
  }

  private isLost(): boolean {
    const { loss, burstLoss } = this.current;
    if (burstLoss !== undefined) {
      const leave = this.inBadState ? burstLoss.badToGood : burstLoss.goodToBad;
      if (this.prng.chance(leave)) this.inBadState = !this.inBadState;
      const probability = this.inBadState ? burstLoss.lossWhenBad : burstLoss.lossWhenGood;
      if (this.prng.chance(probability)) return true;
    }
    return loss > 0 && this.prng.chance(loss);
  }

  private blacken(): void {
    this.stats.droppedByBlack += this.queue.length + this.line.length;
    this.queue.clear();
    this.line.clear();
    this.backlogBytes = 0;
    this.transmittedAt = NEVER;
    this.freeAt = 0;
    this.lastDueAt = 0;
  }
}
