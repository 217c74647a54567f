/**
 * The receiving half of a simulated TCP connection: puts segments in order.
 *
 * @module
 */

import type { ByteStore } from './byte-store.js';
import type { Packet, Range, Segment } from './packet.js';

/** RFC 2018 §3: three blocks fit beside timestamps. */
const MAX_SACK_BLOCKS = 3;

interface HeldRange {
  start: number;
  end: number;
  /** The larger, the more recently a segment was added. */
  touched: number;
}

/** What a segment was to the receiver. */
export type Arrival = 'inOrder' | 'filledGap' | 'outOfOrder' | 'old' | 'beyondWindow';

/** Bytes in `emit` come in order, each once. */
export class TcpReceiver {
  /** The next sequence number that is expected: what an acknowledgement says. */
  next = 0;
  /** Whether everything up to the peer's FIN has come. */
  finished = false;
  private readonly emit: (bytes: Uint8Array) => void;
  private finSequence = -1;
  private readonly held: HeldRange[] = [];
  private touches = 0;
  /** Bytes that are not the sender's, by where they begin: a box has put them there. */
  private readonly altered = new Map<number, Uint8Array>();

  constructor(emit: (bytes: Uint8Array) => void) {
    this.emit = emit;
  }

  /** Whether there is a gap before bytes that have come already. */
  get hasGap(): boolean {
    return this.held.length > 0;
  }

  accept(packet: Packet, segment: Segment, windowEnd: number): Arrival {
    const start = segment.sequence;
    const end = start + segment.length;
    if (segment.fin) this.finSequence = end;
    if (end <= this.next && !(segment.fin && !this.finished && end === this.next)) return 'old';
    if (end > windowEnd) return 'beyondWindow';
    if (packet.payload !== undefined) this.altered.set(start, packet.payload);
    if (start > this.next) {
      if (end > start) this.hold(start, end);
      return 'outOfOrder';
    }
    const hadGap = this.hasGap;
    this.advance(Math.max(end, this.next), segment.source);
    return hadGap ? 'filledGap' : 'inOrder';
  }

  /** The ranges held, the most recent first (RFC 2018 §4). */
  sacks(): readonly Range[] | undefined {
    const { held } = this;
    if (held.length === 0) return undefined;
    if (held.length === 1) {
      const only = held[0] as HeldRange;
      return [{ start: only.start, end: only.end }];
    }
    const newest: HeldRange[] = [];
    for (const range of held) {
      let at = newest.length;
      while (at > 0 && (newest[at - 1] as HeldRange).touched < range.touched) at--;
      if (at < MAX_SACK_BLOCKS) newest.splice(at, 0, range);
      if (newest.length > MAX_SACK_BLOCKS) newest.pop();
    }
    return newest.map(({ start, end }) => ({ start, end }));
  }

  private hold(start: number, end: number): void {
    const { held } = this;
    let at = held.length;
    while (at > 0 && (held[at - 1] as HeldRange).end >= start) at--;
    const merged = { start, end, touched: ++this.touches };
    let stop = at;
    for (; stop < held.length; stop++) {
      const range = held[stop] as HeldRange;
      if (range.start > end) break;
      merged.start = Math.min(merged.start, range.start);
      merged.end = Math.max(merged.end, range.end);
    }
    held.splice(at, stop - at, merged);
  }

  private advance(end: number, source: ByteStore | undefined): void {
    let to = end;
    while (this.held.length > 0 && (this.held[0] as HeldRange).start <= to) {
      to = Math.max(to, (this.held.shift() as HeldRange).end);
    }
    const from = this.next;
    this.next = to;
    if (this.altered.size > 0) this.emitAltered(from, to, source);
    else source?.read(from, to, this.emit);
    if (this.finSequence === this.next) {
      this.finished = true;
      this.next++;
    }
  }

  /** The slow way, for the few connections that somebody attacks. */
  private emitAltered(from: number, to: number, source: ByteStore | undefined): void {
    for (let at = from; at < to; ) {
      let until = to;
      let bytes: Uint8Array | undefined;
      for (const [start, altered] of this.altered) {
        if (start + altered.length <= at) this.altered.delete(start);
        else if (start > at) until = Math.min(until, start);
        else bytes ??= altered.subarray(at - start, Math.min(altered.length, to - start));
      }
      if (bytes === undefined) source?.read(at, until, this.emit);
      else this.emit(bytes);
      at = bytes === undefined ? until : at + bytes.length;
    }
  }
}
