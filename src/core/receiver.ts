/**
 * From a packet of a path to what its frames do. Nothing here throws because of what arrived:
 * what is not authentic is counted and dropped, what breaks the protocol closes the session.
 *
 * @module
 */

import {
  type AckFrame,
  type CloseFrame,
  type DataPacket,
  decodeFrames,
  expandPacketNumber,
  type Frame,
  isAckEliciting,
  type JoinPacket,
  WireError,
} from '../wire/index.js';
import { SPEC_MAX_ACKS_PER_PACKET } from './ack-tracker.js';
import { createCongestion, type GroupMember } from './congestion/index.js';
import type { Address, Instant, PathId } from './contract.js';
import {
  ClosedByPeerError,
  PeerError,
  RevokedError,
  SupersededError,
  WIRE_CODES,
} from './errors.js';
import {
  activate,
  closePath,
  packetsLost,
  packetsMissent,
  packetsSettled,
  pathProgressed,
} from './failure.js';
import type { Path } from './path.js';
import type { SentFrame } from './recovery.js';
import { RttEstimator } from './rtt.js';
import { takeServerAddresses } from './server-addresses.js';
import { closedGracefully, fail, finishClosed } from './session-end.js';
import type { SessionState } from './session-state.js';

/** Responses waiting for a path; a peer that asks for more is not answered. */
const MAX_PINNED_FRAMES = 16;

/** `fatal`: the carrier delivers what it must not; it has to be closed. */
export type Reception = 'accepted' | 'rejected' | 'replayed' | 'fatal';

/** Why a datagram path is closed when a packet of it was fatal. */
export const TOO_MANY_FORGERIES = 'too many of its packets were not authentic';

export function receivePacket(
  session: SessionState,
  path: Path,
  packet: DataPacket | JoinPacket,
  bytes: number,
  from: Address | undefined,
  now: Instant,
): Reception {
  // What is authentic counts here, not what is acknowledged: some of it never is.
  const { largest } = path.replay;
  const number = expandPacketNumber(packet.truncatedNumber, largest);
  if (path.carrier.isStream && number !== largest + 1) return 'fatal';
  if (!path.replay.check(number)) {
    path.counters.replayedPackets += 1;
    if (from !== undefined) heardAgain(path, packet, number, from);
    return 'replayed';
  }
  const payload = path.opener.open(packet.keyPhase, number, packet.header, packet.sealed);
  if (payload === undefined) {
    path.counters.rejectedPackets += 1;
    return path.carrier.isStream || path.opener.exhausted ? 'fatal' : 'rejected';
  }
  const isNewest = number > largest;
  path.replay.record(number);
  path.counters.receivedPackets += 1;
  path.counters.receivedBytes += bytes;
  const silenceMs = now - Math.max(path.lastSentAt, path.lastReceivedAt);
  if (number > largest + 1) path.keepAlive.doubted(now);
  else path.keepAlive.heardFirst(silenceMs, now);
  path.lastReceivedAt = now;
  session.lastHeardAt = now;
  if (from !== undefined) path.addresses?.received(from, bytes, isNewest, now);
  heardFrom(session, path, now);
  if (session.isOpen) takeFrames(session, path, payload, number, now);
  return 'accepted';
}

/**
 * A copy tells whether the client is still where it was. Anyone can make up a number that was seen:
 * it is opened, but only while the answer matters.
 */
function heardAgain(
  path: Path,
  { keyPhase, header, sealed }: DataPacket | JoinPacket,
  number: number,
  from: Address,
): void {
  if (path.addresses?.likelyNext === undefined || from !== path.addresses.current) return;
  if (path.opener.open(keyPhase, number, header, sealed) !== undefined)
    path.addresses.repeated(from);
}

/** An authentic packet shows that the peer knows the path, and that one direction works. */
function heardFrom(session: SessionState, path: Path, now: Instant): void {
  if (path.state === 'joining') activate(session, path, 'the peer answered');
  if (path.state === 'suspect' && now - path.health.progressAt > 0) {
    if (session.activePathCount === 0) path.health.wantProbe();
  }
}

function takeFrames(
  session: SessionState,
  path: Path,
  payload: Uint8Array,
  number: number,
  now: Instant,
): void {
  try {
    const frames = decodeFrames(payload);
    const isTaken = session.isRunning;
    let elicits = false;
    let ackCount = 0;
    let close: CloseFrame | undefined;
    for (const frame of frames) {
      if (isAckEliciting(frame)) elicits = true;
      if (frame.type === 'ack') ackCount += 1;
      if (ackCount > SPEC_MAX_ACKS_PER_PACKET) {
        throw new PeerError(
          'LIMIT_EXCEEDED',
          `more than ${SPEC_MAX_ACKS_PER_PACKET} ACK frames`,
          2,
        );
      }
      if (frame.type === 'close') close ??= frame;
      else if (session.isRunning) takeFrame(session, path, frame, now);
      else if (frame.type === 'ack') takeAck(session, frame, now);
    }
    // Last: what is acknowledged in the same packet counts as delivered, wherever it stands.
    if (close !== undefined) takeClose(session, path, close);
    // After our CLOSE what they bring is thrown away: the peer must not count it as delivered.
    if (isTaken || close !== undefined) {
      path.acks.received(number, payload.length, elicits, now);
    }
    if (path.state === 'suspect') path.acks.hurry();
  } catch (error) {
    if (error instanceof WireError) {
      fail(session, new PeerError('FRAME_ENCODING', error.message, error.frameType), now);
    } else if (error instanceof PeerError) {
      fail(session, error, now);
    } else {
      throw error;
    }
  }
}

