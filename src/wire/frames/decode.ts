/**
 * From the payload of a packet to frames.
 *
 * @module
 */

import { Reader } from '../reader.js';
import { utf8Decode } from '../utf8.js';
import { decodeAck } from './ack.js';
import { readPathId } from './path-id.js';
import { decodeServerAddresses } from './server-addresses.js';
import { decodeStream } from './stream.js';
import {
  type CloseFrame,
  type Frame,
  PATH_CHALLENGE_BYTES,
  type PathStatusFrame,
  SPEC_MAX_CLOSE_REASON_BYTES,
  SPEC_MAX_FRAMES_PER_PACKET,
  SPEC_MAX_STREAMS,
  TYPE_ACK,
  TYPE_APPLICATION_CLOSE,
  TYPE_CLOSE,
  TYPE_MAX_DATA,
  TYPE_MAX_STREAM_DATA,
  TYPE_MAX_STREAMS_BIDI,
  TYPE_MAX_STREAMS_UNI,
  TYPE_PADDING,
  TYPE_PATH_ABANDON,
  TYPE_PATH_CHALLENGE,
  TYPE_PATH_RESPONSE,
  TYPE_PATH_STATUS,
  TYPE_PING,
  TYPE_RESET_STREAM,
  TYPE_SERVER_ADDRESSES,
  TYPE_STOP_SENDING,
  TYPE_STREAM,
  TYPE_STREAM_LAST,
} from './types.js';

const PING: Frame = { type: 'ping' };

/**
 * The frames of a packet's opened payload, in order: at least 1, at most
 * {@link SPEC_MAX_FRAMES_PER_PACKET}. Byte fields are views of `payload`, so keep it unchanged for
 * as long as they are used.
 *
 * @throws WireError if there is no frame, or one is unknown, cut off or out of range
 * (protocol.md#frames); its `frameType` is that frame's.
 */
export function decodeFrames(payload: Uint8Array): Frame[] {
  const reader = new Reader(payload);
  if (payload.length === 0) throw reader.error('packet without frames');
  const frames: Frame[] = [];
  while (reader.remaining > 0) {
    reader.frameType = 0;
    if (frames.length === SPEC_MAX_FRAMES_PER_PACKET) throw reader.error('too many frames');
    const before = reader.remaining;
    const type = reader.varint();
    reader.frameType = type;
    if (type >= TYPE_STREAM && type <= TYPE_STREAM_LAST) {
      frames.push(decodeStream(reader, type));
    } else if (type === TYPE_ACK) {
      frames.push(decodeAck(reader));
    } else if (type === TYPE_PADDING) {
      reader.skipZeros();
      frames.push({ type: 'padding', length: before - reader.remaining });
    } else {
      frames.push(decodeControl(reader, type));
    }
  }
  return frames;
}

function decodeControl(reader: Reader, type: number): Frame {
  switch (type) {
    case TYPE_PING:
      return PING;
    case TYPE_RESET_STREAM:
      return {
        type: 'resetStream',
        streamId: reader.varint(),
        code: reader.varint(),
        finalSize: reader.varint(),
      };
    case TYPE_STOP_SENDING:
      return { type: 'stopSending', streamId: reader.varint(), code: reader.varint() };
    case TYPE_MAX_DATA:
      return { type: 'maxData', maximum: reader.varint() };
    case TYPE_MAX_STREAM_DATA:
      return { type: 'maxStreamData', streamId: reader.varint(), maximum: reader.varint() };
    case TYPE_MAX_STREAMS_BIDI:
    case TYPE_MAX_STREAMS_UNI: {
      const maximum = reader.varint();
      if (maximum > SPEC_MAX_STREAMS) throw reader.error('more than 2^51 streams');
      return { type: 'maxStreams', bidirectional: type === TYPE_MAX_STREAMS_BIDI, maximum };
    }
    case TYPE_PATH_CHALLENGE:
      return { type: 'pathChallenge', data: reader.bytes(PATH_CHALLENGE_BYTES) };
    case TYPE_PATH_RESPONSE:
      return { type: 'pathResponse', data: reader.bytes(PATH_CHALLENGE_BYTES) };
    case TYPE_CLOSE:
    case TYPE_APPLICATION_CLOSE:
      return decodeClose(reader, type === TYPE_APPLICATION_CLOSE);
    case TYPE_PATH_ABANDON:
      return { type: 'pathAbandon', pathId: readPathId(reader), code: reader.varint() };
    case TYPE_PATH_STATUS:
      return decodePathStatus(reader);
    case TYPE_SERVER_ADDRESSES:
      return decodeServerAddresses(reader);
    default:
      throw reader.error('unknown type');
  }
}

function decodeClose(reader: Reader, application: boolean): CloseFrame {
  const code = reader.varint();
  const frameType = application ? 0 : reader.varint();
  const length = reader.varint();
  if (length > SPEC_MAX_CLOSE_REASON_BYTES) throw reader.error('reason of more than 256 bytes');
  const reason = utf8Decode(reader.bytes(length));
  if (application) return { type: 'close', application, code, reason };
  return { type: 'close', application, code, frameType, reason };
}

function decodePathStatus(reader: Reader): PathStatusFrame {
  const pathId = readPathId(reader);
  const sequence = reader.varint();
  const status = reader.varint();
  if (status > 1) throw reader.error('unknown status');
  return { type: 'pathStatus', pathId, sequence, status: status === 0 ? 'available' : 'backup' };
}
