/**
 * A session as Node programs use it.
 *
 * @module
 */

import { EventEmitter } from 'node:events';
import { finished } from 'node:stream';
import {
  type Address,
  type CarrierId,
  type PathId,
  type PathInfo,
  type PathState,
  type PathStatistics,
  type PathStatus,
  type Session,
  type SessionError,
  type SessionEvent,
  UsageError,
} from '../core/index.js';
import type { Carrier } from './carriers/carrier.js';
import type { Driver, OnGone, SessionSink } from './driver.js';
import { RovingStream, type RovingStreamOptions, type StreamOwner } from './stream.js';

/** Streams that wait for the peer to allow them; more are refused. */
export const MAX_PENDING_STREAMS = 1_024;

/** What has become of a path. */
export interface PathChange {
  readonly pathId: PathId;
  readonly carrierId: CarrierId;
  readonly state: PathState;
  /** Why, for people. */
  readonly reason: string;
  /** The carrier's local address; absent if the carrier has gone. */
  readonly local?: string;
  /** With `closed`: the final figures. */
  readonly statistics?: PathStatistics;
}

/** The events of a {@link RovingSession} and their arguments. */
export interface RovingSessionEvents {
  /** The peer is there: streams can be sent. */
  established: [];
  /** The peer has opened a stream. A stream that nobody listens for is reset. */
  stream: [stream: RovingStream];
  /** A path is joining, active, suspect or closed. */
  path: [change: PathChange];
  /** The last event. Without an error the session was closed gracefully, by either side. */
  close: [error: SessionError | undefined];
}

/**
 * One connection over any number of paths. It ends with one `close`, never with `error`: what went
 * wrong is the argument of `close`, and the error of the streams that were open.
 */
export class RovingSession extends EventEmitter<RovingSessionEvents> {
  readonly #driver: Driver;
  readonly #core: Session;
  readonly #owner: StreamOwner;
  readonly #sink: SessionSink;
  readonly #carriers = new Set<CarrierId>();
  readonly #streams = new Map<number, RovingStream>();
  readonly #pending = new Map<RovingStream, RovingStreamOptions>();
  readonly #waiting: ((error: SessionError | undefined) => void)[] = [];
  #isClosing = false;
  #isOver = false;

