/**
 * Four classes for four culprits, and the ways in which a session can end. Match on `code`, never
 * on text.
 *
 * @module
 */

/** Codes of CLOSE frames (protocol.md#errors). */
export const WIRE_CODES = {
  NO_ERROR: 0,
  INTERNAL: 1,
  FLOW_CONTROL: 2,
  STREAM_LIMIT: 3,
  STREAM_STATE: 4,
  FINAL_SIZE: 5,
  FRAME_ENCODING: 6,
  PROTOCOL_VIOLATION: 7,
  LIMIT_EXCEEDED: 8,
  SUPERSEDED: 9,
  REVOKED: 10,
  REFUSED: 11,
} as const;

export type WireCodeName = keyof typeof WIRE_CODES;

export abstract class SessionError extends Error {
  abstract readonly code: string;
}

/** The caller did something that the interface does not allow; thrown at the call. */
export class UsageError extends SessionError {
  readonly code = 'ERR_USAGE';
}

/** The peer broke the protocol; closes the session. */
export class PeerError extends SessionError {
  readonly code = 'ERR_PEER';
  readonly wireCode: WireCodeName;
  /** The type of the frame at fault, 0 if it was none. */
  readonly frameType: number;

  constructor(wireCode: WireCodeName, message: string, frameType = 0) {
    super(`the peer broke the protocol: ${message} (${wireCode})`);
    this.wireCode = wireCode;
    this.frameType = frameType;
  }
}

/** The network took a carrier away; costs one path. */
export class CarrierError extends SessionError {
  readonly code = 'ERR_CARRIER';
  /** What the system called it, where it was the system: `ECONNRESET`, `ETIMEDOUT`, ... */
  readonly systemCode: string | undefined;

  constructor(
    message: string,
    options: { readonly systemCode?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.systemCode = options.systemCode;
  }
}

/** Our own fault; nobody may catch it. */
export class InvariantError extends SessionError {
  readonly code = 'ERR_INVARIANT';
}

/** The peer closed the session: with an application's code, or accusing us of breaking the protocol. */
export class ClosedByPeerError extends SessionError {
  readonly code = 'ERR_CLOSED_BY_PEER';
  /** Whether `closeCode` is the peer application's own, or one of {@link WIRE_CODES}. */
  readonly application: boolean;
  readonly closeCode: number;

  constructor(application: boolean, closeCode: number, reason: string) {
    const what = application ? `code ${closeCode}` : `protocol code ${closeCode}`;
    super(`the peer closed the session with ${what}${reason === '' ? '' : `: ${reason}`}`);
    this.application = application;
    this.closeCode = closeCode;
  }
}

/** This end closed the session without waiting for the delivery of what was written. */
export class AbortedError extends SessionError {
  readonly code = 'ERR_ABORTED';
}

/** A newer session of the same instance took over (protocol.md#takeover). Do not reconnect. */
export class SupersededError extends SessionError {
  readonly code = 'ERR_SUPERSEDED';
}

/** The server no longer accepts the key of this session. */
export class RevokedError extends SessionError {
  readonly code = 'ERR_REVOKED';
}

/** Nobody answered while the session was being established. */
export class ConnectTimeoutError extends SessionError {
  readonly code = 'ERR_CONNECT_TIMEOUT';
}

/** How far one stream had come when continuity was lost; all in bytes from its beginning. */
export interface StreamContinuity {
  readonly streamId: number;
  /** Written by this end's application. */
  readonly writtenBytes: number;
  /** Known to have arrived at the other end. */
  readonly acknowledgedBytes: number;
  /** Read by this end's application. */
  readonly readBytes: number;
}

/**
 * The session can't go on where it was: the other end has lost it (`ERR_SESSION_GONE`, said
 * by the server in a way that only it can), or no path came back in time (`ERR_SESSION_TIMEOUT`).
 */
export class ContinuityError extends SessionError {
  readonly code: 'ERR_SESSION_GONE' | 'ERR_SESSION_TIMEOUT';
  readonly streams: readonly StreamContinuity[];

  constructor(
    code: 'ERR_SESSION_GONE' | 'ERR_SESSION_TIMEOUT',
    message: string,
    streams: readonly StreamContinuity[],
  ) {
    super(message);
    this.code = code;
    this.streams = streams;
  }
}

/**
 * The peer closed the session gracefully while bytes that this end had written were not yet
 * acknowledged. They may have arrived, but nobody will ever know: the peer wants no more.
 */
export class UndeliveredError extends SessionError {
  readonly code = 'ERR_UNDELIVERED';
  /** The streams with such bytes; those after `acknowledgedBytes` are in doubt. */
  readonly streams: readonly StreamContinuity[];

  constructor(message: string, streams: readonly StreamContinuity[]) {
    super(message);
    this.streams = streams;
  }
}

/** Stays on in production; never applied to what the peer said. */
export function assert(condition: boolean, why: string): asserts condition {
  if (!condition) throw new InvariantError(`broken invariant: ${why}`);
}
