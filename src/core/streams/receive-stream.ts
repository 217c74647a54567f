/**
 * The receiving part of a stream (RFC 9000 §3.2): puts ranges that arrive in any order, on any
 * path, and possibly more than once, back into one sequence.
 *
 * @module
 */

import { PeerError } from '../errors.js';

/**
 * Runs of bytes that all streams of a session hold, with gaps between them. So many are free; more
 * have to be {@link MEAN_RUN_BYTES} long on average. Each costs some hundred bytes of its own, so
 * that many tiny ones are an attack on memory (RFC 9000 §21.7), while honest packets that arrive
 * out of order over several paths may well be tens of thousands.
 */
export const FREE_RUNS = 4_096;
export const MEAN_RUN_BYTES = 256;
/** A run of many tiny chunks is copied together. */
const COMPACT_ABOVE_CHUNKS = 64;
const COMPACT_BELOW_MEAN_BYTES = 1_024;
const COMPACT_BLOCK_BYTES = 65_536;
/** What is kept may pin at most this many times its size of memory. */
const MAX_PINNED_RATIO = 2;

/** Contiguous bytes `[start, end)`. */
interface Run {
  start: number;
  end: number;
  chunks: Uint8Array[];
}

/** What the streams of a session hold together. */
export class ReorderBudget {
  runs = 0;
  bytes = 0;

  get isExceeded(): boolean {
    return this.runs > FREE_RUNS + this.bytes / MEAN_RUN_BYTES;
  }
}

export class ReceiveStream {
  readonly id: number;
  readonly #budget: ReorderBudget;
  #runs: Run[] = [];
  #readOffset = 0;
  #highest = 0;
  #finalSize: number | undefined;
  #resetCode: number | undefined;
  #maxData: number;
  #stopped = false;
  #endWasRead = false;

  constructor(id: number, maxData: number, budget = new ReorderBudget()) {
    this.id = id;
    this.#budget = budget;
    this.#maxData = maxData;
  }

  /** All that the application has read, in bytes. */
  get readBytes(): number {
    return this.#readOffset;
  }

  /** The end of the furthest range that arrived: what counts against flow control. */
  get highestBytes(): number {
    return this.#highest;
  }

  get maxData(): number {
    return this.#maxData;
  }

  set maxData(maximum: number) {
    this.#maxData = maximum;
  }

  get finalSize(): number | undefined {
    return this.#finalSize;
  }

  get resetCode(): number | undefined {
    return this.#resetCode;
  }

