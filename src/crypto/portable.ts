/**
 * The crypto provider in plain JavaScript, for browsers and for checking Node's: noble's ciphers,
 * curves and hashes.
 *
 * @module
 */

import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, requireLength } from './bytes.js';
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  type Aead,
  type CipherName,
  type CryptoProvider,
} from './provider.js';

const X25519_BYTES = 32;

const CIPHERS = { 'AES-256-GCM': gcm, 'ChaCha20-Poly1305': chacha20poly1305 } as const;

class PortableAead implements Aead {
  readonly #cipher: (typeof CIPHERS)[CipherName];
  readonly #key: Uint8Array;

  constructor(cipher: CipherName, key: Uint8Array) {
    requireLength(key, AEAD_KEY_BYTES, 'an AEAD key');
    this.#cipher = CIPHERS[cipher];
    this.#key = concatBytes(key);
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front?: Uint8Array,
  ): Uint8Array[] {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    const sealed = this.#cipher(this.#key, nonce, aad).encrypt(concatBytes(...plaintext));
    return front === undefined ? [sealed] : [front, sealed];
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    if (sealed.length < AEAD_TAG_BYTES) return undefined;
    try {
      return this.#cipher(this.#key, nonce, aad).decrypt(sealed);
    } catch {
      // All lengths are right, so what noble throws here is that the tag is wrong.
      return undefined;
    }
  }
}

/** Works wherever JavaScript does; slower than Node's, and not constant-time where engines are not. */
export const portableCrypto: CryptoProvider = {
  name: 'portable',
  hash: (data) => sha256(data),
  hmac: (key, data) => hmac(sha256, key, data),
  aead: (cipher, key) => new PortableAead(cipher, key),
  x25519PublicKey(privateKey) {
    requireLength(privateKey, X25519_BYTES, 'an X25519 private key');
    return x25519.getPublicKey(privateKey);
  },
  x25519(privateKey, publicKey) {
    requireLength(privateKey, X25519_BYTES, 'an X25519 private key');
    requireLength(publicKey, X25519_BYTES, 'an X25519 public key');
    try {
      return x25519.getSharedSecret(privateKey, publicKey);
    } catch {
      // All lengths are right, so what noble throws here is that the output is zero.
      return undefined;
    }
  },
};
