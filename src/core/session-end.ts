/** How a session ends: gracefully, by either side's fault, or because nobody is there. @module */

import type { Frame } from '../wire/index.js';
import { MAX_ACKS_SENT_AT_ONCE } from './ack-tracker.js';
import type { Instant } from './contract.js';
import type { PeerError } from './errors.js';
import {
  ContinuityError,
  type SessionError,
  type StreamContinuity,
  UndeliveredError,
  WIRE_CODES,
} from './errors.js';
import type { Path } from './path.js';
import type { SessionState } from './session-state.js';

/** protocol.md#errors, 8.2. */
const CLOSING_PROBE_TIMEOUTS = 3;
const CLOSING_MIN_MS = 1_000;
const CLOSING_MAX_MS = 30_000;
const CLOSE_REPEAT_MIN_MS = 250;

/** The peer broke the protocol: say so, and end. */
export function fail(session: SessionState, error: PeerError, now: Instant): void {
  if (!session.isRunning) return;
  const frame: Frame = {
    type: 'close',
    application: false,
    code: WIRE_CODES[error.wireCode],
    frameType: error.frameType,
    reason: error.message.slice(0, 200),
  };
  startClosing(session, frame, error, now);
}

/** Sends `frame` until it is acknowledged. The application hears of the end at once. */
export function startClosing(
  session: SessionState,
  frame: Frame,
  error: SessionError | undefined,
  now: Instant,
): void {
  session.lifecycle = 'closing';
  session.closeFrame = frame;
  const timeoutMs = CLOSING_PROBE_TIMEOUTS * longestProbeTimeoutMs(session);
  session.closeDeadline = (now +
    Math.min(CLOSING_MAX_MS, Math.max(CLOSING_MIN_MS, timeoutMs))) as Instant;
  sendClose(session, now);
  session.emitClosed(error);
}

/**
 * Has the CLOSE go out on every path, once. With it goes all that is known of what has arrived on
 * any of them: the peer must not take for lost what was delivered (protocol.md#close).
 */
export function sendClose(session: SessionState, now: Instant): void {
  const { closeFrame } = session;
  if (closeFrame === undefined) return;
  session.closeSentAt = now;
  for (const path of session.paths.values()) {
    const frames = [closeFrame, ...acknowledgements(session, path, now)];
    session.farewells.push({ path, frames });
  }
}

/** Those of `carrying` only if they would not go with its next packet anyway. */
function acknowledgements(session: SessionState, carrying: Path, now: Instant): Frame[] {
  const frames: Frame[] = [];
  for (const { id, acks } of session.paths.values()) {
    if (frames.length >= MAX_ACKS_SENT_AT_ONCE) break;
    if (acks.largest < 0 || (id === carrying.id && acks.isPending)) continue;
    frames.push({ type: 'ack', pathId: id, largest: acks.largest, ...acks.report(now) });
  }
  return frames;
}

/** When the CLOSE goes out once more. */
export function closeRepeatAt(session: SessionState): number {
  const repeatMs = Math.max(CLOSE_REPEAT_MIN_MS, longestProbeTimeoutMs(session));
  return (session.closeSentAt ?? 0) + repeatMs;
}

function longestProbeTimeoutMs(session: SessionState): number {
  let longest = 0;
  for (const path of session.openPaths()) {
    longest = Math.max(longest, path.rtt.probeTimeoutMs(session.maxAckDelayMs));
  }
  return longest;
}

/** Nothing more to say or to hear. */
export function finishClosed(session: SessionState, error?: SessionError): void {
  if (session.lifecycle === 'closed') return;
  session.lifecycle = 'closed';
  session.emitClosed(error);
}

/** The peer has said its last word, and wants no more of ours: what is not delivered is lost. */
export function closedGracefully(session: SessionState): void {
  const held = new Set<number>();
  for (const { id, send } of session.streams?.streams ?? []) {
    if (send !== undefined && send.bufferedBytes > 0) held.add(id);
  }
  if (held.size === 0) return finishClosed(session);
  const streams = continuity(session).filter(({ streamId }) => held.has(streamId));
  const message = `the peer closed the session before ${held.size} of our streams were delivered`;
  finishClosed(session, new UndeliveredError(message, streams));
}

export function continuity(session: SessionState): StreamContinuity[] {
  const streams: StreamContinuity[] = [];
  for (const { id, send, receive } of session.streams?.streams ?? []) {
    streams.push({
      streamId: id,
      writtenBytes: send?.writtenBytes ?? 0,
      acknowledgedBytes: send?.acknowledgedBytes ?? 0,
      readBytes: receive?.readBytes ?? 0,
    });
  }
  return streams;
}

export function sessionGone(session: SessionState): void {
  const message = 'the server no longer has this session: connect anew and continue by offsets';
  finishClosed(session, new ContinuityError('ERR_SESSION_GONE', message, continuity(session)));
}

export function sessionTimedOut(session: SessionState): void {
  const message = `no path came back within ${session.options.sessionTimeoutMs} ms`;
  finishClosed(session, new ContinuityError('ERR_SESSION_TIMEOUT', message, continuity(session)));
}
