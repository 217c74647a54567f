/**
 * Applications for the bed: senders and readers whose every byte is known, so that it is checked
 * wherever it arrives, and whose gaps and delays are measured.
 *
 * @module
 */

import type { BedEnd } from './bed.js';
import { Prng } from './prng.js';

/** A prime, so that a piece in a wrong place hardly ever looks right. */
const PATTERN_BYTES = 65_521;
/** Twice the same, so that a piece from anywhere in the first half is contiguous. */
const PATTERN = repeated(new Prng('pattern').bytes(PATTERN_BYTES));
const WRITE_BYTES = 65_536;
const READ_BYTES = 1 << 20;

function repeated(bytes: Uint8Array): Uint8Array {
  const twice = new Uint8Array(2 * bytes.length);
  twice.set(bytes);
  twice.set(bytes, bytes.length);
  return twice;
}

/** The bytes `[offset, offset + length)` of the endless content; at most 65,521 at a time. */
export function contentAt(offset: number, length: number): Uint8Array {
  const start = offset % PATTERN_BYTES;
  return PATTERN.subarray(start, start + Math.min(length, PATTERN_BYTES));
}

/** The first wrong byte of a piece of the content, -1 if all is right. */
export function firstWrongByte(offset: number, bytes: Uint8Array): number {
  let at = offset % PATTERN_BYTES;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== PATTERN[at]) return offset + i;
    at += 1;
    if (at === PATTERN_BYTES) at = 0;
  }
  return -1;
}

export interface SenderOptions {
  /** Total; unlimited if absent. */
  readonly bytes?: number;
  readonly unidirectional?: boolean;
  readonly priority?: number;
}

/** Writes the content as fast as it is taken. */
export class BulkSender {
  readonly end: BedEnd;
  readonly streamId: number;
  readonly totalBytes: number;
  writtenBytes = 0;
  isFinished = false;

  /** The session must be established. */
  constructor(end: BedEnd, options: SenderOptions = {}) {
    this.end = end;
    this.totalBytes = options.bytes ?? Number.POSITIVE_INFINITY;
    const { unidirectional = true, priority = 0 } = options;
    const streamId = end.host.command((_core, now) =>
      end.session.openStream({ unidirectional, priority }, now),
    );
    if (streamId === undefined) throw new Error('no stream can be opened');
    this.streamId = streamId;
    end.on((event) => {
      if (event.type === 'writable' && event.streamId === streamId) this.#write();
    });
    this.#write();
  }

  #write(): void {
    const { session, host } = this.end;
    while (this.writtenBytes < this.totalBytes) {
      if (session.lifecycle !== 'established') return;
      const left = this.totalBytes - this.writtenBytes;
      const piece = contentAt(this.writtenBytes, Math.min(WRITE_BYTES, left));
      const taken = session.write(this.streamId, piece);
      this.writtenBytes += taken;
      if (taken < piece.length) break;
    }
    if (this.writtenBytes === this.totalBytes && !this.isFinished) {
      this.isFinished = true;
      session.finish(this.streamId);
    }
    host.touch();
  }
}

/** Reads streams that the other end opens, checks each byte, and notes when it came. */
export class Reader {
  readonly end: BedEnd;
  readBytes = 0;
  readonly perStream = new Map<number, number>();
  wrongByteAt = -1;
  endedStreams = 0;
  /** Longest time between two reads, in ms, since {@link resetGap}. */
  longestGapMs = 0;
  lastReadAt: number;
  /** While set, nothing is read. */
  isPaused = false;
  readonly #onRead:
    | ((streamId: number, offset: number, length: number, now: number) => void)
    | undefined;

  constructor(
    end: BedEnd,
    onRead?: (streamId: number, offset: number, length: number, now: number) => void,
  ) {
    this.end = end;
    this.#onRead = onRead;
    this.lastReadAt = end.host.world.now;
    end.on((event) => {
      if (event.type === 'readable' && !this.isPaused) this.read(event.streamId);
    });
  }

  resetGap(): void {
    this.longestGapMs = 0;
    this.lastReadAt = this.end.host.world.now;
  }

  resume(): void {
    this.isPaused = false;
    for (const streamId of this.perStream.keys()) this.read(streamId);
  }

  read(streamId: number): void {
    const { session, host } = this.end;
    const now = host.world.now;
    for (;;) {
      const bytes = session.read(streamId, READ_BYTES, now);
      if (bytes === undefined) break;
      if (bytes === 'end') {
        this.endedStreams += 1;
        break;
      }
      const offset = this.perStream.get(streamId) ?? 0;
      const wrong = firstWrongByte(offset, bytes);
      if (wrong >= 0 && this.wrongByteAt < 0) this.wrongByteAt = wrong;
      this.perStream.set(streamId, offset + bytes.length);
      this.readBytes += bytes.length;
      this.longestGapMs = Math.max(this.longestGapMs, now - this.lastReadAt);
      this.lastReadAt = now;
      this.#onRead?.(streamId, offset, bytes.length, now);
    }
    host.touch();
  }
}

/** Writes pieces of a fixed size at a fixed interval, and knows when each was written. */
export class MessageSender {
  readonly end: BedEnd;
  readonly streamId: number;
  readonly messageBytes: number;
  readonly writtenAt: number[] = [];
  isStopped = false;

  constructor(end: BedEnd, options: { messageBytes: number; intervalMs: number }) {
    this.end = end;
    this.messageBytes = options.messageBytes;
    const { world } = end.host;
    const streamId = end.host.command((_core, now) =>
      end.session.openStream({ unidirectional: true }, now),
    );
    if (streamId === undefined) throw new Error('no stream can be opened');
    this.streamId = streamId;
    const tick = (): void => {
      if (this.isStopped || end.session.lifecycle !== 'established') return;
      const offset = this.writtenAt.length * this.messageBytes;
      end.session.write(streamId, contentAt(offset, this.messageBytes).slice());
      this.writtenAt.push(world.now);
      end.host.touch();
      world.schedule(world.now + options.intervalMs, tick);
    };
    tick();
  }
}
