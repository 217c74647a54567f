/**
 * ACK frames (protocol.md#ack; ranges as in RFC 9000 §19.3.1).
 *
 * @module
 */

import type { Reader } from '../reader.js';
import { varintLength } from '../varint.js';
import type { Writer } from '../writer.js';
import { readPathId, writePathId } from './path-id.js';
import { type AckFrame, type AckRange, SPEC_MAX_ACK_RANGES, TYPE_ACK } from './types.js';

/** Between two ranges lie a Gap of n + 1 missing numbers, so the next begins n + 2 lower. */
const GAP_BIAS = 2;

/** @throws RangeError unless the ranges are what {@link AckFrame} says. */
export function encodeAck(writer: Writer, frame: AckFrame): void {
  const { ranges } = frame;
  const first = ranges[0];
  if (first === undefined || ranges.length > SPEC_MAX_ACK_RANGES) {
    throw new RangeError(`ACK of ${ranges.length} ranges`);
  }
  if (first.largest !== frame.largest) throw new RangeError('ACK largest is not its first range');
  writer.uint8(TYPE_ACK);
  writePathId(writer, frame.pathId);
  writer.varint(frame.largest);
  writer.varint(frame.delayUs);
  writer.varint(ranges.length - 1);
  writer.varint(first.largest - first.smallest);
  let below = first.smallest;
  for (let i = 1; i < ranges.length; i++) {
    const range = ranges[i] as AckRange;
    writer.varint(below - range.largest - GAP_BIAS);
    writer.varint(range.largest - range.smallest);
    below = range.smallest;
  }
  if (below < 0) throw new RangeError('ACK of a negative packet number');
}

export function ackLength(frame: AckFrame): number {
  const { ranges } = frame;
  let length =
    1 + varintLength(frame.pathId) + varintLength(frame.largest) + varintLength(frame.delayUs);
  length += varintLength(ranges.length - 1);
  let below = frame.largest + GAP_BIAS;
  for (let i = 0; i < ranges.length; i++) {
    const range = ranges[i] as AckRange;
    if (i > 0) length += varintLength(below - range.largest - GAP_BIAS);
    length += varintLength(range.largest - range.smallest);
    below = range.smallest;
  }
  return length;
}

/** What follows the type of an ACK frame. */
export function decodeAck(reader: Reader): AckFrame {
  const pathId = readPathId(reader);
  const largest = reader.varint();
  const delayUs = reader.varint();
  const more = reader.varint();
  if (more >= SPEC_MAX_ACK_RANGES) throw reader.error('more than 64 ranges');
  let smallest = largest - reader.varint();
  if (smallest < 0) throw reader.error('range below 0');
  const ranges: AckRange[] = [{ smallest, largest }];
  for (let i = 0; i < more; i++) {
    const top = smallest - reader.varint() - GAP_BIAS;
    smallest = top - reader.varint();
    // Checked once for both: a range that ends at or above 0 also begins there.
    if (smallest < 0) throw reader.error('range below 0');
    ranges.push({ smallest, largest: top });
  }
  return { type: 'ack', pathId, largest, delayUs, ranges };
}
