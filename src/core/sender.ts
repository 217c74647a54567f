/**
 * What a session sends next, and when it wants to be asked again.
 *
 * @module
 */

import type { Frame } from '../wire/index.js';
import { CHALLENGE_PACKET_BYTES } from './address-book.js';
import { Ahead, MAX_AHEAD_PIECES, MIN_AHEAD_BYTES } from './ahead.js';
import type { Address, Instant, Transmit } from './contract.js';
import { copyLate, duplicates, firstWithData, lateAt, piecesOf, queueCopies } from './copies.js';
import { giveUpOldProbes, reinject, silenceDeadline } from './failure.js';
import { type Built, buildPacket, MIN_DATAGRAM_BYTES } from './packet-builder.js';
import type { Path } from './path.js';
import { PROBE_INTERVAL_MAX_MS } from './path-health.js';
import type { SentPacket } from './recovery.js';
import type { PathView } from './scheduler/index.js';
import { closeRepeatAt } from './session-end.js';
import type { SessionState } from './session-state.js';
import type { Piece } from './streams/stream-table.js';

/** One with nothing but a short ACK. */
const ACK_PACKET_BYTES = MIN_DATAGRAM_BYTES;
/** A grant smaller than this is not worth a packet of data. */
const MIN_CARRIER_SPACE_BYTES = 1_024;
/** Data is sent again for the tail's sake only if that wins at least this much. */
const REINJECT_MIN_GAIN_MS = 5;
/** After so long without a sign of life on its path, data goes along with a probe of another one. */
const DOUBT_AFTER_SILENCE_MS = 2_000;
const PING: Frame = { type: 'ping' };

export function nextTransmit(session: SessionState, now: Instant): Transmit | undefined {
  session.askedAt = now;
  const farewell = nextFarewell(session, now);
  if (farewell !== undefined) return farewell;
  if (!session.isRunning) return undefined;
  const built =
    nextUrgent(session, now) ??
    nextCopy(session, now) ??
    nextControl(session, now) ??
    nextData(session, now);
  return built?.transmit;
}

function nextFarewell(session: SessionState, now: Instant): Transmit | undefined {
  for (;;) {
    const farewell = session.farewells.shift();
    if (farewell === undefined) return undefined;
    const { path, frames } = farewell;
    const built = path.carrier.isClosed ? undefined : buildPacket(session, path, { frames }, now);
    if (built !== undefined) return built.transmit;
  }
}

/** What can't wait for its turn, and is not data: challenges, answers, probes, acknowledgements. */
function nextUrgent(session: SessionState, now: Instant): Built | undefined {
  for (const path of session.openPaths()) {
    const built =
      nextChallenge(session, path, now) ??
      nextAhead(session, path, now) ??
      nextPinned(session, path, now) ??
      nextProbe(session, path, now) ??
      nextAck(session, path, now) ??
      nextMtuProbe(session, path, now);
    if (built !== undefined) return built;
  }
  return undefined;
}

function nextChallenge(session: SessionState, path: Path, now: Instant): Built | undefined {
  const { addresses } = path;
  if (addresses?.nextAt === undefined || now < addresses.nextAt) return undefined;
  const retryMs = path.rtt.probeTimeoutMs(session.maxAckDelayMs);
  const challenge = addresses.nextChallenge(CHALLENGE_PACKET_BYTES, retryMs, now);
  if (challenge === undefined) return undefined;
  const frames: Frame[] = [{ type: 'pathChallenge', data: challenge.data }];
  return buildPacket(session, path, { to: challenge.to, frames }, now);
}

/** A copy for the likely next address of a path, if there is one and its budget allows. */
function nextAhead(session: SessionState, path: Path, now: Instant): Built | undefined {
  const to = path.addresses?.likelyNext;
  if (to === undefined) {
    path.ahead = undefined;
    return undefined;
  }
  if (path.ahead?.to !== to) path.ahead = aheadOf(session, path, to);
  // Whatever becomes of the copies, the address can be asked once more.
  const limitBytes = (path.addresses?.budgetBytesOf(to) ?? 0) - CHALLENGE_PACKET_BYTES;
  for (let piece = path.ahead.first; piece !== undefined; piece = path.ahead.first) {
    if (limitBytes < MIN_AHEAD_BYTES) return undefined;
    const built = buildPacket(session, path, { to, copies: [piece], limitBytes }, now);
    path.ahead.sentTo(built?.pieces[0]?.range.end ?? piece.range.end);
    if (built !== undefined) return built;
  }
  return undefined;
}

