/**
 * Builds one packet for one path: chooses frames, seals them, and enters the packet into the
 * path's books.
 *
 * @module
 */

import { AEAD_TAG_BYTES, concatBytes } from '../crypto/index.js';
import {
  DATAGRAM_DATA_HEADER_BYTES,
  dataHeader,
  encodedLength,
  encodeFrame,
  FIRST_JOIN,
  type Frame,
  isAckEliciting,
  JOIN_HEADER_BYTES,
  joinHeader,
  RECORD_HEADER_BYTES,
  recordHeader,
  STREAM_DATA_HEADER_BYTES,
  streamHeaderLength,
  type Writer,
  writeStreamHeader,
} from '../wire/index.js';
import { MAX_ACKS_SENT_AT_ONCE } from './ack-tracker.js';
import type { Address, Instant, Transmit } from './contract.js';
import { assert } from './errors.js';
import type { Path } from './path.js';
import type { SentFrame } from './recovery.js';
import type { SessionState } from './session-state.js';
import type { Piece } from './streams/stream-table.js';

/** Least room worth starting a STREAM frame for. */
const MIN_STREAM_ROOM_BYTES = 32;
/** A packet of many small pieces is copied together: sealing many chunks costs more. */
const MAX_PLAINTEXT_CHUNKS = 8;

/**
 * Datagrams are at least this long: some NATs and firewalls take tiny ones for scans or keep-alives of
 * others, and drop them. It also makes acknowledgements, probes and single keystrokes look alike.
 */
export const MIN_DATAGRAM_BYTES = 64;

export interface Contents {
  /** Datagram carriers: to another address than the path's own. */
  readonly to?: Address;
  /** Frames to put in first. */
  readonly frames?: readonly Frame[];
  /** Acknowledgements in this packet are said again elsewhere: it may not arrive. */
  readonly keepsAcks?: boolean;
  /** Whether control frames of the session may ride along. */
  readonly control?: boolean;
  /** Whether stream data may. */
  readonly data?: boolean;
  /** With `data`: so much of what waits is left to other paths, which deliver it sooner; 0. */
  readonly aheadBytes?: number;
  /** Stream data that another path carries too; this packet does not answer for it. */
  readonly copies?: readonly Piece[];
  /** Datagram carriers: a probe of this size; its loss is of no consequence. */
  readonly padToBytes?: number;
  /** The whole packet, header included, is at most this long. */
  readonly limitBytes?: number;
}

export interface Built {
  readonly transmit: Transmit;
  readonly bytes: number;
  /** The stream data that went in. */
  readonly pieces: readonly Piece[];
}

/** Whether the packet must carry an envelope, so that the server knows the path, or says GONE. */
function needsEnvelope(session: SessionState, path: Path): boolean {
  if (session.role !== 'client' || session.joinEnvelope === undefined) return false;
  if (path.carrier.isStream) return path.id !== 0 && path.recovery.nextNumber === 0;
  return path.state === 'suspect' || (path.state === 'joining' && path.id !== 0);
}

function headerBytes(session: SessionState, path: Path): number {
  if (needsEnvelope(session, path)) {
    return JOIN_HEADER_BYTES + (path.carrier.isStream ? RECORD_HEADER_BYTES : 0);
  }
  return path.carrier.isStream
    ? RECORD_HEADER_BYTES + STREAM_DATA_HEADER_BYTES
    : DATAGRAM_DATA_HEADER_BYTES;
}

/** The largest packet that can go out on the path now, all included. */
export function packetLimit(session: SessionState, path: Path): number {
  const most = path.carrier.isStream
    ? Math.min(path.packetBytes, session.options.maxPacketBytes + RECORD_HEADER_BYTES)
    : path.packetBytes;
  return Math.min(most, path.carrierSpaceBytes);
}

/** Whether a packet goes to an address that has not become the path's own. */
function goesElsewhere(path: Path, contents: Contents): boolean {
  return contents.to !== undefined && contents.to !== path.addresses?.current;
}

function elsewhereLimit(path: Path, to: Address | undefined): number {
  return Math.min(
    path.packetBytes,
    to === undefined ? 0 : (path.addresses?.budgetBytesOf(to) ?? 0),
  );
}

/** Frames on their way into one packet. */
class Draft {
  readonly chunks: Uint8Array[] = [];
  readonly sent: SentFrame[] = [];
  readonly pieces: Piece[] = [];
  readonly writer: Writer;
  roomBytes: number;
  elicits = false;

  constructor(writer: Writer, roomBytes: number) {
    this.writer = writer;
    this.roomBytes = roomBytes;
  }

  get isEmpty(): boolean {
    return this.chunks.length === 0 && this.writer.length === 0;
  }

  /** @returns whether it fitted. */
  add(frame: Frame): boolean {
    const length = encodedLength(frame);
    if (length > this.roomBytes) return false;
    encodeFrame(this.writer, frame);
    this.roomBytes -= length;
    if (isAckEliciting(frame)) {
      this.elicits = true;
      if (isRepeatable(frame)) this.sent.push({ kind: 'control', frame });
    }
    return true;
  }

