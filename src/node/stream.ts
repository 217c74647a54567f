/**
 * A stream of a session as Node knows streams.
 *
 * @module
 */

import { addAbortSignal } from 'node:stream';
import { AbortedError, type PathInfo, type Session, SessionError } from '../core/index.js';
import type { Driver } from './driver.js';
import { StreamResetError, StreamStoppedError } from './errors.js';
import { SocketSurface } from './socket-surface.js';

/** Asked of the core at a time; it gives no more than one packet's worth. */
const READ_BYTES = 1 << 20;
const DEFAULT_HIGH_WATER_MARK_BYTES = 64 * 1024;

export interface RovingStreamOptions {
  /** Only the opener writes; `false`. */
  readonly unidirectional?: boolean;
  /** Streams with a higher one are sent first; 0. */
  readonly priority?: number;
  /** `false`: the writing side ends by itself when the peer's has; `true`. */
  readonly allowHalfOpen?: boolean;
  /** Of Node's own buffers, each way, in bytes; 64 KiB. The core has buffers besides. */
  readonly highWaterMark?: number;
  /** Destroys the stream with an `AbortError` (code `ABORT_ERR`), at any time. */
  readonly signal?: AbortSignal;
}

/** @internal What a stream needs of its session. */
export interface StreamOwner {
  readonly driver: Driver;
  readonly core: Session;
  streamDestroyed(stream: RovingStream): void;
  /** One stream more, or less, wants to keep the process alive. */
  streamRefChanged(change: 1 | -1): void;
  bestPath(): PathInfo | undefined;
}

/** @internal */
export interface StreamParts {
  readonly owner: StreamOwner;
  /** `undefined`: the peer allows no further stream yet; what is written waits. */
  readonly id: number | undefined;
  readonly canRead: boolean;
  readonly canWrite: boolean;
  readonly options: RovingStreamOptions;
  /** Opened by this end. */
  readonly isOurs: boolean;
}

type Callback = (error?: Error | null) => void;

/** The part of a write that has not been taken, and who waits for it. */
interface BlockedWrite {
  readonly bytes: Uint8Array;
  readonly callback: Callback;
  /** Of the same write. */
  readonly takenBytes: number;
}

/**
 * An ordered, reliable stream of bytes, both ways or one way; it outlives every path. It can be used
 * wherever a connected `net.Socket` can: `connect` and `ready` tell the opener that it is open.
 *
 * `write` is accepted when the session has taken the bytes to deliver them. It takes no more than
 * its buffers hold, and those empty only as the peer's application reads: `write` answering
 * `false`, and `drain`, reach from end to end. `end` tells the peer the end, and the other direction
 * goes on. `destroy` gives up both directions: the peer gets `ERR_STREAM_RESET`.
 *
 * Errors: `ERR_STREAM_RESET`, `ERR_STREAM_STOPPED`, and what ended the session, such as
 * `ERR_SESSION_GONE`. There is one `close`, always last.
 */
export class RovingStream extends SocketSurface {
  readonly #owner: StreamOwner;
  readonly #canRead: boolean;
  readonly #canWrite: boolean;
  #id: number | undefined;
  #blocked: BlockedWrite | undefined;
  #waitingEnd: Callback | undefined;
  #isReading = false;
  #isAtEnd = false;
  #isFinished = false;
  #stopped: StreamStoppedError | undefined;
  /** The peer stopped reading, and not only because it had read enough. */
  #isCut = false;
  #isSessionOver = false;
  #resetCode = 0;
  #isRef = true;
  #bytesRead = 0;
  #bytesTaken = 0;

