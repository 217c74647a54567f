/**
 * Takes byte strings apart.
 *
 * @module
 */

import { WireError } from './error.js';

const TWO_32 = 2 ** 32;

/** The upper 21 bits of 2^53-1. */
const MAX_HIGH_WORD = 0x1f_ffff;

/** A position in bytes that it does not copy. Each read moves it on; integers are big-endian. */
export class Reader {
  /** What {@link WireError}s of this reader name as the frame type. */
  frameType = 0;
  private readonly source: Uint8Array;
  private position: number;
  private readonly end: number;

  /** Reads `bytes` from `start` up to, but not including, `end`. */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    if (!(start >= 0 && start <= end && end <= bytes.length)) throw new RangeError('reader bounds');
    this.source = bytes;
    this.position = start;
    this.end = end;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.end - this.position;
  }

  /** @throws WireError if there is no byte left. */
  uint8(): number {
    if (this.position >= this.end) throw this.error('truncated');
    return this.source[this.position++] as number;
  }

  /** @throws WireError if fewer than 2 bytes are left. */
  uint16(): number {
    const at = this.advance(2);
    return ((this.source[at] as number) << 8) | (this.source[at + 1] as number);
  }

  /** @throws WireError if fewer than 4 bytes are left. */
  uint32(): number {
    return this.word(this.advance(4));
  }

  /** @throws WireError if the varint is cut off or more than 2^53-1. */
  varint(): number {
    const first = this.uint8();
    if (first < 0x40) return first;
    if (first < 0x80) return ((first & 0x3f) << 8) | this.uint8();
    const at = this.position - 1;
    if (first < 0xc0) {
      this.advance(3);
      return this.word(at) & 0x3fff_ffff;
    }
    this.advance(7);
    const high = this.word(at) & 0x3fff_ffff;
    if (high > MAX_HIGH_WORD) throw this.error('integer beyond 2^53-1');
    return high * TWO_32 + this.word(at + 4);
  }

  /**
   * A view of the next `count` bytes.
   *
   * @throws WireError if fewer are left.
   */
  bytes(count: number): Uint8Array {
    const at = this.advance(count);
    return this.source.subarray(at, at + count);
  }

  /** A view of all that is left; may be empty. */
  rest(): Uint8Array {
    const at = this.position;
    this.position = this.end;
    return this.source.subarray(at, this.end);
  }

  /** Moves past the zero bytes ahead, and tells how many there were. */
  skipZeros(): number {
    const from = this.position;
    let at = from;
    while (at < this.end && this.source[at] === 0) at++;
    this.position = at;
    return at - from;
  }

  /** An error to throw, which names the present {@link frameType}. */
  error(reason: string): WireError {
    const where = this.frameType === 0 ? '' : ` in frame 0x${this.frameType.toString(16)}`;
    return new WireError(`${reason}${where}`, this.frameType);
  }

  /** Moves past `count` bytes and returns where they begin. */
  private advance(count: number): number {
    const at = this.position;
    if (count > this.end - at) throw this.error('truncated');
    this.position = at + count;
    return at;
  }

  private word(at: number): number {
    const source = this.source;
    return (
      (((source[at] as number) << 24) |
        ((source[at + 1] as number) << 16) |
        ((source[at + 2] as number) << 8) |
        (source[at + 3] as number)) >>>
      0
    );
  }
}
