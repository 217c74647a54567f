/**
 * Where a datagram path's packets go. Roaming is mosh's rule with QUIC's care (RFC 9000 §9,
 * RFC 9853): an authentic packet newer than all others, from another address, makes that address
 * a candidate. It is challenged, and so is the present one; the path moves when the candidate
 * answers. Until then it gets at most three times what came from it: challenges, and copies of what
 * is under way to the present one, as long as that one is not heard.
 *
 * @module
 */

import { equalBytes } from '../crypto/index.js';
import type { Address, Instant } from './contract.js';

/** RFC 9000 §8. */
export const SPEC_AMPLIFICATION_FACTOR = 3;
/** Addresses under validation at a time, a path. More newcomers have to wait. */
export const MAX_CANDIDATES = 4;
/** Challenges to an address that does not answer; a candidate gets more while nobody answers. */
export const MAX_CHALLENGES = 3;
/** An address has three of these, or three retry times, to answer (RFC 9000 §8.2.4, RFC 9002 §6.2.2). */
export const SPEC_INITIAL_RTT_MS = 333;
const SPEC_VALIDATION_FACTOR = 3;
/** The interval of challenges grows no further than this many retry times, or the initial RTT. */
const MAX_INTERVAL_FACTOR = 4;
/** An address that did not answer, while the current one did, is not tried again for this long. */
export const REFUSED_FOR_MS = 10_000;
const MAX_REFUSED = 16;
const CHALLENGE_BYTES = 8;
/** A packet with a challenge is about this long. */
export const CHALLENGE_PACKET_BYTES = 80;
/**
 * Challenges to the address that a path had before it moved, when it goes silent: at intervals
 * that double, for about a minute, with so many bytes in all although nothing came from there.
 */
export const MAX_PREVIOUS_CHALLENGES = 16;
const PREVIOUS_CREDIT_BYTES = 512;
const PREVIOUS_INTERVAL_MAX_MS = 5_000;

/** An address that has to prove that it receives. */
interface Candidate {
  readonly address: Address;
  readonly since: Instant;
  receivedBytes: number;
  sentBytes: number;
  challenges: SentChallenge[];
  /** Challenges that were due, also those for which the budget was too small. */
  attempts: number;
  nextChallengeAt: Instant;
  /** The path was here once. */
  readonly isPrevious: boolean;
  /** The path's current address has answered a challenge since this one appeared. */
  currentAnswered: boolean;
  /** It has at least been heard: as a newer packet, or as a repetition of what came from here. */
  currentSpoke: boolean;
}

interface SentChallenge {
  readonly data: Uint8Array;
  readonly sentAt: Instant;
}

export interface Challenge {
  readonly to: Address;
  readonly data: Uint8Array;
}

export type AddressOutcome =
  | { readonly type: 'none' }
  | { readonly type: 'validated' }
  /** The path's packets go to `address` from now on; all that is under way is in doubt. */
  | {
      readonly type: 'moved';
      readonly address: Address;
      readonly portOnly: boolean;
      /** How long the answer took. */
      readonly rttMs: number;
    };

export class AddressBook {
  readonly #random: (length: number) => Uint8Array;
  readonly #canMove: boolean;
  #current: Candidate;
  #validated: boolean;
  #candidates: Candidate[] = [];
  /** Where a validated path was before it moved. */
  #previous: Address | undefined;
  readonly #refused = new Map<Address, number>();

  /**
   * @param canMove only the client roams: the server's book moves, the client's does not.
   * @param validated the other end is known to receive at `address`.
   */
  constructor(
    address: Address,
    validated: boolean,
    canMove: boolean,
    random: (length: number) => Uint8Array,
    now: Instant,
  ) {
    this.#random = random;
    this.#canMove = canMove;
    this.#validated = validated;
    this.#current = candidate(address, now);
    if (validated) this.#current.nextChallengeAt = Number.POSITIVE_INFINITY as Instant;
  }

  get current(): Address {
    return this.#current.address;
  }

  get isValidated(): boolean {
    return this.#validated;
  }

  get candidateCount(): number {
    return this.#candidates.length;
  }

  /** How many bytes may be sent to the current address now. */
  get budgetBytes(): number {
    return this.#validated ? Number.POSITIVE_INFINITY : budgetOf(this.#current);
  }

