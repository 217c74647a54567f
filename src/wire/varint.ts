/**
 * Variable-length integers (RFC 9000 §16, protocol.md#varint), cut off at 2^53-1.
 *
 * @module
 */

/** The largest integer on the wire, 2^53-1 (protocol.md#varint). */
export const SPEC_MAX_INTEGER = Number.MAX_SAFE_INTEGER;

/** How many bytes the shortest varint of `n` takes: 1, 2, 4 or 8. */
export function varintLength(n: number): number {
  if (n < 0x40) return 1;
  if (n < 0x4000) return 2;
  if (n < 0x4000_0000) return 4;
  return 8;
}
