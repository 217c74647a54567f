/**
 * All secrets of the protocol, from the door key and the end of the handshake to packet keys
 * (protocol.md#keys).
 *
 * @module
 */

import { asciiBytes, concatBytes, requireLength } from './bytes.js';
import { expandLabel, HASH_BYTES } from './hkdf.js';
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, type CryptoProvider } from './provider.js';

export const DOOR_KEY_BYTES = 32;
export const CONNECTION_ID_BYTES = 8;

/** Path ids go into key derivation as 4 bytes (protocol.md#keys). */
export const MAX_PATH_ID = 2 ** 32 - 1;

/** Which way a packet goes: client to server, or back. */
export type Direction = 'c2s' | 's2c';

const EMPTY = new Uint8Array(0);

/** The key that seals routes in envelopes (protocol.md 6.1), 32 bytes. */
export function envelopeKey(crypto: CryptoProvider, doorKey: Uint8Array): Uint8Array {
  requireLength(doorKey, DOOR_KEY_BYTES, 'the door key');
  return expandLabel(crypto, doorKey, 'envelope', EMPTY, AEAD_KEY_BYTES);
}

/** The key that seals cookies in RETRY packets (protocol.md 6.1), 32 bytes. */
export function retryKey(crypto: CryptoProvider, doorKey: Uint8Array): Uint8Array {
  requireLength(doorKey, DOOR_KEY_BYTES, 'the door key');
  return expandLabel(crypto, doorKey, 'retry', EMPTY, AEAD_KEY_BYTES);
}

/** The secret of a session (protocol.md 6.2), 32 bytes, from Noise's split keys and hash. */
export function sessionSecret(
  crypto: CryptoProvider,
  k1: Uint8Array,
  k2: Uint8Array,
  h: Uint8Array,
): Uint8Array {
  requireLength(k1, HASH_BYTES, 'k1');
  requireLength(k2, HASH_BYTES, 'k2');
  requireLength(h, HASH_BYTES, 'the handshake hash');
  return crypto.hmac(concatBytes(k1, k2), concatBytes(asciiBytes('roving/1 session'), h));
}

/**
 * The connection id, 8 bytes, in datagrams of a path that go in the given direction.
 *
 * @throws RangeError if `pathId` is not an integer from 0 to 2^32-1.
 */
export function connectionId(
  crypto: CryptoProvider,
  secret: Uint8Array,
  pathId: number,
  direction: Direction,
): Uint8Array {
  const context = pathIdBytes(pathId);
  return expandLabel(crypto, secret, `cid ${direction}`, context, CONNECTION_ID_BYTES);
}

/**
 * Traffic secret 0 of one direction of a path, 32 bytes.
 *
 * @throws RangeError if `pathId` is not an integer from 0 to 2^32-1.
 */
export function trafficSecret(
  crypto: CryptoProvider,
  secret: Uint8Array,
  pathId: number,
  direction: Direction,
): Uint8Array {
  return expandLabel(crypto, secret, `path ${direction}`, pathIdBytes(pathId), HASH_BYTES);
}

/** The traffic secret of the next key phase; the way back would be to invert HMAC-SHA-256. */
export function nextTrafficSecret(crypto: CryptoProvider, secret: Uint8Array): Uint8Array {
  return expandLabel(crypto, secret, 'update', EMPTY, HASH_BYTES);
}

/** AEAD key (32 bytes) and iv (12 bytes) of one key phase. */
export function trafficKeys(
  crypto: CryptoProvider,
  secret: Uint8Array,
): { key: Uint8Array; iv: Uint8Array } {
  return {
    key: expandLabel(crypto, secret, 'key', EMPTY, AEAD_KEY_BYTES),
    iv: expandLabel(crypto, secret, 'iv', EMPTY, AEAD_NONCE_BYTES),
  };
}

function pathIdBytes(pathId: number): Uint8Array {
  if (!Number.isInteger(pathId) || pathId < 0 || pathId > MAX_PATH_ID) {
    throw new RangeError(`path id ${pathId} is not an integer from 0 to 2^32-1`);
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, pathId);
  return bytes;
}
