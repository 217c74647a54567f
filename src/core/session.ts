/**
 * A session: everything under one shared secret, over all its paths. Its owner opens and uses
 * streams, sees paths, and closes it; the endpoint feeds it packets and asks it for packets.
 *
 * @module
 */

import {
  type DataPacket,
  type Frame,
  type JoinPacket,
  type Parameters,
  utf8Truncate,
} from '../wire/index.js';
import type { Carrier } from './carrier.js';
import type { Address, CarrierId, Instant, PathId, Transmit } from './contract.js';
import {
  AbortedError,
  assert,
  PeerError,
  type SessionError,
  UsageError,
  WIRE_CODES,
} from './errors.js';
import type { SessionEvent } from './events.js';
import {
  closePath,
  makeRoomForPath,
  packetsLost,
  pathIsSilent,
  silenceDeadline,
} from './failure.js';
import { type Path, type PathInfo, type PathStatus, pathInfo } from './path.js';
import { makePath } from './path-factory.js';
import { type Reception, receivePacket } from './receiver.js';
import { nextTimeout, nextTransmit } from './sender.js';
import { type ServerAddresses, tellServerAddresses } from './server-addresses.js';
import {
  closeRepeatAt,
  fail,
  finishClosed,
  sendClose,
  sessionTimedOut,
  startClosing,
} from './session-end.js';
import {
  type JoinEnvelope,
  type Lifecycle,
  type SessionParts,
  SessionState,
} from './session-state.js';
import { StreamTable } from './streams/stream-table.js';

/** Longest reason of a close, in bytes of UTF-8. */
const MAX_REASON_BYTES = 256;
const MAX_CODE = Number.MAX_SAFE_INTEGER;

/** What a finished handshake gives. */
export interface Agreement {
  readonly secret: Uint8Array;
  readonly cipher: SessionState['cipher'];
  readonly peer: Parameters;
}

export class Session {
  readonly #state: SessionState;
  readonly #touch: (session: Session) => void;

  /** @param touch called after each command: there may be something to send. */
  constructor(parts: SessionParts, touch: (session: Session) => void) {
    this.#state = new SessionState(parts);
    this.#touch = touch;
  }

  get role(): 'client' | 'server' {
    return this.#state.role;
  }

  get lifecycle(): Lifecycle {
    return this.#state.lifecycle;
  }

  get isOpen(): boolean {
    return this.#state.isOpen;
  }

  /** Open paths, oldest first. */
  paths(): PathInfo[] {
    return this.#state.openPaths().map(pathInfo);
  }

  /** Whether a path is open, in whatever state. */
  get hasPaths(): boolean {
    return this.#state.paths.size > 0;
  }