  addPiece(piece: Piece, runsToEnd: boolean): void {
    const { stream, range, fin } = piece;
    const length = range.end - range.start;
    const before = this.writer.length;
    writeStreamHeader(this.writer, stream.id, range.start, runsToEnd ? undefined : length, fin);
    this.roomBytes -= this.writer.length - before + length;
    if (runsToEnd) this.roomBytes = 0;
    if (length > 0) {
      this.flush();
      for (const view of stream.read(range)) this.chunks.push(view);
    }
    this.elicits = true;
    this.pieces.push(piece);
    this.sent.push({ kind: 'stream', streamId: stream.id, offset: range.start, length, fin });
  }

  /** @param limitBytes what the whole packet may be. */
  padTo(leastBytes: number, limitBytes: number): void {
    const length = Math.min(this.roomBytes, leastBytes - (limitBytes - this.roomBytes));
    if (length > 0) this.add({ type: 'padding', length });
  }

  /** Fills the packet. */
  pad(): void {
    if (this.roomBytes > 0) this.add({ type: 'padding', length: this.roomBytes });
  }

  flush(): void {
    if (this.writer.length > 0) this.chunks.push(this.writer.take());
  }

  plaintext(): readonly Uint8Array[] {
    this.flush();
    if (this.chunks.length <= MAX_PLAINTEXT_CHUNKS) return this.chunks;
    const joined = new Uint8Array(this.chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of this.chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    return [joined];
  }
}

/** Challenges are made anew and then answered anew; probes need no second sending. */
function isRepeatable(frame: Frame): boolean {
  return frame.type !== 'ping' && frame.type !== 'pathChallenge' && frame.type !== 'pathResponse';
}

/** @returns `undefined` if there is nothing to say, or no room for it. */
export function buildPacket(
  session: SessionState,
  path: Path,
  contents: Contents,
  now: Instant,
): Built | undefined {
  if (path.sealer.exhausted) return undefined;
  const isElsewhere = goesElsewhere(path, contents);
  const most = isElsewhere ? elsewhereLimit(path, contents.to) : packetLimit(session, path);
  const limit =
    contents.padToBytes ?? Math.min(most, contents.limitBytes ?? Number.MAX_SAFE_INTEGER);
  const draft = new Draft(session.writer, limit - headerBytes(session, path) - AEAD_TAG_BYTES);
  if (draft.roomBytes <= 0) return undefined;
  // What the peer needs goes where the peer is known to be. If that is out of date, a copy of the
  // acknowledgement at the new address saves a round trip.
  const keepsAcks = isElsewhere || contents.keepsAcks === true;
  for (const frame of contents.frames ?? []) draft.add(frame);
  if (contents.padToBytes !== undefined) {
    draft.pad();
    return seal(session, path, draft, contents, now);
  }
  addAcks(session, path, draft, keepsAcks, now);
  if (!isElsewhere) addQueued(path.pinned, draft);
  if (contents.control === true) addQueued(session.control, draft);
  for (const piece of contents.copies ?? []) addCopy(piece, draft);
  if (contents.data === true) addData(session, draft, contents.aheadBytes ?? 0);
  if (draft.isEmpty) return undefined;
  askNowAndThen(session, path, draft);
  if (!path.carrier.isStream) draft.padTo(MIN_DATAGRAM_BYTES, limit);
  return seal(session, path, draft, contents, now);
}

/** Of the packets until a key update, every so many asks for an acknowledgement. */
const ASKS_PER_KEY_UPDATE = 4;

/**
 * A path that only acknowledges is never acknowledged itself, and its key could never be updated
 * (RFC 9000 §13.2.4, protocol.md#key-update).
 */
function askNowAndThen(session: SessionState, path: Path, draft: Draft): void {
  const every = Math.ceil(session.options.keyUpdatePackets / ASKS_PER_KEY_UPDATE);
  if (!draft.elicits && (path.recovery.nextNumber + 1) % every === 0) draft.add({ type: 'ping' });
}

/** What arrived on this path, and on paths that can't say so themselves. */
function addAcks(
  session: SessionState,
  path: Path,
  draft: Draft,
  keepsAcks: boolean,
  now: Instant,
): void {
  let count = 0;
  for (const other of session.paths.values()) {
    if (count >= MAX_ACKS_SENT_AT_ONCE) return;
    if (!other.acks.isPending) continue;
    const isOurs = other === path || (!other.isHealthy && path.isUsable);
    if (!isOurs) continue;
    const { ranges, delayUs } = other.acks.report(now);
    const frame: Frame = {
      type: 'ack',
      pathId: other.id,
      largest: other.acks.largest,
      delayUs,
      ranges,
    };
    let isIn = draft.add(frame);
    for (; !isIn && ranges.length > 1; isIn = draft.add(frame)) {
      ranges.length = Math.ceil(ranges.length / 2);
    }
    if (isIn) count += 1;
    if (isIn && !keepsAcks) other.acks.reported();
  }
}

function addQueued(queue: Frame[], draft: Draft): void {
  while (queue.length > 0) {
    const frame = queue[0];
    if (frame === undefined || !draft.add(frame)) return;
    queue.shift();
  }
}

function addData(session: SessionState, draft: Draft, aheadBytes: number): void {
  const streams = session.streams;
  while (streams !== undefined && draft.roomBytes >= MIN_STREAM_ROOM_BYTES) {
    const stream = streams.select(aheadBytes);
    if (stream === undefined) return;
    const offset = aheadBytes > 0 ? stream.sentBytes + aheadBytes : stream.nextPieceOffset;
    const shortHeader = streamHeaderLength(stream.id, offset, undefined);
    const piece = streams.take(stream, draft.roomBytes - shortHeader, aheadBytes);
    if (piece === undefined) return;
    const length = piece.range.end - piece.range.start;
    const longHeader = streamHeaderLength(stream.id, piece.range.start, length);
    draft.addPiece(piece, longHeader + length > draft.roomBytes);
  }
}

function addCopy(piece: Piece, draft: Draft): void {
  const { stream, range, fin } = piece;
  if (!stream.isOutstanding(range.start, range.end, fin)) return;
  // What has arrived in order meanwhile is no longer held.
  const start = Math.min(range.end, Math.max(range.start, stream.acknowledgedBytes));
  const room = draft.roomBytes - streamHeaderLength(stream.id, start, draft.roomBytes);
  const end = Math.min(range.end, start + Math.max(0, room));
  const isWhole = end === range.end;
  if (room < 0 || (end === start && !(fin && isWhole))) return;
  const copy = { stream, range: { start, end }, fin: fin && isWhole, isNew: false };
  draft.addPiece(copy, false);
}

function seal(
  session: SessionState,
  path: Path,
  draft: Draft,
  contents: Contents,
  now: Instant,
): Built {
  if (path.sealer.needsUpdate) path.sealer.updateKey();
  const packetNumber = path.recovery.nextNumber;
  const header = packetHeader(session, path, packetNumber);
  const plaintext = draft.plaintext();
  let length = header.length + AEAD_TAG_BYTES;
  for (const chunk of plaintext) length += chunk.length;
  const front = path.carrier.isStream ? concatBytes(recordHeader(length), header) : header;
  const chunks = path.sealer.seal(packetNumber, header, plaintext, front);
  const bytes = front.length - header.length + length;
  account(session, path, draft, bytes, contents, now);
  const remote = contents.to ?? path.addresses?.current;
  if (remote !== undefined) path.addresses?.sent(remote, bytes);
  if (path.carrier.isStream) {
    path.carrier.grantBytes -= bytes;
    assert(path.carrier.grantBytes >= 0, 'no more is sent than the carrier granted');
  }
  const carrierId = path.carrier.id;
  const transmit: Transmit =
    remote === undefined ? { carrierId, chunks } : { carrierId, chunks, remote };
  return { transmit, bytes, pieces: draft.pieces };
}

function packetHeader(session: SessionState, path: Path, packetNumber: number): Uint8Array {
  const { keyPhase } = path.sealer;
  if (needsEnvelope(session, path) && session.joinEnvelope !== undefined) {
    const envelope = session.joinEnvelope(path.id, FIRST_JOIN);
    return joinHeader({ keyPhase, envelope, packetNumber });
  }
  const connectionId = path.carrier.isStream ? undefined : path.sendConnectionId;
  return dataHeader({ keyPhase, connectionId, packetNumber });
}

function count(session: SessionState, pieces: readonly Piece[]): void {
  for (const { range, isNew } of pieces) {
    if (isNew) session.counters.sentNewBytes += range.end - range.start;
    else session.counters.sentAgainBytes += range.end - range.start;
  }
}

function account(
  session: SessionState,
  path: Path,
  draft: Draft,
  bytes: number,
  contents: Contents,
  now: Instant,
): void {
  count(session, draft.pieces);
  if (contents.padToBytes !== undefined) {
    const number = path.recovery.nextNumber;
    path.mtu?.probed(number, bytes, path.rtt.probeTimeoutMs(session.maxAckDelayMs), now);
    path.recovery.skipNumber();
    path.countSent(bytes, false, now);
    return;
  }
  path.mtu?.sent(bytes);
  // Silence of an address that may be anyone's says nothing of the path.
  if (!draft.elicits || goesElsewhere(path, contents)) {
    path.recovery.skipNumber();
    path.countSent(bytes, false, now);
    return;
  }
  const isCopy = contents.copies !== undefined && contents.data !== true;
  if (isCopy) {
    for (const { range } of draft.pieces) path.counters.reinjectedBytes += range.end - range.start;
  }
  const rateMark = path.rate.mark(path.recovery.inFlightBytes, now);
  if (path.ahead !== undefined) for (const one of draft.pieces) path.ahead.add(one);
  path.recovery.sent({
    number: path.recovery.nextNumber,
    sentAt: now,
    bytes,
    frames: draft.sent,
    rateMark,
    expectedArrivalAt: (now + path.arrivalMs(bytes)) as Instant,
    isReinjected: isCopy,
    isCopied: false,
  });
  path.countSent(bytes, true, now);
}