/** All that is under way on a path. */
function aheadOf(session: SessionState, path: Path, to: Address): Ahead {
  const ahead = new Ahead(to);
  let searched = 0;
  for (const packet of path.recovery.outstanding()) {
    searched += 1;
    if (searched > MAX_AHEAD_PIECES) break;
    for (const { stream, range, fin } of piecesOf(session, packet, Number.MAX_SAFE_INTEGER)) {
      ahead.add({ stream, range, fin, isNew: false });
    }
  }
  return ahead;
}

function nextPinned(session: SessionState, path: Path, now: Instant): Built | undefined {
  return path.pinned.length > 0 ? buildPacket(session, path, {}, now) : undefined;
}

function nextAck(session: SessionState, path: Path, now: Instant): Built | undefined {
  if (!path.acks.isDue(now)) return undefined;
  // If the path it came by is doubtful, it is said there and on the best one, for either may be dead.
  const carrier = ackCarrier(session, path);
  if (carrier !== path && !path.acks.isEchoed) {
    path.acks.isEchoed = true;
    const echo = buildPacket(session, path, { keepsAcks: true }, now);
    if (echo !== undefined) return echo;
  }
  return buildPacket(session, carrier, {}, now);
}

function ackCarrier(session: SessionState, path: Path): Path {
  if (path.isHealthy || path.state === 'joining') return path;
  const best = session.bestPath();
  return best?.isUsable === true ? best : path;
}

/** Asks for a sign of life: at the opening, while suspect, and after long silence. */
function nextProbe(session: SessionState, path: Path, now: Instant): Built | undefined {
  if (!isProbeDue(session, path, now)) return undefined;
  path.health.probed(now);
  giveUpOldProbes(session, path);
  // Probes are few, whatever the path could carry: they say nothing of its rate.
  path.rate.limitedByApplication(path.recovery.inFlightBytes);
  // Where larger packets vanish, a probe must not vanish with them.
  const limitBytes = path.mtu?.baseBytes ?? MIN_CARRIER_SPACE_BYTES;
  const isAsked = path.carrier.isStream && path.recovery.outstandingCount > 0;
  const copies = isAsked || path.state === 'joining' ? [] : duplicates(session, limitBytes);
  return buildPacket(session, path, { frames: [PING], copies, limitBytes }, now);
}

/** protocol.md#packet-size: a packet of a size that is not known to pass, with nothing in it. */
function nextMtuProbe(session: SessionState, path: Path, now: Instant): Built | undefined {
  if (!path.isHealthy || path.addresses?.isValidated === false) return undefined;
  const padToBytes = path.mtu?.nextProbeBytes(now);
  if (padToBytes === undefined) return undefined;
  return buildPacket(session, path, { frames: [PING], padToBytes }, now);
}

function isProbeDue(session: SessionState, path: Path, now: Instant): boolean {
  const { health, recovery } = path;
  if (recovery.nextNumber === 0) return true;
  if (path.state === 'suspect') {
    const isAsked = path.carrier.isStream && recovery.outstandingCount > 0;
    return (health.probesWanted > 0 && !isAsked) || now >= suspectProbeAt(path);
  }
  if (health.probesWanted > 0) return true;
  return now >= keepAliveAt(session, path);
}

/**
 * On a stream carrier nothing is lost, so that one unanswered question should be enough. But the
 * answer may have come by another path, and be lost there: ask again, rarely unless it speaks.
 */
function suspectProbeAt(path: Path): number {
  const { health, recovery, carrier } = path;
  const isAsked = carrier.isStream && recovery.outstandingCount > 0;
  if (!isAsked || path.lastReceivedAt > health.probedAt) return health.nextProbeAt;
  return Math.max(health.nextProbeAt, health.probedAt + PROBE_INTERVAL_MAX_MS);
}

/** A path that only stands by is asked more rarely, while another one works. */
const BACKUP_KEEP_ALIVES = 4;

function keepAliveAt(session: SessionState, path: Path): number {
  const { intervalMs } = path.keepAlive;
  const isOurs = intervalMs !== 0 && session.role === 'client';
  // A suspect path has probes of its own.
  if (!isOurs || path.state === 'suspect') return Number.POSITIVE_INFINITY;
  const factor = path.isBackup && session.activePathCount > 1 ? BACKUP_KEEP_ALIVES : 1;
  const { probedAt } = path.health;
  return Math.max(path.lastReceivedAt, path.lastSentAt, probedAt) + factor * intervalMs;
}

/** What other paths carry, as far as it has not arrived by then. */
function nextCopy(session: SessionState, now: Instant): Built | undefined {
  const paths = dataPaths(session);
  for (const path of paths) copyLate(session, path, paths, now);
  for (const path of session.openPaths()) {
    while (path.copies.length > 0 && path.isUsable && viewOf(path, now).canSend) {
      const piece = path.copies[0] as Piece;
      const built = buildPacket(session, path, { copies: [piece] }, now);
      const sentTo = built?.pieces[0]?.range.end ?? piece.range.end;
      path.copies.shift();
      if (sentTo < piece.range.end) {
        path.copies.unshift({ ...piece, range: { start: sentTo, end: piece.range.end } });
      }
      if (built !== undefined) return built;
    }
  }
  return undefined;
}

