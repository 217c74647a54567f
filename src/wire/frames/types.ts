/**
 * The frames as values, their numbers and their bounds (protocol.md#frames).
 *
 * @module
 */

export const TYPE_PADDING = 0x00;
export const TYPE_PING = 0x01;
export const TYPE_ACK = 0x02;
export const TYPE_RESET_STREAM = 0x04;
export const TYPE_STOP_SENDING = 0x05;
/** STREAM is this plus its three bits. */
export const TYPE_STREAM = 0x08;
export const TYPE_STREAM_LAST = 0x0f;
export const STREAM_OFFSET_BIT = 0x04;
export const STREAM_LENGTH_BIT = 0x02;
export const STREAM_FIN_BIT = 0x01;
export const TYPE_MAX_DATA = 0x10;
export const TYPE_MAX_STREAM_DATA = 0x11;
export const TYPE_MAX_STREAMS_BIDI = 0x12;
export const TYPE_MAX_STREAMS_UNI = 0x13;
export const TYPE_PATH_CHALLENGE = 0x1a;
export const TYPE_PATH_RESPONSE = 0x1b;
export const TYPE_CLOSE = 0x1c;
export const TYPE_APPLICATION_CLOSE = 0x1d;
export const TYPE_PATH_ABANDON = 0x20;
export const TYPE_PATH_STATUS = 0x21;
export const TYPE_SERVER_ADDRESSES = 0x22;

/** The most ranges in an ACK, the first one counted (protocol.md#ack). */
export const SPEC_MAX_ACK_RANGES = 64;
/** The longest reason of a close, in bytes of UTF-8 (protocol.md#close). */
export const SPEC_MAX_CLOSE_REASON_BYTES = 256;
/**
 * The highest limit of a MAX_STREAMS and of the parameters like it (protocol.md#limits). Stream
 * ids are 4n plus two bits and end at 2^53-1.
 */
export const SPEC_MAX_STREAMS = 2 ** 51;
/** The highest path id (protocol.md#join-path). */
export const SPEC_MAX_PATH_ID = 2 ** 32 - 1;
/** The most addresses that a server tells (protocol.md#server-addresses). */
export const SPEC_MAX_SERVER_ADDRESSES = 16;
/** The longest of them, and all of them together, in bytes: they fit into any packet. */
export const SPEC_MAX_SERVER_ADDRESS_BYTES = 255;
export const SPEC_MAX_SERVER_ADDRESSES_BYTES = 1_024;
/** Bytes of data in PATH_CHALLENGE and PATH_RESPONSE (protocol.md#challenge). */
export const PATH_CHALLENGE_BYTES = 8;
/**
 * The most frames in a packet, a run of PADDING counted as one (protocol.md#frames). Without a
 * bound, one packet of 64 KiB of PING would become as many objects; no sender with something to say
 * comes near it.
 */
export const SPEC_MAX_FRAMES_PER_PACKET = 4096;

/** Packet numbers from `smallest` to `largest`, both included. */
export interface AckRange {
  readonly smallest: number;
  readonly largest: number;
}

/** A run of `length` zero bytes, at least 1. */
export interface PaddingFrame {
  readonly type: 'padding';
  readonly length: number;
}

export interface PingFrame {
  readonly type: 'ping';
}

/** protocol.md#ack */
export interface AckFrame {
  readonly type: 'ack';
  /** The path whose packets are acknowledged, 0 to 2^32-1; not always the one it comes on. */
  readonly pathId: number;
  /** The same as `ranges[0].largest`. */
  readonly largest: number;
  /** Microseconds since the largest packet arrived. */
  readonly delayUs: number;
  /** From the highest down, 1 to 64 of them, with at least one number missing between two. */
  readonly ranges: readonly AckRange[];
}

/** protocol.md#reset */
export interface ResetStreamFrame {
  readonly type: 'resetStream';
  readonly streamId: number;
  readonly code: number;
  readonly finalSize: number;
}

/** protocol.md#reset */
export interface StopSendingFrame {
  readonly type: 'stopSending';
  readonly streamId: number;
  readonly code: number;
}

/** protocol.md#stream */
export interface StreamFrame {
  readonly type: 'stream';
  readonly streamId: number;
  readonly offset: number;
  /** A view of the packet's payload, if decoded. */
  readonly data: Uint8Array;
  readonly fin: boolean;
}

/** protocol.md#limits */
export interface MaxDataFrame {
  readonly type: 'maxData';
  readonly maximum: number;
}

/** protocol.md#limits */
export interface MaxStreamDataFrame {
  readonly type: 'maxStreamData';
  readonly streamId: number;
  readonly maximum: number;
}

/** protocol.md#limits */
export interface MaxStreamsFrame {
  readonly type: 'maxStreams';
  readonly bidirectional: boolean;
  readonly maximum: number;
}

/** protocol.md#challenge; `data` has 8 bytes. */
export interface PathChallengeFrame {
  readonly type: 'pathChallenge';
  readonly data: Uint8Array;
}

/** protocol.md#challenge; `data` has 8 bytes. */
export interface PathResponseFrame {
  readonly type: 'pathResponse';
  readonly data: Uint8Array;
}

/** protocol.md#close: CLOSE, or APPLICATION_CLOSE if `application`. */
export interface CloseFrame {
  readonly type: 'close';
  readonly application: boolean;
  readonly code: number;
  /** CLOSE only: the type of the frame that was at fault; 0, as if absent, for none. */
  readonly frameType?: number;
  /** At most 256 bytes as UTF-8; decoding puts U+FFFD in place of what is no UTF-8. */
  readonly reason: string;
}

/** protocol.md#abandon; `pathId` is 0 to 2^32-1. */
export interface PathAbandonFrame {
  readonly type: 'pathAbandon';
  readonly pathId: number;
  readonly code: number;
}

/** protocol.md#status; `pathId` is 0 to 2^32-1. */
export interface PathStatusFrame {
  readonly type: 'pathStatus';
  readonly pathId: number;
  readonly sequence: number;
  readonly status: 'available' | 'backup';
}

/** protocol.md#server-addresses: the whole list; an earlier one is void. */
export interface ServerAddressesFrame {
  readonly type: 'serverAddresses';
  readonly sequence: number;
  /** No further path to the address by which the session was established. */
  readonly avoidFirst: boolean;
  /** As in a ticket; at most 16, of 1 to 255 bytes as UTF-8, 1024 together. */
  readonly addresses: readonly string[];
}

export type Frame =
  | PaddingFrame
  | PingFrame
  | AckFrame
  | ResetStreamFrame
  | StopSendingFrame
  | StreamFrame
  | MaxDataFrame
  | MaxStreamDataFrame
  | MaxStreamsFrame
  | PathChallengeFrame
  | PathResponseFrame
  | CloseFrame
  | PathAbandonFrame
  | PathStatusFrame
  | ServerAddressesFrame;

/** Whether a packet with this frame must be acknowledged (protocol.md#frames). */
export function isAckEliciting(frame: Frame): boolean {
  return frame.type !== 'ack' && frame.type !== 'padding';
}
