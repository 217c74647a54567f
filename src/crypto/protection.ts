/**
 * Sealing and opening the packets of one direction of one path, through key updates
 * (protocol.md#key-update).
 *
 * @module
 */

import { nextTrafficSecret, trafficKeys } from './key-schedule.js';
import { AEAD_NONCE_BYTES, type Aead, type CipherName, type CryptoProvider } from './provider.js';

/** A key is replaced once it has sealed this many packets (protocol.md#key-update). */
export const SPEC_KEY_UPDATE_PACKETS = 2 ** 22;

/**
 * No key seals more packets than this: what RFC 9001 §6.6 allows AES-GCM for packets of up to 2^16
 * bytes. Reached only if, after {@link SPEC_KEY_UPDATE_PACKETS}, as many again go unacknowledged.
 */
export const SPEC_KEY_LIMIT_PACKETS = 2 ** 23;

/** A path is closed once this many of its packets failed to open (protocol.md#key-update). */
export const AEAD_FAILURE_LIMIT = 2 ** 30;

export type KeyPhase = 0 | 1;

/** AEAD and nonce of one key phase. */
class PacketKey {
  readonly #aead: Aead;
  readonly #iv: DataView;
  /** Overwritten for each packet: providers only read it during the call. */
  readonly #nonce = new Uint8Array(AEAD_NONCE_BYTES);
  readonly #nonceView = new DataView(this.#nonce.buffer);

  constructor(crypto: CryptoProvider, cipher: CipherName, secret: Uint8Array) {
    const { key, iv } = trafficKeys(crypto, secret);
    this.#aead = crypto.aead(cipher, key);
    this.#iv = new DataView(iv.buffer, iv.byteOffset, iv.byteLength);
    this.#nonce.set(iv);
  }

  seal(
    packetNumber: number,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front: Uint8Array | undefined,
  ): Uint8Array[] {
    return this.#aead.seal(this.#nonceOf(packetNumber), aad, plaintext, front);
  }

  open(packetNumber: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    return this.#aead.open(this.#nonceOf(packetNumber), aad, sealed);
  }

  /** The iv, its last 8 bytes XORed with the packet number (protocol.md 6.2). */
  #nonceOf(packetNumber: number): Uint8Array {
    const high = Math.floor(packetNumber / 2 ** 32);
    this.#nonceView.setUint32(4, this.#iv.getUint32(4) ^ high);
    this.#nonceView.setUint32(8, this.#iv.getUint32(8) ^ packetNumber);
    return this.#nonce;
  }
}

export interface PacketSealerOptions {
  /** Packets after which {@link PacketSealer.needsUpdate} asks for the next key. */
  readonly updateAfterPackets?: number;
  /** Packets after which a key seals no more. */
  readonly keyLimitPackets?: number;
}

/**
 * Seals the packets that one end sends on one path. Packet numbers must rise, so no nonce is used
 * twice under a key whatever the caller does.
 */
export class PacketSealer {
  readonly #crypto: CryptoProvider;
  readonly #cipher: CipherName;
  readonly #updateAfterPackets: number;
  readonly #keyLimitPackets: number;
  #secret: Uint8Array;
  #key: PacketKey;
  #keyPhase: KeyPhase = 0;
  #sealedCount = 0;
  #firstNumber = 0;
  #lastNumber = -1;
  #acknowledged = false;

  /** @throws RangeError if a limit is not a positive integer or above the protocol's own. */
  constructor(
    crypto: CryptoProvider,
    cipher: CipherName,
    trafficSecret: Uint8Array,
    options: PacketSealerOptions = {},
  ) {
    this.#updateAfterPackets = limitOf(options.updateAfterPackets, SPEC_KEY_UPDATE_PACKETS);
    this.#keyLimitPackets = limitOf(options.keyLimitPackets, SPEC_KEY_LIMIT_PACKETS);
    this.#crypto = crypto;
    this.#cipher = cipher;
    this.#secret = trafficSecret;
    this.#key = new PacketKey(crypto, cipher, trafficSecret);
  }

  /** The bit that the next packet's header must carry; changes with {@link updateKey} only. */
  get keyPhase(): KeyPhase {
    return this.#keyPhase;
  }

  /**
   * Whether the caller should {@link updateKey} before it builds the next header: the key has
   * sealed enough packets, and one of them was acknowledged, so that the peer has this key.
   */
  get needsUpdate(): boolean {
    return this.#acknowledged && this.#sealedCount >= this.#updateAfterPackets;
  }

