/**
 * HKDF (RFC 5869) with SHA-256, and the protocol's labelled form of its second half.
 *
 * @module
 */

import { asciiBytes, concatBytes } from './bytes.js';
import type { CryptoProvider } from './provider.js';

export const HASH_BYTES = 32;

/** RFC 5869 §2.3: the counter of blocks has one byte. */
const MAX_EXPAND_BYTES = 255 * HASH_BYTES;

const LABEL_PREFIX = 'roving/1 ';

/** HKDF-Extract (RFC 5869 §2.2): a pseudorandom key of 32 bytes from input keying material. */
export function hkdfExtract(crypto: CryptoProvider, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return crypto.hmac(salt, ikm);
}

/**
 * HKDF-Expand (RFC 5869 §2.3): `length` bytes from a pseudorandom key.
 *
 * @throws RangeError if `length` is not an integer from 1 to 8160.
 */
export function hkdfExpand(
  crypto: CryptoProvider,
  prk: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > MAX_EXPAND_BYTES) {
    throw new RangeError(`HKDF can't expand to ${length} bytes`);
  }
  const output = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let i = 1, offset = 0; offset < length; i++) {
    block = crypto.hmac(prk, concatBytes(block, info, Uint8Array.of(i)));
    output.set(block.subarray(0, length - offset), offset);
    offset += block.length;
  }
  return output;
}

/**
 * `Expand(secret, label, context, length)` of protocol.md#keys. The zero byte between label and
 * context keeps apart what different splits of the same bytes would say.
 *
 * @throws RangeError if the label is not ASCII or the length is out of range.
 */
export function expandLabel(
  crypto: CryptoProvider,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const info = concatBytes(asciiBytes(`${LABEL_PREFIX}${label}\0`), context);
  return hkdfExpand(crypto, secret, info, length);
}
