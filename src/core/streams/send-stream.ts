/**
 * The sending part of a stream (RFC 9000 §3.1): what was written and is not yet acknowledged,
 * which parts have to be sent again, and how it ends.
 *
 * @module
 */

import { assert } from '../errors.js';
import { type Range, RangeSet } from '../range-set.js';
import { BlockPool, SendBuffer } from './send-buffer.js';

/** A piece to be sent. */
export interface NextPiece {
  readonly range: Range;
  readonly fin: boolean;
  /** Its bytes have never been sent before. */
  readonly isNew: boolean;
  /** What it takes of the session's flow control. */
  readonly creditBytes: number;
}

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
  /** See {@link skippedBytes}; sent as if it were lost. */
  readonly #skipped = new RangeSet();
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

  /** Sent at least once up to here, or skipped, in bytes; what counts against flow control. */
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

  /** Never sent yet, without what was skipped. */
  get unsentBytes(): number {
    return this.#resetCode === undefined ? this.#writtenBytes - this.#nextOffset : 0;
  }

  /** Left out for pieces further on, which a slower path carries. */
  get skippedBytes(): number {
    return this.#skipped.size;
  }

  /** To be sent before anything new: lost, or skipped. */
  get overdueBytes(): number {
    return this.#lost.size + this.#skipped.size;
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
    this.#skipped.clear();
  }

  /** The RESET_STREAM frame has arrived. */
  resetWasAcknowledged(): void {
    this.#resetAcked = true;
  }

  /** Whether `next` would yield something, given this much session credit for new data. */
  hasWork(sessionCredit: number): boolean {
    if (this.#resetCode !== undefined) return false;
    if (!this.#lost.isEmpty || !this.#skipped.isEmpty || this.#finLost) return true;
    const unsent = Math.min(this.#writtenBytes, this.#maxData) - this.#nextOffset;
    if (unsent > 0) return sessionCredit > 0;
    return this.#finished && !this.#finSent && this.#nextOffset === this.#writtenBytes;
  }

  /** Whether there is new data that the peer's limit of the stream lets out. */
  get hasNew(): boolean {
    return this.unsentBytes > 0 && this.#maxData > this.#nextOffset;
  }

  /** The next piece does not start before this. */
  get nextPieceOffset(): number {
    return this.#firstOverdue?.first()?.start ?? this.#nextOffset;
  }

  /** Where the first piece is that has to be sent before anything new. */
  get #firstOverdue(): RangeSet | undefined {
    const lost = this.#lost.first();
    const skipped = this.#skipped.first();
    if (skipped === undefined) return lost === undefined ? undefined : this.#lost;
    return lost !== undefined && lost.start < skipped.start ? this.#lost : this.#skipped;
  }

  /**
   * The next piece to send, at most `limit` bytes: first what was lost or skipped, then new data
   * within the limits. Marks it as sent.
   *
   * @param aheadBytes so much of what waits is left to other paths, which deliver it sooner: the
   *   piece is taken from behind it, and is always new.
   */
  next(limit: number, sessionCredit: number, aheadBytes = 0): NextPiece | undefined {
    if (!this.hasWork(sessionCredit)) return undefined;
    if (aheadBytes > 0) return this.#nextAhead(limit, sessionCredit, aheadBytes);
    const overdue = this.#firstOverdue;
    const first = overdue?.first();
    if (overdue !== undefined && first !== undefined) {
      const end = Math.min(first.end, first.start + limit);
      if (end === first.start) return undefined;
      const range = { start: first.start, end };
      overdue.remove(range.start, range.end);
      const isNew = overdue === this.#skipped;
      return { range, fin: this.#takeFin(range.end), isNew, creditBytes: 0 };
    }
    const start = this.#nextOffset;
    const end = Math.max(start, Math.min(this.#sendableEnd(sessionCredit), start + limit));
    if (end === start && start !== this.#writtenBytes) return undefined;
    this.#nextOffset = end;
    return {
      range: { start, end },
      fin: this.#takeFin(end),
      isNew: true,
      creditBytes: end - start,
    };
  }

  #sendableEnd(sessionCredit: number): number {
    return Math.min(this.#writtenBytes, this.#maxData, this.#nextOffset + sessionCredit);
  }

  #nextAhead(limit: number, sessionCredit: number, aheadBytes: number): NextPiece | undefined {
    const from = this.#nextOffset;
    const end = this.#sendableEnd(sessionCredit);
    const wanted = Math.max(0, aheadBytes - this.overdueBytes);
    const start = Math.min(from + wanted, Math.max(from, end - limit));
    const range = { start, end: Math.min(end, start + limit) };
    if (range.end <= start) return undefined;
    if (start > from) this.#skipped.add(from, start);
    this.#nextOffset = range.end;
    const fin = this.#takeFin(range.end);
    return { range, fin, isNew: true, creditBytes: range.end - from };
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
