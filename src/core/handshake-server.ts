/**
 * The server's side of the handshake (protocol.md#handshake). Strangers get silence. What a HELLO
 * costs rises with what its sender has proved: an envelope (one AEAD), under load a cookie (one
 * MAC), the ticket's secret (some hashes), and only then two Diffie-Hellman operations and a
 * place among the half-open.
 *
 * @module
 */

import {
  AEAD_NONCE_BYTES,
  type CipherName,
  COOKIE_BYTES,
  type CryptoProvider,
  concatBytes,
  connectionId,
  type EnvelopeKey,
  equalBytes,
  NoiseHandshake,
  type RandomSource,
  RetryKey,
  retryKey,
  sessionSecret,
  toHex,
  X25519_KEY_BYTES,
} from '../crypto/index.js';
import {
  connectionIdKey,
  decodeParameters,
  ECHO_BYTES,
  ENVELOPE_NONCE_BYTES,
  encodeAccept,
  encodeParameters,
  encodeRetry,
  type HelloPacket,
  type Parameters,
  utf8Encode,
  WireError,
} from '../wire/index.js';
import type { Carrier } from './carrier.js';
import type { Address, Instant } from './contract.js';
import { localParameters } from './handshake-client.js';
import { prologue, SPEC_VERSION } from './handshake-shared.js';
import type { KeyRing } from './key-ring.js';
import type { EndpointLimits, SessionOptions } from './options.js';
import type { KeyEntry } from './ticket.js';

/** HELLOs that were answered are remembered, so that a replay costs no Diffie-Hellman. */
const MAX_REMEMBERED_HELLOS = 4_096;
const COOKIE_SECRET_BYTES = 32;
const SESSION_ID_BYTES = 8;

/** A client that has got, or will get, an ACCEPT, and has not shown yet that it could read it. */
export interface HalfOpen {
  readonly entry: KeyEntry;
  readonly helloKey: string;
  readonly carrier: Carrier;
  readonly remote: Address | undefined;
  /** The ACCEPT went to other addresses too: that it was read says nothing of `remote`. */
  isAmbiguous: boolean;
  readonly accept: Uint8Array;
  readonly acceptedAt: Instant;
  readonly expiresAt: Instant;
  readonly sessionId: Uint8Array;
  readonly secret: Uint8Array;
  readonly cipher: CipherName;
  readonly peer: Parameters;
  /** Routes its first DATA packet on a datagram carrier. */
  readonly connectionIdKey: string;
}

export type HelloOutcome =
  | { readonly type: 'silence' }
  | { readonly type: 'reply'; readonly bytes: Uint8Array }
  | { readonly type: 'accept'; readonly halfOpen: HalfOpen };

const SILENCE: HelloOutcome = { type: 'silence' };

/** What the endpoint decides about a HELLO that has proved the secret. */
export type Admission = (entry: KeyEntry, peer: Parameters, now: Instant) => boolean;

export class ServerHandshakes {
  readonly #crypto: CryptoProvider;
  readonly #random: RandomSource;
  readonly #ring: KeyRing;
  readonly #limits: EndpointLimits;
  readonly #options: SessionOptions;
  readonly #envelopeKey: EnvelopeKey;
  readonly #retryKey: RetryKey;
  readonly #halfOpen = new Map<string, HalfOpen>();
  readonly #perKey = new Map<string, number>();
  readonly #answered = new Set<string>();
  #cookieSecrets: [Uint8Array, Uint8Array];
  #cookiePeriod = Number.NEGATIVE_INFINITY;

  constructor(
    crypto: CryptoProvider,
    random: RandomSource,
    ring: KeyRing,
    limits: EndpointLimits,
    options: SessionOptions,
    envelope: EnvelopeKey,
  ) {
    this.#crypto = crypto;
    this.#random = random;
    this.#ring = ring;
    this.#limits = limits;
    this.#options = options;
    this.#envelopeKey = envelope;
    this.#retryKey = new RetryKey(crypto, retryKey(crypto, ring.doorKey));
    this.#cookieSecrets = [random(COOKIE_SECRET_BYTES), random(COOKIE_SECRET_BYTES)];
  }

