/**
 * When a path is suspect, how it is probed, and when it is trusted again. No path is trusted to
 * say when it dies: silence while something is unacknowledged is all there is to go by.
 *
 * @module
 */

import type { Instant } from './contract.js';

/**
 * A path with fewer packets unacknowledged is not suspect yet: one or two may be lost by
 * themselves, three in a row (at 2 % loss: once in 125,000) are not.
 */
export const SUSPECT_AFTER_PACKETS = 3;
/** Packets with real data that a suspect path has to deliver before it is used again. */
export const READMIT_AFTER_PACKETS = 3;
/** The requirement doubles with each earlier alarm in this time, up to the maximum. */
export const FLAP_MEMORY_MS = 60_000;
export const READMIT_MAX_PACKETS = 24;
/** More alarms would change nothing: the requirement is at its maximum. */
const MAX_REMEMBERED_ALARMS = 8;
/** Probes of a suspect path: this often at first, then in proportion to its silence. */
export const PROBE_INTERVAL_MIN_MS = 50;
export const PROBE_INTERVAL_MAX_MS = 5_000;
export const PROBE_INTERVAL_SHARE = 0.01;
/** Probes in flight while a suspect path proves itself; doubles with what arrives. */
export const PROBE_WINDOW_PACKETS = 2;

export class PathHealth {
  #progressAt: number;
  #timeoutAt = Number.NEGATIVE_INFINITY;
  #timeouts = 0;
  #suspectSince: number | undefined;
  #lastSuspectAt = Number.NEGATIVE_INFINITY;
  #evidencePackets = 0;
  #alarms: number[] = [];
  #probedAt = Number.NEGATIVE_INFINITY;
  /** Probes to be sent as soon as possible. */
  probesWanted = 0;

  constructor(now: Instant) {
    this.#progressAt = now;
  }

  get suspectSince(): number | undefined {
    return this.#suspectSince;
  }

  /** Since when the path is suspect, or was the last time. */
  get lastSuspectAt(): number {
    return this.#lastSuspectAt;
  }

  /** Probe timeouts since the last progress. */
  get timeoutCount(): number {
    return this.#timeouts;
  }

  get progressAt(): number {
    return this.#progressAt;
  }

  /** Something new was acknowledged. */
  progressed(packets: number, now: Instant): void {
    this.#progressAt = now;
    this.#timeouts = 0;
    this.#timeoutAt = Number.NEGATIVE_INFINITY;
    if (this.#suspectSince !== undefined) {
      this.#evidencePackets += packets;
      this.probesWanted = Math.max(this.probesWanted, PROBE_WINDOW_PACKETS * packets);
    }
  }

  /**
   * When the silence has lasted for too long.
   *
   * @param expectedAt when an answer to what is unanswered should be here at the latest.
   * @param quietMs how long at least nothing new was acknowledged until then.
   * @param patienceMs the probe timeout: after the first one, so many have to pass in silence.
   */
  silenceDeadline(expectedAt: number, quietMs: number, patienceMs: number): Instant {
    const isFirst = this.#timeouts === 0;
    const sinceMs = isFirst ? quietMs : patienceMs * (1 + this.#timeouts);
    const next = this.#timeoutAt + patienceMs;
    return Math.max(expectedAt, this.#progressAt + sinceMs, next) as Instant;
  }

  /** A probe timeout passed, but there was too little in flight to tell. */
  timedOut(now: Instant): void {
    this.#timeouts += 1;
    this.#timeoutAt = now;
  }

  becameSuspect(now: Instant): void {
    this.#suspectSince = now;
    this.#lastSuspectAt = now;
    this.#evidencePackets = 0;
    const recent = this.#alarms.filter((at) => now - at < FLAP_MEMORY_MS);
    this.#alarms = [...recent, now].slice(-MAX_REMEMBERED_ALARMS);
    this.probesWanted = 1;
  }

  /** Whether a suspect path has delivered enough. */
  get isProven(): boolean {
    const required = READMIT_AFTER_PACKETS * 2 ** (this.#alarms.length - 1);
    return this.#evidencePackets >= Math.min(READMIT_MAX_PACKETS, required);
  }

  recovered(): void {
    this.#suspectSince = undefined;
    this.probesWanted = 0;
  }

  get probedAt(): number {
    return this.#probedAt;
  }

  /** When the next probe of a suspect path is due, answers or not. */
  get nextProbeAt(): Instant {
    const silence = this.#probedAt - this.#progressAt;
    const wanted = silence * PROBE_INTERVAL_SHARE;
    const interval = Math.min(PROBE_INTERVAL_MAX_MS, Math.max(PROBE_INTERVAL_MIN_MS, wanted));
    return (this.#probedAt + interval) as Instant;
  }

  /** Asks for a probe, unless some are wanted already. */
  wantProbe(): void {
    this.probesWanted = Math.max(1, this.probesWanted);
  }

  probed(now: Instant): void {
    this.#probedAt = now;
    this.probesWanted = Math.max(0, this.probesWanted - 1);
  }
}
