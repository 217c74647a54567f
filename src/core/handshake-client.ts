/**
 * The client's side of the handshake (protocol.md#handshake): one HELLO, with an ephemeral key of
 * its own, on each path that is tried; the first ACCEPT establishes the session.
 *
 * @module
 */

import {
  type CryptoProvider,
  EnvelopeKey,
  envelopeKey,
  equalBytes,
  NoiseHandshake,
  type RandomSource,
  RetryKey,
  retryKey,
  sessionSecret,
  X25519_KEY_BYTES,
} from '../crypto/index.js';
import {
  type AcceptPacket,
  connectionIdKey,
  decodeParameters,
  ECHO_BYTES,
  ENVELOPE_NONCE_BYTES,
  encodeHello,
  encodeParameters,
  FIRST_HELLO,
  type RetryPacket,
} from '../wire/index.js';
import type { Carrier } from './carrier.js';
import type { Address, Instant } from './contract.js';
import { prologue, SPEC_VERSION } from './handshake-shared.js';
import type { SessionOptions } from './options.js';
import type { Agreement } from './session.js';
import type { Ticket } from './ticket.js';

/** A HELLO on a datagram carrier is repeated after this time, doubling up to the maximum. */
const HELLO_REPEAT_MS = 250;
const HELLO_REPEAT_MAX_MS = 4_000;
/**
 * ACCEPTs that are looked at between two HELLOs of an attempt. Each costs a Diffie-Hellman
 * computation, and whoever sees a HELLO can forge one.
 */
export const MAX_ACCEPTS_PER_HELLO = 64;

/** A clock of whole milliseconds may say 0, from which no rate can be told. */
const MIN_RTT_MS = 1;

export interface Attempt {
  readonly carrier: Carrier;
  readonly remote: Address | undefined;
  readonly echo: Uint8Array;
  readonly nonce: Uint8Array;
  readonly envelope: Uint8Array;
  readonly noise: NoiseHandshake;
  readonly message: Uint8Array;
  cookie: Uint8Array | undefined;
  sentCount: number;
  /** ACCEPTs since the last HELLO. */
  acceptCount: number;
  sentAt: number;
  nextAt: number;
}

/** The handshake that won. */
export interface Accepted {
  readonly attempt: Attempt;
  readonly agreement: Agreement;
  /** Known if the HELLO was sent once. */
  readonly rttMs: number | undefined;
}

export class ClientHandshake {
  readonly #crypto: CryptoProvider;
  readonly #random: RandomSource;
  readonly #ticket: Ticket;
  readonly #options: SessionOptions;
  readonly envelopeKey: EnvelopeKey;
  readonly #retryKey: RetryKey;
  readonly deadline: Instant;
  readonly #attempts = new Map<string, Attempt>();

  constructor(
    crypto: CryptoProvider,
    random: RandomSource,
    ticket: Ticket,
    options: SessionOptions,
    now: Instant,
  ) {
    this.#crypto = crypto;
    this.#random = random;
    this.#ticket = ticket;
    this.#options = options;
    this.envelopeKey = new EnvelopeKey(crypto, envelopeKey(crypto, ticket.doorKey));
    this.#retryKey = new RetryKey(crypto, retryKey(crypto, ticket.doorKey));
    this.deadline = (now + options.connectTimeoutMs) as Instant;
  }

  get attempts(): Iterable<Attempt> {
    return this.#attempts.values();
  }

  /** Tries one more way. @returns the key by which its answers are found. */
  try(carrier: Carrier, remote: Address | undefined, now: Instant): string {
    const nonce = this.#random(ENVELOPE_NONCE_BYTES);
    const envelope = this.envelopeKey.seal({
      firstByte: FIRST_HELLO,
      nonce,
      id: this.#ticket.keyId,
      detail: SPEC_VERSION,
    });
    const noise = new NoiseHandshake({
      crypto: this.#crypto,
      role: 'initiator',
      pattern: 'NNpsk0',
      cipher: 'ChaCha20-Poly1305',
      psk: this.#ticket.secret,
      prologue: prologue(FIRST_HELLO, envelope),
      ephemeral: this.#random(X25519_KEY_BYTES),
    });
    const echo = nonce.slice(0, ECHO_BYTES);
    const message = noise.writeMessage(encodeParameters(this.#parameters()));
    const key = connectionIdKey(echo);
    this.#attempts.set(key, {
      carrier,
      remote,
      echo,
      nonce,
      envelope,
      noise,
      message,
      cookie: undefined,
      sentCount: 0,
      acceptCount: 0,
      sentAt: now,
      nextAt: now,
    });
    return key;
  }

