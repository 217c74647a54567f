/**
 * What the parts of a session share: `session.ts` is its face, `receiver.ts` takes packets in,
 * `packet-builder.ts` and `sender.ts` make them, `failure.ts` deals with silence.
 *
 * @module
 */

import type { CipherName, CryptoProvider, RandomSource } from '../crypto/index.js';
import { type Frame, type Parameters, Writer } from '../wire/index.js';
import { Bottlenecks } from './congestion/index.js';
import type { Instant, PathId } from './contract.js';
import type { SessionError } from './errors.js';
import type { SessionEvent } from './events.js';
import { JoinRate } from './join-rate.js';
import {
  MAX_PENDING_ABANDONS,
  MIN_SEND_AHEAD_BYTES,
  maxPendingControlFrames,
  SEND_AHEAD_MS,
  SEND_AHEAD_ROUND_TRIPS,
  type SessionOptions,
} from './options.js';
import type { Path, PathStatus } from './path.js';
import { RangeSet } from './range-set.js';
import { SCHEDULERS, type Scheduler } from './scheduler/index.js';
import type { ServerAddresses } from './server-addresses.js';
import type { BlockPool } from './streams/send-buffer.js';
import type { StreamTable } from './streams/stream-table.js';

/**
 * - `handshaking`: a client that has no ACCEPT yet.
 * - `established`
 * - `finishing`: closed gracefully by us; what was written is still being delivered.
 * - `closing`: our CLOSE is on its way.
 * - `closed`
 */
export type Lifecycle = 'handshaking' | 'established' | 'finishing' | 'closing' | 'closed';

/** Of two frames about the same matter one is enough: the one with the higher limit. */
function isSameMatter(a: Frame, b: Frame): boolean {
  if (a.type !== b.type) return false;
  if (a.type === 'maxData' || a.type === 'serverAddresses') return true;
  if (a.type === 'maxStreams') return a.bidirectional === (b as typeof a).bidirectional;
  if (a.type === 'pathStatus' || a.type === 'pathAbandon') {
    return a.pathId === (b as typeof a).pathId;
  }
  if (a.type === 'maxStreamData' || a.type === 'resetStream' || a.type === 'stopSending') {
    return a.streamId === (b as typeof a).streamId;
  }
  return false;
}

function limitOf(frame: Frame): number {
  if (frame.type === 'pathStatus' || frame.type === 'serverAddresses') return frame.sequence;
  return 'maximum' in frame ? frame.maximum : 0;
}

/** A last packet, of a path or session that ends: sent once; a CLOSE is repeated by another. */
export interface Farewell {
  readonly path: Path;
  readonly frames: readonly Frame[];
}

/** Makes the envelope of a JOIN; the client only. */
export type JoinEnvelope = (pathId: PathId, firstByte: number) => Uint8Array;

/** How many ranges of used path ids are remembered; lower ones count as used. */
const MAX_USED_RANGES = 64;
/** Statuses of paths whose first packet is still to come; the oldest are forgotten. */
const MAX_EARLY_STATUSES = 32;

/** How the peer wishes a path to be used, and which of its wishes this is. */
export interface ToldStatus {
  readonly sequence: number;
  readonly status: PathStatus;
}

export interface SessionParts {
  readonly role: 'client' | 'server';
  readonly options: SessionOptions;
  readonly crypto: CryptoProvider;
  readonly random: RandomSource;
  /** Memory that the sessions of an endpoint share. */
  readonly blocks: BlockPool;
  readonly now: Instant;
}