  /** @internal Sessions come from `connectInMemory`. */
  constructor(driver: Driver, core: Session) {
    super();
    this.#driver = driver;
    this.#core = core;
    this.#owner = { driver, core, streamDestroyed: (stream) => this.#forget(stream) };
    this.#sink = { handle: (event) => this.#handle(event), drained: () => this.#drained() };
    driver.attach(core, this.#sink);
  }

  get role(): 'client' | 'server' {
    return this.#core.role;
  }

  /** Whether streams can be opened and used. */
  get isEstablished(): boolean {
    return this.#core.lifecycle === 'established';
  }

  /** Whether `close` has been emitted, or is about to be. */
  get isClosed(): boolean {
    return this.#isOver;
  }

  /** The open paths with what they have measured, oldest first. */
  get paths(): PathInfo[] {
    return this.#core.paths();
  }

  /** Written to streams and not yet acknowledged by the peer, in bytes; without Node's buffers. */
  get bufferedBytes(): number {
    return this.#core.bufferedBytes;
  }

  /**
   * Opens a stream; the peer hears of it with the first bytes. Before the session is established,
   * and while the peer allows no more streams, it is `pending`: what is written waits.
   *
   * @throws UsageError after `close` or `abort`, and if {@link MAX_PENDING_STREAMS} are waiting.
   */
  openStream(options: RovingStreamOptions = {}): RovingStream {
    if (this.#isClosing || this.#isOver) {
      throw new UsageError('no stream can be opened: the session is closed');
    }
    if (this.#pending.size >= MAX_PENDING_STREAMS) {
      throw new UsageError(`${MAX_PENDING_STREAMS} streams are waiting for the peer already`);
    }
    const id = this.#pending.size > 0 ? undefined : this.#open(options);
    const canRead = options.unidirectional !== true;
    const parts = { owner: this.#owner, id, canRead, canWrite: true, options };
    const stream = new RovingStream(parts);
    if (id !== undefined) {
      this.#streams.set(id, stream);
    } else {
      this.#pending.set(stream, options);
      this.#driver.watch(this.#sink);
    }
    return stream;
  }

  #open(options: RovingStreamOptions): number | undefined {
    if (this.#core.lifecycle !== 'established') return undefined;
    // Nothing is sent yet, so the driver need not hear of it.
    return this.#core.openStream(options, this.#driver.now);
  }

  /**
   * Gives a client's session one more carrier to run over; the session closes it at its end.
   *
   * @param remote datagram carriers: where the server is.
   * @returns the new path's id; `undefined` while the session is being established, or if it has as
   *   many paths as it may have.
   * @throws UsageError at a server, and after the end.
   */
  addPath(carrier: Carrier, remote?: Address): PathId | undefined {
    if (this.role === 'server' || this.#isOver) {
      throw new UsageError('only the client of a session that is open adds paths');
    }
    const carrierId = this.#driver.addCarrier(carrier);
    return this.#openPath(carrierId, remote);
  }

  #openPath(carrierId: CarrierId, remote: Address | undefined): PathId | undefined {
    this.#carriers.add(carrierId);
    return this.#driver.command((endpoint, now) =>
      endpoint.openPath(this.#core, carrierId, remote, now),
    );
  }

  /**
   * @internal As {@link addPath}, for who wants to know what becomes of the carrier. One that finds
   * no place among the paths is closed.
   */
  attachCarrier(carrier: Carrier, remote: Address | undefined, onGone: OnGone): CarrierId {
    const carrierId = this.#driver.addCarrier(carrier, onGone);
    const isJoining = this.isEstablished;
    const pathId = this.#openPath(carrierId, remote);
    if (isJoining && pathId === undefined) setImmediate(() => this.detachCarrier(carrierId));
    return carrierId;
  }

  /** @internal Closes a carrier that may not have become a path. */
  detachCarrier(carrierId: CarrierId): void {
    this.#carriers.delete(carrierId);
    this.#driver.closeCarrier(carrierId);
  }

  /** Closes a path for good; what is under way on it goes elsewhere. Nothing if there is none. */
  abandonPath(pathId: PathId): void {
    if (!this.#core.paths().some((path) => path.pathId === pathId)) return;
    this.#driver.command(() => this.#core.abandonPath(pathId));
  }

  /** Tells both ends that a path is for need only, or for use. Nothing if there is no such path. */
  setPathStatus(pathId: PathId, status: PathStatus): void {
    if (!this.#core.paths().some((path) => path.pathId === pathId)) return;
    this.#driver.command(() => this.#core.setPathStatus(pathId, status));
  }

  /**
   * Closes gracefully: no stream takes further writes, and all that was written is delivered first,
   * however long that takes.
   *
   * @returns resolves when the peer has everything. Rejects with what ended the session before.
   */
  close(): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    const closed = new Promise<void>((resolve, reject) => {
      this.#waiting.push((error) => (error === undefined ? resolve() : reject(error)));
    });
    if (this.#isClosing) return closed;
    this.#isClosing = true;
    const streams = [...this.#streams.values(), ...this.#pending.keys()];
    const writing = streams.filter((stream) => stream.isWriting);
    let left = writing.length;
    const oneDone = (): void => {
      left -= 1;
      if (left === 0) this.#closeCore();
    };
    for (const stream of writing) {
      finished(stream, { readable: false }, oneDone);
      stream.end();
    }
    if (writing.length === 0) this.#closeCore();
    return closed;
  }

  #closeCore(): void {
    this.#driver.command((_endpoint, now) => this.#core.close(now));
  }

  /**
   * Ends at once; what has not arrived is lost. Streams fail with `ERR_ABORTED` here and with
   * `ERR_CLOSED_BY_PEER` at the peer.
   *
   * @param code for the peer's application, 0 to 2^53-1. With 0, the peer takes it for graceful.
   * @param reason for people, cut to 256 bytes.
   */
  abort(code = 1, reason = 'the application gave up'): void {
    this.#isClosing = true;
    this.#driver.command((_endpoint, now) => this.#core.abort(code, reason, now));
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #handle(event: SessionEvent): void {
    switch (event.type) {
      case 'established':
        this.emit('established');
        return this.#openPending();
      case 'path':
        return this.#path(event);
      case 'stream':
        return this.#accept(event.streamId, event.unidirectional);
      case 'readable':
        return this.#streams.get(event.streamId)?.readableNow();
      case 'writable':
        return this.#streams.get(event.streamId)?.writableNow();
      case 'streamReset':
        return this.#streams.get(event.streamId)?.wasReset(event.code);
      case 'streamStopped':
        return this.#streams.get(event.streamId)?.wasStopped(event.code);
      case 'streamClosed':
        return;
      case 'closed':
        return this.#end(event.error);
    }
  }

  #path(event: SessionEvent & { type: 'path' }): void {
    const { pathId, carrierId, state, reason, statistics } = event;
    const local = this.#driver.carrier(carrierId)?.local;
    // A datagram carrier of ours has no other use; stream carriers are closed by the core.
    if (state === 'closed' && this.#carriers.delete(carrierId)) {
      this.#driver.closeCarrier(carrierId);
    }
    this.emit('path', {
      pathId,
      carrierId,
      state,
      reason,
      ...(local === undefined ? {} : { local }),
      ...(statistics === undefined ? {} : { statistics }),
    });
  }

  #accept(id: number, unidirectional: boolean): void {
    const parts = { owner: this.#owner, id, canRead: true, canWrite: !unidirectional, options: {} };
    const stream = new RovingStream(parts);
    this.#streams.set(id, stream);
    if (this.#isClosing && !unidirectional) stream.end();
    if (!this.emit('stream', stream)) stream.destroy();
  }

  #forget(stream: RovingStream): void {
    this.#pending.delete(stream);
    if (stream.id !== undefined) this.#streams.delete(stream.id);
  }

  /** The core does not say when the peer allows more streams: it is asked again. */
  #openPending(): void {
    for (const [stream, options] of this.#pending) {
      const id = this.#open(options);
      if (id === undefined) return;
      this.#pending.delete(stream);
      this.#streams.set(id, stream);
      stream.opened(id);
    }
  }

  #drained(): void {
    if (!this.#isOver) {
      this.#openPending();
      if (this.#pending.size === 0) this.#driver.unwatch(this.#sink);
    } else if (!this.#core.isOpen || this.#core.paths().length === 0) {
      this.#release();
    }
  }

  #end(error: SessionError | undefined): void {
    this.#isOver = true;
    for (const stream of [...this.#streams.values(), ...this.#pending.keys()]) {
      stream.sessionOver(error);
    }
    for (const tell of this.#waiting.splice(0)) tell(error);
    // The carriers stay until the peer has confirmed the end, or has had time to.
    this.#driver.watch(this.#sink);
    this.emit('close', error);
  }

  #release(): void {
    this.#driver.detach(this.#core);
    for (const carrierId of this.#carriers) this.#driver.closeCarrier(carrierId);
    this.#carriers.clear();
  }
}
