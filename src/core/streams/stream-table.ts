/**
 * All streams of a session: ids and limits, flow control of the session as a whole, and which
 * stream sends next.
 *
 * @module
 */

import type { Frame } from '../../wire/index.js';
import type { Instant } from '../contract.js';
import { PeerError, UsageError } from '../errors.js';
import { type SessionOptions, STREAMS_PER_WINDOW } from '../options.js';
import type { Range } from '../range-set.js';
import type { Outbox, PeerLimits } from './outbox.js';
import { ReceiveStream, ReorderBudget } from './receive-stream.js';
import { ReceiveWindow } from './receive-window.js';
import { type Pending, SendQueue } from './send-queue.js';
import { SendStream } from './send-stream.js';
import { allowMore, type Kind, newKind, streamIndex, UNIDIRECTIONAL } from './stream-kind.js';

interface Stream {
  readonly id: number;
  readonly send: SendStream | undefined;
  readonly receive: ReceiveStream | undefined;
  readonly window: ReceiveWindow | undefined;
  toldReadable: boolean;
  /** The peer opened it while we were closing: nothing was written to it. */
  isLate: boolean;
}

export interface Piece {
  readonly stream: SendStream;
  readonly range: Range;
  readonly fin: boolean;
  readonly isNew: boolean;
}

export class StreamTable {
  readonly #opener: 0 | 1;
  readonly #options: SessionOptions;
  readonly #peer: PeerLimits;
  readonly #outbox: Outbox;
  readonly #streams = new Map<number, Stream>();
  readonly #queue = new SendQueue();
  /** Streams whose last write was not taken whole. */
  readonly #refused = new Set<number>();
  readonly #bidi: Kind;
  readonly #uni: Kind;
  readonly #window: ReceiveWindow;
  readonly #budget = new ReorderBudget();
  #receivedTotal = 0;
  #peerMaxData: number;
  #sentTotal = 0;
  #bufferedTotal = 0;
  #closing = false;

