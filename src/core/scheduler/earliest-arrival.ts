/**
 * The default: each piece goes where it will arrive first. If that path has no room yet, another
 * one is used only if that helps (ECF, CoNEXT 2017: the piece would arrive there before the faster
 * paths had sent all that waits) and does no harm (BLEST, Networking 2016: until the piece has
 * arrived, the receive window has room for what the faster paths can send).
 *
 * @module
 */

import {
  type Choice,
  type PathView,
  preferred,
  type SchedulerInput,
  send,
  WAIT,
} from './scheduler.js';

/** How late a piece may be, in variances of the round trip, before it blocks the window. */
const VARIANCES = 4;
/** Tuning: differences below this are not worth holes in what is under way, and nobody sees them. */
const AHEAD_MIN_MS = 50;
/** And not those of a path that is not so many times slower: it only queues more. */
const AHEAD_MIN_RATIO = 2;

export function earliestArrival(input: SchedulerInput): Choice {
  let paths = preferred(input.paths);
  for (;;) {
    let best: PathView | undefined;
    let bestFree: PathView | undefined;
    for (const path of paths) {
      if (best === undefined || arrival(path) < arrival(best)) best = path;
      if (!path.canSend) continue;
      if (bestFree === undefined || arrival(path) < arrival(bestFree)) bestFree = path;
    }
    if (best === undefined || bestFree === undefined) return WAIT;
    if (best !== bestFree && !helps(bestFree, paths, input.pendingBytes)) return WAIT;
    if (isHarmless(bestFree, paths, input.creditBytes)) {
      const ahead = aheadBytes(bestFree, paths, input.creditBytes + input.skippedBytes);
      return send(bestFree.pathId, [], ahead);
    }
    // It is as if it were not there: one whose figures are bad must not keep others from sending.
    const harmful = bestFree;
    paths = paths.filter((path) => path !== harmful);
  }
}

function arrival(path: PathView): number {
  return path.waitMs + path.arrivalMs;
}

/**
 * What faster paths deliver before a piece that is sent on `slow` arrives: if it were the next
 * piece of a stream, all of that would wait for it (STMS, USENIX ATC 2018). And what they deliver
 * in another round trip of `slow`, as far as half of the credit goes: a piece that is lost there
 * can then be sent again before it is missed.
 */
function aheadBytes(slow: PathView, paths: readonly PathView[], creditBytes: number): number {
  let soonerBytes = 0;
  let repairBytes = 0;
  for (const path of paths) {
    const soonerMs = slow.arrivalMs - arrival(path);
    const isLonger = slow.arrivalMs >= AHEAD_MIN_RATIO * arrival(path);
    if (path === slow || !isLonger || soonerMs < AHEAD_MIN_MS) continue;
    soonerBytes += path.rate * soonerMs;
    repairBytes += path.rate * slow.smoothedRttMs;
  }
  return Math.floor(soonerBytes + clamp(creditBytes / 2 - soonerBytes, repairBytes));
}

function clamp(value: number, maximum: number): number {
  return Math.max(0, Math.min(value, maximum));
}

/** Whether `slow` would deliver a piece before the paths that are faster had delivered all. */
function helps(slow: PathView, paths: readonly PathView[], pendingBytes: number): boolean {
  let rate = 0;
  let earliest = Number.POSITIVE_INFINITY;
  for (const path of paths) {
    if (arrival(path) >= slow.arrivalMs) continue;
    rate += path.rate;
    earliest = Math.min(earliest, arrival(path));
  }
  return slow.arrivalMs <= earliest + pendingBytes / rate;
}

/** Whether what faster paths can send meanwhile still fits into the receive window. */
function isHarmless(slow: PathView, paths: readonly PathView[], creditBytes: number): boolean {
  let needed = slow.packetBytes;
  let isFastest = true;
  for (const path of paths) {
    if (path === slow || path.minRttMs >= slow.minRttMs) continue;
    // The window opens again when the piece has arrived and the news of it is back.
    const latestMs = slow.arrivalMs + VARIANCES * slow.rttVarianceMs;
    const blockedMs = latestMs + path.smoothedRttMs / 2 - path.arrivalMs;
    // One that delivers only after that is not held up, and no better, however short its round trip.
    if (blockedMs <= 0) continue;
    needed += path.rate * blockedMs;
    isFastest = false;
  }
  return isFastest || needed <= creditBytes;
}