/** Control frames are small: they go at once, on the path that delivers first. */
function nextControl(session: SessionState, now: Instant): Built | undefined {
  if (session.control.length === 0) return undefined;
  const best = session.bestPath();
  if (best === undefined || best.state === 'suspect') return undefined;
  const built = buildPacket(session, best, { control: true }, now);
  if (built !== undefined) return built;
  for (const path of session.openPaths()) {
    if (path === best || !path.isUsable) continue;
    const other = buildPacket(session, path, { control: true }, now);
    if (other !== undefined) return other;
  }
  return undefined;
}

function nextData(session: SessionState, now: Instant): Built | undefined {
  const pending = session.streams?.pending();
  if (pending === undefined) return undefined;
  const paths = dataPaths(session);
  if (!pending.hasWork) {
    if (!pending.isBlocked) markAppLimited(paths);
    return nextReinjection(session, paths, pending.isBlocked, now);
  }
  const views = paths.map((path) => viewOf(path, now));
  const choice = session.scheduler({
    paths: views,
    pendingBytes: pending.bytes,
    creditBytes: pending.creditBytes,
    skippedBytes: pending.skippedBytes,
    lastPathId: session.lastPathId,
  });
  if (choice.type === 'wait') {
    markWaiting(paths, views);
    return undefined;
  }
  const path = paths.find((one) => one.id === choice.pathId);
  if (path === undefined) return undefined;
  session.lastPathId = path.id;
  const silenceMs = now - Math.max(path.lastReceivedAt, path.lastSentAt);
  const { aheadBytes } = choice;
  const built = buildPacket(session, path, { control: true, data: true, aheadBytes }, now);
  if (built !== undefined && silenceMs > DOUBT_AFTER_SILENCE_MS) probeAnother(session, path);
  for (const other of paths) {
    if (built !== undefined && choice.copies.includes(other.id)) queueCopies(other, built.pieces);
  }
  return built;
}

/**
 * Whoever breaks a long silence may have moved meanwhile, or the path may have died of it. Nothing
 * tells before a round trip has passed, and the probe carries a copy of the data
 * (protocol.md#silence).
 */
function probeAnother(session: SessionState, path: Path): void {
  let best: Path | undefined;
  for (const other of session.openPaths()) {
    // One over the same kind of carrier, itself too, would suffer the same fate.
    if (other.carrier.isStream === path.carrier.isStream || !other.isHealthy) continue;
    if (best === undefined || other.rtt.smoothedRttMs < best.rtt.smoothedRttMs) best = other;
  }
  best?.health.wantProbe();
}

/** Paths that may carry data: the healthy ones; failing them those in doubt, or being joined. */
function dataPaths(session: SessionState): readonly Path[] {
  const open = session.openPaths();
  if (open.every((path) => path.isHealthy)) return open;
  const healthy = open.filter((path) => path.isHealthy);
  if (healthy.length > 0) return healthy;
  const doubtful = open.filter((path) => path.state === 'active');
  return doubtful.length > 0 ? doubtful : open.filter((path) => path.state === 'joining');
}

function viewOf(path: Path, now: Instant): PathView {
  const packetBytes = path.packetBytes;
  const space = path.windowSpaceBytes;
  const hasWindow = space >= Math.min(packetBytes, path.congestion.congestionWindowBytes);
  const hasCarrier = path.carrierSpaceBytes >= Math.min(packetBytes, MIN_CARRIER_SPACE_BYTES);
  const pacingMs = Math.max(0, path.pacedUntil - now);
  const canSend = hasWindow && hasCarrier && pacingMs === 0;
  if ((!hasWindow || pacingMs > 0) && hasCarrier) path.wasWindowLimited = true;
  if (pacingMs > 0 || !hasWindow || !hasCarrier) path.isHeldByPacer = hasWindow && hasCarrier;
  const windowMs = hasWindow ? 0 : (packetBytes - space) / path.ratePerMs;
  const carrierMs = hasCarrier ? 0 : packetBytes / path.ratePerMs;
  return {
    pathId: path.id,
    isBackup: path.isBackup,
    canSend,
    // Waiting for the window is waiting for acknowledgements: the queue ahead drains meanwhile.
    waitMs: canSend ? 0 : Math.max(pacingMs, windowMs, carrierMs),
    arrivalMs: path.arrivalMs(packetBytes),
    smoothedRttMs: path.rtt.smoothedRttMs,
    minRttMs: path.rtt.minRttMs,
    rttVarianceMs: path.rtt.rttVarianceMs,
    rate: path.ratePerMs,
    packetBytes,
  };
}