export class SessionState {
  readonly role: 'client' | 'server';
  readonly options: SessionOptions;
  readonly crypto: CryptoProvider;
  readonly random: RandomSource;
  readonly blocks: BlockPool;
  readonly scheduler: Scheduler;
  readonly paths = new Map<PathId, Path>();
  readonly events: SessionEvent[] = [];
  readonly control: Frame[] = [];
  /** More control frames wait than an honest peer can provoke. */
  isOverflowing = false;
  readonly joinRate = new JoinRate();
  readonly bottlenecks = new Bottlenecks();
  readonly farewells: Farewell[] = [];
  /** Stream bytes put into packets: for the first time, and again. */
  readonly counters = { sentNewBytes: 0, sentAgainBytes: 0 };
  readonly usedPathIds = new RangeSet();
  readonly #earlyStatuses = new Map<PathId, ToldStatus>();
  /** Shared by all packets: it hands its memory out and starts on fresh one. */
  readonly writer = new Writer();
  lifecycle: Lifecycle = 'handshaking';
  /** Set with the keys, when the handshake is done. */
  secret: Uint8Array | undefined;
  cipher: CipherName = 'AES-256-GCM';
  peer: Parameters | undefined;
  streams: StreamTable | undefined;
  joinEnvelope: JoinEnvelope | undefined;
  lastHeardAt: Instant;
  /** When we were last asked for something to send. */
  askedAt: Instant;
  lastPathId: PathId | undefined;
  /** Server: the number of its next list of addresses. Client: what it was told last. */
  addressesSequence = 0;
  serverAddressesSequence: number | undefined;
  serverAddresses: ServerAddresses | undefined;
  /** The CLOSE to repeat while `closing`, and until when. */
  closeFrame: Frame | undefined;
  closeDeadline: Instant | undefined;
  closeSentAt: Instant | undefined;
  #toldClosed = false;
  #openPaths: readonly Path[] | undefined;
  /** Carriers that the driver shall close. */
  readonly carriersToClose: number[] = [];

  constructor(parts: SessionParts) {
    this.role = parts.role;
    this.options = parts.options;
    this.crypto = parts.crypto;
    this.random = parts.random;
    this.blocks = parts.blocks;
    this.scheduler = SCHEDULERS[parts.options.scheduler];
    this.lastHeardAt = parts.now;
    this.askedAt = parts.now;
  }

  /** Whether packets still mean something. */
  get isOpen(): boolean {
    return this.lifecycle !== 'closed';
  }

  /** Whether data is still being sent and received. */
  get isRunning(): boolean {
    return this.lifecycle === 'established' || this.lifecycle === 'finishing';
  }

  get maxAckDelayMs(): number {
    return this.peer?.maxAckDelayMs ?? 25;
  }

  /**
   * Called by whatever happens, also by commands and lost carriers, so it never throws: if so many
   * wait that only a misbehaving peer can be the cause, {@link isOverflowing} ends the session.
   */
  queueControl(frame: Frame): void {
    const at = this.control.findIndex((one) => isSameMatter(one, frame));
    const waiting = this.control[at];
    if (waiting !== undefined) {
      // What is repeated after a loss may be older than what waits.
      if (limitOf(waiting) >= limitOf(frame)) return;
      this.control.splice(at, 1);
    }
    if (frame.type === 'pathAbandon') this.#dropOldAbandons();
    if (this.control.length >= this.#maxPendingControl()) this.isOverflowing = true;
    else this.control.push(frame);
  }

  #maxPendingControl(): number {
    const { maxStreamsBidi, maxStreamsUni, maxPaths } = this.options;
    const oursLimit = (this.peer?.maxStreamsBidi ?? 0) + (this.peer?.maxStreamsUni ?? 0);
    return maxPendingControlFrames({
      streamLimit: maxStreamsBidi + maxStreamsUni + oursLimit,
      streamCount: this.streams?.streamCount ?? 0,
      maxPaths,
    });
  }