  /** The same for any address; none may be sent to one that is not known. */
  budgetBytesOf(address: Address): number {
    if (address === this.#current.address) return this.budgetBytes;
    const known = this.#candidates.find((one) => one.address === address);
    return known === undefined ? 0 : budgetOf(known);
  }

  /**
   * Where the client most likely is by now, although it has not answered there yet: the newest
   * packets come from there, and none from the current address. An attacker who sends copies
   * ahead of a client that has not moved is given away by what comes after them.
   */
  get likelyNext(): Address | undefined {
    const newest = this.#candidates.at(-1);
    if (newest === undefined || newest.isPrevious) return undefined;
    return newest.currentAnswered || newest.currentSpoke ? undefined : newest.address;
  }

  /** A packet came once more: nothing of it counts, but that someone is there. */
  repeated(from: Address): void {
    if (from === this.#current.address) this.#currentSpoke();
  }

  #currentSpoke(): void {
    for (const one of this.#candidates) one.currentSpoke = true;
  }

  sent(to: Address, bytes: number): void {
    this.#find(to).forEach((known) => {
      known.sentBytes += bytes;
    });
  }

  #find(address: Address): Candidate[] {
    return [this.#current, ...this.#candidates].filter((known) => known.address === address);
  }

  /**
   * An authentic packet arrived.
   *
   * @param isNewest its number is the largest of the path so far.
   */
  received(from: Address, bytes: number, isNewest: boolean, now: Instant): void {
    if (from === this.#current.address) {
      this.#current.receivedBytes += bytes;
      if (!this.#validated) this.#askAnew(now);
      if (!isNewest) return;
      this.#candidates = this.#candidates.filter((one) => !one.isPrevious);
      this.#currentSpoke();
      return;
    }
    if (!this.#canMove) return;
    const known = this.#candidates.find((one) => one.address === from);
    if (known !== undefined && !(known.isPrevious && isNewest)) {
      known.receivedBytes += bytes;
      return;
    }
    // It speaks again: no longer a guess, but a newcomer like any other.
    if (known !== undefined) this.#candidates.splice(this.#candidates.indexOf(known), 1);
    if (!isNewest || this.#candidates.length >= MAX_CANDIDATES || this.#isRefused(from, now))
      return;
    const fresh = candidate(from, now);
    fresh.receivedBytes = bytes;
    this.#candidates.push(fresh);
    // The old path is asked too: an attacker who only races can't keep it from answering.
    this.#current.nextChallengeAt = now;
    this.#current.challenges = [];
    this.#current.attempts = 0;
  }

  /** The present address is unvalidated, speaks, and has not answered: it is asked once more. */
  #askAnew(now: Instant): void {
    const current = this.#current;
    if (current.attempts >= MAX_CHALLENGES && now >= current.nextChallengeAt) {
      current.attempts = MAX_CHALLENGES - 1;
      current.challenges = current.challenges.slice(-1);
    }
  }

  /**
   * Nothing comes back from the present address. If the path has moved, the one before is asked
   * (RFC 9000 §9.3.3): whoever lured the path away may have stopped forwarding.
   */
  wentSilent(now: Instant): void {
    const previous = this.#previous;
    if (previous === undefined || this.#candidates.length >= MAX_CANDIDATES) return;
    if (this.#candidates.some((one) => one.address === previous)) return;
    const fresh = candidate(previous, now, true);
    fresh.receivedBytes = PREVIOUS_CREDIT_BYTES;
    this.#candidates.push(fresh);
  }

  #isRefused(address: Address, now: Instant): boolean {
    const until = this.#refused.get(address);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#refused.delete(address);
    return false;
  }

  /** The next challenge that is due and within its address's budget, if any. */
  nextChallenge(packetBytes: number, retryMs: number, now: Instant): Challenge | undefined {
    this.#expire(retryMs, now);
    // The new addresses first: what waits to be acknowledged rides along, and came from there.
    for (const one of [...this.#candidates, this.#current]) {
      if (now < one.nextChallengeAt) continue;
      if (one.attempts >= this.#maxAttempts(one)) {
        // Asked often enough: what is left is to wait for an answer.
        if (one !== this.#current) one.nextChallengeAt = patienceEnd(one, retryMs);
        continue;
      }
      one.nextChallengeAt = (now + intervalMs(one, retryMs)) as Instant;
      // Counted also if it can't be sent: an address that sent little must not keep its place.
      one.attempts += 1;
      const isFree = one === this.#current && this.#validated;
      if (!isFree && budgetOf(one) < packetBytes) continue;
      // Fresh bytes each time (RFC 9853 §6): an old answer says nothing of now.
      const data = this.#random(CHALLENGE_BYTES);
      one.challenges.push({ data, sentAt: now });
      return { to: one.address, data };
    }
    return undefined;
  }

  /** While the current address is as silent as the candidate, the way to both may be dead. */
  #maxAttempts(one: Candidate): number {
    if (one.isPrevious) return MAX_PREVIOUS_CHALLENGES;
    return one === this.#current || one.currentAnswered ? MAX_CHALLENGES : Number.POSITIVE_INFINITY;
  }

  #expire(retryMs: number, now: Instant): void {
    this.#candidates = this.#candidates.filter((one) => {
      const least = one.isPrevious ? MAX_PREVIOUS_CHALLENGES : MAX_CHALLENGES;
      if (one.attempts < least || now < one.nextChallengeAt) return true;
      if (one.isPrevious) return false;
      if (now < patienceEnd(one, retryMs)) return true;
      // Only an answer of the current address tells that the network was not to blame.
      if (one.currentAnswered) this.#refuse(one.address, now);
      return false;
    });
  }

  #refuse(address: Address, now: Instant): void {
    this.#refused.set(address, now + REFUSED_FOR_MS);
    for (const oldest of this.#refused.keys()) {
      if (this.#refused.size <= MAX_REFUSED) break;
      this.#refused.delete(oldest);
    }
  }

  /** A response validates the address that its challenge was sent to (RFC 9000 §8.2.3). */
  responded(data: Uint8Array, now: Instant): AddressOutcome {
    if (answered(this.#current, data) !== undefined) {
      const wasValidated = this.#validated;
      this.#validated = true;
      this.#current.nextChallengeAt = Number.POSITIVE_INFINITY as Instant;
      for (const one of this.#candidates) one.currentAnswered = true;
      return wasValidated ? { type: 'none' } : { type: 'validated' };
    }
    const moved = this.#candidates.find((one) => answered(one, data) !== undefined);
    const challenge = moved === undefined ? undefined : answered(moved, data);
    if (moved === undefined || challenge === undefined) return { type: 'none' };
    const portOnly = hostOf(moved.address) === hostOf(this.#current.address);
    this.#previous = this.#validated ? this.#current.address : undefined;
    const nextChallengeAt = Number.POSITIVE_INFINITY as Instant;
    this.#current = { ...moved, nextChallengeAt, isPrevious: false };
    this.#validated = true;
    this.#candidates = [];
    return { type: 'moved', address: moved.address, portOnly, rttMs: now - challenge.sentAt };
  }

  /** When `nextChallenge` has something to do again. */
  get nextAt(): Instant | undefined {
    let next = this.#current.nextChallengeAt as number;
    if (this.#current.attempts >= MAX_CHALLENGES) next = Number.POSITIVE_INFINITY;
    for (const one of this.#candidates) next = Math.min(next, one.nextChallengeAt);
    return Number.isFinite(next) ? (next as Instant) : undefined;
  }
}

/** Doubles with each attempt. */
function intervalMs(one: Candidate, retryMs: number): number {
  const most = one.isPrevious
    ? PREVIOUS_INTERVAL_MAX_MS
    : Math.max(MAX_INTERVAL_FACTOR * retryMs, SPEC_INITIAL_RTT_MS);
  return Math.min(most, retryMs * 2 ** one.attempts);
}

/** Before this a candidate is not given up. */
function patienceEnd(one: Candidate, retryMs: number): Instant {
  const patienceMs = SPEC_VALIDATION_FACTOR * Math.max(retryMs, SPEC_INITIAL_RTT_MS);
  return (one.since + patienceMs) as Instant;
}

function candidate(address: Address, now: Instant, isPrevious = false): Candidate {
  return {
    address,
    since: now,
    receivedBytes: 0,
    sentBytes: 0,
    challenges: [],
    attempts: 0,
    nextChallengeAt: now,
    isPrevious,
    currentAnswered: false,
    currentSpoke: false,
  };
}

function budgetOf(one: Candidate): number {
  return SPEC_AMPLIFICATION_FACTOR * one.receivedBytes - one.sentBytes;
}

/** The challenge to which `data` is the answer. */
function answered(one: Candidate, data: Uint8Array): SentChallenge | undefined {
  return one.challenges.find((challenge) => equalBytes(challenge.data, data));
}

/** The address without its port. */
export function hostOf(address: Address): string {
  return address.slice(0, address.lastIndexOf(':'));
}
