/**
 * Records: how packets lie in the bytes of a stream carrier (protocol.md#record).
 *
 * @module
 */

import { SPEC_MAX_PACKET_BYTES, SPEC_MAX_UNATTACHED_RECORD_BYTES } from './packet.js';

/** Bytes of a record before its packet. */
export const RECORD_HEADER_BYTES = 2;

/** The least that is allocated for a record that arrives in pieces, unless it is shorter itself. */
const MIN_ASSEMBLY_BYTES = 256;

const NOTHING = new Uint8Array(0);

/**
 * What goes before a packet of `length` bytes on a stream carrier.
 *
 * @throws RangeError if `length` is not from 1 to 65535.
 */
export function recordHeader(length: number): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > SPEC_MAX_PACKET_BYTES) {
    throw new RangeError(`not a record length: ${length}`);
  }
  const header = new Uint8Array(RECORD_HEADER_BYTES);
  header[0] = length >>> 8;
  header[1] = length;
  return header;
}

/**
 * Finds the packets in the bytes of one stream carrier, however the carrier splits them.
 *
 * A packet inside one push is given out as a view of it. One that is split is assembled in memory
 * that grows with what has arrived, at most to twice that, never with what the header promises.
 * It holds what was pushed and not yet asked for, and at most one record in pieces.
 */
export class RecordReader {
  /**
   * The longest record that is accepted, checked when the reader comes to its header: raise it
   * between two calls of {@link next} once a path is attached.
   */
  maxRecordBytes: number = SPEC_MAX_UNATTACHED_RECORD_BYTES;
  /** `true`: a packet is only looked at until the next call; its memory is then used again. */
  reusesMemory = false;

  private hasFailed = false;
  private buffered = 0;
  /** Pushes that have not been begun yet; usually empty. */
  private waiting: Uint8Array[] = [];
  private waitingIndex = 0;
  /** The push that is being read, and how far. */
  private chunk: Uint8Array = NOTHING;
  private position = 0;
  /** Of the present record: header bytes seen, the length as far as they tell, body so far. */
  private headerSeen = 0;
  private length = 0;
  private assembly: Uint8Array = NOTHING;
  private filled = 0;
  /** The memory of the last assembly: used again once its packet has been dealt with. */
  private spare: Uint8Array = NOTHING;

  /** True for good once a record had length 0 or more than the maximum: close the carrier. */
  get failed(): boolean {
    return this.hasFailed;
  }

  /** Bytes pushed that have not come out as a packet (its header counted) yet; 0 once failed. */
  get bufferedBytes(): number {
    return this.buffered;
  }

  /** Takes the next bytes of the carrier, which must not change before {@link next} has none left. */
  push(bytes: Uint8Array): void {
    if (this.hasFailed || bytes.length === 0) return;
    this.buffered += bytes.length;
    if (this.position === this.chunk.length) {
      this.chunk = bytes;
      this.position = 0;
    } else {
      this.waiting.push(bytes);
    }
  }

  /** The next whole packet; `undefined` if more bytes are needed first, or the reader failed. */
  next(): Uint8Array | undefined {
    while (!this.hasFailed) {
      const available = this.chunk.length - this.position;
      if (available === 0) {
        if (!this.beginWaiting()) return undefined;
      } else if (this.headerSeen < RECORD_HEADER_BYTES) {
        this.readHeaderByte();
      } else if (this.filled === 0 && available >= this.length) {
        const from = this.position;
        this.position = from + this.length;
        return this.finish(this.chunk.subarray(from, this.position));
      } else {
        this.assemble(Math.min(available, this.length - this.filled));
        if (this.filled === this.length) return this.finish(this.takeAssembly());
      }
    }
    return undefined;
  }

  private readHeaderByte(): void {
    this.length = (this.length << 8) | (this.chunk[this.position++] as number);
    this.headerSeen++;
    if (this.headerSeen < RECORD_HEADER_BYTES) return;
    if (this.length === 0 || this.length > this.maxRecordBytes) this.fail();
  }

  private assemble(count: number): void {
    const needed = this.filled + count;
    if (needed > this.assembly.length) {
      const room = Math.min(this.length, Math.max(2 * needed, MIN_ASSEMBLY_BYTES));
      const isRoomy = this.spare.length >= room;
      const grown = isRoomy ? this.spare : new Uint8Array(room);
      if (isRoomy) this.spare = NOTHING;
      grown.set(this.assembly.subarray(0, this.filled));
      this.assembly = grown;
    }
    this.assembly.set(this.chunk.subarray(this.position, this.position + count), this.filled);
    this.filled = needed;
    this.position += count;
  }

  private takeAssembly(): Uint8Array {
    const packet = this.assembly.subarray(0, this.length);
    if (this.reusesMemory) this.spare = this.assembly;
    return packet;
  }

  /** Gets ready for the record after the one whose packet is given. */
  private finish(packet: Uint8Array): Uint8Array {
    this.buffered -= RECORD_HEADER_BYTES + this.length;
    this.headerSeen = 0;
    this.length = 0;
    this.assembly = NOTHING;
    this.filled = 0;
    return packet;
  }

  /** Goes on to the next push; false if there is none. */
  private beginWaiting(): boolean {
    const chunk = this.waiting[this.waitingIndex];
    this.position = 0;
    if (chunk === undefined) {
      this.chunk = NOTHING;
      // Between two records nothing is held: there may be no other for a long time.
      if (this.headerSeen === 0) this.spare = NOTHING;
      if (this.waitingIndex > 0) {
        this.waiting = [];
        this.waitingIndex = 0;
      }
      return false;
    }
    this.waiting[this.waitingIndex++] = NOTHING;
    this.chunk = chunk;
    return true;
  }

  private fail(): void {
    this.hasFailed = true;
    this.buffered = 0;
    this.chunk = NOTHING;
    this.position = 0;
    this.waiting = [];
    this.waitingIndex = 0;
    this.assembly = NOTHING;
    this.spare = NOTHING;
    this.filled = 0;
  }
}
