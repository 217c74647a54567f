/**
 * Frames (protocol.md#frames): their types, and the way to bytes and back.
 *
 * @module
 */

export { decodeFrames } from './frames/decode.js';
export { encodedLength, encodeFrame } from './frames/encode.js';
export { streamHeaderLength, writeStreamHeader } from './frames/stream.js';
export {
  type AckFrame,
  type AckRange,
  type CloseFrame,
  type Frame,
  isAckEliciting,
  type MaxDataFrame,
  type MaxStreamDataFrame,
  type MaxStreamsFrame,
  PATH_CHALLENGE_BYTES,
  type PaddingFrame,
  type PathAbandonFrame,
  type PathChallengeFrame,
  type PathResponseFrame,
  type PathStatusFrame,
  type PingFrame,
  type ResetStreamFrame,
  type ServerAddressesFrame,
  SPEC_MAX_ACK_RANGES,
  SPEC_MAX_CLOSE_REASON_BYTES,
  SPEC_MAX_FRAMES_PER_PACKET,
  SPEC_MAX_PATH_ID,
  SPEC_MAX_SERVER_ADDRESS_BYTES,
  SPEC_MAX_SERVER_ADDRESSES,
  SPEC_MAX_SERVER_ADDRESSES_BYTES,
  SPEC_MAX_STREAMS,
  type StopSendingFrame,
  type StreamFrame,
} from './frames/types.js';