function markAppLimited(paths: readonly Path[]): void {
  for (const path of paths) {
    if (path.windowSpaceBytes <= 0) path.wasWindowLimited = true;
    else path.rate.limitedByApplication(path.recovery.inFlightBytes);
  }
}

/** Those that could send but shall not are short of data as well. */
function markWaiting(paths: readonly Path[], views: readonly PathView[]): void {
  views.forEach((view, index) => {
    const path = paths[index];
    if (view.canSend && path !== undefined) {
      path.rate.limitedByApplication(path.recovery.inFlightBytes);
    }
  });
}

/**
 * Nothing new can be sent: everything is under way, or the window is full. What holds up the
 * end, or the window, is sent again where it would arrive clearly earlier.
 */
function nextReinjection(
  session: SessionState,
  paths: readonly Path[],
  isBlocked: boolean,
  now: Instant,
): Built | undefined {
  if (paths.length < 2) return undefined;
  for (const path of paths) {
    const view = viewOf(path, now);
    if (!view.canSend || view.isBackup) continue;
    const here = { arrivalMs: view.arrivalMs, isBlocked, now };
    const laggard = worstLaggard(session, path, paths, here);
    if (laggard === undefined) continue;
    reinject(session, laggard.path, laggard.packet);
    return buildPacket(session, path, { data: true }, now);
  }
  return undefined;
}

interface Laggard {
  readonly path: Path;
  readonly packet: SentPacket;
}

function worstLaggard(
  session: SessionState,
  path: Path,
  paths: readonly Path[],
  here: { readonly arrivalMs: number; readonly isBlocked: boolean; readonly now: Instant },
): Laggard | undefined {
  let worst: Laggard | undefined;
  let worstMs = 0;
  const gain = Math.max(REINJECT_MIN_GAIN_MS, path.rtt.minRttMs / 2);
  for (const other of paths) {
    if (other === path) continue;
    const packet = firstWithData(session, other, true);
    if (packet === undefined) continue;
    const wait = remainingMs(other, packet, here.isBlocked, here.now);
    if (wait < here.arrivalMs + gain || wait <= worstMs) continue;
    worst = { path: other, packet };
    worstMs = wait;
  }
  return worst;
}

/**
 * How long until a packet arrives, by the estimate when it was sent. One that is late, so that
 * even its acknowledgement should be here, is taken to need as long again as it is late.
 */
function remainingMs(path: Path, packet: SentPacket, isBlocked: boolean, now: Instant): number {
  const { minRttMs, rttVarianceMs } = path.rtt;
  // With the window full there is nothing better to send: less patience.
  const patienceMs = isBlocked ? REINJECT_MIN_GAIN_MS : 2 * rttVarianceMs;
  const ackExpectedAt = packet.expectedArrivalAt + minRttMs / 2 + patienceMs;
  return Math.max(packet.expectedArrivalAt - now, now - ackExpectedAt);
}

/** When `nextTransmit` or a timer has something to do without any further input. */
export function nextTimeout(session: SessionState): Instant | undefined {
  let next = Number.POSITIVE_INFINITY;
  if (session.lifecycle === 'closing') {
    next = Math.min(session.closeDeadline ?? next, closeRepeatAt(session));
    return Number.isFinite(next) ? (next as Instant) : undefined;
  }
  if (!session.isRunning) return undefined;
  next = session.lastHeardAt + session.options.sessionTimeoutMs;
  const hasWork = session.streams?.pending().hasWork ?? false;
  for (const path of session.openPaths()) {
    const { recovery } = path;
    const hasAckRoom = ackCarrier(session, path).carrierSpaceBytes >= ACK_PACKET_BYTES;
    if (path.acks.deadline !== undefined && hasAckRoom) next = Math.min(next, path.acks.deadline);
    if (recovery.lossAt !== undefined) next = Math.min(next, recovery.lossAt);
    next = Math.min(next, silenceDeadline(session, path) ?? next, path.mtu?.expiresAt ?? next);
    next = Math.min(next, path.addresses?.nextAt ?? next, keepAliveAt(session, path));
    if (path.isHealthy) next = Math.min(next, lateAt(path) ?? next);
    if (path.state === 'suspect') next = Math.min(next, suspectProbeAt(path));
    // Where pacing had ended when we were asked, something else holds the data back.
    const isPaced = path.pacedUntil > session.askedAt;
    const hasData = hasWork || path.copies.length > 0;
    if (hasData && isPaced && path.isUsable && path.windowSpaceBytes > 0)
      next = Math.min(next, path.pacedUntil);
  }
  return next as Instant;
}
