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
  type KeyEntry,
  type PathId,
  type PathInfo,
  type PathState,
  type PathStatistics,
  type PathStatus,
  type ServerAddresses,
  type Session,
  type SessionError,
  type SessionEvent,
  UsageError,
} from '../core/index.js';
import type { Carrier } from './carriers/carrier.js';
import { publish } from './diagnostics.js';
import type { Driver, OnGone, SessionSink } from './driver.js';
import { SessionStreams } from './session-streams.js';
import type { RovingStream, RovingStreamOptions } from './stream.js';

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

/** With which of the server's keys a client came. */
export interface SessionKey {
  readonly name: string;
  /** What sessions with this key may do, such as `forward` or `files:DIR`. */
  readonly grants: readonly string[];
  /** 8 bytes. */
  readonly keyId: Uint8Array;
}

/** Where a session stands; it only ever goes down this list. */
export type SessionLifecycle = 'connecting' | 'established' | 'closing' | 'closed';

/** What a session has done since its beginning, over all of its paths. */
export interface SessionStatistics {
  /** Bytes of streams that were put into packets for the first time. */
  readonly sentNewBytes: number;
  /** Bytes of streams that were sent again: lost, or wanted sooner on another path. */
  readonly sentAgainBytes: number;
  /** Packets and their bytes, without the carriers' headers; closed paths count too. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly lostPackets: number;
  /** Written and not yet acknowledged at this time. */
  readonly bufferedBytes: number;
  /** Open at this time. */
  readonly streamCount: number;
  /** Waiting for the peer to allow them at this time. */
  readonly pendingStreamCount: number;
  /** Open at this time, in whatever state. */
  readonly pathCount: number;
}

type PathTotals = Pick<SessionStatistics, (typeof SUMMED)[number]>;

const SUMMED = [
  'sentPackets',
  'sentBytes',
  'receivedPackets',
  'receivedBytes',
  'lostPackets',
] as const;

const NO_TOTALS: PathTotals = {
  sentPackets: 0,
  sentBytes: 0,
  receivedPackets: 0,
  receivedBytes: 0,
  lostPackets: 0,
};

/** The events of a {@link RovingSession} and their arguments. */
export interface RovingSessionEvents {
  /** The peer is there: streams can be sent. */
  established: [];
  /** The peer has opened a stream. A stream that nobody listens for is reset. */
  stream: [stream: RovingStream];
  /** A path is joining, active, suspect or closed. */
  path: [change: PathChange];
  /** A client's session: the server has told where else it can be reached; the whole list. */
  serverAddresses: [told: ServerAddresses];
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
  readonly #streams: SessionStreams;
  readonly #sink: SessionSink;
  readonly #carriers = new Set<CarrierId>();
  readonly #waiting: ((error: SessionError | undefined) => void)[] = [];
  /** Of the paths that are closed. */
  #closedTotals = NO_TOTALS;
  #isClosing = false;
  #isOver = false;
  #error: SessionError | undefined;
  /** At a server: with which key the client came. */
  readonly key: SessionKey | undefined;