  #parameters() {
    const { instance, epoch } = this.#options;
    return {
      ...localParameters(this.#options),
      ciphers: this.#options.ciphers,
      ...(instance === undefined ? {} : { instance }),
      ...(epoch === undefined ? {} : { epoch }),
    };
  }

  carrierClosed(carrier: Carrier): void {
    for (const [key, attempt] of this.#attempts) {
      if (attempt.carrier === carrier) this.#attempts.delete(key);
    }
  }

  /** The next HELLO that is due. */
  next(now: Instant): { readonly attempt: Attempt; readonly bytes: Uint8Array } | undefined {
    for (const attempt of this.#attempts.values()) {
      if (now < attempt.nextAt) continue;
      const { envelope, cookie, message, carrier } = attempt;
      const bytes = encodeHello({ envelope, cookie, noise: message });
      if (carrier.isStream) {
        if (carrier.grantBytes < bytes.length + 2) continue;
        attempt.nextAt = Number.POSITIVE_INFINITY;
      } else {
        const wait = HELLO_REPEAT_MS * 2 ** attempt.sentCount;
        attempt.nextAt = now + Math.min(HELLO_REPEAT_MAX_MS, wait);
      }
      attempt.sentCount += 1;
      attempt.acceptCount = 0;
      attempt.sentAt = now;
      return { attempt, bytes };
    }
    return undefined;
  }

  get nextAt(): Instant {
    let next: number = this.deadline;
    for (const { carrier, nextAt } of this.#attempts.values()) {
      if (!carrier.isStream) next = Math.min(next, nextAt);
    }
    return next as Instant;
  }

  accepted(carrier: Carrier, packet: AcceptPacket, now: Instant): Accepted | undefined {
    const attempt = this.#attempts.get(connectionIdKey(packet.echo));
    if (attempt === undefined || attempt.carrier !== carrier) return undefined;
    if (attempt.acceptCount >= MAX_ACCEPTS_PER_HELLO) return undefined;
    attempt.acceptCount += 1;
    // Read with a copy: a forged ACCEPT must not spoil the state that the true one needs.
    const noise = attempt.noise.clone();
    const payload = noise.readMessage(packet.noise);
    const agreement = payload === undefined ? undefined : this.#agree(noise, payload);
    if (agreement === undefined) return undefined;
    const rttMs = attempt.sentCount === 1 ? Math.max(MIN_RTT_MS, now - attempt.sentAt) : undefined;
    return { attempt, agreement, rttMs };
  }

  #agree(noise: NoiseHandshake, payload: Uint8Array): Agreement | undefined {
    try {
      const peer = decodeParameters(payload);
      const cipher = peer.ciphers[0];
      if (cipher === undefined || peer.ciphers.length !== 1) return undefined;
      if (!this.#options.ciphers.includes(cipher) || peer.goneToken === undefined) return undefined;
      if (peer.sessionId === undefined) return undefined;
      const { k1, k2 } = noise.split();
      return { secret: sessionSecret(this.#crypto, k1, k2, noise.handshakeHash), cipher, peer };
    } catch {
      return undefined; // Authentic, but of no use: as good as no answer.
    }
  }

  retry(carrier: Carrier, packet: RetryPacket, now: Instant): void {
    const attempt = this.#attempts.get(connectionIdKey(packet.echo));
    if (attempt === undefined || attempt.carrier !== carrier) return;
    if (!equalBytes(attempt.echo, packet.echo)) return;
    const cookie = this.#retryKey.open(packet.nonce, attempt.nonce, packet.sealedCookie);
    if (cookie === undefined) return;
    // Once a cookie only: more would let a replayed RETRY keep the client busy.
    if (attempt.cookie !== undefined && equalBytes(attempt.cookie, cookie)) return;
    attempt.cookie = cookie;
    attempt.nextAt = now;
  }
}

/** What both ends say of themselves. */
export function localParameters(options: SessionOptions) {
  return {
    maxData: Math.min(options.receiveWindowBytes, options.maxReceiveWindowBytes),
    maxStreamData: Math.min(options.streamReceiveWindowBytes, options.maxStreamReceiveWindowBytes),
    maxStreamsBidi: options.maxStreamsBidi,
    maxStreamsUni: options.maxStreamsUni,
    maxAckDelayMs: options.maxAckDelayMs,
    maxPaths: options.maxPaths,
  };
}
