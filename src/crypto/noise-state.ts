/**
 * CipherState and SymmetricState of the Noise Protocol Framework, revision 34 (§§5.1, 5.2), with
 * SHA-256. Names and order of calls are the specification's own.
 *
 * @module
 */

import { concatBytes } from './bytes.js';
import { HASH_BYTES, hkdfExtract } from './hkdf.js';
import { AEAD_NONCE_BYTES, type Aead, type CipherName, type CryptoProvider } from './provider.js';

const EMPTY = new Uint8Array(0);

/** An AEAD key with the counter that is its nonce (Noise §5.1). */
export class CipherState {
  readonly #crypto: CryptoProvider;
  readonly #cipher: CipherName;
  #aead: Aead | undefined;
  #n = 0;

  constructor(crypto: CryptoProvider, cipher: CipherName) {
    this.#crypto = crypto;
    this.#cipher = cipher;
  }

  clone(): CipherState {
    const copy = new CipherState(this.#crypto, this.#cipher);
    copy.#aead = this.#aead;
    copy.#n = this.#n;
    return copy;
  }

  /** Takes a 32-byte key; the counter starts at 0 again. */
  initializeKey(key: Uint8Array): void {
    this.#aead = this.#crypto.aead(this.#cipher, key);
    this.#n = 0;
  }

  /** Seals under the next nonce; without a key the plaintext passes as it is. */
  encryptWithAd(ad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    if (this.#aead === undefined) return concatBytes(plaintext);
    const sealed = this.#aead.seal(this.#nonce(), ad, [plaintext]);
    this.#n++;
    return concatBytes(...sealed);
  }

  /** Opens under the next nonce. After `undefined` (not authentic) the counter has not moved. */
  decryptWithAd(ad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    if (this.#aead === undefined) return concatBytes(ciphertext);
    const plaintext = this.#aead.open(this.#nonce(), ad, ciphertext);
    if (plaintext !== undefined) this.#n++;
    return plaintext;
  }

  /** Noise §12.3 and §12.4: 32 zero bits, then the counter, in the byte order of the cipher. */
  #nonce(): Uint8Array {
    if (this.#n >= Number.MAX_SAFE_INTEGER) throw new Error('the Noise nonce is used up');
    const littleEndian = this.#cipher === 'ChaCha20-Poly1305';
    const nonce = new Uint8Array(AEAD_NONCE_BYTES);
    const view = new DataView(nonce.buffer);
    view.setUint32(littleEndian ? 4 : 8, this.#n >>> 0, littleEndian);
    view.setUint32(littleEndian ? 8 : 4, Math.floor(this.#n / 2 ** 32), littleEndian);
    return nonce;
  }
}

/** The chaining key, the hash of all that was said, and the cipher in use (Noise §5.2). */
export class SymmetricState {
  readonly #crypto: CryptoProvider;
  readonly #cipher: CipherName;
  #cipherState: CipherState;
  #ck: Uint8Array;
  #h: Uint8Array;

  /** `protocolName` is ASCII, e.g. `Noise_NNpsk0_25519_ChaChaPoly_SHA256`. */
  constructor(crypto: CryptoProvider, cipher: CipherName, protocolName: Uint8Array) {
    this.#crypto = crypto;
    this.#cipher = cipher;
    this.#cipherState = new CipherState(crypto, cipher);
    if (protocolName.length <= HASH_BYTES) {
      this.#h = new Uint8Array(HASH_BYTES);
      this.#h.set(protocolName);
    } else {
      this.#h = crypto.hash(protocolName);
    }
    this.#ck = this.#h;
  }

  clone(): SymmetricState {
    const copy = new SymmetricState(this.#crypto, this.#cipher, EMPTY);
    copy.#cipherState = this.#cipherState.clone();
    copy.#ck = this.#ck;
    copy.#h = this.#h;
    return copy;
  }

  /** The handshake hash `h` (Noise §11.2). */
  get hash(): Uint8Array {
    return this.#h;
  }

  mixKey(ikm: Uint8Array): void {
    const [ck, key] = this.#hkdf(ikm);
    this.#ck = ck;
    this.#cipherState.initializeKey(key);
  }

  mixHash(data: Uint8Array): void {
    this.#h = this.#crypto.hash(concatBytes(this.#h, data));
  }

  mixKeyAndHash(ikm: Uint8Array): void {
    const [ck, toHash, key] = this.#hkdf(ikm);
    this.#ck = ck;
    this.mixHash(toHash);
    this.#cipherState.initializeKey(key);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#cipherState.encryptWithAd(this.#h, plaintext);
    this.mixHash(ciphertext);
    return ciphertext;
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#cipherState.decryptWithAd(this.#h, ciphertext);
    if (plaintext !== undefined) this.mixHash(ciphertext);
    return plaintext;
  }

  /** The keys of the two CipherStates that Noise's Split returns. */
  split(): { k1: Uint8Array; k2: Uint8Array } {
    const [k1, k2] = this.#hkdf(EMPTY);
    return { k1, k2 };
  }

  /** Noise §4.3: HKDF with the chaining key as salt and no info; three outputs. */
  #hkdf(ikm: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
    const prk = hkdfExtract(this.#crypto, this.#ck, ikm);
    const first = this.#crypto.hmac(prk, Uint8Array.of(1));
    const second = this.#crypto.hmac(prk, concatBytes(first, Uint8Array.of(2)));
    const third = this.#crypto.hmac(prk, concatBytes(second, Uint8Array.of(3)));
    return [first, second, third];
  }
}
