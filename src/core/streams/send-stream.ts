/**
 * The sending part of a stream (RFC 9000 §3.1): what was written and is not yet acknowledged,
 * which parts have to be sent again, and how it ends.
 *
 * @module
 */

import { assert } from '../errors.js';
import { type Range, RangeSet } from '../range-set.js';
import { BlockPool, SendBuffer } from './send-buffer.js';

export class SendStream {
  readonly id: number;
  /** Higher is sent first; 0 by default. */
  priority = 0;
  readonly #buffer: SendBuffer;
  #writtenBytes = 0;
  #nextOffset = 0;
  #finished = false;
  #finSent = false;
  #finAcked = false;
  #finLost = false;
  #resetCode: number | undefined;
  #resetAcked = false;
  #maxData: number;
  readonly #acked = new RangeSet();
  readonly #lost = new RangeSet();
  #ackedPrefix = 0;

  constructor(id: number, maxData: number, pool = new BlockPool()) {
    this.id = id;
    this.#buffer = new SendBuffer(pool);
    this.#maxData = maxData;
  }

  /** All that was written, in bytes. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Sent at least once, in bytes; what counts against flow control. */
  get sentBytes(): number {
    return this.#nextOffset;
  }

  /** Everything below this has arrived. */
  get acknowledgedBytes(): number {
    return this.#ackedPrefix;
  }

  /** Held in memory. */
  get bufferedBytes(): number {
    return this.#resetCode === undefined ? this.#writtenBytes - this.#ackedPrefix : 0;
  }

  get resetCode(): number | undefined {
    return this.#resetCode;
  }

  get isFinished(): boolean {
    return this.#finished;
  }

  /** Everything, including the end, is known to have arrived. */
  get isDone(): boolean {
    if (this.#resetCode !== undefined) return this.#resetAcked;
    return this.#finAcked && this.#ackedPrefix === this.#writtenBytes;
  }

  /** Never sent yet. */
  get unsentBytes(): number {
    return this.#resetCode === undefined ? this.#writtenBytes - this.#nextOffset : 0;
  }

  get lostBytes(): number {
    return this.#lost.size;
  }

  get maxData(): number {
    return this.#maxData;
  }

  set maxData(maximum: number) {
    this.#maxData = Math.max(this.#maxData, maximum);
  }

  /** Copies the bytes: the caller may use its memory again. */
  write(bytes: Uint8Array): void {
    assert(!this.#finished && this.#resetCode === undefined, 'no write after the end of a stream');
    this.#buffer.write(bytes);
    this.#writtenBytes += bytes.length;
  }

  finish(): void {
    this.#finished = true;
  }

  reset(code: number): void {
    if (this.#resetCode !== undefined) return;
    this.#resetCode = code;
    this.#buffer.release(this.#writtenBytes);
    this.#lost.clear();
  }

  /** The RESET_STREAM frame has arrived. */
  resetWasAcknowledged(): void {
    this.#resetAcked = true;
  }

  /** Whether `next` would yield something, given this much session credit for new data. */
  hasWork(sessionCredit: number): boolean {
    if (this.#resetCode !== undefined) return false;
    if (!this.#lost.isEmpty || this.#finLost) return true;
    const unsent = Math.min(this.#writtenBytes, this.#maxData) - this.#nextOffset;
    if (unsent > 0) return sessionCredit > 0;
    return this.#finished && !this.#finSent && this.#nextOffset === this.#writtenBytes;
  }

  /** Where the next piece will start. */
  get nextPieceOffset(): number {
    return this.#lost.first()?.start ?? this.#nextOffset;
  }

  /**
   * The next piece to send, at most `limit` bytes: first what was lost, then new data within the
   * limits. Marks it as sent.
   */
  next(
    limit: number,
    sessionCredit: number,
  ): { range: Range; fin: boolean; isNew: boolean } | undefined {
    if (!this.hasWork(sessionCredit)) return undefined;
    const lost = this.#lost.first();
    if (lost !== undefined) {
      const end = Math.min(lost.end, lost.start + limit);
      if (end === lost.start) return undefined;
      const range = { start: lost.start, end };
      this.#lost.remove(range.start, range.end);
      return { range, fin: this.#takeFin(range.end), isNew: false };
    }
    const start = this.#nextOffset;
    const allowed = Math.min(this.#writtenBytes, this.#maxData, start + sessionCredit);
    const end = Math.max(start, Math.min(allowed, start + limit));
    if (end === start && start !== this.#writtenBytes) return undefined;
    this.#nextOffset = end;
    return { range: { start, end }, fin: this.#takeFin(end), isNew: true };
  }

  #takeFin(end: number): boolean {
    if (!this.#finished || end !== this.#writtenBytes || this.#finAcked) return false;
    this.#finSent = true;
    this.#finLost = false;
    return true;
  }

  /** Views of the bytes of a range that is still held; good until it is acknowledged. */
  read(range: Range): Uint8Array[] {
    return this.#buffer.read(range);
  }

  /** A packet with this piece arrived. Returns how many bytes of memory this frees. */
  acknowledged(start: number, end: number, fin: boolean): number {
    if (fin) {
      this.#finAcked = true;
      this.#finLost = false;
    }
    if (this.#resetCode !== undefined) return 0;
    this.#lost.remove(start, end);
    this.#acked.add(Math.max(start, this.#ackedPrefix), end);
    const first = this.#acked.first();
    if (first === undefined || first.start > this.#ackedPrefix) return 0;
    const freed = first.end - this.#ackedPrefix;
    this.#ackedPrefix = first.end;
    this.#acked.shift();
    this.#buffer.release(this.#ackedPrefix);
    return freed;
  }

  /** A packet with this piece will not arrive, or shall be sent elsewhere too. Returns bytes queued. */
  lose(start: number, end: number, fin: boolean): number {
    if (this.#resetCode !== undefined) return 0;
    if (fin && !this.#finAcked) this.#finLost = true;
    let queued = 0;
    for (const gap of this.#acked.gaps(Math.max(start, this.#ackedPrefix), end)) {
      queued += this.#lost.add(gap.start, gap.end);
    }
    return queued;
  }

  /** The first byte of a piece that has not arrived, its end if all have. */
  firstUnacknowledged(start: number, end: number): number {
    return this.#acked.gaps(Math.max(start, this.#ackedPrefix), end)[0]?.start ?? end;
  }

  /** Whether some of this piece has not been acknowledged yet. */
  isOutstanding(start: number, end: number, fin: boolean): boolean {
    if (this.#resetCode !== undefined) return false;
    if (fin && !this.#finAcked) return true;
    return end > this.#ackedPrefix && !this.#acked.covers(Math.max(start, this.#ackedPrefix), end);
  }
}
