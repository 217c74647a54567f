/**
 * Builds byte strings.
 *
 * @module
 */

import { SPEC_MAX_INTEGER } from './varint.js';

/** Room that a writer allocates at a time unless told otherwise: a few packets' worth of headers. */
const DEFAULT_CAPACITY_BYTES = 4096;

const TWO_32 = 2 ** 32;

/**
 * A growable run of bytes. Integers are big-endian.
 *
 * What {@link take} hands out is a part of the writer's slab that the writer never touches again,
 * so that many small results cost one allocation; a kept result keeps its slab in memory.
 */
export class Writer {
  private readonly capacity: number;
  private slab: Uint8Array;
  /** Where the bytes that are not taken yet begin, and where the next one goes. */
  private start = 0;
  private end = 0;

  /** @param capacity - bytes to allocate at a time, at least 1; more where one result needs it. */
  constructor(capacity: number = DEFAULT_CAPACITY_BYTES) {
    if (!Number.isSafeInteger(capacity) || capacity < 1) throw new RangeError('writer capacity');
    this.capacity = capacity;
    this.slab = new Uint8Array(capacity);
  }

  /** Bytes written since the last {@link take}. */
  get length(): number {
    return this.end - this.start;
  }

  /** @throws RangeError if `value` is not an integer of 8 bits. */
  uint8(value: number): void {
    if ((value & 0xff) !== value) throw new RangeError(`not a uint8: ${value}`);
    const at = this.reserve(1);
    this.slab[at] = value;
  }

  /** @throws RangeError if `value` is not an integer of 16 bits. */
  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw new RangeError(`not a uint16: ${value}`);
    const at = this.reserve(2);
    this.slab[at] = value >>> 8;
    this.slab[at + 1] = value;
  }

  /** @throws RangeError if `value` is not an integer of 32 bits. */
  uint32(value: number): void {
    if (value >>> 0 !== value) throw new RangeError(`not a uint32: ${value}`);
    this.put32(this.reserve(4), value);
  }

  /**
   * The shortest varint of `value`.
   *
   * @throws RangeError if `value` is not an integer from 0 to 2^53-1.
   */
  varint(value: number): void {
    if (!(value >= 0 && value <= SPEC_MAX_INTEGER) || !Number.isInteger(value)) {
      throw new RangeError(`not a varint: ${value}`);
    }
    if (value < 0x40) {
      const at = this.reserve(1);
      this.slab[at] = value;
    } else if (value < 0x4000) {
      const at = this.reserve(2);
      this.slab[at] = 0x40 | (value >>> 8);
      this.slab[at + 1] = value;
    } else if (value < 0x4000_0000) {
      this.put32(this.reserve(4), (0x8000_0000 | value) >>> 0);
    } else {
      const at = this.reserve(8);
      const high = Math.floor(value / TWO_32);
      this.put32(at, (0xc000_0000 | high) >>> 0);
      this.put32(at + 4, value >>> 0);
    }
  }

  /** Appends a copy of `bytes`. */
  bytes(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.slab.set(bytes, at);
  }

  /** Appends `count` zero bytes. */
  zeros(count: number): void {
    if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`not a count: ${count}`);
    // Slabs begin as zeros and no byte is written twice, so there is nothing to clear.
    this.reserve(count);
  }

  /** The bytes written, which from now on belong to the caller; the writer is empty afterwards. */
  take(): Uint8Array {
    const taken = this.slab.subarray(this.start, this.end);
    this.start = this.end;
    return taken;
  }

  /** Makes room for `count` bytes and returns where in `this.slab` they begin. */
  private reserve(count: number): number {
    const at = this.end;
    if (at + count > this.slab.length) return this.grow(count);
    this.end = at + count;
    return at;
  }

  private grow(count: number): number {
    const held = this.end - this.start;
    // Twice what is needed as soon as one result outgrows the slab: growth stays linear in total.
    const needed = held + count;
    const slab = new Uint8Array(needed <= this.capacity ? this.capacity : 2 * needed);
    slab.set(this.slab.subarray(this.start, this.end));
    this.slab = slab;
    this.start = 0;
    this.end = needed;
    return held;
  }

  private put32(at: number, value: number): void {
    const slab = this.slab;
    slab[at] = value >>> 24;
    slab[at + 1] = value >>> 16;
    slab[at + 2] = value >>> 8;
    slab[at + 3] = value;
  }
}
