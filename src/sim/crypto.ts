/**
 * A crypto provider for fast simulations. NOT SECURE: it encrypts nothing, and a forger has an
 * easy game. See {@link simulatedCrypto}.
 *
 * @module
 */

import { requireLength } from '../crypto/bytes.js';
import { portableCrypto } from '../crypto/portable.js';
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  type Aead,
  type CipherName,
  type CryptoProvider,
} from '../crypto/provider.js';

/** Tells the ciphers apart, so that what one sealed does not open under the other. */
const CIPHER_NUMBERS: Readonly<Record<CipherName, number>> = {
  'AES-256-GCM': 1,
  'ChaCha20-Poly1305': 2,
};

const BLOCK_BYTES = 16;

// The header is key, nonce, the lengths of what follows, and the cipher; the trailer is the key
// again and two blocks of zeros, whose rounds carry the last bytes into every bit of the sum.
const NONCE_OFFSET = AEAD_KEY_BYTES;
const AAD_LENGTH_OFFSET = NONCE_OFFSET + AEAD_NONCE_BYTES;
const LENGTH_OFFSET = AAD_LENGTH_OFFSET + 4;
const CIPHER_OFFSET = LENGTH_OFFSET + 4;
const HEADER_BYTES = 4 * BLOCK_BYTES;
const TRAILER_BYTES = 4 * BLOCK_BYTES;

/** Shared by all keys: used only within one call. */
const tailView = new DataView(new ArrayBuffer(BLOCK_BYTES));

class SimulatedAead implements Aead {
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #trailerView = new DataView(new ArrayBuffer(TRAILER_BYTES));
  readonly #state = new Int32Array(4);

  constructor(cipher: CipherName, key: Uint8Array) {
    requireLength(key, AEAD_KEY_BYTES, 'an AEAD key');
    this.#header.set(key);
    this.#headerView.setUint32(CIPHER_OFFSET, CIPHER_NUMBERS[cipher]);
    new Uint8Array(this.#trailerView.buffer).set(key);
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front?: Uint8Array,
  ): Uint8Array[] {
    let length = 0;
    for (const chunk of plaintext) length += chunk.length;
    const sealed = new Uint8Array(length + AEAD_TAG_BYTES);
    let offset = 0;
    for (const chunk of plaintext) {
      sealed.set(chunk, offset);
      offset += chunk.length;
    }
    const view = new DataView(sealed.buffer);
    this.#sum(nonce, aad, view, length);
    for (let i = 0; i < 4; i++) view.setInt32(length + 4 * i, this.#state[i] ?? 0, true);
    return front === undefined ? [sealed] : [front, sealed];
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return undefined;
    const view = viewOf(sealed);
    this.#sum(nonce, aad, view, length);
    for (let i = 0; i < 4; i++) {
      if (view.getInt32(length + 4 * i, true) !== this.#state[i]) return undefined;
    }
    const plaintext = new Uint8Array(length);
    plaintext.set(sealed.subarray(0, length));
    return plaintext;
  }

  /** Leaves the checksum of everything in the state. */
  #sum(nonce: Uint8Array, aad: Uint8Array, text: DataView, length: number): void {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    this.#header.set(nonce, NONCE_OFFSET);
    this.#headerView.setUint32(AAD_LENGTH_OFFSET, aad.length);
    this.#headerView.setUint32(LENGTH_OFFSET, length);
    this.#state.fill(0);
    absorb(this.#state, this.#headerView, HEADER_BYTES);
    absorb(this.#state, viewOf(aad), aad.length);
    absorb(this.#state, text, length);
    absorb(this.#state, this.#trailerView, TRAILER_BYTES);
  }
}

/**
 * FOR SIMULATIONS ONLY. NEVER USE IT ON A NETWORK. Its `aead` leaves the plaintext in the clear and
 * only adds a keyed checksum of 128 bits, which refuses accidents (a wrong key, nonce or associated
 * data, any flipped bit) but not an adversary who knows how it is made. Hashes and X25519 are real,
 * for handshakes are rare and the core's logic depends on them.
 *
 * The shapes are those of the real providers: same lengths, fresh memory, same refusals. The sums
 * are the same on every machine.
 */
export const simulatedCrypto: CryptoProvider = {
  name: 'simulated (not secure)',
  hash: portableCrypto.hash,
  hmac: portableCrypto.hmac,
  aead: (cipher, key) => new SimulatedAead(cipher, key),
  x25519PublicKey: portableCrypto.x25519PublicKey,
  x25519: portableCrypto.x25519,
};

/**
 * Mixes the first `length` bytes of `view` into the four lanes of `state`, 16 bytes a step, zeros
 * after the end. Each step can be undone given the state and, given the state before, differs for
 * each block: so one changed block always changes the sum, and several cancel out by chance only.
 */
function absorb(state: Int32Array, view: DataView, length: number): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  const whole = length - (length % BLOCK_BYTES);
  for (let offset = 0; offset < whole; offset += BLOCK_BYTES) {
    a = Math.imul(a ^ view.getInt32(offset, true), 0x2f4a91d3);
    a = ((a ^ (a >>> 15)) + d) | 0;
    b = Math.imul(b ^ view.getInt32(offset + 4, true), 0x5bd30e69);
    b = ((b ^ (b >>> 13)) + a) | 0;
    c = Math.imul(c ^ view.getInt32(offset + 8, true), 0x6c8e9cf5);
    c = ((c ^ (c >>> 16)) + b) | 0;
    d = Math.imul(d ^ view.getInt32(offset + 12, true), 0x1d8af06b);
    d = ((d ^ (d >>> 14)) + c) | 0;
  }
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
  if (whole < length) absorbTail(state, view, whole, length);
}

function absorbTail(state: Int32Array, view: DataView, from: number, length: number): void {
  for (let i = 0; i < BLOCK_BYTES; i++) {
    tailView.setUint8(i, from + i < length ? view.getUint8(from + i) : 0);
  }
  absorb(state, tailView, BLOCK_BYTES);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
