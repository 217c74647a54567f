/**
 * The few primitives that the protocol needs, behind an interface: Node's OpenSSL
 * (`src/node/crypto.ts`) and a portable implementation (`portable.ts`) provide them.
 *
 * @module
 */

/** The AEADs of the protocol; keys have 32 bytes, nonces 12, tags 16. */
export type CipherName = 'AES-256-GCM' | 'ChaCha20-Poly1305';

export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

/** One AEAD under one key. */
export interface Aead {
  /**
   * Seals the concatenation of `plaintext`. Returns chunks whose concatenation is ciphertext and
   * tag; they are fresh memory and stay valid. The input chunks are only read during the call.
   *
   * @param front what comes before the ciphertext in the result, which keeps it: so a packet can
   *   be one piece of memory. Nothing by default.
   */
  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front?: Uint8Array,
  ): Uint8Array[];
  /** The plaintext in fresh memory, or `undefined` if the packet is not authentic (also if too short). */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

export interface CryptoProvider {
  readonly name: string;
  /** SHA-256. */
  hash(data: Uint8Array): Uint8Array;
  /** HMAC-SHA-256. */
  hmac(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** @throws RangeError if `key` has not 32 bytes. */
  aead(cipher: CipherName, key: Uint8Array): Aead;
  /**
   * Drivers may say that nobody reads these chunks any more, which came from `seal`: their memory
   * can be used again. It need not be said.
   */
  recycle?(chunks: readonly Uint8Array[]): void;
  /** X25519 public key of a 32-byte private key (RFC 7748 §5). */
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;
  /** X25519 shared secret; `undefined` where RFC 7748 §6.1 asks for a refusal (all-zero output). */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
}

/** `length` unpredictable bytes. Drivers pass the system's generator, the simulator a seeded one. */
export type RandomSource = (length: number) => Uint8Array;
