/**
 * Data that is sent a second time although nothing says that it is lost: along with probes, for a
 * scheduler that wants it, and because the first time takes too long. The packet that carried it first
 * stays responsible for it.
 *
 * @module
 */

import type { Instant } from './contract.js';
import type { Path } from './path.js';
import type { Recovery, SentPacket } from './recovery.js';
import type { SessionState } from './session-state.js';
import type { Piece } from './streams/stream-table.js';

/** Pieces of data waiting to be copied to one path. */
const MAX_COPIES = 1_024;
/** A kernel's TCP repairs a loss within about a round trip; a pause below this is not felt. */
const LATE_MS = 100;
const LATE_ROUND_TRIPS = 1.25;
/** Where there is no repair to wait for. */
const SOON_LATE_MS = 40;
const SOON_LATE_ROUND_TRIPS = 0.5;
/** A path loses hardly anything if its round trips have not jumped for so long. */
const STEADY_MS = 2_000;
/** So little under way costs next to nothing to send twice: as soon as its answer is overdue. */
const SPARSE_BYTES = 14_600;
const SPARSE_LATE_MS = 10;

/** Real data for a probe: the oldest that is unacknowledged, wherever it is under way. */
export function duplicates(session: SessionState, limitBytes: number): Piece[] {
  let oldest: SentPacket | undefined;
  for (const other of session.openPaths()) {
    const candidate = firstWithData(session, other, false);
    if (candidate === undefined) continue;
    if (oldest === undefined || candidate.sentAt < oldest.sentAt) oldest = candidate;
  }
  return oldest === undefined ? [] : piecesOf(session, oldest, limitBytes);
}

/** How many packets of a path are looked at in search of data worth sending again. */
const MAX_SEARCHED_PACKETS = 32;

export function firstWithData(
  session: SessionState,
  path: Path,
  onlyOwned: boolean,
): SentPacket | undefined {
  let searched = 0;
  for (const packet of path.recovery.outstanding()) {
    searched += 1;
    if (searched > MAX_SEARCHED_PACKETS) return undefined;
    if (onlyOwned && packet.isReinjected) continue;
    for (const sent of packet.frames) {
      if (sent.kind !== 'stream') continue;
      const end = sent.offset + sent.length;
      if (session.streams?.isOutstanding(sent.streamId, sent.offset, end, sent.fin)) return packet;
    }
  }
  return undefined;
}

export function piecesOf(session: SessionState, packet: SentPacket, limitBytes: number): Piece[] {
  const pieces: Piece[] = [];
  let room = limitBytes;
  for (const sent of packet.frames) {
    if (sent.kind !== 'stream' || room <= 0) continue;
    const stream = session.streams?.sendStream(sent.streamId);
    if (stream === undefined) continue;
    const sentEnd = sent.offset + sent.length;
    const start = stream.firstUnacknowledged(sent.offset, sentEnd);
    const range = { start, end: Math.min(sentEnd, start + room) };
    if (!stream.isOutstanding(range.start, range.end, sent.fin)) continue;
    pieces.push({ stream, range, fin: sent.fin && range.end === sentEnd, isNew: false });
    room -= range.end - range.start;
  }
  return pieces;
}

export function queueCopies(path: Path, pieces: readonly Piece[]): void {
  path.copies.push(...pieces);
  // A path that can't keep up skips the oldest: they have the best chance to have arrived.
  path.copies.splice(0, path.copies.length - MAX_COPIES);
}

type Sending = Pick<Path, 'carrier' | 'recovery' | 'rtt'>;

/**
 * When what is under way on a stream carrier is late: it repairs its losses, so that it may deliver
 * very late and never be silent. `undefined` if it carries nothing, or all of it is copied already.
 */
export function lateAt(path: Sending): Instant | undefined {
  const oldest = path.carrier.isStream ? path.recovery.oldestOutstanding : undefined;
  const next = oldest?.isCopied ? firstUncopied(path.recovery) : oldest;
  if (next === undefined) return undefined;
  const expectedAt = next.expectedArrivalAt + path.rtt.minRttMs / 2;
  return (expectedAt + patienceMs(path, next, next !== oldest)) as Instant;
}

function firstUncopied(recovery: Recovery): SentPacket | undefined {
  for (const packet of recovery.outstanding()) if (!packet.isCopied) return packet;
  return undefined;
}

/** @param isStuck what goes before the packet is late, so that there is little hope for it. */
function patienceMs({ recovery, rtt }: Sending, { sentAt }: SentPacket, isStuck: boolean): number {
  const isSoon = isStuck || sentAt - rtt.steadySince > STEADY_MS;
  const repairMs = isSoon
    ? Math.max(SOON_LATE_MS, SOON_LATE_ROUND_TRIPS * rtt.minRttMs)
    : Math.max(LATE_MS, LATE_ROUND_TRIPS * rtt.minRttMs);
  if (recovery.inFlightBytes > SPARSE_BYTES) return repairMs;
  return Math.min(repairMs, Math.max(SPARSE_LATE_MS, 4 * rtt.rttVarianceMs));
}

/**
 * Copies what is late, and all that is under way behind it, to the path with the shortest round trip
 * of the others.
 */
export function copyLate(
  session: SessionState,
  path: Path,
  paths: readonly Path[],
  now: Instant,
): void {
  if (now < (lateAt(path) ?? Number.POSITIVE_INFINITY)) return;
  let best: Path | undefined;
  for (const other of paths) {
    if (other === path || !other.isHealthy) continue;
    if (best === undefined || isBetter(other, best)) best = other;
  }
  for (const packet of path.recovery.outstanding()) {
    if (packet.isCopied) continue;
    packet.isCopied = true;
    if (best === undefined || packet.isReinjected) continue;
    const pieces = piecesOf(session, packet, Number.MAX_SAFE_INTEGER);
    queueCopies(best, pieces);
    for (const { range } of pieces) path.counters.reinjectedBytes += range.end - range.start;
  }
}

/** A path that stands by is better than a late one, and worse than all others. */
function isBetter(path: Path, than: Path): boolean {
  if (path.isBackup !== than.isBackup) return than.isBackup;
  return path.rtt.smoothedRttMs < than.rtt.smoothedRttMs;
}
