/**
 * What happens when a path goes silent, loses packets, dies or comes back: its data goes elsewhere
 * at once, and it is used again when it has delivered.
 *
 * @module
 */

import type { Instant } from './contract.js';
import type { Path } from './path.js';
import { SUSPECT_AFTER_PACKETS } from './path-health.js';
import type { SentFrame, SentPacket } from './recovery.js';
import type { SessionState } from './session-state.js';

/**
 * A server keeps so many paths more than it allows: the client counts what it has abandoned as
 * closed at once, but the word of that arrives later, perhaps on the very path that it opens.
 */
const PATHS_IN_TRANSITION = 4;

/**
 * No silence shorter than this means anything: a process at the other end collects garbage, or waits
 * for a disk, for as long (on loopback: alarms many times a second while a heap grows).
 */
export const MIN_PATIENCE_MS = 30;

/** Queues what a packet carried to be sent again, as far as it still matters. */
function requeue(session: SessionState, frames: readonly SentFrame[]): void {
  for (const sent of frames) {
    if (sent.kind === 'stream') {
      session.streams?.lost(sent.streamId, sent.offset, sent.offset + sent.length, sent.fin);
    } else if (sent.frame.type !== 'close') {
      session.queueControl(sent.frame);
    }
  }
}

/** What became of packets tells how large they may be (protocol.md#packet-size). */
export function packetsSettled(
  path: Path,
  acked: readonly SentPacket[],
  lost: readonly SentPacket[],
): void {
  const { mtu } = path;
  if (mtu === undefined) return;
  const before = mtu.packetBytes;
  mtu.settled(acked, lost);
  path.congestion.packetSizeChanged(mtu.packetBytes);
  // What was lost up to now was too long for the path, not too much for it.
  if (mtu.packetBytes < before) path.congestion.lossWasSpurious(Number.MAX_SAFE_INTEGER);
}

/** Packets of a datagram path that did not arrive. */
export function packetsLost(
  session: SessionState,
  path: Path,
  lost: readonly SentPacket[],
  now: Instant,
): void {
  if (lost.length === 0) return;
  for (const packet of lost) if (!packet.isReinjected) requeue(session, packet.frames);
  path.counters.lostPackets += lost.length;
  packetsSettled(path, [], lost);
  const longest = path.mtu?.packetBytes ?? Number.POSITIVE_INFINITY;
  let bytes = 0;
  let largestSentAt = Number.NEGATIVE_INFINITY;
  for (const packet of lost) {
    if (packet.bytes > longest) continue;
    bytes += packet.bytes;
    largestSentAt = Math.max(largestSentAt, packet.sentAt);
  }
  if (bytes === 0) return;
  // Where nothing gets through, what is lost are probes: that is darkness, not congestion.
  if (path.state !== 'active') return;
  path.congestion.lost(bytes, largestSentAt as Instant, path.recovery.inFlightBytes, now);
}

/**
 * The path has moved: what was sent since the client moved went to an address where nobody is, and
 * what it had received before, it has acknowledged by now. That is no sign of congestion.
 */
export function packetsMissent(session: SessionState, path: Path): void {
  for (const packet of [...path.recovery.outstanding()]) giveUp(session, path, packet);
}

/** Probes of a suspect path that are waited for: the path may stay away for days. */
const MAX_UNANSWERED_PROBES = 256;

/** Of many probes of a suspect datagram path, the oldest are given up for lost. */
export function giveUpOldProbes(session: SessionState, path: Path): void {
  const since = path.health.suspectSince;
  if (since === undefined || path.carrier.isStream) return;
  if (path.recovery.outstandingCount <= MAX_UNANSWERED_PROBES) return;
  const probes = [...path.recovery.outstanding()].filter((packet) => packet.sentAt >= since);
  for (const packet of probes.slice(0, -MAX_UNANSWERED_PROBES)) giveUp(session, path, packet);
}

function giveUp(session: SessionState, path: Path, packet: SentPacket): void {
  path.counters.lostPackets += 1;
  path.recovery.declareLost(packet);
  if (!packet.isReinjected) requeue(session, packet.frames);
}

/** Queues what a packet carries for another path: whatever becomes of the packet, that counts. */
export function reinject(session: SessionState, path: Path, packet: SentPacket): void {
  if (packet.isReinjected) return;
  packet.isReinjected = true;
  requeue(session, packet.frames);
  for (const sent of packet.frames) {
    if (sent.kind === 'stream') path.counters.reinjectedBytes += sent.length;
  }
}

/** Queues all that is under way on a path for other paths; what arrives all the same is not sent. */
export function reinjectOutstanding(session: SessionState, path: Path): void {
  for (const packet of path.recovery.outstanding()) reinject(session, path, packet);
}

function hasOtherHealthy(session: SessionState, path: Path): boolean {
  for (const other of session.paths.values()) {
    if (other !== path && other.isHealthy) return true;
  }
  return false;
}

/** When the path will have been silent for too long; `undefined` if nothing is owed to us. */
export function silenceDeadline(session: SessionState, path: Path): Instant | undefined {
  if (path.state !== 'active' && path.state !== 'joining') return undefined;
  const { recovery, rtt, health } = path;
  const { maxAckDelayMs } = session;
  const patienceMs = Math.max(MIN_PATIENCE_MS, rtt.probeTimeoutMs(0));
  // What is missing below the largest acknowledged packet is a loss, and says nothing of the path. And
  // a stream carrier is silent for a round trip whenever it repairs a loss.
  const unansweredSince = path.carrier.isStream
    ? undefined
    : recovery.owedSince(recovery.largestAcked + 1, maxAckDelayMs);
  if (unansweredSince !== undefined) {
    const quietMs = Math.max(MIN_PATIENCE_MS, rtt.smoothedRttMs / 2);
    return health.silenceDeadline(unansweredSince + patienceMs, quietMs, patienceMs);
  }
  const owedSince = recovery.owedSince(0, maxAckDelayMs);
  if (owedSince === undefined) return undefined;
  return health.silenceDeadline(owedSince + patienceMs, patienceMs, patienceMs);
}