  /** Paths that both ends allow; before the peer has told, that this end does. */
  get maxPaths(): number {
    const { maxPaths } = this.#state.options;
    return Math.min(maxPaths, this.#state.peer?.maxPaths ?? maxPaths);
  }

  /** Bytes that were written and are not yet acknowledged. */
  get bufferedBytes(): number {
    return this.#state.streams?.bufferedBytes ?? 0;
  }

  /** Stream bytes that were put into packets: for the first time, and again (lost, or elsewhere). */
  get counters(): { readonly sentNewBytes: number; readonly sentAgainBytes: number } {
    return this.#state.counters;
  }

  get streamCount(): number {
    return this.#state.streams?.streamCount ?? 0;
  }

  // Streams.

  /**
   * Opens a stream; the peer learns of it with the first data.
   *
   * @returns its id, or `undefined` while the peer allows no more; `streamsAllowed` tells when to ask
   *   again.
   * @throws UsageError before the session is established, and after it was closed.
   */
  openStream(
    options: { readonly unidirectional?: boolean; readonly priority?: number },
    now: Instant,
  ): number | undefined {
    const { unidirectional = false, priority = 0 } = options;
    if (this.#state.lifecycle !== 'established') {
      throw new UsageError(`no stream can be opened while the session is ${this.lifecycle}`);
    }
    return this.#streams.open(unidirectional, priority, now);
  }

  /**
   * Writes to a stream. The session copies what it takes.
   *
   * @returns how many bytes were taken; when fewer than given, `writable` tells when to go on.
   * @throws UsageError if the stream is unknown, finished, or only for reading.
   */
  write(streamId: number, bytes: Uint8Array): number {
    this.#needRunning();
    const taken = this.#streams.write(streamId, bytes);
    this.#touch(this);
    return taken;
  }

  /** Ends the sending side: the reader sees the end after the last byte. */
  finish(streamId: number): void {
    this.#needRunning();
    this.#streams.finish(streamId);
    this.#touch(this);
  }

  /** Gives up sending; what has not arrived may never. `code` is the application's own. */
  reset(streamId: number, code: number): void {
    this.#needRunning();
    checkCode(code);
    this.#streams.reset(streamId, code);
    this.#touch(this);
  }

  /** Asks the peer to stop sending, and discards what comes. */
  stopSending(streamId: number, code: number, now: Instant): void {
    this.#needRunning();
    checkCode(code);
    this.#streams.stopSending(streamId, code, now);
    this.#touch(this);
  }

  /** Streams with a higher priority are sent first; 0 is the default. */
  setPriority(streamId: number, priority: number): void {
    this.#streams.setPriority(streamId, priority);
  }

  /**
   * The next bytes of a stream in order.
   *
   * @param limit at most this many bytes.
   * @returns `'end'` after the last byte, `undefined` when there is nothing now. A stream that was
   *   reset has no end to read: the event `streamReset` tells of it.
   */
  read(streamId: number, limit: number, now: Instant): Uint8Array | 'end' | undefined {
    const result = this.#streams.read(streamId, limit, now);
    if (result !== undefined) this.#touch(this);
    return result;
  }

  /** How far the sending side has come, in bytes; `undefined` after its end, and if it has none. */
  sendProgress(
    streamId: number,
  ): { readonly writtenBytes: number; readonly acknowledgedBytes: number } | undefined {
    return this.#state.streams?.sendStream(streamId);
  }

  // Paths.

  /** Tells both ends how a path is to be used. @throws UsageError if there is no such path. */
  setPathStatus(pathId: PathId, status: PathStatus): void {
    const path = this.#path(pathId);
    path.localStatus = status;
    const sequence = path.statusSequence;
    path.statusSequence += 1;
    this.#state.queueControl({ type: 'pathStatus', pathId, sequence, status });
    this.#touch(this);
  }

  /** Asks a path for a sign of life. @throws UsageError if there is no such path. */
  probePath(pathId: PathId): void {
    this.#path(pathId).health.wantProbe();
    this.#touch(this);
  }

  /** Closes a path for good; what is under way on it goes elsewhere. */
  abandonPath(pathId: PathId): void {
    closePath(this.#state, this.#path(pathId), 'abandoned', { tellPeer: 0 });
    this.#touch(this);
  }

  /**
   * A server tells the client where else it can be reached; the whole list, in place of the one
   * before. The client's owner gets the event `serverAddresses`.
   *
   * @throws UsageError at a client, if the session has ended, or for more than 16 addresses, one
   *   of more than 255 bytes, or more than 1024 bytes in all.
   */
  tellAddresses(told: ServerAddresses): void {
    this.#needRunning();
    tellServerAddresses(this.#state, told);
    this.#touch(this);
  }

  /** What the server has told last, if anything. */
  get serverAddresses(): ServerAddresses | undefined {
    return this.#state.serverAddresses;
  }

  // The end.

  /**
   * Closes gracefully: all that was written is delivered first, and the peer is told, however long
   * it takes until a path does so. Streams are finished where they are. `closed` follows without
   * an error, unless the peer closes first: what it had not acknowledged by then is told by an
   * `UndeliveredError`. For an end within some time, {@link abort} after it.
   */
  close(now: Instant): void {
    if (this.#state.lifecycle === 'handshaking')
      this.abort(0, 'closed before it was established', now);
    if (this.#state.lifecycle !== 'established') return;
    this.#state.lifecycle = 'finishing';
    this.#streams.finishAll();
    this.#endIfDelivered(now);
    this.#touch(this);
  }

  /**
   * Ends at once; what has not been delivered is lost. The peer gets `code` and `reason`.
   *
   * @param code the application's own, 0 to 2^53-1.
   */
  abort(code: number, reason: string, now: Instant): void {
    checkCode(code);
    const state = this.#state;
    if (state.lifecycle === 'closing' || state.lifecycle === 'closed') return;
    const error = new AbortedError(`the session was aborted here: ${reason}`);
    if (state.lifecycle === 'handshaking') finishClosed(state, error);
    else {
      const cut = utf8Truncate(reason, MAX_REASON_BYTES);
      startClosing(state, { type: 'close', application: true, code, reason: cut }, error, now);
    }
    this.#touch(this);
  }

  // For the endpoint.

  /** @internal The handshake has succeeded. */
  establish(agreement: Agreement, now: Instant): void {
    const state = this.#state;
    assert(state.lifecycle === 'handshaking', 'a session is established once');
    state.lifecycle = 'established';
    state.secret = agreement.secret;
    state.cipher = agreement.cipher;
    state.peer = agreement.peer;
    state.lastHeardAt = now;
    const outbox = {
      control: (frame: Frame) => state.queueControl(frame),
      event: (event: SessionEvent) => state.emit(event),
      rttMs: () => state.longestRttMs(),
      sendAheadBytes: () => state.sendAheadBytes(),
      blocks: state.blocks,
    };
    const opener = state.role === 'client' ? 0 : 1;
    state.streams = new StreamTable(opener, state.options, agreement.peer, outbox, now);
    state.emit({ type: 'established' });
    this.#touch(this);
  }

  /** @internal */
  setJoinEnvelope(envelope: JoinEnvelope): void {
    this.#state.joinEnvelope = envelope;
  }

  /**
   * @internal Makes a path; it is not part of the session before {@link adoptPath}.
   * @param validated whether the other end is known to receive at `remote`.
   */
  makePath(
    id: PathId,
    carrier: Carrier,
    remote: Address | undefined,
    validated: boolean,
    now: Instant,
  ): Path {
    return makePath(this.#state, { id, carrier, remote, validated }, now);
  }

  /** @internal */
  adoptPath(path: Path, rttMs: number | undefined, now: Instant): void {
    const state = this.#state;
    const isNew = state.usePathId(path.id);
    assert(isNew, 'a path id is used once');
    if (state.role === 'server' && !state.joinRate.joined(now)) {
      fail(state, new PeerError('LIMIT_EXCEEDED', 'it opens paths faster than anyone needs'), now);
    }
    state.addPath(path);
    const told = state.takeRememberedStatus(path.id);
    if (told !== undefined) {
      path.peerStatus = told.status;
      path.peerStatusSequence = told.sequence;
    }
    if (rttMs !== undefined) path.rtt.sample(rttMs, 0, now);
    const { id: pathId, carrier } = path;
    state.emit({
      type: 'path',
      pathId,
      carrierId: carrier.id,
      state: path.state,
      reason: 'opened',
    });
    this.#touch(this);
  }

  /** @internal */
  pathById(pathId: PathId): Path | undefined {
    return this.#state.paths.get(pathId);
  }

  /** @internal */
  wasPathUsed(pathId: PathId): boolean {
    return this.#state.usedPathIds.has(pathId);
  }

  /** @internal Whether one more path may be opened; a long silent one makes room. */
  makeRoomForPath(): boolean {
    return makeRoomForPath(this.#state);
  }

  /** @internal */
  receive(
    path: Path,
    packet: DataPacket | JoinPacket,
    bytes: number,
    from: Address | undefined,
    now: Instant,
  ): Reception {
    const reception = receivePacket(this.#state, path, packet, bytes, from, now);
    this.#endIfDelivered(now);
    this.#touch(this);
    return reception;
  }

  /** @internal */
  carrierClosed(path: Path, reason: string): void {
    closePath(this.#state, path, reason, { tellPeer: 0 });
    this.#touch(this);
  }

  /** @internal */
  handleTimeout(now: Instant): void {
    const state = this.#state;
    this.#touch(this);
    if (state.lifecycle === 'closing') return this.#repeatClose(now);
    if (!state.isRunning) return;
    if (now >= state.lastHeardAt + state.options.sessionTimeoutMs) return sessionTimedOut(state);
    for (const path of state.openPaths()) {
      if (path.recovery.lossAt !== undefined && now >= path.recovery.lossAt) {
        packetsLost(state, path, path.recovery.detectLost(path.rtt, now), now);
      }
      path.mtu?.expire(now);
      const deadline = silenceDeadline(state, path);
      if (deadline !== undefined && now >= deadline) pathIsSilent(state, path, now);
      if (path.sealer.exhausted) {
        closePath(state, path, 'its packet numbers or keys are used up', { tellPeer: 0 });
      }
    }
  }

  #repeatClose(now: Instant): void {
    const state = this.#state;
    if (now >= (state.closeDeadline ?? 0)) return finishClosed(state);
    if (now < closeRepeatAt(state)) return;
    sendClose(state, now);
  }

  /** @internal Ends the session with a protocol code, for a reason of this end. */
  closeWithCode(code: keyof typeof WIRE_CODES, error: SessionError, now: Instant): void {
    if (!this.#state.isRunning) return;
    const reason = utf8Truncate(error.message, MAX_REASON_BYTES);
    const frame = {
      type: 'close',
      application: false,
      code: WIRE_CODES[code],
      frameType: 0,
      reason,
    } as const;
    startClosing(this.#state, frame, error, now);
    this.#touch(this);
  }

  /** @internal The session ends without a word to the peer. */
  vanish(end: (state: SessionState) => void): void {
    end(this.#state);
    this.#touch(this);
  }

  /** @internal */
  nextTransmit(now: Instant): Transmit | undefined {
    if (this.#state.isOverflowing) {
      const why = 'it provokes more control frames than it acknowledges';
      fail(this.#state, new PeerError('LIMIT_EXCEEDED', why), now);
    }
    return nextTransmit(this.#state, now);
  }

  /** @internal */
  nextTimeout(): Instant | undefined {
    return nextTimeout(this.#state);
  }

  /** @internal */
  takeEvents(): SessionEvent[] {
    return this.#state.events.splice(0);
  }

  /** @internal */
  takeCarriersToClose(): CarrierId[] {
    return this.#state.carriersToClose.splice(0) as CarrierId[];
  }

  #endIfDelivered(now: Instant): void {
    const state = this.#state;
    if (state.lifecycle !== 'finishing' || state.streams?.isDelivered !== true) return;
    // CLOSE is repeated for some seconds only: it has to wait for a path that can deliver it.
    if (state.activePathCount === 0) return;
    startClosing(
      state,
      { type: 'close', application: true, code: WIRE_CODES.NO_ERROR, reason: '' },
      undefined,
      now,
    );
  }

  get #streams(): StreamTable {
    if (this.#state.streams === undefined) {
      throw new UsageError('the session is not established yet: wait for the event');
    }
    return this.#state.streams;
  }

  #needRunning(): void {
    if (!this.#state.isRunning) {
      throw new UsageError(`the session is ${this.lifecycle}: nothing more can be sent`);
    }
  }

  #path(pathId: PathId): Path {
    const path = this.#state.paths.get(pathId);
    if (path === undefined) throw new UsageError(`there is no open path ${pathId}`);
    return path;
  }
}

function checkCode(code: number): void {
  if (!Number.isInteger(code) || code < 0 || code > MAX_CODE) {
    throw new UsageError(`a code is a whole number from 0 to 2^53-1, not ${code}`);
  }
}