  /** While no path works, one after the other may be given up: the peer notices by their silence. */
  #dropOldAbandons(): void {
    const waiting = this.control.filter((one) => one.type === 'pathAbandon');
    const oldest = waiting[0];
    if (oldest === undefined || waiting.length < MAX_PENDING_ABANDONS) return;
    this.control.splice(this.control.indexOf(oldest), 1);
  }

  /** `closed` is the last event: what happens to paths and streams afterwards concerns nobody. */
  emit(event: SessionEvent): void {
    if (!this.#toldClosed) this.events.push(event);
  }

  /** The last event; told once. */
  emitClosed(error: SessionError | undefined): void {
    if (this.#toldClosed) return;
    this.emit(error === undefined ? { type: 'closed' } : { type: 'closed', error });
    this.#toldClosed = true;
  }

  /** Takes a path id; `false` if it was used before. */
  usePathId(pathId: PathId): boolean {
    const first = this.usedPathIds.first();
    const isFull = this.usedPathIds.rangeCount >= MAX_USED_RANGES;
    if (this.usedPathIds.has(pathId)) return false;
    if (isFull && first !== undefined && pathId < first.start) return false;
    this.usedPathIds.add(pathId, pathId + 1);
    if (this.usedPathIds.rangeCount > MAX_USED_RANGES) {
      const lowest = this.usedPathIds.shift();
      const next = this.usedPathIds.first();
      if (lowest !== undefined && next !== undefined) {
        this.usedPathIds.add(lowest.start, next.start);
      }
    }
    return true;
  }

  /** The peer has told the status of a path that is not there yet. */
  rememberStatus(pathId: PathId, told: ToldStatus): void {
    const known = this.#earlyStatuses.get(pathId);
    if (known !== undefined && known.sequence >= told.sequence) return;
    this.#earlyStatuses.set(pathId, told);
    for (const oldest of this.#earlyStatuses.keys()) {
      if (this.#earlyStatuses.size <= MAX_EARLY_STATUSES) break;
      this.#earlyStatuses.delete(oldest);
    }
  }

  takeRememberedStatus(pathId: PathId): ToldStatus | undefined {
    const told = this.#earlyStatuses.get(pathId);
    this.#earlyStatuses.delete(pathId);
    return told;
  }

  /** The open paths at this moment, oldest first. Asked several times for each packet. */
  openPaths(): readonly Path[] {
    this.#openPaths ??= [...this.paths.values()].filter((path) => path.isOpen);
    return this.#openPaths;
  }

  addPath(path: Path): void {
    this.paths.set(path.id, path);
    this.#openPaths = undefined;
  }

  removePath(path: Path): void {
    this.paths.delete(path.id);
    this.#openPaths = undefined;
  }

  get activePathCount(): number {
    let count = 0;
    for (const path of this.paths.values()) if (path.state === 'active') count += 1;
    return count;
  }

  /** The longest smoothed round trip of the paths in use, in ms; 100 before any is known. */
  longestRttMs(): number {
    let longest = 0;
    for (const path of this.paths.values()) {
      if (path.state === 'active' && path.rtt.hasSample) {
        longest = Math.max(longest, path.rtt.smoothedRttMs);
      }
    }
    return longest === 0 ? 100 : longest;
  }

  /** How much of one stream may wait to be sent for the first time, in bytes. */
  sendAheadBytes(): number {
    let rate = 0;
    for (const path of this.paths.values()) if (path.isUsable) rate += path.ratePerMs;
    const aheadMs = Math.max(SEND_AHEAD_MS, SEND_AHEAD_ROUND_TRIPS * this.longestRttMs());
    return Math.max(MIN_SEND_AHEAD_BYTES, rate * aheadMs);
  }

  /** Where something urgent and small should go: the active path that delivers first, or any. */
  bestPath(): Path | undefined {
    let best: Path | undefined;
    let bestScore = Number.POSITIVE_INFINITY;
    for (const path of this.paths.values()) {
      if (!path.isOpen) continue;
      const penalty = path.isHealthy ? 0 : path.state === 'suspect' ? 1e7 : 1e6;
      const score = penalty + path.arrivalMs(0) + (path.isBackup ? 1e4 : 0);
      if (score >= bestScore) continue;
      best = path;
      bestScore = score;
    }
    return best;
  }
}
