/** What both sides of the handshake share. @module */

import { asciiBytes, concatBytes } from '../crypto/index.js';

/** The version in a HELLO's envelope. */
export const SPEC_VERSION = 1;

/** protocol.md#handshake, 4.2: ties the Noise handshake to what went before it. */
export function prologue(firstByte: number, envelope: Uint8Array): Uint8Array {
  return concatBytes(asciiBytes('roving/1'), Uint8Array.of(firstByte), envelope);
}