/**
 * A probe timeout has passed without any acknowledgement. After the first the path is in doubt: its
 * data goes elsewhere at once, nothing new goes on it, and it is probed; any acknowledgement clears
 * it. After the second it is suspect: it has to prove itself before it is used again.
 */
export function pathIsSilent(session: SessionState, path: Path, now: Instant): void {
  const { health, recovery } = path;
  // On a stream carrier nothing is lost, and there may be no room for more packets.
  const isTelling = path.carrier.isStream
    ? health.timeoutCount > 1
    : recovery.outstandingCount >= SUSPECT_AFTER_PACKETS;
  if (health.timeoutCount > 0 && isTelling) {
    becomeSuspect(session, path, 'nothing was acknowledged in time', now);
    return;
  }
  health.timedOut(now);
  const missing = SUSPECT_AFTER_PACKETS - recovery.outstandingCount;
  health.probesWanted = Math.max(path.carrier.isStream ? 0 : 1, missing);
  if (hasOtherHealthy(session, path)) reinjectOutstanding(session, path);
}

export function becomeSuspect(
  session: SessionState,
  path: Path,
  reason: string,
  now: Instant,
): void {
  path.moveTo('suspect');
  path.health.becameSuspect(now);
  // The way there may have become narrower: what shall prove the path has to pass.
  path.mtu?.restart();
  path.addresses?.wentSilent(now);
  // With no other path, what is under way is best left to this one: a stream carrier delivers it
  // when it can, a datagram carrier's loss recovery sends it again.
  if (hasOtherHealthy(session, path)) reinjectOutstanding(session, path);
  session.emit({
    type: 'path',
    pathId: path.id,
    carrierId: path.carrier.id,
    state: 'suspect',
    reason,
  });
}

/** Something new was acknowledged on the path. */
export function pathProgressed(
  session: SessionState,
  path: Path,
  acked: readonly SentPacket[],
  now: Instant,
): void {
  const { health } = path;
  // An idle path's round trip proves little: what counts is real data, if there is any.
  const isIdle = (session.streams?.bufferedBytes ?? 0) === 0;
  // What a datagram path got before says nothing of it as it is since its silence; a stream carrier
  // delivers in order, so that what was under way is all that can arrive.
  const provesFrom = path.carrier.isStream ? undefined : health.suspectSince;
  const proof = acked.filter(
    (packet) => packet.sentAt >= (provesFrom ?? 0) && (isIdle || carriesData(packet)),
  ).length;
  const wasInDoubt = path.state === 'active' && health.timeoutCount > 0;
  health.progressed(proof, now);
  if (wasInDoubt) rescue(session, path);
  if (path.state !== 'suspect') return;
  if (!health.isProven && session.activePathCount > 0) return;
  health.recovered();
  if (provesFrom !== undefined) path.rtt.restart(now);
  activate(session, path, 'it delivers again');
}

function carriesData(packet: SentPacket): boolean {
  return packet.frames.some((frame) => frame.kind === 'stream');
}

/** A path is good again: what is stuck on those that are not has somewhere to go. */
function rescue(session: SessionState, path: Path): void {
  for (const other of session.paths.values()) {
    if (other !== path && !other.isHealthy) reinjectOutstanding(session, other);
  }
}

/** The path carries data from now on, also what is stuck on suspect ones. */
export function activate(session: SessionState, path: Path, reason: string): void {
  path.moveTo('active');
  rescue(session, path);
  session.emit({
    type: 'path',
    pathId: path.id,
    carrierId: path.carrier.id,
    state: 'active',
    reason,
  });
}

/** Whether one more path may be opened; a long silent one makes room. */
export function makeRoomForPath(session: SessionState): boolean {
  const open = [...session.openPaths()];
  const isServer = session.role === 'server';
  const { maxPaths } = session.options;
  const limit = isServer
    ? maxPaths + PATHS_IN_TRANSITION
    : Math.min(maxPaths, session.peer?.maxPaths ?? maxPaths);
  if (open.length < limit) return true;
  const suspects = open.filter((path) => path.state === 'suspect');
  // A client that keeps to the limit has given up one that we still count.
  const candidates = suspects.length === 0 && isServer ? open : suspects;
  candidates.sort((a, b) => a.lastReceivedAt - b.lastReceivedAt);
  const oldest = candidates[0];
  if (oldest === undefined) return false;
  closePath(session, oldest, 'silent, and another path needs its place', { tellPeer: 1 });
  return true;
}

/** The path is gone for good; all it had under way goes elsewhere. */
export function closePath(
  session: SessionState,
  path: Path,
  reason: string,
  options: { readonly tellPeer: number | undefined },
): void {
  if (!path.isOpen) return;
  reinjectOutstanding(session, path);
  path.moveTo('closed');
  session.removePath(path);
  if (options.tellPeer !== undefined && session.isRunning) {
    const frame = { type: 'pathAbandon', pathId: path.id, code: options.tellPeer } as const;
    session.queueControl(frame);
    // Without another path the word would have to wait for one, which the peer may not see need of.
    if (session.activePathCount === 0) session.farewells.push({ path, frames: [frame] });
  }
  session.emit({
    type: 'path',
    pathId: path.id,
    carrierId: path.carrier.id,
    state: 'closed',
    reason,
    statistics: path.statistics(),
  });
  if (path.carrier.isStream && !path.carrier.isClosed)
    session.carriersToClose.push(path.carrier.id);
}
