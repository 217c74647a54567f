/**
 * The streams of one session: those that are open, and those that wait until the peer allows them.
 *
 * @module
 */

import {
  type PathInfo,
  type Session,
  type SessionError,
  type SessionEvent,
  UsageError,
} from '../core/index.js';
import { publish } from './diagnostics.js';
import type { Driver } from './driver.js';
import type { RovingSession } from './session.js';
import { RovingStream, type RovingStreamOptions, type StreamOwner } from './stream.js';

/** Streams that wait for the peer to allow them; more are refused. */
export const MAX_PENDING_STREAMS = 1_024;

export class SessionStreams implements StreamOwner {
  readonly driver: Driver;
  readonly core: Session;
  readonly #session: RovingSession;
  readonly #open = new Map<number, RovingStream>();
  /** In the order of their opening; absent while there are none. */
  #pending: Map<RovingStream, RovingStreamOptions> | undefined;
  /** Whether the session by itself keeps the process alive. */
  #isRef = true;
  #refCount = 0;

  constructor(session: RovingSession, driver: Driver, core: Session) {
    this.#session = session;
    this.driver = driver;
    this.core = core;
  }

  get openCount(): number {
    return this.#open.size;
  }

  get pendingCount(): number {
    return this.#pending?.size ?? 0;
  }

  *all(): Generator<RovingStream> {
    yield* this.#open.values();
    if (this.#pending !== undefined) yield* this.#pending.keys();
  }

  /** @throws UsageError if {@link MAX_PENDING_STREAMS} are waiting. */
  open(options: RovingStreamOptions): RovingStream {
    if (this.pendingCount >= MAX_PENDING_STREAMS) {
      throw new UsageError(`${MAX_PENDING_STREAMS} streams are waiting for the peer already`);
    }
    const id = this.pendingCount > 0 ? undefined : this.#newId(options);
    const canRead = options.unidirectional !== true;
    const parts = { owner: this, id, canRead, canWrite: true, options, isOurs: true };
    const stream = new RovingStream(parts);
    if (stream.destroyed) return stream;
    if (id !== undefined) {
      this.#isOpen(id, stream);
    } else {
      this.#pending ??= new Map();
      this.#pending.set(stream, options);
    }
    return stream;
  }

  #newId(options: RovingStreamOptions): number | undefined {
    // What is aborted before it began costs the peer nothing.
    if (this.core.lifecycle !== 'established' || options.signal?.aborted === true) return undefined;
    // Nothing is sent yet, so the driver need not hear of it.
    return this.core.openStream(options, this.driver.now);
  }

  #isOpen(id: number, stream: RovingStream): void {
    this.#open.set(id, stream);
    publish('roving:stream:open', () => ({ session: this.#session, stream }));
  }

  /** The peer allows more, or the session is there. */
  openPending(): void {
    if (this.#pending === undefined) return;
    for (const [stream, options] of this.#pending) {
      const id = this.#newId(options);
      if (id === undefined) return;
      this.#pending.delete(stream);
      this.#isOpen(id, stream);
      stream.opened(id);
    }
    if (this.#pending.size === 0) this.#pending = undefined;
  }

  /** The peer has opened a stream. */
  accept(id: number, unidirectional: boolean): RovingStream {
    const canWrite = !unidirectional;
    const parts = { owner: this, id, canRead: true, canWrite, options: {}, isOurs: false };
    const stream = new RovingStream(parts);
    this.#isOpen(id, stream);
    return stream;
  }

  /** Hands on what the core tells of one stream. */
  handle(event: SessionEvent & { readonly streamId: number }): void {
    const stream = this.#open.get(event.streamId);
    if (stream === undefined) return;
    switch (event.type) {
      case 'readable':
        return stream.readableNow();
      case 'writable':
        return stream.writableNow();
      case 'streamReset':
        return stream.wasReset(event.code);
      case 'streamStopped':
        return stream.wasStopped(event.code);
    }
  }

  sessionOver(error: SessionError | undefined): void {
    for (const stream of [...this.all()]) stream.sessionOver(error);
  }

  // What streams ask for.

  streamDestroyed(stream: RovingStream): void {
    this.#pending?.delete(stream);
    const { id } = stream;
    if (id === undefined || !this.#open.delete(id)) return;
    publish('roving:stream:close', () => ({ session: this.#session, stream }));
  }

  bestPath(): PathInfo | undefined {
    return this.#session.bestPath;
  }

  streamRefChanged(change: 1 | -1): void {
    this.#refCount += change;
    if (!this.#isRef && this.#refCount === Math.max(0, change)) this.#hold();
  }

  // Keeping the process alive.

  setRef(isRef: boolean): void {
    if (isRef === this.#isRef) return;
    this.#isRef = isRef;
    this.#hold();
  }

  #hold(): void {
    this.driver.hold(this.core, this.#isRef || this.#refCount > 0);
  }
}
