/**
 * The handshake: the Noise patterns without static keys, over X25519 and SHA-256
 * (protocol.md#handshake; Noise revision 34 §§5.3, 7.4, 9).
 *
 * @module
 */

import { asciiBytes, concatBytes, equalBytes, fromHex, requireLength } from './bytes.js';
import { SymmetricState } from './noise-state.js';
import type { CipherName, CryptoProvider } from './provider.js';

export const X25519_KEY_BYTES = 32;
export const PSK_BYTES = 32;

/** Noise §3: the largest message, in bytes. */
export const NOISE_MAX_MESSAGE_BYTES = 65_535;

export type NoiseRole = 'initiator' | 'responder';
export type NoisePattern = 'NN' | 'NNpsk0' | 'NNpsk2';

type Token = 'e' | 'ee' | 'psk';

/** What each message carries and mixes in; the initiator writes the first (Noise §9.4). */
const MESSAGES: Readonly<Record<NoisePattern, readonly (readonly Token[])[]>> = {
  NN: [['e'], ['e', 'ee']],
  NNpsk0: [
    ['psk', 'e'],
    ['e', 'ee'],
  ],
  NNpsk2: [['e'], ['e', 'ee', 'psk']],
};

const CIPHER_NAMES: Readonly<Record<CipherName, string>> = {
  'AES-256-GCM': 'AESGCM',
  'ChaCha20-Poly1305': 'ChaChaPoly',
};

/**
 * Every encoding, its unused top bit cleared, of a u-coordinate whose order divides 8, on the curve
 * or its twist: 0, 1, -1, the two of order 8, and p and p + 1 which are 0 and 1 again. Exactly for
 * these X25519 gives zeros (RFC 7748 §6.1). Knowing them by sight lets a responder refuse them in
 * the first message, where it must not spend a Diffie-Hellman computation.
 */
const LOW_ORDER_POINTS: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map(fromHex);

export interface NoiseOptions {
  readonly crypto: CryptoProvider;
  readonly role: NoiseRole;
  readonly pattern: NoisePattern;
  readonly cipher: CipherName;
  /** 32 bytes; required by, and only allowed in, the patterns with a psk. */
  readonly psk?: Uint8Array;
  /** Both sides must give the same bytes, or the handshake fails. */
  readonly prologue: Uint8Array;
  /** The X25519 private key of this side: 32 fresh random bytes, never used in another handshake. */
  readonly ephemeral: Uint8Array;
}

/**
 * One side of a handshake of two messages. The initiator writes, then reads; the responder reads,
 * then writes; then both have the same hash and keys. Calls in another order throw `Error`: they
 * are mistakes of the program, never of the peer.
 *
 * With `NNpsk0` a responder that reads a first message computes hashes and one AEAD, but no
 * Diffie-Hellman: a stranger without the secret costs it little.
 */
export class NoiseHandshake {
  readonly #crypto: CryptoProvider;
  readonly #role: NoiseRole;
  readonly #messages: readonly (readonly Token[])[];
  readonly #psk: Uint8Array | undefined;
  readonly #ephemeral: Uint8Array;
  readonly #options: NoiseOptions;
  #symmetric: SymmetricState;
  #remoteEphemeral: Uint8Array | undefined;
  #messageIndex = 0;
  #failed = false;

  /** @throws RangeError if the psk or the ephemeral key has a wrong length, or the psk a wrong place. */
  constructor(options: NoiseOptions) {
    const { crypto, pattern, cipher, psk } = options;
    this.#options = options;
    requireLength(options.ephemeral, X25519_KEY_BYTES, 'the ephemeral private key');
    if (psk !== undefined) requireLength(psk, PSK_BYTES, 'the pre-shared key');
    if ((psk !== undefined) !== (pattern !== 'NN')) {
      throw new RangeError(
        `${pattern} ${psk === undefined ? 'needs a' : 'takes no'} pre-shared key`,
      );
    }
    this.#crypto = crypto;
    this.#role = options.role;
    this.#messages = MESSAGES[pattern];
    this.#psk = psk;
    this.#ephemeral = options.ephemeral;
    const protocolName = asciiBytes(`Noise_${pattern}_25519_${CIPHER_NAMES[cipher]}_SHA256`);
    this.#symmetric = new SymmetricState(crypto, cipher, protocolName);
    this.#symmetric.mixHash(options.prologue);
  }

