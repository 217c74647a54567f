/**
 * Path ids in frames: at most 2^32-1, since keys are derived from 4 bytes of them
 * (protocol.md#join-path).
 *
 * @module
 */

import type { Reader } from '../reader.js';
import type { Writer } from '../writer.js';
import { SPEC_MAX_PATH_ID } from './types.js';

/** @throws WireError if the id is cut off or more than 2^32-1. */
export function readPathId(reader: Reader): number {
  const pathId = reader.varint();
  if (pathId > SPEC_MAX_PATH_ID) throw reader.error('path id beyond 2^32-1');
  return pathId;
}

/** @throws RangeError if `pathId` is not an integer from 0 to 2^32-1. */
export function writePathId(writer: Writer, pathId: number): void {
  if (pathId > SPEC_MAX_PATH_ID) throw new RangeError(`path id ${pathId} beyond 2^32-1`);
  writer.varint(pathId);
}