  /** @internal Sessions come from `connect`, a server's event `session`, or `connectInMemory`. */
  constructor(driver: Driver, core: Session, entry?: KeyEntry) {
    super();
    this.#driver = driver;
    this.#core = core;
    this.#streams = new SessionStreams(this, driver, core);
    this.#sink = { handle: (event) => this.#handle(event), over: () => this.#release() };
    this.key =
      entry === undefined
        ? undefined
        : { name: entry.name, grants: entry.grants, keyId: entry.keyId };
    driver.attach(core, this.#sink);
  }

  get role(): 'client' | 'server' {
    return this.#core.role;
  }

  /** Whether streams can be opened and used. */
  get isEstablished(): boolean {
    return this.#core.lifecycle === 'established';
  }

  get state(): SessionLifecycle {
    if (this.#isOver) return 'closed';
    const { lifecycle } = this.#core;
    if (this.#isClosing || lifecycle === 'finishing' || lifecycle === 'closing') return 'closing';
    return lifecycle === 'handshaking' ? 'connecting' : 'established';
  }

  /** Whether `close` has been emitted, or is about to be. */
  get isClosed(): boolean {
    return this.#isOver;
  }

  /** @internal Paths that both ends allow, as far as it is known. */
  get maxPaths(): number {
    return this.#core.maxPaths;
  }

  /** The open paths with what they have measured, oldest first. */
  get paths(): PathInfo[] {
    return this.#core.paths();
  }

  /**
   * The path that small and urgent data would take by what is known now: the active one with the
   * shortest round trip, no backup if it can be helped. `undefined` if there is none.
   */
  get bestPath(): PathInfo | undefined {
    let best: PathInfo | undefined;
    for (const path of this.paths) {
      if (best === undefined || rank(path) < rank(best)) best = path;
    }
    return best;
  }

  /** Sums since the beginning, and counts of this moment. */
  get statistics(): SessionStatistics {
    const { paths } = this;
    let totals = this.#closedTotals;
    for (const path of paths) totals = sum(totals, path.statistics);
    const { sentNewBytes, sentAgainBytes } = this.#core.counters;
    return {
      ...totals,
      sentNewBytes,
      sentAgainBytes,
      bufferedBytes: this.bufferedBytes,
      streamCount: this.#streams.openCount,
      pendingStreamCount: this.#streams.pendingCount,
      pathCount: paths.length,
    };
  }

  /**
   * Resolves when the session is over, and never rejects.
   *
   * @returns what went wrong; `undefined` if the session was closed gracefully, by either side.
   */
  get closed(): Promise<SessionError | undefined> {
    if (this.#isOver) return Promise.resolve(this.#error);
    return new Promise((resolve) => this.#waiting.push(resolve));
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
    return this.#streams.open(options);
  }

  /**
   * The session keeps the process alive while it is open; the default.
   *
   * @returns this session.
   */
  ref(): this {
    this.#streams.setRef(true);
    return this;
  }

  /**
   * The session by itself does not keep the process alive any more, but each open stream does that
   * was not unref'ed too.
   *
   * @returns this session.
   */
  unref(): this {
    this.#streams.setRef(false);
    return this;
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

  /** @internal Asks a path for a sign of life, which its statistics will show. */
  probePath(pathId: PathId): void {
    if (!this.#core.paths().some((path) => path.pathId === pathId)) return;
    this.#driver.command(() => this.#core.probePath(pathId));
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
    const writing = [...this.#streams.all()].filter((stream) => stream.isWriting);
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

  /**
   * At a server: tells the client where else it can be reached, in place of what was told before.
   * Addresses are those of tickets: `HOST:PORT`, or a `ws://` or `wss://` address.
   *
   * @throws UsageError at a client, and for more than 16 addresses or 1024 bytes of them.
   */
  tellAddresses(
    addresses: readonly string[],
    options: { readonly avoidFirst?: boolean } = {},
  ): void {
    const told = { addresses, avoidFirst: options.avoidFirst === true };
    this.#driver.command(() => this.#core.tellAddresses(told));
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #handle(event: SessionEvent): void {
    switch (event.type) {
      case 'established':
        publish('roving:session:established', () => ({ session: this }));
        this.emit('established');
        // What found no room among the paths is not needed; those that did are told of next.
        setImmediate(() => this.#closeUnused());
        return this.#streams.openPending();
      case 'path':
        return this.#path(event);
      case 'serverAddresses':
        this.emit('serverAddresses', event);
        return;
      case 'stream':
        return this.#accept(event.streamId, event.unidirectional);
      case 'streamsAllowed':
        return this.#streams.openPending();
      case 'closed':
        return this.#end(event.error);
      default:
        return this.#streams.handle(event);
    }
  }

  #path(event: SessionEvent & { type: 'path' }): void {
    const { pathId, carrierId, state, reason, statistics } = event;
    const local = this.#driver.carrier(carrierId)?.local;
    // A datagram carrier of ours has no other use; stream carriers are closed by the core.
    if (state === 'closed' && this.#carriers.delete(carrierId)) {
      this.#driver.closeCarrier(carrierId);
    }
    if (statistics !== undefined) this.#closedTotals = sum(this.#closedTotals, statistics);
    const change: PathChange = {
      pathId,
      carrierId,
      state,
      reason,
      ...(local === undefined ? {} : { local }),
      ...(statistics === undefined ? {} : { statistics }),
    };
    publish('roving:path:state', () => ({ session: this, change }));
    this.emit('path', change);
    if (this.#isOver && !this.#core.hasPaths) this.#release();
  }

  #accept(id: number, unidirectional: boolean): void {
    const stream = this.#streams.accept(id, unidirectional);
    if (this.#isClosing && !unidirectional) stream.end();
    if (!this.emit('stream', stream)) stream.destroy();
  }

  #end(error: SessionError | undefined): void {
    this.#isOver = true;
    this.#error = error;
    this.#streams.sessionOver(error);
    for (const tell of this.#waiting.splice(0)) tell(error);
    // The carriers stay until the peer has confirmed the end, or has had time to.
    if (!this.#core.hasPaths) this.#release();
    publish('roving:session:closed', () => ({ session: this, error }));
    this.emit('close', error);
  }

  #closeUnused(): void {
    const used = new Set(this.paths.map(({ carrierId }) => carrierId));
    for (const carrierId of this.#carriers) {
      if (!used.has(carrierId)) this.detachCarrier(carrierId);
    }
  }

  #release(): void {
    this.#driver.detach(this.#core);
    for (const carrierId of this.#carriers) this.#driver.closeCarrier(carrierId);
    this.#carriers.clear();
  }
}

/** The lower the better. */
function rank({ state, isBackup, statistics }: PathInfo): number {
  const penaltyMs = state === 'active' ? 0 : state === 'joining' ? 1e6 : 1e7;
  return penaltyMs + (isBackup ? 1e5 : 0) + statistics.smoothedRttMs;
}

function sum(totals: PathTotals, more: PathTotals): PathTotals {
  const result: { -readonly [Name in keyof PathTotals]: number } = { ...totals };
  for (const name of SUMMED) result[name] += more[name];
  return result;
}