  /**
   * Whether nothing more can be sealed: packet numbers are used up, or the key has reached its
   * limit and may not be replaced since nothing that it sealed was acknowledged. A caller that
   * obeys {@link needsUpdate} closes the path.
   */
  get exhausted(): boolean {
    if (this.#lastNumber >= Number.MAX_SAFE_INTEGER) return true;
    return !this.#acknowledged && this.#sealedCount >= this.#keyLimitPackets;
  }

  /**
   * Chunks whose concatenation is the sealed payload; fresh memory.
   *
   * @param front what comes before it in the result, which keeps it; nothing by default.
   * @throws Error if the packet number does not rise, is above 2^53-1, or the key is at its limit.
   */
  seal(
    packetNumber: number,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front?: Uint8Array,
  ): Uint8Array[] {
    if (!Number.isSafeInteger(packetNumber) || packetNumber <= this.#lastNumber) {
      throw new Error(`packet number ${packetNumber} after ${this.#lastNumber}`);
    }
    if (this.#sealedCount >= this.#keyLimitPackets) throw new Error('the packet key is used up');
    if (this.#sealedCount === 0) this.#firstNumber = packetNumber;
    this.#sealedCount++;
    this.#lastNumber = packetNumber;
    return this.#key.seal(packetNumber, aad, plaintext, front);
  }

  /**
   * Goes to the next key and flips {@link keyPhase}.
   *
   * @throws Error if no packet of the present phase has been acknowledged.
   */
  updateKey(): void {
    if (!this.#acknowledged) throw new Error('key update before an acknowledgement of this phase');
    this.#secret = nextTrafficSecret(this.#crypto, this.#secret);
    this.#key = new PacketKey(this.#crypto, this.#cipher, this.#secret);
    this.#keyPhase = otherPhase(this.#keyPhase);
    this.#sealedCount = 0;
    this.#acknowledged = false;
  }

  /** The peer has acknowledged this packet; what belongs to an earlier phase changes nothing. */
  acknowledged(packetNumber: number): void {
    const ofThisPhase = packetNumber >= this.#firstNumber && packetNumber <= this.#lastNumber;
    if (ofThisPhase && this.#sealedCount > 0) this.#acknowledged = true;
  }
}

export interface PacketOpenerOptions {
  /** Failures after which nothing is opened any more. */
  readonly failureLimit?: number;
}

/**
 * Opens the packets that one end receives on one path, and follows the peer's key updates. It does
 * not refuse a packet number that it has seen (see `ReplayWindow`).
 */
export class PacketOpener {
  readonly #crypto: CryptoProvider;
  readonly #cipher: CipherName;
  readonly #failureLimit: number;
  #secret: Uint8Array;
  #keyPhase: KeyPhase = 0;
  #key: PacketKey;
  #previousKey: PacketKey | undefined;
  /** Made once when first needed, so that a flipped bit costs an attacker's victim no derivation. */
  #next: { readonly secret: Uint8Array; readonly key: PacketKey } | undefined;
  /** Smallest and largest number that has opened in the present phase. */
  #smallestNumber = Number.POSITIVE_INFINITY;
  #largestNumber = -1;
  #failedCount = 0;

  /** @throws RangeError if the limit is not a positive integer or above the protocol's own. */
  constructor(
    crypto: CryptoProvider,
    cipher: CipherName,
    trafficSecret: Uint8Array,
    options: PacketOpenerOptions = {},
  ) {
    this.#failureLimit = limitOf(options.failureLimit, AEAD_FAILURE_LIMIT);
    this.#crypto = crypto;
    this.#cipher = cipher;
    this.#secret = trafficSecret;
    this.#key = new PacketKey(crypto, cipher, trafficSecret);
  }

  /** The phase of the newest packet that has opened. */
  get keyPhase(): KeyPhase {
    return this.#keyPhase;
  }

  /** Packets that failed to open, over all keys; never falls. */
  get failedCount(): number {
    return this.#failedCount;
  }

  /** Whether so many packets have failed that nothing is opened any more: close the path. */
  get exhausted(): boolean {
    return this.#failedCount >= this.#failureLimit;
  }

  /** The plaintext in fresh memory; `undefined` (and counted) if the packet is not authentic. */
  open(
    keyPhase: KeyPhase,
    packetNumber: number,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    if (this.exhausted) return undefined;
    const plaintext = this.#tryOpen(keyPhase, packetNumber, aad, sealed);
    if (plaintext === undefined) this.#failedCount++;
    return plaintext;
  }

  #tryOpen(
    keyPhase: KeyPhase,
    packetNumber: number,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    if (!Number.isSafeInteger(packetNumber) || packetNumber < 0) return undefined;
    if (keyPhase === this.#keyPhase) return this.#openPresent(packetNumber, aad, sealed);
    return this.#openOther(packetNumber, aad, sealed);
  }

  #openPresent(packetNumber: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#key.open(packetNumber, aad, sealed);
    if (plaintext === undefined) return undefined;
    // Reordering can bring the first packet of a phase after later ones of it.
    this.#smallestNumber = Math.min(this.#smallestNumber, packetNumber);
    this.#largestNumber = Math.max(this.#largestNumber, packetNumber);
    return plaintext;
  }

  #openOther(packetNumber: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    if (packetNumber > this.#largestNumber) return this.#openNext(packetNumber, aad, sealed);
    // A number between those of the present phase can be of no other phase: not worth a try.
    if (packetNumber >= this.#smallestNumber) return undefined;
    return this.#previousKey?.open(packetNumber, aad, sealed);
  }

  #openNext(packetNumber: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    if (this.#next === undefined) {
      const secret = nextTrafficSecret(this.#crypto, this.#secret);
      this.#next = { secret, key: new PacketKey(this.#crypto, this.#cipher, secret) };
    }
    const { secret, key } = this.#next;
    const plaintext = key.open(packetNumber, aad, sealed);
    if (plaintext === undefined) return undefined;
    this.#previousKey = this.#key;
    this.#key = key;
    this.#secret = secret;
    this.#next = undefined;
    this.#keyPhase = otherPhase(this.#keyPhase);
    this.#smallestNumber = packetNumber;
    this.#largestNumber = packetNumber;
    return plaintext;
  }
}

function otherPhase(keyPhase: KeyPhase): KeyPhase {
  return keyPhase === 0 ? 1 : 0;
}

function limitOf(value: number | undefined, most: number): number {
  if (value === undefined) return most;
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new RangeError(`limit ${value} is not an integer from 1 to ${most}`);
  }
  return value;
}