  get halfOpenCount(): number {
    return this.#halfOpen.size;
  }

  get nextAt(): Instant | undefined {
    for (const halfOpen of this.#halfOpen.values()) return halfOpen.expiresAt;
    return undefined;
  }

  /** Forgets those that never came back. @returns them. */
  expire(now: Instant): HalfOpen[] {
    const expired: HalfOpen[] = [];
    for (const [key, halfOpen] of this.#halfOpen) {
      if (now < halfOpen.expiresAt) break;
      this.#halfOpen.delete(key);
      this.#countPerKey(halfOpen.entry, -1);
      expired.push(halfOpen);
    }
    return expired;
  }

  /** The session exists now, or never will: a replay of its HELLO gets no answer. */
  finish(halfOpen: HalfOpen): void {
    if (this.#halfOpen.delete(halfOpen.helloKey)) this.#countPerKey(halfOpen.entry, -1);
  }

  #countPerKey(entry: KeyEntry, change: number): void {
    const keyId = toHex(entry.keyId);
    const count = (this.#perKey.get(keyId) ?? 0) + change;
    if (count > 0) this.#perKey.set(keyId, count);
    else this.#perKey.delete(keyId);
  }

  #isFull(entry: KeyEntry): boolean {
    const { maxHalfOpen, maxHalfOpenPerKey } = this.#limits;
    if (this.#halfOpen.size >= maxHalfOpen) return true;
    return (this.#perKey.get(toHex(entry.keyId)) ?? 0) >= maxHalfOpenPerKey;
  }

  hello(
    packet: HelloPacket,
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    admit: Admission,
    now: Instant,
  ): HelloOutcome {
    const route = this.#envelopeKey.open(packet.firstByte, packet.envelope);
    if (route === undefined || route.detail !== SPEC_VERSION) return SILENCE;
    const helloKey = toHex(packet.envelope.subarray(0, ENVELOPE_NONCE_BYTES));
    const known = this.#halfOpen.get(helloKey);
    if (known !== undefined) {
      if (known.carrier !== carrier) return SILENCE;
      // A copy may have come first: whoever wins that race must not shut out the client.
      if (known.remote !== remote) known.isAmbiguous = true;
      return { type: 'reply', bytes: known.accept };
    }
    if (this.#answered.has(helloKey)) return SILENCE;
    const isCrowded = this.#halfOpen.size >= this.#limits.cookieAbove;
    if (isCrowded && remote !== undefined && !this.#isCookieGood(packet, remote, route.id, now)) {
      return this.#askForCookie(packet, remote, route.id, now);
    }
    const entry = this.#ring.find(route.id);
    if (entry === undefined || this.#isFull(entry)) return SILENCE;
    return this.#answer(packet, helloKey, entry, { bytes, carrier, remote }, admit, now);
  }

  #answer(
    packet: HelloPacket,
    helloKey: string,
    entry: KeyEntry,
    from: { bytes: number; carrier: Carrier; remote: Address | undefined },
    admit: Admission,
    now: Instant,
  ): HelloOutcome {
    const noise = new NoiseHandshake({
      crypto: this.#crypto,
      role: 'responder',
      pattern: 'NNpsk0',
      cipher: 'ChaCha20-Poly1305',
      psk: entry.secret,
      prologue: prologue(packet.firstByte, packet.envelope),
      ephemeral: this.#random(X25519_KEY_BYTES),
    });
    const payload = noise.readMessage(packet.noise);
    const peer = payload === undefined ? undefined : decodeOrNothing(payload);
    const cipher = this.#options.ciphers.find((one) => peer?.ciphers.includes(one));
    if (peer === undefined || cipher === undefined || !admit(entry, peer, now)) return SILENCE;
    const id = this.#random(SESSION_ID_BYTES);
    const half = this.#complete(noise, cipher, id);
    this.#remember(helloKey);
    const echo = packet.envelope.slice(0, ECHO_BYTES);
    const halfOpen: HalfOpen = {
      entry,
      helloKey,
      carrier: from.carrier,
      remote: from.remote,
      isAmbiguous: false,
      accept: encodeAccept({ echo, noise: half.message }),
      acceptedAt: now,
      expiresAt: (now + this.#limits.handshakeTimeoutMs) as Instant,
      sessionId: id,
      secret: half.secret,
      cipher,
      peer,
      connectionIdKey: connectionIdKey(connectionId(this.#crypto, half.secret, 0, 'c2s')),
    };
    this.#halfOpen.set(helloKey, halfOpen);
    this.#countPerKey(entry, 1);
    return { type: 'accept', halfOpen };
  }

  #complete(noise: NoiseHandshake, cipher: CipherName, id: Uint8Array) {
    const goneToken = this.#ring.goneToken(this.#crypto, id);
    const message = noise.writeMessage(
      encodeParameters({
        ...localParameters(this.#options),
        ciphers: [cipher],
        goneToken,
        sessionId: id,
      }),
    );
    const { k1, k2 } = noise.split();
    return { message, secret: sessionSecret(this.#crypto, k1, k2, noise.handshakeHash) };
  }

  #remember(helloKey: string): void {
    this.#answered.add(helloKey);
    for (const oldest of this.#answered) {
      if (this.#answered.size <= MAX_REMEMBERED_HELLOS) break;
      this.#answered.delete(oldest);
    }
  }

  #askForCookie(
    packet: HelloPacket,
    remote: Address,
    keyId: Uint8Array,
    now: Instant,
  ): HelloOutcome {
    this.#rotateCookieSecret(now);
    const helloNonce = packet.envelope.subarray(0, ENVELOPE_NONCE_BYTES);
    const nonce = this.#random(AEAD_NONCE_BYTES);
    const cookie = this.#cookie(this.#cookieSecrets[0], remote, keyId);
    const sealedCookie = this.#retryKey.seal(nonce, helloNonce, cookie);
    const echo = packet.envelope.subarray(0, ECHO_BYTES);
    return { type: 'reply', bytes: encodeRetry({ echo, nonce, sealedCookie }) };
  }

  #isCookieGood(packet: HelloPacket, remote: Address, keyId: Uint8Array, now: Instant): boolean {
    const { cookie } = packet;
    if (cookie === undefined) return false;
    this.#rotateCookieSecret(now);
    return this.#cookieSecrets.some((secret) =>
      equalBytes(cookie, this.#cookie(secret, remote, keyId)),
    );
  }

  #cookie(secret: Uint8Array, remote: Address, keyId: Uint8Array): Uint8Array {
    const bound = concatBytes(keyId, utf8Encode(remote));
    return this.#crypto.hmac(secret, bound).slice(0, COOKIE_BYTES);
  }

  /** On a fixed grid, so that no secret is good for longer than two lifetimes (R-NOISE-5). */
  #rotateCookieSecret(now: Instant): void {
    const { cookieLifetimeMs } = this.#limits;
    const period = Math.floor(now / cookieLifetimeMs);
    if (period === this.#cookiePeriod) return;
    const isPreviousGood = period === this.#cookiePeriod + 1;
    const previous = isPreviousGood ? this.#cookieSecrets[0] : this.#random(COOKIE_SECRET_BYTES);
    this.#cookieSecrets = [this.#random(COOKIE_SECRET_BYTES), previous];
    this.#cookiePeriod = period;
  }
}

function decodeOrNothing(payload: Uint8Array): Parameters | undefined {
  try {
    return decodeParameters(payload);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