  /**
   * Another object in the same state. Who may be sent forged messages reads each with a copy, and
   * still has the original for the true one.
   */
  clone(): NoiseHandshake {
    const copy = new NoiseHandshake(this.#options);
    copy.#symmetric = this.#symmetric.clone();
    copy.#remoteEphemeral = this.#remoteEphemeral;
    copy.#messageIndex = this.#messageIndex;
    copy.#failed = this.#failed;
    return copy;
  }

  /** Whether both messages have passed. */
  get complete(): boolean {
    return !this.#failed && this.#messageIndex === this.#messages.length;
  }

  /**
   * Hash of the whole handshake; equal on both sides (Noise §11.2).
   *
   * @throws Error before the handshake is complete.
   */
  get handshakeHash(): Uint8Array {
    this.#requireComplete();
    return this.#symmetric.hash;
  }

  /**
   * This side's next message: an ephemeral public key and the sealed payload (in the clear where
   * the pattern has no key yet).
   *
   * @throws Error if it is not this side's turn. @throws RangeError if the message would be longer
   * than 65,535 bytes.
   */
  writeMessage(payload: Uint8Array): Uint8Array {
    const tokens = this.#takeTurn(this.#role === 'initiator');
    const parts: Uint8Array[] = [];
    for (const token of tokens) {
      if (token === 'e') {
        const publicKey = this.#crypto.x25519PublicKey(this.#ephemeral);
        parts.push(publicKey);
        this.#mixEphemeral(publicKey);
      } else if (token === 'psk') {
        this.#mixPsk();
      } else if (!this.#mixSharedSecret()) {
        throw new Error('X25519 gave zeros for a point that is not of low order');
      }
    }
    const message = concatBytes(...parts, this.#symmetric.encryptAndHash(payload));
    if (message.length > NOISE_MAX_MESSAGE_BYTES) {
      this.#failed = true;
      throw new RangeError(`a Noise message of ${message.length} bytes is too long`);
    }
    this.#messageIndex++;
    return message;
  }

  /**
   * The payload of the peer's next message, in fresh memory; `undefined` if the message is not
   * authentic, too short or long, or holds a point of low order. Then this object is of no more use.
   *
   * @throws Error if it is not the peer's turn.
   */
  readMessage(message: Uint8Array): Uint8Array | undefined {
    const tokens = this.#takeTurn(this.#role === 'responder');
    const payload =
      message.length > NOISE_MAX_MESSAGE_BYTES ? undefined : this.#read(tokens, message);
    if (payload === undefined) this.#failed = true;
    else this.#messageIndex++;
    return payload;
  }

  /**
   * The two keys at the end of the handshake; `k1` is the initiator's to send with in Noise's own
   * transport phase.
   *
   * @throws Error before the handshake is complete.
   */
  split(): { k1: Uint8Array; k2: Uint8Array } {
    this.#requireComplete();
    return this.#symmetric.split();
  }

  #read(tokens: readonly Token[], message: Uint8Array): Uint8Array | undefined {
    let offset = 0;
    for (const token of tokens) {
      if (token === 'e') {
        if (message.length < offset + X25519_KEY_BYTES) return undefined;
        // A copy: the key outlives this call, the caller's memory may not.
        const publicKey = concatBytes(message.subarray(offset, offset + X25519_KEY_BYTES));
        if (isLowOrder(publicKey)) return undefined;
        offset += X25519_KEY_BYTES;
        this.#remoteEphemeral = publicKey;
        this.#mixEphemeral(publicKey);
      } else if (token === 'psk') {
        this.#mixPsk();
      } else if (!this.#mixSharedSecret()) {
        return undefined;
      }
    }
    return this.#symmetric.decryptAndHash(message.subarray(offset));
  }

  #mixEphemeral(publicKey: Uint8Array): void {
    this.#symmetric.mixHash(publicKey);
    // Noise §9.2: with a psk the ephemeral keys also randomise the key, which would else repeat.
    if (this.#psk !== undefined) this.#symmetric.mixKey(publicKey);
  }

  #mixPsk(): void {
    if (this.#psk === undefined) throw new Error('the pattern has a psk token but there is no psk');
    this.#symmetric.mixKeyAndHash(this.#psk);
  }

  #mixSharedSecret(): boolean {
    if (this.#remoteEphemeral === undefined) throw new Error('ee before both ephemeral keys');
    const shared = this.#crypto.x25519(this.#ephemeral, this.#remoteEphemeral);
    if (shared === undefined) return false;
    this.#symmetric.mixKey(shared);
    return true;
  }

  #takeTurn(onEven: boolean): readonly Token[] {
    const tokens = this.#messages[this.#messageIndex];
    if (this.#failed || tokens === undefined || (this.#messageIndex % 2 === 0) !== onEven) {
      throw new Error('Noise message out of turn');
    }
    return tokens;
  }

  #requireComplete(): void {
    if (!this.complete) throw new Error('the Noise handshake is not complete');
  }
}

function isLowOrder(publicKey: Uint8Array): boolean {
  const masked = concatBytes(publicKey);
  masked[31] = (masked[31] ?? 0) & 0x7f;
  return LOW_ORDER_POINTS.some((point) => equalBytes(point, masked));
}
