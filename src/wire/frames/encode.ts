/**
 * From frames to the payload of a packet.
 *
 * @module
 */

import { utf8Encode, utf8Length } from '../utf8.js';
import { varintLength } from '../varint.js';
import type { Writer } from '../writer.js';
import { ackLength, encodeAck } from './ack.js';
import { writePathId } from './path-id.js';
import { encodeServerAddresses, serverAddressesLength } from './server-addresses.js';
import { streamHeaderLength, writeStreamHeader } from './stream.js';
import {
  type CloseFrame,
  type Frame,
  PATH_CHALLENGE_BYTES,
  SPEC_MAX_CLOSE_REASON_BYTES,
  SPEC_MAX_STREAMS,
  TYPE_APPLICATION_CLOSE,
  TYPE_CLOSE,
  TYPE_MAX_DATA,
  TYPE_MAX_STREAM_DATA,
  TYPE_MAX_STREAMS_BIDI,
  TYPE_MAX_STREAMS_UNI,
  TYPE_PATH_ABANDON,
  TYPE_PATH_CHALLENGE,
  TYPE_PATH_RESPONSE,
  TYPE_PATH_STATUS,
  TYPE_PING,
  TYPE_RESET_STREAM,
  TYPE_STOP_SENDING,
} from './types.js';

/**
 * Appends `frame` to `writer`, in its shortest form. A STREAM frame gets its length, so that any
 * frame may follow it.
 *
 * @throws RangeError if a field is outside of what its type says; the writer then holds a part of
 * the frame.
 */
export function encodeFrame(writer: Writer, frame: Frame): void {
  switch (frame.type) {
    case 'padding':
      if (!(frame.length >= 1)) throw new RangeError(`padding of ${frame.length} bytes`);
      writer.zeros(frame.length);
      break;
    case 'ping':
      writer.uint8(TYPE_PING);
      break;
    case 'ack':
      encodeAck(writer, frame);
      break;
    case 'resetStream':
      integers(writer, TYPE_RESET_STREAM, frame.streamId, frame.code, frame.finalSize);
      break;
    case 'stopSending':
      integers(writer, TYPE_STOP_SENDING, frame.streamId, frame.code);
      break;
    case 'stream':
      writeStreamHeader(writer, frame.streamId, frame.offset, frame.data.length, frame.fin);
      writer.bytes(frame.data);
      break;
    case 'maxData':
      integers(writer, TYPE_MAX_DATA, frame.maximum);
      break;
    case 'maxStreamData':
      integers(writer, TYPE_MAX_STREAM_DATA, frame.streamId, frame.maximum);
      break;
    case 'maxStreams':
      if (frame.maximum > SPEC_MAX_STREAMS) throw new RangeError('more than 2^51 streams');
      integers(
        writer,
        frame.bidirectional ? TYPE_MAX_STREAMS_BIDI : TYPE_MAX_STREAMS_UNI,
        frame.maximum,
      );
      break;
    case 'pathChallenge':
      challenge(writer, TYPE_PATH_CHALLENGE, frame.data);
      break;
    case 'pathResponse':
      challenge(writer, TYPE_PATH_RESPONSE, frame.data);
      break;
    case 'close':
      encodeClose(writer, frame);
      break;
    case 'pathAbandon':
      writer.uint8(TYPE_PATH_ABANDON);
      writePathId(writer, frame.pathId);
      writer.varint(frame.code);
      break;
    case 'pathStatus':
      writer.uint8(TYPE_PATH_STATUS);
      writePathId(writer, frame.pathId);
      writer.varint(frame.sequence);
      writer.uint8(frame.status === 'available' ? 0 : 1);
      break;
    case 'serverAddresses':
      encodeServerAddresses(writer, frame);
      break;
  }
}

/** How many bytes {@link encodeFrame} writes for `frame`. */
export function encodedLength(frame: Frame): number {
  switch (frame.type) {
    case 'padding':
      return frame.length;
    case 'ping':
      return 1;
    case 'ack':
      return ackLength(frame);
    case 'resetStream':
      return (
        1 + varintLength(frame.streamId) + varintLength(frame.code) + varintLength(frame.finalSize)
      );
    case 'stopSending':
      return 1 + varintLength(frame.streamId) + varintLength(frame.code);
    case 'stream': {
      const length = frame.data.length;
      return streamHeaderLength(frame.streamId, frame.offset, length) + length;
    }
    case 'maxData':
    case 'maxStreams':
      return 1 + varintLength(frame.maximum);
    case 'maxStreamData':
      return 1 + varintLength(frame.streamId) + varintLength(frame.maximum);
    case 'pathChallenge':
    case 'pathResponse':
      return 1 + PATH_CHALLENGE_BYTES;
    case 'close': {
      const reasonBytes = utf8Length(frame.reason);
      const frameTypeBytes = frame.application ? 0 : varintLength(frame.frameType ?? 0);
      return (
        1 + varintLength(frame.code) + frameTypeBytes + varintLength(reasonBytes) + reasonBytes
      );
    }
    case 'pathAbandon':
      return 1 + varintLength(frame.pathId) + varintLength(frame.code);
    case 'pathStatus':
      return 2 + varintLength(frame.pathId) + varintLength(frame.sequence);
    case 'serverAddresses':
      return serverAddressesLength(frame);
  }
}

function integers(writer: Writer, type: number, a: number, b?: number, c?: number): void {
  writer.uint8(type);
  writer.varint(a);
  if (b !== undefined) writer.varint(b);
  if (c !== undefined) writer.varint(c);
}

function challenge(writer: Writer, type: number, data: Uint8Array): void {
  if (data.length !== PATH_CHALLENGE_BYTES) throw new RangeError('challenge of not 8 bytes');
  writer.uint8(type);
  writer.bytes(data);
}

function encodeClose(writer: Writer, frame: CloseFrame): void {
  const reason = utf8Encode(frame.reason);
  if (reason.length > SPEC_MAX_CLOSE_REASON_BYTES) {
    throw new RangeError(`close reason of ${reason.length} bytes`);
  }
  if (frame.application && frame.frameType !== undefined) {
    throw new RangeError('an application close names no frame type');
  }
  writer.uint8(frame.application ? TYPE_APPLICATION_CLOSE : TYPE_CLOSE);
  writer.varint(frame.code);
  if (!frame.application) writer.varint(frame.frameType ?? 0);
  writer.varint(reason.length);
  writer.bytes(reason);
}
