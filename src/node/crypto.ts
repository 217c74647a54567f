/**
 * The crypto provider over Node's OpenSSL. The only module that may use `node:crypto`, apart from
 * what draws random bytes.
 *
 * @module
 */

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type KeyObject,
} from 'node:crypto';
import { concatBytes, fromHex, requireLength } from '../crypto/bytes.js';
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  type Aead,
  type CipherName,
  type CryptoProvider,
} from '../crypto/provider.js';
import { tookFreshMemory } from './young-memory.js';

const X25519_BYTES = 32;

/** DER of an X25519 private key (RFC 8410 §7) up to its 32 bytes. */
const PRIVATE_KEY_PREFIX = fromHex('302e020100300506032b656e04220420');
const UNKNOWN_X = base64Url(new Uint8Array(X25519_BYTES));

/**
 * Tuning: each call into OpenSSL costs about a microsecond, as much as copying several kilobytes.
 * So chunks of up to {@link GATHER_CHUNK_BYTES} are first gathered, and larger ones, which a copy
 * would cost more, go in as they are (`benchmarks/crypto.mjs`).
 */
const GATHER_BYTES = 4096;
const GATHER_CHUNK_BYTES = 2048;

/** Shared by all keys: used only within one call of `seal`. */
const gathered = new Uint8Array(GATHER_BYTES);

/** The types of Node know each cipher by its own overload; both ciphers take the same calls. */
const ALGORITHMS = {
  'AES-256-GCM': 'aes-256-gcm',
  'ChaCha20-Poly1305': 'chacha20-poly1305' as 'aes-256-gcm',
} as const;

const TAG_LENGTH = { authTagLength: AEAD_TAG_BYTES } as const;

class NodeAead implements Aead {
  readonly #algorithm: (typeof ALGORITHMS)[CipherName];
  readonly #key: KeyObject;

  constructor(cipher: CipherName, key: Uint8Array) {
    requireLength(key, AEAD_KEY_BYTES, 'an AEAD key');
    this.#algorithm = ALGORITHMS[cipher];
    this.#key = createSecretKey(key);
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front?: Uint8Array,
  ): Uint8Array[] {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    const cipher = createCipheriv(this.#algorithm, this.#key, nonce, TAG_LENGTH);
    cipher.setAAD(aad);
    const sealed: Uint8Array[] = front === undefined ? [] : [front];
    let totalBytes = 0;
    let gatheredBytes = 0;
    const flush = () => {
      if (gatheredBytes === 0) return;
      sealed.push(plain(cipher.update(gathered.subarray(0, gatheredBytes))));
      gatheredBytes = 0;
    };
    for (const chunk of plaintext) {
      totalBytes += chunk.length;
      const gather = plaintext.length > 1 && chunk.length <= GATHER_CHUNK_BYTES;
      if (!gather || gatheredBytes + chunk.length > GATHER_BYTES) flush();
      if (gather) {
        gathered.set(chunk, gatheredBytes);
        gatheredBytes += chunk.length;
      } else {
        sealed.push(plain(cipher.update(chunk)));
      }
    }
    flush();
    cipher.final();
    tookFreshMemory(totalBytes);
    sealed.push(plain(cipher.getAuthTag()));
    return sealed;
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return undefined;
    const decipher = createDecipheriv(this.#algorithm, this.#key, nonce, TAG_LENGTH);
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(length));
    const plaintext = decipher.update(sealed.subarray(0, length));
    tookFreshMemory(length);
    try {
      decipher.final();
    } catch {
      // The tag is wrong: of stream ciphers `final` has nothing else to say.
      return undefined;
    }
    return plain(plaintext);
  }
}

/** Node's own crypto: fast, and with a processor's AES. */
export const nodeCrypto: CryptoProvider = {
  name: 'node',
  hash: (data) => plain(createHash('sha256').update(data).digest()),
  hmac: (key, data) => plain(createHmac('sha256', key).update(data).digest()),
  aead: (cipher, key) => new NodeAead(cipher, key),
  x25519PublicKey(privateKey) {
    const { x = '' } = createPublicKey(importPrivateKey(privateKey)).export({ format: 'jwk' });
    return plain(Buffer.from(x, 'base64url'));
  },
  x25519(privateKey, publicKey) {
    const keys = {
      privateKey: importPrivateKey(privateKey),
      publicKey: importPublicKey(publicKey),
    };
    let shared: Uint8Array;
    try {
      shared = plain(diffieHellman(keys));
    } catch {
      // OpenSSL refuses an all-zero output itself (RFC 7748 §6.1), and nothing else of these keys.
      return undefined;
    }
    return shared.some((byte) => byte !== 0) ? shared : undefined;
  },
};

/**
 * Imports as JWK (RFC 8037), which costs a tenth of what OpenSSL's DER decoder does. A JWK repeats
 * the public key in `x`, which is not known yet; Node computes its own. Should a version of Node
 * compare the two, it throws, and the slow way remains.
 */
function importPrivateKey(privateKey: Uint8Array): KeyObject {
  requireLength(privateKey, X25519_BYTES, 'an X25519 private key');
  try {
    const key = { kty: 'OKP', crv: 'X25519', d: base64Url(privateKey), x: UNKNOWN_X };
    return createPrivateKey({ key, format: 'jwk' });
  } catch {
    const key = Buffer.from(concatBytes(PRIVATE_KEY_PREFIX, privateKey));
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  }
}

function importPublicKey(publicKey: Uint8Array): KeyObject {
  requireLength(publicKey, X25519_BYTES, 'an X25519 public key');
  const key = { kty: 'OKP', crv: 'X25519', x: base64Url(publicKey) };
  return createPublicKey({ key, format: 'jwk' });
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/**
 * The same memory as a Uint8Array proper. A Buffer's `slice` shares memory where a Uint8Array's
 * copies: the layers above must not get one unawares.
 */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