function takeFrame(
  session: SessionState,
  path: Path,
  frame: Exclude<Frame, CloseFrame>,
  now: Instant,
): void {
  const streams = session.streams;
  if (streams === undefined) return;
  switch (frame.type) {
    case 'padding':
    case 'ping':
      return;
    case 'ack':
      return takeAck(session, frame, now);
    case 'stream':
      return streams.received(frame, now);
    case 'resetStream':
      return streams.resetReceived(frame.streamId, frame.code, frame.finalSize, now);
    case 'stopSending':
      return streams.stopReceived(frame.streamId, frame.code, now);
    case 'maxData':
      return streams.maxDataReceived(frame.maximum);
    case 'maxStreamData':
      return streams.maxStreamDataReceived(frame.streamId, frame.maximum, now);
    case 'maxStreams':
      return streams.maxStreamsReceived(frame.bidirectional, frame.maximum);
    case 'pathChallenge':
      path.keepAlive.doubted(now);
      if (path.pinned.length < MAX_PINNED_FRAMES) {
        path.pinned.push({ type: 'pathResponse', data: frame.data.slice() });
      }
      return;
    case 'pathResponse':
      return takeResponse(session, frame.data, now);
    case 'pathAbandon':
      return takeAbandon(session, frame.pathId as PathId, frame.code);
    case 'pathStatus':
      return takeStatus(session, frame.pathId as PathId, frame.sequence, frame.status);
    case 'serverAddresses':
      return takeServerAddresses(session, frame);
  }
}

function knownPath(session: SessionState, pathId: PathId): Path | undefined {
  const path = session.paths.get(pathId);
  if (path === undefined && !session.usedPathIds.has(pathId)) {
    throw new PeerError('PROTOCOL_VIOLATION', `there never was a path ${pathId}`);
  }
  return path;
}

/** A stream carrier's round trip counts as no longer than this when it was silent meanwhile. */
const MAX_REPAIR_MS = 2_000;

function takeAck(session: SessionState, frame: AckFrame, now: Instant): void {
  const path = knownPath(session, frame.pathId as PathId);
  if (path === undefined) return;
  const priorInFlight = path.recovery.inFlightBytes;
  const outcome = path.recovery.acknowledge(frame.ranges, now);
  if (outcome === undefined) {
    throw new PeerError('PROTOCOL_VIOLATION', 'it acknowledged a packet that was never sent', 0x02);
  }
  const { acked, spurious, largestAcked } = outcome;
  path.mtu?.acknowledged(frame.ranges, path.recovery.packetThreshold);
  packetsSettled(path, acked, []);
  if (acked.length === 0 && spurious.length === 0) return;
  if (largestAcked !== undefined) {
    const delayMs = Math.min(frame.delayUs / 1000, session.maxAckDelayMs);
    // A stream carrier repairs what it loses: all behind it is late, on no longer a path.
    const inFlightMs = path.carrier.isStream
      ? Number.POSITIVE_INFINITY
      : priorInFlight / path.ratePerMs;
    // What a silence has held up tells how long the silence was, and only within limits of the path.
    const isHeldUp = path.carrier.isStream && largestAcked.sentAt < path.health.lastSuspectAt;
    const longestMs = isHeldUp ? MAX_REPAIR_MS : Number.POSITIVE_INFINITY;
    const rttMs = Math.min(now - largestAcked.sentAt, longestMs);
    path.rtt.sample(rttMs, delayMs, now, inFlightMs);
  }
  for (const packet of acked) {
    path.rate.delivered(packet.rateMark, packet.bytes, packet.sentAt, now);
    path.sealer.acknowledged(packet.number);
    arrived(session, packet.frames);
  }
  for (const packet of spurious) arrived(session, packet.frames);
  if (spurious.length > 0) {
    path.counters.spuriousLosses += spurious.length;
    path.congestion.lossWasSpurious(spurious.reduce((sum, packet) => sum + packet.bytes, 0));
  }
  packetsLost(session, path, path.recovery.detectLost(path.rtt, now), now);
  const newest = acked[acked.length - 1];
  if (newest === undefined) return;
  path.congestion.acknowledged(
    {
      ackedBytes: outcome.ackedBytes,
      inFlightBytes: path.recovery.inFlightBytes,
      deliveredBytes: path.rate.deliveredBytes,
      largestSentAt: newest.sentAt,
      rate: path.rate.takeSample(path.rtt.minRttMs, now),
      minRttMs: path.rtt.minRttMs,
      smoothedRttMs: path.rtt.smoothedRttMs,
      rttVarianceMs: path.rtt.rttVarianceMs,
      latestRttMs: path.rtt.latestRttMs,
      isAppLimited:
        !path.wasWindowLimited && priorInFlight < path.congestion.congestionWindowBytes / 2,
    },
    now,
  );
  path.wasWindowLimited = false;
  if (largestAcked !== undefined && !path.carrier.isStream) watchBottlenecks(session, path, now);
  pathProgressed(session, path, acked, now);
}

