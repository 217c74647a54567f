/**
 * Named networks. Numbers are rounded to what such a network typically gives; where a docstring
 * names no source, they are our own choice.
 *
 * @module
 */

import type { LinkParams } from './link.js';

/** Both directions of a link; up is from the client. */
export interface LinkPair {
  readonly up: Partial<LinkParams>;
  readonly down: Partial<LinkParams>;
}

/** A link that is alike both ways. */
export interface SymmetricSpec {
  /** Mbit/s of IP packets; 0 is unlimited. */
  readonly rateMbps: number;
  /** Twice the one-way delay, without queues. */
  readonly rttMs: number;
  /** Probability of loss, each way; 0. */
  readonly loss?: number;
  /** Limit of the queue, each way; 50. */
  readonly queueMs?: number;
  /** Jitter, each way; 0. */
  readonly jitterMs?: number;
}

/** The shorthand `50/20` of the benchmarks: 50 Mbit/s and an RTT of 20 ms, with a 50 ms queue. */
export function symmetric(spec: SymmetricSpec): LinkPair {
  const params: Partial<LinkParams> = {
    rateBitsPerSec: spec.rateMbps * 1e6,
    delayMs: spec.rttMs / 2,
    loss: spec.loss ?? 0,
    queueMs: spec.queueMs ?? 50,
    jitterMs: spec.jitterMs ?? 0,
  };
  return { up: params, down: params };
}

function pair(up: Partial<LinkParams>, down: Partial<LinkParams>): LinkPair {
  return { up, down };
}

/** Known networks by name. */
export const PRESETS = {
  /** A gigabit switch: below a millisecond, a shallow queue. */
  lan: symmetric({ rateMbps: 1000, rttMs: 0.4, queueMs: 5 }),

  /** Fibre to the home; WebPageTest's profile "FIOS": 20/5 Mbit/s, RTT 4 ms. */
  fibre: pair(
    { rateBitsPerSec: 5e6, delayMs: 2, queueMs: 50 },
    { rateBitsPerSec: 20e6, delayMs: 2, queueMs: 50 },
  ),

  /** WebPageTest's profile "DSL": 1.5/0.384 Mbit/s, RTT 50 ms; the deep queue is our choice. */
  dsl: pair(
    { rateBitsPerSec: 384e3, delayMs: 25, queueMs: 200 },
    { rateBitsPerSec: 1.5e6, delayMs: 25, queueMs: 100 },
  ),

  /** A good Wi-Fi with the access line behind it; link-layer retries show as jitter. */
  wifi: symmetric({ rateMbps: 50, rttMs: 16, jitterMs: 3, queueMs: 60 }),

  /** Wi-Fi at the edge of its range: slower; what the link layer gives up on comes in bursts. */
  wifiLossy: pair({ ...wifiEdge(), rateBitsPerSec: 10e6 }, { ...wifiEdge(), rateBitsPerSec: 20e6 }),

  /** WebPageTest's profile "LTE": 12/12 Mbit/s, RTT 70 ms; jitter and the deep queue are ours. */
  lte: symmetric({ rateMbps: 12, rttMs: 70, jitterMs: 8, queueMs: 200 }),

  /** WebPageTest's profile "3G": 1.6/0.768 Mbit/s, RTT 300 ms. */
  '3g': pair(
    { rateBitsPerSec: 768e3, delayMs: 150, jitterMs: 20, queueMs: 400 },
    { rateBitsPerSec: 1.6e6, delayMs: 150, jitterMs: 20, queueMs: 400 },
  ),

  /** A geostationary satellite: RFC 2488 §2 gives 239.6 to 279.0 ms one way through space. */
  geo: pair(
    { rateBitsPerSec: 5e6, delayMs: 280, queueMs: 300 },
    { rateBitsPerSec: 25e6, delayMs: 280, queueMs: 300 },
  ),

  /** A constellation in low orbit: tens of ms that wander, some loss at each handover. */
  leo: pair({ ...lowOrbit(), rateBitsPerSec: 15e6 }, { ...lowOrbit(), rateBitsPerSec: 120e6 }),
} as const satisfies Record<string, LinkPair>;

export type PresetName = keyof typeof PRESETS;

function wifiEdge(): Partial<LinkParams> {
  const burstLoss = { goodToBad: 0.005, badToGood: 0.25, lossWhenBad: 0.5, lossWhenGood: 0.001 };
  return { delayMs: 10, jitterMs: 8, queueMs: 100, burstLoss };
}

function lowOrbit(): Partial<LinkParams> {
  const burstLoss = { goodToBad: 0.0005, badToGood: 0.1, lossWhenBad: 0.5, lossWhenGood: 0 };
  return { delayMs: 22, jitterMs: 6, queueMs: 80, burstLoss };
}
