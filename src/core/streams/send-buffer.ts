/**
 * The bytes of a sending stream that are not acknowledged yet, by offset.
 *
 * They are copied once, when they are written, into blocks that are used again and again: fresh
 * memory for every write would keep the garbage collector busier than the cipher
 * (docs/decisions/0011-tcp-data-path.md).
 *
 * @module
 */

import { assert } from '../errors.js';
import type { Range } from '../range-set.js';

const KIB = 1024;
/** A block of the pool: so many bytes of a stream lie in one piece. */
export const SEND_BLOCK_BYTES = 128 * KIB;
/** Blocks that nobody uses and that are kept for the next write: 8 MiB. */
export const MAX_FREE_BLOCKS = 64;
/** A stream with less than this gets memory of its own, of the size that it needs. */
const POOL_ABOVE_BYTES = 64 * KIB;
/** Small writes are copied together: a packet shall not consist of hundreds of chunks. */
const SMALL_BYTES = 256;
const COALESCE_BLOCK_BYTES = 16 * KIB;
/** From so many chunks on it is worth it. */
const COALESCE_ABOVE_CHUNKS = 8;
/** Before this many dropped chunks the list is not moved. */
const COMPACT_ABOVE_CHUNKS = 32;

const NOTHING: Uint8Array = new Uint8Array(0);

/** Blocks that wait for their next use. What is in them is overwritten before it is read. */
export class BlockPool {
  readonly #free: Uint8Array[] = [];

  /** Blocks that nobody uses. */
  get freeCount(): number {
    return this.#free.length;
  }

  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(SEND_BLOCK_BYTES);
  }

  give(block: Uint8Array): void {
    if (this.#free.length < MAX_FREE_BLOCKS) this.#free.push(block);
  }
}

/** The bytes of one piece of memory that are in use, from its beginning. */
interface Chunk {
  readonly offset: number;
  bytes: Uint8Array;
  /** The block of the pool, if it is one. */
  readonly block: Uint8Array | undefined;
}

export class SendBuffer {
  readonly #pool: BlockPool;
  #chunks: Chunk[] = [];
  #firstChunk = 0;
  /** The memory of the last chunk; `#used` bytes of it are filled. */
  #memory = NOTHING;
  #used = 0;
  #end = 0;
  #start = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** Appends a copy of `bytes`. */
  write(bytes: Uint8Array): void {
    for (let position = 0; position < bytes.length; ) {
      if (this.#used === this.#memory.length) this.#begin(bytes.length - position);
      const count = Math.min(bytes.length - position, this.#memory.length - this.#used);
      const isAll = position === 0 && count === bytes.length;
      this.#memory.set(isAll ? bytes : bytes.subarray(position, position + count), this.#used);
      this.#used += count;
      position += count;
      this.#end += count;
      const last = this.#chunks[this.#chunks.length - 1] as Chunk;
      last.bytes = this.#memory.subarray(0, this.#used);
    }
  }

  /** Fresh memory for so many bytes, and perhaps for more after them. */
  #begin(bytes: number): void {
    const isPooled = this.#end - this.#start + bytes >= POOL_ABOVE_BYTES;
    const isCrowded = this.#chunks.length - this.#firstChunk > COALESCE_ABOVE_CHUNKS;
    const least = isCrowded ? COALESCE_BLOCK_BYTES : SMALL_BYTES;
    this.#memory = isPooled ? this.#pool.take() : new Uint8Array(Math.max(least, bytes));
    this.#used = 0;
    const block = isPooled ? this.#memory : undefined;
    this.#chunks.push({ offset: this.#end, bytes: NOTHING, block });
  }

  /** Views of the bytes of a range that is still held; good until it is released. */
  read(range: Range): Uint8Array[] {
    const views: Uint8Array[] = [];
    let index = this.#chunkAt(range.start);
    let position = range.start;
    while (position < range.end) {
      const chunk = this.#chunks[index];
      const isHeld = chunk !== undefined && chunk.offset <= position;
      assert(isHeld, 'a range that is sent is held in memory');
      const from = position - chunk.offset;
      const to = Math.min(chunk.bytes.length, range.end - chunk.offset);
      views.push(chunk.bytes.subarray(from, to));
      position = chunk.offset + to;
      index += 1;
    }
    return views;
  }

  #chunkAt(offset: number): number {
    let low = this.#firstChunk;
    let high = this.#chunks.length;
    while (low + 1 < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle] as Chunk).offset <= offset) low = middle;
      else high = middle;
    }
    return low;
  }

  /** What lies before `offset` is needed no more. */
  release(offset: number): void {
    const chunks = this.#chunks;
    this.#start = offset;
    for (;;) {
      const chunk = chunks[this.#firstChunk];
      if (chunk === undefined || chunk.offset + chunk.bytes.length > offset) break;
      if (chunk.block !== undefined) this.#pool.give(chunk.block);
      chunks[this.#firstChunk] = undefined as unknown as Chunk;
      this.#firstChunk += 1;
    }
    if (this.#firstChunk === chunks.length) {
      this.#memory = NOTHING;
      this.#used = 0;
    }
    if (this.#firstChunk > COMPACT_ABOVE_CHUNKS && this.#firstChunk * 2 > chunks.length) {
      chunks.splice(0, this.#firstChunk);
      this.#firstChunk = 0;
    }
  }
}