  /** The application wants no more: what arrives is dropped. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  get readableBytes(): number {
    const run = this.#runs[0];
    return run !== undefined && run.start === this.#readOffset ? run.end - run.start : 0;
  }

  /** The application knows of the end, or wants to know no more, or the peer gave up. */
  get isDone(): boolean {
    if (this.#resetCode !== undefined) return true;
    return this.#readOffset === this.#finalSize && (this.#endWasRead || this.#stopped);
  }

  /** The application was told that it has read everything. */
  endWasRead(): void {
    this.#endWasRead = true;
  }

  /** The application has read all of what the peer finished. What was given up has no such end. */
  get isAtEnd(): boolean {
    const isGivenUp = this.#stopped || this.#resetCode !== undefined;
    return !isGivenUp && this.#readOffset === this.#finalSize;
  }

  /** Whether nothing more can arrive that matters. */
  get isComplete(): boolean {
    if (this.#resetCode !== undefined) return true;
    if (this.#finalSize === undefined) return false;
    return this.#readOffset + this.readableBytes === this.#finalSize;
  }

  /**
   * Takes in a piece. Returns by how much the furthest byte advanced.
   *
   * @throws PeerError for a contradicting final size, or data beyond the limit.
   */
  receive(offset: number, data: Uint8Array, fin: boolean): number {
    const end = offset + data.length;
    if (end > this.#maxData) {
      throw new PeerError('FLOW_CONTROL', `stream ${this.id}: ${end} bytes of ${this.#maxData}`);
    }
    if (
      this.#finalSize !== undefined &&
      (end > this.#finalSize || (fin && end !== this.#finalSize))
    ) {
      throw new PeerError(
        'FINAL_SIZE',
        `stream ${this.id}: data ends at ${end}, not ${this.#finalSize}`,
      );
    }
    if (fin) {
      if (end < this.#highest) {
        throw new PeerError(
          'FINAL_SIZE',
          `stream ${this.id}: ends at ${end}, had ${this.#highest}`,
        );
      }
      this.#finalSize = end;
    }
    const advance = Math.max(0, end - this.#highest);
    this.#highest += advance;
    if (this.#resetCode === undefined && !this.#stopped) this.#insert(offset, data);
    else if (this.#stopped) this.#readOffset = this.#highest;
    return advance;
  }

  #insert(offset: number, data: Uint8Array): void {
    const start = Math.max(offset, this.#readOffset);
    const end = offset + data.length;
    if (start >= end) return;
    const runs = this.#runs;
    const last = runs[runs.length - 1];
    if (last === undefined || start > last.end) {
      this.#addRun(runs.length, start, data.subarray(start - offset));
    } else if (start === last.end) {
      this.#append(last, data.subarray(start - offset));
    } else {
      this.#fillGaps(start, end, offset, data);
    }
  }

  /** The general case: only what is not there yet is taken; the first that arrived stands. */
  #fillGaps(start: number, end: number, offset: number, data: Uint8Array): void {
    const runs = this.#runs;
    let position = start;
    let index = this.#firstEndingAfter(start - 1);
    while (position < end) {
      const run = runs[index];
      if (run === undefined || run.start > position) {
        const to = Math.min(end, run?.start ?? end);
        const piece = data.subarray(position - offset, to - offset);
        const previous = runs[index - 1];
        if (previous !== undefined && previous.end === position) {
          this.#append(previous, piece);
          index -= 1;
        } else {
          this.#addRun(index, position, piece);
        }
        position = to;
        this.#joinNext(index);
      } else {
        position = Math.max(position, run.end);
        index += 1;
      }
    }
  }

  #addRun(index: number, start: number, data: Uint8Array): void {
    this.#budget.runs += 1;
    this.#budget.bytes += data.length;
    if (this.#budget.isExceeded) {
      throw new PeerError('LIMIT_EXCEEDED', `stream ${this.id}: too many small pieces with gaps`);
    }
    this.#runs.splice(index, 0, {
      start,
      end: start + data.length,
      chunks: [unpinned(data)],
    });
  }

  #append(run: Run, data: Uint8Array): void {
    run.chunks.push(unpinned(data));
    run.end += data.length;
    this.#budget.bytes += data.length;
    compactIfTiny(run);
  }

  #joinNext(index: number): void {
    const run = this.#runs[index];
    const next = this.#runs[index + 1];
    if (run === undefined || next === undefined || run.end !== next.start) return;
    if (run.chunks.length < next.chunks.length) {
      // What grows towards its beginning must not be moved chunk by chunk each time.
      next.chunks.unshift(...run.chunks);
      run.chunks = next.chunks;
    } else {
      for (const chunk of next.chunks) run.chunks.push(chunk);
    }
    run.end = next.end;
    compactIfTiny(run);
    this.#runs.splice(index + 1, 1);
    this.#budget.runs -= 1;
  }

  #firstEndingAfter(value: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle] as Run).end > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The next bytes in order, at most `limit`; `undefined` if there are none now. */
  read(limit: number): Uint8Array | undefined {
    const run = this.#runs[0];
    if (run === undefined || run.start !== this.#readOffset) return undefined;
    const chunk = run.chunks[0] as Uint8Array;
    let taken = chunk;
    if (chunk.length > limit) {
      taken = chunk.subarray(0, limit);
      run.chunks[0] = chunk.subarray(limit);
    } else {
      run.chunks.shift();
    }
    run.start += taken.length;
    this.#readOffset += taken.length;
    this.#budget.bytes -= taken.length;
    if (run.start === run.end) {
      this.#runs.shift();
      this.#budget.runs -= 1;
    }
    return taken;
  }

  /**
   * The peer gave up. What was not read is discarded. Returns by how much the furthest byte advanced.
   *
   * @throws PeerError for a contradicting final size.
   */
  reset(code: number, finalSize: number): number {
    if (
      finalSize < this.#highest ||
      (this.#finalSize !== undefined && this.#finalSize !== finalSize)
    ) {
      throw new PeerError('FINAL_SIZE', `stream ${this.id}: reset at ${finalSize}`);
    }
    if (finalSize > this.#maxData) {
      throw new PeerError('FLOW_CONTROL', `stream ${this.id}: reset at ${finalSize}`);
    }
    // RFC 9000 §3.2: what is complete already is delivered all the same.
    const wasComplete = this.isComplete;
    const advance = finalSize - this.#highest;
    this.#highest = finalSize;
    this.#finalSize = finalSize;
    if (!wasComplete) this.#resetCode = code;
    if (this.#resetCode !== undefined) this.#discard();
    return advance;
  }

  /** Discards what is here and what will come. Returns how many bytes were never read. */
  stop(): number {
    this.#stopped = true;
    this.#discard();
    const discarded = this.#highest - this.#readOffset;
    this.#readOffset = this.#highest;
    return discarded;
  }

  #discard(): void {
    for (const { start, end } of this.#runs) this.#budget.bytes -= end - start;
    this.#budget.runs -= this.#runs.length;
    this.#runs = [];
  }
}

/** A small piece of a large packet would keep all of the packet in memory. */
function unpinned(data: Uint8Array): Uint8Array {
  return data.buffer.byteLength > MAX_PINNED_RATIO * data.length + 256 ? data.slice() : data;
}

/**
 * Copies the chunks of a run together if they are tiny, wherever they came in. Between two such
 * copies as many chunks have to come as the run has kilobytes, so that each costs a kilobyte's copy
 * at most.
 */
function compactIfTiny(run: Run): void {
  const bytes = run.end - run.start;
  if (run.chunks.length <= COMPACT_ABOVE_CHUNKS + bytes / COMPACT_BELOW_MEAN_BYTES) return;
  const blocks: Uint8Array[] = [];
  let left = bytes;
  let block = new Uint8Array(0);
  let used = 0;
  for (const chunk of run.chunks) {
    for (let at = 0; at < chunk.length; ) {
      if (used === block.length) {
        block = new Uint8Array(Math.min(left, COMPACT_BLOCK_BYTES));
        blocks.push(block);
        used = 0;
      }
      const part = chunk.subarray(at, at + block.length - used);
      block.set(part, used);
      used += part.length;
      at += part.length;
      left -= part.length;
    }
  }
  run.chunks = blocks;
}
