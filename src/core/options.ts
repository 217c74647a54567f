/**
 * Everything that has a bound or can be tuned, in one place. Each bound is an option, a named
 * default, and has a test that reaches it.
 *
 * @module
 */

import type { CipherName } from '../crypto/index.js';
import type { SchedulerName } from './scheduler/index.js';

const KIB = 1024;
const MIB = 1024 * KIB;

export interface SessionOptions {
  /** Offered (client) or accepted (server), best first. */
  readonly ciphers: readonly CipherName[];
  readonly scheduler: SchedulerName;
  /** For datagram carriers; stream carriers bring their own. */
  readonly congestionControl: 'bbr' | 'cubic';
  /**
   * Receive window of the session at first, in bytes; grows up to `maxReceiveWindowBytes`, and
   * with the windows of its streams ({@link STREAMS_PER_WINDOW}).
   */
  readonly receiveWindowBytes: number;
  readonly maxReceiveWindowBytes: number;
  /** Likewise of each stream. */
  readonly streamReceiveWindowBytes: number;
  readonly maxStreamReceiveWindowBytes: number;
  /**
   * Written and not yet acknowledged: more is refused by `write`, and so is what the paths could
   * not send soon ({@link SEND_AHEAD_MS}).
   */
  readonly sendBufferBytes: number;
  readonly streamSendBufferBytes: number;
  /** Streams that the peer may have open at a time. */
  readonly maxStreamsBidi: number;
  readonly maxStreamsUni: number;
  /** Paths open at a time. */
  readonly maxPaths: number;
  /** Longest time by which an acknowledgement is held back, in ms. */
  readonly maxAckDelayMs: number;
  /** Without a sign of life on any path for this long, the session ends with ERR_SESSION_TIMEOUT. */
  readonly sessionTimeoutMs: number;
  /** How long a client tries to establish a session, in ms. */
  readonly connectTimeoutMs: number;
  /** The client sends something on a path that was silent for this long; 0: never. */
  readonly keepAliveMs: number;
  /**
   * On datagram paths the time is learnt: what the path's NATs bear, from 10 seconds (or
   * `keepAliveMs`, if that is less) up to this.
   */
  readonly maxKeepAliveMs: number;
  /** Largest packet on stream carriers, in bytes; at most 65,535. */
  readonly maxPacketBytes: number;
  /** Packets sealed with one key before it is updated (protocol.md#key-update). */
  readonly keyUpdatePackets: number;
  /** A name of which the key may have one session at a time, 1 to 32 bytes (protocol.md#takeover). */
  readonly instance?: Uint8Array;
  /** With `instance`: the higher one takes over. */
  readonly epoch?: number;
}

export const DEFAULT_SESSION_OPTIONS: SessionOptions = {
  ciphers: ['AES-256-GCM', 'ChaCha20-Poly1305'],
  scheduler: 'earliestArrival',
  congestionControl: 'bbr',
  receiveWindowBytes: 8 * MIB,
  maxReceiveWindowBytes: 64 * MIB,
  streamReceiveWindowBytes: 2 * MIB,
  maxStreamReceiveWindowBytes: 16 * MIB,
  sendBufferBytes: 64 * MIB,
  streamSendBufferBytes: 16 * MIB,
  maxStreamsBidi: 256,
  maxStreamsUni: 256,
  maxPaths: 16,
  maxAckDelayMs: 10,
  sessionTimeoutMs: 24 * 3_600_000,
  connectTimeoutMs: 30_000,
  keepAliveMs: 15_000,
  maxKeepAliveMs: 60_000,
  maxPacketBytes: 65_535,
  keyUpdatePackets: 2 ** 22,
};

export interface EndpointLimits {
  /** Sessions in the middle of a handshake, in all. */
  readonly maxHalfOpen: number;
  /** The same with one key, so that no holder of a ticket can shut out the others. */
  readonly maxHalfOpenPerKey: number;
  /** Above this many, a HELLO on a datagram carrier is asked for a cookie first. */
  readonly cookieAbove: number;
  readonly maxSessions: number;
  readonly maxSessionsPerKey: number;
  /** Stream carriers that no path is attached to. */
  readonly maxUnattachedCarriers: number;
  /** How long a stranger's stream carrier, or a half-open session, is kept. */
  readonly handshakeTimeoutMs: number;
  /** How long a cookie is good for, at least; at most twice as long. */
  readonly cookieLifetimeMs: number;
  /** Between two takeovers of one instance (protocol.md#takeover). */
  readonly takeoverIntervalMs: number;
}

export const DEFAULT_ENDPOINT_LIMITS: EndpointLimits = {
  maxHalfOpen: 1_024,
  maxHalfOpenPerKey: 256,
  cookieAbove: 64,
  maxSessions: 65_536,
  maxSessionsPerKey: 16_384,
  maxUnattachedCarriers: 4_096,
  handshakeTimeoutMs: 10_000,
  cookieLifetimeMs: 60_000,
  takeoverIntervalMs: 1_000,
};

/**
 * Tuning: a session's window holds so many full windows of one stream, so that a stream that nobody
 * reads holds up no other (docs/decisions/0022-windows-and-buffers.md).
 */
export const STREAMS_PER_WINDOW = 4;
/**
 * Tuning: a stream may have waiting what the paths send in the longer of these two times, or the
 * least number of bytes. The scheduler wants to see as much as the faster paths carry until the
 * slowest one has delivered, which is at most a round trip's worth.
 */
export const SEND_AHEAD_MS = 100;
export const SEND_AHEAD_ROUND_TRIPS = 3;
export const MIN_SEND_AHEAD_BYTES = 256 * KIB;

/** Of the control frames that wait, those that say that paths were given up; the newest. */
export const MAX_PENDING_ABANDONS = 64;
/** RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA: a stream can have one of each waiting. */
const CONTROL_FRAMES_PER_STREAM = 3;
/** Limits of streams beyond this count only as far as there are streams: a peer may name any. */
const MAX_COUNTED_STREAMS = 4_096;
/** For what belongs to the whole session, and to streams that are closed meanwhile. */
const SPARE_CONTROL_FRAMES = 1_024;

/** What bears on how many control frames an honest session can have waiting. */
export interface ControlScope {
  /** Streams that may be open at a time, by the limits of both ends. */
  readonly streamLimit: number;
  /** Streams that are open. */
  readonly streamCount: number;
  readonly maxPaths: number;
}

/**
 * Control frames waiting to be sent; a peer that provokes more is closed with LIMIT_EXCEEDED. An
 * application may give up all of its streams in one turn, and that is not the peer's fault.
 */
export function maxPendingControlFrames(scope: ControlScope): number {
  const streams = Math.max(scope.streamCount, Math.min(scope.streamLimit, MAX_COUNTED_STREAMS));
  const perSession = MAX_PENDING_ABANDONS + scope.maxPaths + SPARE_CONTROL_FRAMES;
  return CONTROL_FRAMES_PER_STREAM * streams + perSession;
}