  /** @internal Streams come from `session.openStream()` and the event `stream`. */
  constructor(parts: StreamParts) {
    const { allowHalfOpen = true, highWaterMark = DEFAULT_HIGH_WATER_MARK_BYTES } = parts.options;
    const directions = { readable: parts.canRead, writable: parts.canWrite };
    super({
      ...directions,
      allowHalfOpen,
      readableHighWaterMark: highWaterMark,
      writableHighWaterMark: highWaterMark,
      decodeStrings: false,
    });
    this.#owner = parts.owner;
    this.#id = parts.id;
    this.#canRead = parts.canRead;
    this.#canWrite = parts.canWrite;
    parts.owner.streamRefChanged(1);
    if (parts.isOurs && parts.id !== undefined) this.#tellOpen();
    if (parts.options.signal !== undefined) addAbortSignal(parts.options.signal, this);
  }

  #tellOpen(): void {
    process.nextTick(() => {
      if (this.destroyed) return;
      this.emit('connect');
      this.emit('ready');
    });
  }

  /** The same at both ends; `undefined` while {@link pending}. */
  get id(): number | undefined {
    return this.#id;
  }

  /** Whether the stream waits for the session, or for the peer to allow one stream more. */
  get pending(): boolean {
    return this.#id === undefined;
  }

  /** Given to the reader, or waiting for it in Node's own buffer, in bytes. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** All that was written, in bytes; strings that wait in Node's own buffer count by length. */
  get bytesWritten(): number {
    if (this.destroyed) return this.#bytesTaken;
    return this.#bytesTaken - (this.#blocked?.takenBytes ?? 0) + this.writableLength;
  }

  /** Taken from `write` and not yet acknowledged by the peer, in bytes. */
  get unacknowledgedBytes(): number {
    const progress = this.#sendProgress;
    return progress === undefined ? 0 : progress.writtenBytes - progress.acknowledgedBytes;
  }

  get #sendProgress(): ReturnType<Session['sendProgress']> {
    return this.#id === undefined ? undefined : this.#owner.core.sendProgress(this.#id);
  }

  /** @internal */
  protected override progress(): number {
    return this.#sendProgress?.acknowledgedBytes ?? this.#bytesTaken;
  }

  /** @internal */
  protected override bestPath(): PathInfo | undefined {
    return this.destroyed ? undefined : this.#owner.bestPath();
  }

  override ref(): this {
    return this.#setRef(true);
  }

  override unref(): this {
    return this.#setRef(false);
  }

  #setRef(isRef: boolean): this {
    if (isRef === this.#isRef || this.destroyed) return this;
    this.#isRef = isRef;
    this.#owner.streamRefChanged(isRef ? 1 : -1);
    return this;
  }

  /** @internal Whether there may still be something to hand to the core. */
  get isWriting(): boolean {
    return this.#canWrite && !this.writableFinished && !this.destroyed;
  }

  /**
   * Gives up both directions, as `destroy` does, and tells the peer's application why.
   *
   * @param code the application's own, 0 to 2^53-1.
   */
  reset(code: number): this {
    this.#resetCode = code;
    return this.destroy();
  }

  // No `_writev`: the core joins small writes itself, and all of one turn go out together.
  override _write(chunk: Uint8Array | string, encoding: BufferEncoding, callback: Callback): void {
    this.#send(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk, callback);
  }

  #send(bytes: Uint8Array, callback: Callback, takenBefore = 0): void {
    const id = this.#id;
    this.isActive();
    if (id === undefined) {
      this.#blocked = { bytes, callback, takenBytes: 0 };
      return;
    }
    // What the peer does not want is dropped, as long as there is something to read from it.
    if (this.#stopped !== undefined) {
      this.#isCut = true;
      return callback();
    }
    const { driver, core } = this.#owner;
    let taken: number;
    try {
      taken = driver.command(() => core.write(id, bytes));
    } catch (error) {
      return callback(sessionError(error));
    }
    this.#bytesTaken += taken;
    if (taken === bytes.length) return callback();
    const takenBytes = takenBefore + taken;
    this.#blocked = { bytes: bytes.subarray(taken), callback, takenBytes };
  }

  override _final(callback: Callback): void {
    const id = this.#id;
    if (id === undefined) {
      this.#waitingEnd = callback;
      return;
    }
    const { driver, core } = this.#owner;
    if (this.#stopped === undefined && !this.#isSessionOver) {
      try {
        driver.command(() => core.finish(id));
      } catch (error) {
        return callback(sessionError(error));
      }
    }
    this.#isFinished = true;
    callback();
  }

  override _read(): void {
    this.#isReading = true;
    this.#pull();
  }

  /** Hands on what has arrived, as long as Node's buffer takes it. */
  #pull(): void {
    const id = this.#id;
    const { driver, core } = this.#owner;
    while (id !== undefined && this.#isReading && !this.#isAtEnd && !this.destroyed) {
      const bytes = driver.command((_endpoint, now) => core.read(id, READ_BYTES, now));
      if (bytes === 'end') {
        this.#isAtEnd = true;
        this.push(null);
        if (this.#stopped !== undefined) this.once('end', () => this.#failStopped());
        return;
      }
      if (bytes === undefined) {
        // Nothing is coming any more, and the end has not come: it was cut off.
        if (this.#isSessionOver) this.destroy();
        return;
      }
      this.isActive();
      this.#bytesRead += bytes.length;
      this.#isReading = this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    }
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const blocked = this.#blocked;
    this.#blocked = undefined;
    this.stopTimer();
    this.#giveUp();
    if (this.#isRef) this.#owner.streamRefChanged(-1);
    this.#owner.streamDestroyed(this);
    callback(error);
    const unwritten = () => new AbortedError('the stream was destroyed before this was written');
    blocked?.callback(error ?? unwritten());
    this.#waitingEnd?.(error ?? unwritten());
  }

  /** Tells the peer of the directions that have not ended by themselves. */
  #giveUp(): void {
    const id = this.#id;
    const { driver, core } = this.#owner;
    const isRunning = core.lifecycle === 'established' || core.lifecycle === 'finishing';
    if (id === undefined || !isRunning) return;
    driver.command((_endpoint, now) => {
      if (this.#canRead && !this.#isAtEnd) core.stopSending(id, this.#resetCode, now);
      if (this.#canWrite && !this.#isFinished) core.reset(id, this.#resetCode);
    });
  }

  // What the session tells.

  /** @internal The stream may begin. */
  opened(id: number): void {
    this.#id = id;
    this.#tellOpen();
    this.writableNow();
    const waitingEnd = this.#waitingEnd;
    this.#waitingEnd = undefined;
    if (waitingEnd !== undefined) this._final(waitingEnd);
    this.#pull();
  }

  /** @internal */
  readableNow(): void {
    this.#pull();
  }

  /** @internal */
  writableNow(): void {
    const blocked = this.#blocked;
    this.#blocked = undefined;
    if (blocked === undefined) return;
    this.#send(blocked.bytes, blocked.callback, blocked.takenBytes);
  }

  /** @internal */
  wasReset(code: number): void {
    this.destroy(new StreamResetError(code));
  }

  /** @internal What the peer has still to say can be read first, as an answer usually can. */
  wasStopped(code: number): void {
    this.#isCut = code !== 0 || !this.#canRead;
    this.#stopped = new StreamStoppedError(code);
    if (!this.#canRead || this.readableEnded) this.#failStopped();
    else if (this.#isAtEnd) this.once('end', () => this.#failStopped());
    this.writableNow();
  }

  /**
   * A peer that has said all it had to say, and closed, is no error, as it is none of a TCP socket;
   * but a write that it did not wait for is.
   */
  #failStopped(): void {
    if (!this.writableFinished) this.destroy(this.#isCut ? this.#stopped : undefined);
  }

  /** @internal Without an error, what has arrived can still be read. */
  sessionOver(error: SessionError | undefined): void {
    this.#isSessionOver = true;
    const isCut = this.#blocked !== undefined || this.#waitingEnd !== undefined;
    if (error !== undefined) this.destroy(error);
    else if (isCut) this.destroy(new AbortedError('the session was closed before this was sent'));
    else if (!this.#canRead || this.readableEnded) this.destroy();
    else this.#pull();
  }
}

function sessionError(error: unknown): SessionError {
  if (error instanceof SessionError) return error;
  throw error;
}
