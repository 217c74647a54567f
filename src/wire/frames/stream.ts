/**
 * STREAM frames (protocol.md#stream), the ones that carry the bulk.
 *
 * @module
 */

import type { Reader } from '../reader.js';
import { SPEC_MAX_INTEGER, varintLength } from '../varint.js';
import type { Writer } from '../writer.js';
import {
  STREAM_FIN_BIT,
  STREAM_LENGTH_BIT,
  STREAM_OFFSET_BIT,
  type StreamFrame,
  TYPE_STREAM,
} from './types.js';

/**
 * Writes all of a STREAM frame but its data, which is to follow. `length` is that of the data in
 * bytes; `undefined` if it runs to the end of the packet.
 *
 * @throws RangeError if a number is out of range, or `offset` plus `length` goes beyond 2^53-1.
 */
export function writeStreamHeader(
  writer: Writer,
  streamId: number,
  offset: number,
  length: number | undefined,
  fin: boolean,
): void {
  // Subtracted, not added: sums beyond 2^53 are no longer exact.
  if (length !== undefined && offset > SPEC_MAX_INTEGER - length) {
    throw new RangeError(`stream data beyond 2^53-1: ${offset} + ${length}`);
  }
  writer.uint8(
    TYPE_STREAM |
      (offset === 0 ? 0 : STREAM_OFFSET_BIT) |
      (length === undefined ? 0 : STREAM_LENGTH_BIT) |
      (fin ? STREAM_FIN_BIT : 0),
  );
  writer.varint(streamId);
  if (offset !== 0) writer.varint(offset);
  if (length !== undefined) writer.varint(length);
}

/** How many bytes {@link writeStreamHeader} writes. */
export function streamHeaderLength(
  streamId: number,
  offset: number,
  length: number | undefined,
): number {
  return (
    1 +
    varintLength(streamId) +
    (offset === 0 ? 0 : varintLength(offset)) +
    (length === undefined ? 0 : varintLength(length))
  );
}

/** What follows the type of a STREAM frame. */
export function decodeStream(reader: Reader, type: number): StreamFrame {
  const streamId = reader.varint();
  const offset = (type & STREAM_OFFSET_BIT) === 0 ? 0 : reader.varint();
  const data = (type & STREAM_LENGTH_BIT) === 0 ? reader.rest() : reader.bytes(reader.varint());
  if (offset > SPEC_MAX_INTEGER - data.length) throw reader.error('stream data beyond 2^53-1');
  return { type: 'stream', streamId, offset, data, fin: (type & STREAM_FIN_BIT) !== 0 };
}