/** Paths that share a bottleneck grow together as one flow would. */
function watchBottlenecks(session: SessionState, path: Path, now: Instant): void {
  const { latestRttMs, minRttMs } = path.rtt;
  path.delays.sample(latestRttMs, now - minRttMs / 2);
  if (!session.bottlenecks.isDue(now)) return;
  const members = new Map<number, GroupMember>();
  for (const other of session.paths.values()) {
    if (!other.carrier.isStream && other.isHealthy) members.set(other.id, memberOf(other));
  }
  for (const [id, share] of session.bottlenecks.shares(members, now)) {
    const other = session.paths.get(id as PathId);
    if (other !== undefined) other.share = share;
  }
}

function memberOf(path: Path): GroupMember {
  return {
    delays: path.delays,
    windowBytes: path.congestion.congestionWindowBytes,
    rttMs: path.rtt.smoothedRttMs,
    isStarting: path.congestion.isStarting,
  };
}

function arrived(session: SessionState, frames: readonly SentFrame[]): void {
  for (const sent of frames) {
    if (sent.kind === 'stream') {
      session.streams?.acknowledged(
        sent.streamId,
        sent.offset,
        sent.offset + sent.length,
        sent.fin,
      );
    } else if (sent.frame.type === 'resetStream') {
      session.streams?.resetAcknowledged(sent.frame.streamId);
    } else if (sent.frame.type === 'maxStreams') {
      session.streams?.maxStreamsAcknowledged(sent.frame.bidirectional, sent.frame.maximum);
    } else if (sent.frame.type === 'close' && session.lifecycle === 'closing') {
      finishClosed(session);
    }
  }
}

function takeResponse(session: SessionState, data: Uint8Array, now: Instant): void {
  for (const path of session.openPaths()) {
    const outcome = path.addresses?.responded(data, now);
    if (outcome === undefined || outcome.type === 'none') continue;
    if (outcome.type === 'moved') {
      if (!outcome.portOnly) resetEstimates(session, path, outcome.rttMs);
      packetsMissent(session, path);
      session.emit({
        type: 'path',
        pathId: path.id,
        carrierId: path.carrier.id,
        state: path.state,
        reason: `moved to ${outcome.address}`,
      });
    }
    return;
  }
}

/** RFC 9000 §9.4: another network; what was learnt of the old one is void. */
function resetEstimates(session: SessionState, path: Path, rttMs: number): void {
  path.mtu?.restart();
  path.congestion = createCongestion(path.carrier, session.options, path.packetBytes);
  path.congestion.shareChanged(path.share);
  // A guess, no sample (RFC 9002 §6.2.2).
  path.rtt = new RttEstimator(rttMs);
  path.recovery.resetReordering();
}

/** protocol.md#close: the end is acknowledged, and then there is nothing more to say. */
function takeClose(session: SessionState, path: Path, frame: CloseFrame): void {
  const { application, code, reason } = frame;
  if (session.isOpen) session.farewells.push({ path, frames: [] });
  if (code === WIRE_CODES.NO_ERROR) return closedGracefully(session);
  if (!application && code === WIRE_CODES.SUPERSEDED) {
    return finishClosed(session, new SupersededError('a newer session of this instance took over'));
  }
  if (!application && code === WIRE_CODES.REVOKED) {
    return finishClosed(session, new RevokedError('the server has revoked the key'));
  }
  finishClosed(session, new ClosedByPeerError(application, code, reason));
}

/** A client's word of a path may overtake the path's first packet; a server's never does. */
function isOfPathToCome(session: SessionState, pathId: PathId): boolean {
  return session.role === 'server' && !session.usedPathIds.has(pathId);
}

function takeAbandon(session: SessionState, pathId: PathId, code: number): void {
  if (isOfPathToCome(session, pathId)) {
    session.usePathId(pathId);
    return;
  }
  const path = knownPath(session, pathId);
  if (path === undefined) return;
  closePath(session, path, `the peer abandoned it (code ${code})`, { tellPeer: undefined });
}

function takeStatus(
  session: SessionState,
  pathId: PathId,
  sequence: number,
  status: 'available' | 'backup',
): void {
  if (isOfPathToCome(session, pathId)) {
    session.rememberStatus(pathId, { sequence, status });
    return;
  }
  const path = knownPath(session, pathId);
  if (path === undefined || sequence <= path.peerStatusSequence) return;
  path.peerStatusSequence = sequence;
  path.peerStatus = status;
}
