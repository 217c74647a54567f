/**
 * What happened, as a hash: two runs of one world agree in it, or something is not deterministic.
 *
 * @module
 */

import type { Instant } from '../core/contract.js';
import type { Packet } from './packet.js';

export type TraceEventType = 'sent' | 'delivered';

/** One packet that a machine sent or received. */
export interface TraceEvent {
  readonly type: TraceEventType;
  readonly at: number;
  readonly protocol: 'udp' | 'tcp';
  readonly source: string;
  readonly destination: string;
  readonly sizeBytes: number;
  readonly sequence?: number;
  readonly acknowledged?: number;
}

export interface TraceOptions {
  /**
   * Which payload bytes the hash covers: `ends` (the default) the first and last 16 of each packet,
   * which is where a sealed packet's header and tag are; `all`, at a price, every byte.
   */
  readonly bytes?: 'ends' | 'all';
  /** How many events to keep for debugging; 0. Later ones are counted and hashed only. */
  readonly keepEvents?: number;
}

const END_BYTES = 16;

/** The trace of a world: a running hash, two counters and, if wanted, a list. */
export class Trace {
  readonly events: TraceEvent[] = [];
  sentPackets = 0;
  deliveredPackets = 0;
  private readonly keepEvents: number;
  private readonly endBytes: number;
  private readonly time = new Float64Array(1);
  private readonly timeWords = new Int32Array(this.time.buffer);
  private laneA = 0x243f6a88;
  private laneB = 0x13198a2e;

  constructor(options: TraceOptions = {}) {
    this.keepEvents = options.keepEvents ?? 0;
    this.endBytes = options.bytes === 'all' ? Number.POSITIVE_INFINITY : END_BYTES;
  }

  sent(packet: Packet, now: Instant): void {
    this.sentPackets++;
    this.record('sent', 1, packet, now);
  }

  delivered(packet: Packet, now: Instant): void {
    this.deliveredPackets++;
    this.record('delivered', 2, packet, now);
  }

  /** 16 hexadecimal digits over everything so far. Not for secrets. */
  hash(): string {
    const hex = (lane: number): string => (lane >>> 0).toString(16).padStart(8, '0');
    return hex(this.laneA) + hex(this.laneB);
  }

  /** Mixes a number of one's own into the hash, such as a host's events. */
  note(word: number): void {
    this.laneA = Math.imul(((this.laneA << 13) | (this.laneA >>> 19)) ^ word, 0x85ebca6b);
    this.laneB = Math.imul(((this.laneB << 15) | (this.laneB >>> 17)) ^ word, 0xc2b2ae35);
    this.laneB = (this.laneB + this.laneA) | 0;
  }

  private record(type: TraceEventType, tag: number, packet: Packet, now: Instant): void {
    this.time[0] = now;
    this.note(this.timeWords[0] as number);
    this.note(this.timeWords[1] as number);
    this.note(packet.source.hash);
    this.note(packet.destination.hash ^ tag);
    this.note(packet.sizeBytes);
    if (packet.checksum === -1) packet.checksum = this.checksum(packet);
    this.note(packet.checksum);
    if (this.events.length < this.keepEvents) this.keep(type, packet, now);
  }

  private keep(type: TraceEventType, packet: Packet, now: Instant): void {
    const { segment, sizeBytes } = packet;
    const source = packet.source.text;
    const destination = packet.destination.text;
    const event = { type, at: now, source, destination, sizeBytes } as const;
    if (segment === undefined) this.events.push({ ...event, protocol: 'udp' });
    else {
      const { sequence, acknowledged } = segment;
      this.events.push({ ...event, protocol: 'tcp', sequence, acknowledged });
    }
  }

  private checksum(packet: Packet): number {
    const { segment, payload } = packet;
    let sum = 0x9e3779b9 | 0;
    if (segment !== undefined) {
      const flags = (segment.syn ? 1 : 0) | (segment.fin ? 2 : 0) | (segment.reset ? 4 : 0);
      sum = Math.imul(sum ^ segment.sequence, 0x01000193) ^ flags;
      sum = Math.imul(sum ^ segment.acknowledged, 0x01000193);
    }
    const length = payload?.length ?? segment?.length ?? 0;
    const head = Math.min(length, this.endBytes);
    const tail = Math.max(head, length - this.endBytes);
    if (payload !== undefined) {
      for (let i = 0; i < head; i++) sum = Math.imul(sum ^ (payload[i] as number), 0x01000193);
      for (let i = tail; i < length; i++) sum = Math.imul(sum ^ (payload[i] as number), 0x01000193);
    } else if (segment?.source !== undefined) {
      const { source, sequence } = segment;
      for (let i = 0; i < head; i++) sum = Math.imul(sum ^ source.at(sequence + i), 0x01000193);
      for (let i = tail; i < length; i++)
        sum = Math.imul(sum ^ source.at(sequence + i), 0x01000193);
    }
    return (sum ^ (sum >>> 15)) & 0x7fffffff;
  }
}