  /** @param opener 0 at the client, 1 at the server. */
  constructor(
    opener: 0 | 1,
    options: SessionOptions,
    peer: PeerLimits,
    outbox: Outbox,
    now: Instant,
  ) {
    this.#opener = opener;
    this.#options = options;
    this.#peer = peer;
    this.#outbox = outbox;
    this.#peerMaxData = peer.maxData;
    this.#bidi = newKind(peer.maxStreamsBidi, options.maxStreamsBidi);
    this.#uni = newKind(peer.maxStreamsUni, options.maxStreamsUni);
    this.#window = new ReceiveWindow(
      options.receiveWindowBytes,
      options.maxReceiveWindowBytes,
      now,
    );
  }

  // Commands of the application.

  /** @returns the new id, or `undefined` while the peer allows no more: `streamsAllowed` follows. */
  open(unidirectional: boolean, priority: number, now: Instant): number | undefined {
    const kind = unidirectional ? this.#uni : this.#bidi;
    if (kind.openedByUs >= kind.allowedToUs) {
      kind.isWanted = true;
      return undefined;
    }
    const id = kind.openedByUs * 4 + (unidirectional ? UNIDIRECTIONAL : 0) + this.#opener;
    kind.openedByUs += 1;
    const stream = this.#create(id, now);
    if (stream.send !== undefined) stream.send.priority = priority;
    return id;
  }

  /** Copies as much as fits. @returns how many bytes were taken. */
  write(streamId: number, bytes: Uint8Array): number {
    const stream = this.#get(streamId);
    const send = this.#sending(stream);
    if (send.isFinished) throw new UsageError(`stream ${streamId} was finished: no more writes`);
    if (send.resetCode !== undefined) return bytes.length;
    const space = Math.min(
      this.#options.streamSendBufferBytes - send.bufferedBytes,
      this.#options.sendBufferBytes - this.#bufferedTotal,
      this.#outbox.sendAheadBytes() - send.unsentBytes,
    );
    const taken = Math.max(0, Math.min(Math.floor(space), bytes.length));
    if (taken < bytes.length) this.#refused.add(streamId);
    if (taken === 0) return 0;
    send.write(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    this.#bufferedTotal += taken;
    this.#queue.add(send);
    return taken;
  }

  finish(streamId: number): void {
    const send = this.#sending(this.#get(streamId));
    if (send.isFinished || send.resetCode !== undefined) return;
    send.finish();
    this.#queue.add(send);
  }

  reset(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const send = this.#sending(stream);
    if (send.resetCode !== undefined || send.isDone) return;
    this.#bufferedTotal -= send.bufferedBytes;
    send.reset(code);
    this.#queue.delete(send);
    this.#refused.delete(streamId);
    this.#outbox.control({ type: 'resetStream', streamId, code, finalSize: send.sentBytes });
    this.#tellWritable();
  }

  stopSending(streamId: number, code: number, now: Instant): void {
    const stream = this.#streams.get(streamId);
    const receive = stream?.receive;
    if (stream === undefined || receive === undefined || receive.isStopped) return;
    if (receive.isDone) return;
    const complete = receive.finalSize !== undefined;
    this.#consumed(receive.stop(), now);
    if (!complete) this.#outbox.control({ type: 'stopSending', streamId, code });
    this.#closeIfDone(stream);
  }

  setPriority(streamId: number, priority: number): void {
    this.#queue.setPriority(this.#sending(this.#get(streamId)), priority);
  }

  /**
   * Bytes in order; `end` after the last one; `undefined` when there are none now, or never again:
   * the stream was reset, or its end was read before.
   */
  read(streamId: number, limit: number, now: Instant): Uint8Array | 'end' | undefined {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return undefined;
    const receive = stream.receive;
    if (receive === undefined) throw new UsageError(`stream ${streamId} can only be written to`);
    const bytes = receive.read(limit);
    if (bytes === undefined) {
      stream.toldReadable = false;
      if (!receive.isAtEnd) return undefined;
      receive.endWasRead();
      this.#closeIfDone(stream);
      return 'end';
    }
    this.#consumed(bytes.length, now);
    const maximum = stream.window?.consume(bytes.length, this.#outbox.rttMs(), now);
    if (maximum !== undefined && receive.finalSize === undefined) {
      receive.maxData = maximum;
      this.#outbox.control({ type: 'maxStreamData', streamId, maximum });
    }
    if (maximum !== undefined && stream.window !== undefined) this.#followWindow(stream.window);
    return bytes;
  }

  /** A stream alone shall not fill what all streams have together. */
  #followWindow({ windowBytes }: ReceiveWindow): void {
    const maximum = this.#window.growTo(STREAMS_PER_WINDOW * windowBytes);
    if (maximum !== undefined) this.#outbox.control({ type: 'maxData', maximum });
  }

  #consumed(bytes: number, now: Instant): void {
    const maximum = this.#window.consume(bytes, this.#outbox.rttMs(), now);
    if (maximum !== undefined) this.#outbox.control({ type: 'maxData', maximum });
  }

  /** No more streams, no more writes: every sending side is finished where it is. */
  finishAll(): void {
    this.#closing = true;
    for (const stream of this.#streams.values()) {
      if (stream.send !== undefined) this.finish(stream.id);
    }
  }

  /** Everything that was written has arrived, and every end of a stream that was there before. */
  get isDelivered(): boolean {
    for (const { send, isLate } of this.#streams.values()) {
      if (send !== undefined && !send.isDone && !isLate) return false;
    }
    return true;
  }

  // What the peer sent.

  received(frame: Frame & { type: 'stream' }, now: Instant): void {
    const stream = this.#peerStream(frame.streamId, 'receive', now);
    const receive = stream?.receive;
    if (stream === undefined || receive === undefined) return;
    const advance = receive.receive(frame.offset, frame.data, frame.fin);
    this.#count(advance);
    if (receive.isStopped) this.#consumed(advance, now);
    if (advance > 0) this.#widenIfHeldUp(stream, receive, now);
    this.#tellReadable(stream, receive);
    this.#closeIfDone(stream);
  }

  #widenIfHeldUp(stream: Stream, receive: ReceiveStream, now: Instant): void {
    const { window } = stream;
    if (window === undefined || receive.readableBytes > 0) return;
    const heldBytes = receive.highestBytes - receive.readBytes;
    const rttMs = this.#outbox.rttMs();
    if (heldBytes > window.windowBytes / 2 && receive.finalSize === undefined) {
      const maximum = window.widen(rttMs, now);
      if (maximum !== undefined) {
        receive.maxData = maximum;
        this.#outbox.control({ type: 'maxStreamData', streamId: stream.id, maximum });
        this.#followWindow(window);
      }
    }
    if (heldBytes <= this.#window.windowBytes / 2) return;
    const maximum = this.#window.widen(rttMs, now);
    if (maximum !== undefined) this.#outbox.control({ type: 'maxData', maximum });
  }

  #tellReadable(stream: Stream, receive: ReceiveStream): void {
    if (stream.toldReadable || receive.isStopped) return;
    if (receive.readableBytes === 0 && !receive.isAtEnd) return;
    stream.toldReadable = true;
    this.#outbox.event({ type: 'readable', streamId: stream.id });
  }

  #count(advance: number): void {
    this.#receivedTotal += advance;
    if (this.#receivedTotal > this.#window.advertised) {
      throw new PeerError('FLOW_CONTROL', `${this.#receivedTotal} bytes on the session`);
    }
  }

  resetReceived(streamId: number, code: number, finalSize: number, now: Instant): void {
    const stream = this.#peerStream(streamId, 'receive', now);
    const receive = stream?.receive;
    if (stream === undefined || receive === undefined || receive.resetCode !== undefined) return;
    const unread = receive.highestBytes - receive.readBytes;
    const advance = receive.reset(code, finalSize);
    this.#count(advance);
    if (receive.resetCode === undefined) return;
    this.#consumed(advance + unread, now);
    if (!receive.isStopped) this.#outbox.event({ type: 'streamReset', streamId, code });
    this.#closeIfDone(stream);
  }

  stopReceived(streamId: number, code: number, now: Instant): void {
    const stream = this.#peerStream(streamId, 'send', now);
    if (stream?.send === undefined || stream.send.isDone) return;
    if (stream.send.resetCode !== undefined) return;
    this.reset(streamId, code);
    this.#outbox.event({ type: 'streamStopped', streamId, code });
  }

  maxDataReceived(maximum: number): void {
    this.#peerMaxData = Math.max(this.#peerMaxData, maximum);
  }

  maxStreamDataReceived(streamId: number, maximum: number, now: Instant): void {
    const stream = this.#peerStream(streamId, 'send', now);
    if (stream?.send === undefined) return;
    stream.send.maxData = maximum;
    this.#queue.add(stream.send);
  }

  maxStreamsReceived(bidirectional: boolean, maximum: number): void {
    const kind = bidirectional ? this.#bidi : this.#uni;
    if (maximum <= kind.allowedToUs) return;
    kind.allowedToUs = maximum;
    if (!kind.isWanted || this.#closing) return;
    kind.isWanted = false;
    this.#outbox.event({ type: 'streamsAllowed', unidirectional: !bidirectional });
  }

  // What has become of what we sent.

  acknowledged(streamId: number, start: number, end: number, fin: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream?.send === undefined) return;
    this.#bufferedTotal -= stream.send.acknowledged(start, end, fin);
    this.#tellWritable();
    this.#closeIfDone(stream);
  }

  /**
   * Told at half of a stream's limits, so that writes come in large pieces. Whatever makes room
   * makes it for all: a stream may have been refused because of what others had written.
   */
  #tellWritable(): void {
    if (this.#closing || this.#refused.size === 0) return;
    const aheadBytes = this.#outbox.sendAheadBytes();
    for (const streamId of this.#refused) {
      if (this.#bufferedTotal >= this.#options.sendBufferBytes) return;
      const { bufferedBytes = 0, unsentBytes = 0 } = this.#streams.get(streamId)?.send ?? {};
      if (bufferedBytes > this.#options.streamSendBufferBytes / 2) continue;
      if (unsentBytes > aheadBytes / 2) continue;
      this.#refused.delete(streamId);
      this.#outbox.event({ type: 'writable', streamId });
    }
  }

  /** The peer has got a MAX_STREAMS. */
  maxStreamsAcknowledged(bidirectional: boolean, maximum: number): void {
    const kind = bidirectional ? this.#bidi : this.#uni;
    if (maximum !== kind.allowedToPeer) return;
    kind.isTelling = false;
    this.#allowMore(kind);
  }

  resetAcknowledged(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.send?.resetWasAcknowledged();
    this.#closeIfDone(stream);
  }

  /** @returns how many bytes were queued to be sent again. */
  lost(streamId: number, start: number, end: number, fin: boolean): number {
    const send = this.#streams.get(streamId)?.send;
    if (send === undefined) return 0;
    const queued = send.lose(start, end, fin);
    this.#queue.add(send);
    return queued;
  }

  isOutstanding(streamId: number, start: number, end: number, fin: boolean): boolean {
    return this.#streams.get(streamId)?.send?.isOutstanding(start, end, fin) ?? false;
  }

  sendStream(streamId: number): SendStream | undefined {
    return this.#streams.get(streamId)?.send;
  }

  // What to send next.

  /** Bytes that the session's flow control still allows. */
  get sessionCredit(): number {
    return this.#peerMaxData - this.#sentTotal;
  }

  get bufferedBytes(): number {
    return this.#bufferedTotal;
  }

  get streams(): Iterable<Pick<Stream, 'id' | 'send' | 'receive'>> {
    return this.#streams.values();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** What could be sent now; `hasWork` also counts ends of streams. */
  pending(): Pending {
    const { sendBufferBytes, streamSendBufferBytes } = this.#options;
    const limits = { sessionCredit: this.sessionCredit, sendBufferBytes, streamSendBufferBytes };
    const pending = this.#queue.pending(limits);
    if (pending.hasWork || pending.isBlocked || this.#refused.size === 0) return pending;
    return { ...pending, isBlocked: true };
  }

  /**
   * Whose turn it is: the highest priority first, equal ones in turn.
   *
   * @param aheadBytes as for {@link take}.
   */
  select(aheadBytes = 0): SendStream | undefined {
    return this.#queue.select(this.sessionCredit, aheadBytes > 0);
  }

  /**
   * Takes the next piece of a selected stream, at most `limit` bytes.
   *
   * @param aheadBytes so much of what waits is left to other paths.
   */
  take(send: SendStream, limit: number, aheadBytes: number): Piece | undefined {
    const piece = send.next(limit, this.sessionCredit, aheadBytes);
    if (piece === undefined) return undefined;
    this.#sentTotal += piece.creditBytes;
    if (piece.creditBytes > 0) this.#tellWritable();
    this.#queue.rotate(send);
    const { range, fin, isNew } = piece;
    return { stream: send, range, fin, isNew };
  }

  // Housekeeping.

  #get(streamId: number): Stream {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) throw new UsageError(`there is no stream ${streamId}`);
    return stream;
  }

  #sending(stream: Stream): SendStream {
    if (stream.send === undefined) throw new UsageError(`stream ${stream.id} can only be read`);
    return stream.send;
  }

  #create(id: number, now: Instant): Stream {
    const ours = id % 2 === this.#opener;
    const unidirectional = (id & UNIDIRECTIONAL) !== 0;
    const receives = !unidirectional || !ours;
    const sends = !unidirectional || ours;
    const window = receives
      ? new ReceiveWindow(
          this.#options.streamReceiveWindowBytes,
          this.#options.maxStreamReceiveWindowBytes,
          now,
        )
      : undefined;
    const stream: Stream = {
      id,
      send: sends ? new SendStream(id, this.#peer.maxStreamData, this.#outbox.blocks) : undefined,
      receive:
        window === undefined ? undefined : new ReceiveStream(id, window.advertised, this.#budget),
      window,
      toldReadable: false,
      isLate: this.#closing,
    };
    this.#streams.set(id, stream);
    return stream;
  }

  /** The stream of a frame from the peer; `undefined` if it is closed already. */
  #peerStream(id: number, direction: 'send' | 'receive', now: Instant): Stream | undefined {
    const ours = id % 2 === this.#opener;
    const unidirectional = (id & UNIDIRECTIONAL) !== 0;
    if (unidirectional && ours !== (direction === 'send')) {
      throw new PeerError('STREAM_STATE', `stream ${id} goes the other way`);
    }
    const kind = unidirectional ? this.#uni : this.#bidi;
    const index = streamIndex(id);
    if (ours && index >= kind.openedByUs) {
      throw new PeerError('STREAM_STATE', `stream ${id} was never opened`);
    }
    if (!ours && index >= kind.openedByPeer) {
      if (index >= kind.allowedToPeer) {
        throw new PeerError('STREAM_LIMIT', `stream ${id}, of ${kind.allowedToPeer} allowed`);
      }
      // RFC 9000 §2.1: opening a stream opens all lower ones of its type.
      for (; kind.openedByPeer <= index; kind.openedByPeer++) {
        const streamId = kind.openedByPeer * 4 + (id % 4);
        const stream = this.#create(streamId, now);
        if (this.#closing && stream.send !== undefined) this.finish(streamId);
        this.#outbox.event({ type: 'stream', streamId, unidirectional });
      }
    }
    return this.#streams.get(id);
  }

  #closeIfDone(stream: Stream): void {
    if (stream.send !== undefined && !stream.send.isDone) return;
    const { receive } = stream;
    if (receive !== undefined && !receive.isDone) return;
    if (!this.#streams.delete(stream.id)) return;
    this.#refused.delete(stream.id);
    if (stream.send !== undefined) this.#queue.delete(stream.send);
    this.#outbox.event({ type: 'streamClosed', streamId: stream.id });
    if (stream.id % 2 === this.#opener) return;
    const kind = (stream.id & UNIDIRECTIONAL) !== 0 ? this.#uni : this.#bidi;
    kind.closedByPeer += 1;
    this.#allowMore(kind);
  }

  #allowMore(kind: Kind): void {
    const maximum = allowMore(kind);
    if (maximum === undefined) return;
    this.#outbox.control({ type: 'maxStreams', bidirectional: kind === this.#bidi, maximum });
  }
}
