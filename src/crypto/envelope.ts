/**
 * Envelopes (protocol.md#envelope) and sealed cookies (protocol.md#retry): what is sealed under
 * keys of the door key, before any session is known.
 *
 * @module
 */

import { concatBytes, requireLength } from './bytes.js';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, type Aead, type CryptoProvider } from './provider.js';

export const ROUTE_ID_BYTES = 8;
const ROUTE_BYTES = ROUTE_ID_BYTES + 4;
export const ENVELOPE_BYTES = AEAD_NONCE_BYTES + ROUTE_BYTES + AEAD_TAG_BYTES;
export const COOKIE_BYTES = 16;
export const SEALED_COOKIE_BYTES = COOKIE_BYTES + AEAD_TAG_BYTES;

const MAX_DETAIL = 2 ** 32 - 1;
const KEY_PHASE_MASK = 0xfe;

/** What an envelope says: whose packet it is. */
export interface Route {
  /** 8 bytes: the key id (HELLO) or the session id (JOIN). */
  readonly id: Uint8Array;
  /** 0 to 2^32-1: the version (HELLO) or the path id (JOIN). */
  readonly detail: number;
}

export interface EnvelopeParts extends Route {
  /** The packet's first byte; its key phase bit does not matter. */
  readonly firstByte: number;
  /** 12 random bytes, fresh for each HELLO and for each JOIN packet. */
  readonly nonce: Uint8Array;
}

/** Seals and opens envelopes under one envelope key; keep it, for making one sets up an AEAD. */
export class EnvelopeKey {
  readonly #aead: Aead;

  /** `key` is `envelopeKey()` of the door key. @throws RangeError if it has not 32 bytes. */
  constructor(crypto: CryptoProvider, key: Uint8Array) {
    this.#aead = crypto.aead('ChaCha20-Poly1305', key);
  }

  /**
   * The envelope, 40 bytes.
   *
   * @throws RangeError if the nonce or id has a wrong length, or `detail` is out of range.
   */
  seal(parts: EnvelopeParts): Uint8Array {
    const { firstByte, nonce, id, detail } = parts;
    requireLength(nonce, AEAD_NONCE_BYTES, 'the nonce of an envelope');
    requireLength(id, ROUTE_ID_BYTES, 'the id in an envelope');
    if (!Number.isInteger(detail) || detail < 0 || detail > MAX_DETAIL) {
      throw new RangeError(`envelope detail ${detail} is not an integer from 0 to 2^32-1`);
    }
    const route = new Uint8Array(ROUTE_BYTES);
    route.set(id);
    new DataView(route.buffer).setUint32(ROUTE_ID_BYTES, detail);
    return concatBytes(nonce, ...this.#aead.seal(nonce, aadOf(firstByte), [route]));
  }

  /** What the envelope says; `undefined` if it has not 40 bytes or is not authentic. */
  open(firstByte: number, envelope: Uint8Array): Route | undefined {
    if (envelope.length !== ENVELOPE_BYTES) return undefined;
    const nonce = envelope.subarray(0, AEAD_NONCE_BYTES);
    const sealed = envelope.subarray(AEAD_NONCE_BYTES);
    const route = this.#aead.open(nonce, aadOf(firstByte), sealed);
    if (route === undefined) return undefined;
    const view = new DataView(route.buffer, route.byteOffset, route.byteLength);
    return { id: route.subarray(0, ROUTE_ID_BYTES), detail: view.getUint32(ROUTE_ID_BYTES) };
  }
}

/** Seals and opens the cookies of RETRY packets under one retry key. */
export class RetryKey {
  readonly #aead: Aead;

  /** `key` is `retryKey()` of the door key. @throws RangeError if it has not 32 bytes. */
  constructor(crypto: CryptoProvider, key: Uint8Array) {
    this.#aead = crypto.aead('ChaCha20-Poly1305', key);
  }

  /**
   * The sealed cookie, 32 bytes. `nonce` is RETRY's own, `helloNonce` that of the HELLO's envelope.
   *
   * @throws RangeError if an argument has a wrong length.
   */
  seal(nonce: Uint8Array, helloNonce: Uint8Array, cookie: Uint8Array): Uint8Array {
    requireLength(nonce, AEAD_NONCE_BYTES, 'the nonce of a RETRY');
    requireLength(helloNonce, AEAD_NONCE_BYTES, 'the nonce of a HELLO');
    requireLength(cookie, COOKIE_BYTES, 'a cookie');
    return concatBytes(...this.#aead.seal(nonce, helloNonce, [cookie]));
  }

  /** The 16-byte cookie; `undefined` if a length is wrong or the cookie is not authentic. */
  open(nonce: Uint8Array, helloNonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    if (nonce.length !== AEAD_NONCE_BYTES || sealed.length !== SEALED_COOKIE_BYTES)
      return undefined;
    return this.#aead.open(nonce, helloNonce, sealed);
  }
}

/** As {@link EnvelopeKey.seal}, for a single use of the key. */
export function sealEnvelope(
  options: EnvelopeParts & { readonly crypto: CryptoProvider; readonly key: Uint8Array },
): Uint8Array {
  return new EnvelopeKey(options.crypto, options.key).seal(options);
}

/** As {@link EnvelopeKey.open}, for a single use of the key. */
export function openEnvelope(options: {
  readonly crypto: CryptoProvider;
  readonly key: Uint8Array;
  readonly firstByte: number;
  readonly envelope: Uint8Array;
}): Route | undefined {
  return new EnvelopeKey(options.crypto, options.key).open(options.firstByte, options.envelope);
}

/** As {@link RetryKey.seal}, for a single use of the key. */
export function sealCookie(options: {
  readonly crypto: CryptoProvider;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly helloNonce: Uint8Array;
  readonly cookie: Uint8Array;
}): Uint8Array {
  const { crypto, key, nonce, helloNonce, cookie } = options;
  return new RetryKey(crypto, key).seal(nonce, helloNonce, cookie);
}

/** As {@link RetryKey.open}, for a single use of the key. */
export function openCookie(options: {
  readonly crypto: CryptoProvider;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly helloNonce: Uint8Array;
  readonly sealed: Uint8Array;
}): Uint8Array | undefined {
  const { crypto, key, nonce, helloNonce, sealed } = options;
  return new RetryKey(crypto, key).open(nonce, helloNonce, sealed);
}

function aadOf(firstByte: number): Uint8Array {
  return Uint8Array.of(firstByte & KEY_PHASE_MASK);
}
