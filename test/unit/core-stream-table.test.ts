import { beforeEach, describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { PeerError, UsageError, type WireCodeName } from '../../src/core/errors.js';
import type { SessionEvent } from '../../src/core/events.js';
import {
  DEFAULT_SESSION_OPTIONS,
  type SessionOptions,
  STREAMS_PER_WINDOW,
} from '../../src/core/options.js';
import type { PeerLimits } from '../../src/core/streams/outbox.js';
import { BlockPool } from '../../src/core/streams/send-buffer.js';
import { StreamTable } from '../../src/core/streams/stream-table.js';
import type { Frame } from '../../src/wire/index.js';

const NOW = 0 as Instant;
const PLENTY = 2 ** 40;

const OPTIONS: SessionOptions = {
  ...DEFAULT_SESSION_OPTIONS,
  maxStreamsBidi: 4,
  maxStreamsUni: 2,
  receiveWindowBytes: 1_000,
  maxReceiveWindowBytes: 1_000,
  streamReceiveWindowBytes: 600,
  maxStreamReceiveWindowBytes: 600,
  sendBufferBytes: 1_500,
  streamSendBufferBytes: 1_000,
};

const PEER: PeerLimits = {
  maxData: PLENTY,
  maxStreamData: PLENTY,
  maxStreamsBidi: 3,
  maxStreamsUni: 1,
};

let frames: Frame[] = [];
let events: SessionEvent[] = [];
let aheadBytes = PLENTY;

function table(opener: 0 | 1, options = OPTIONS, peer: Partial<PeerLimits> = {}): StreamTable {
  const outbox = {
    blocks: new BlockPool(),
    control: (frame: Frame) => frames.push(frame),
    event: (event: SessionEvent) => events.push(event),
    rttMs: () => 10,
    sendAheadBytes: () => aheadBytes,
  };
  return new StreamTable(opener, options, { ...PEER, ...peer }, outbox, NOW);
}

beforeEach(() => {
  frames = [];
  events = [];
  aheadBytes = PLENTY;
});

function open(streams: StreamTable, unidirectional = false, priority = 0): number {
  const id = streams.open(unidirectional, priority, NOW);
  if (id === undefined) throw new Error('the peer allows no more streams');
  return id;
}

function data(streamId: number, offset: number, length: number, fin = false) {
  return { type: 'stream' as const, streamId, offset, data: new Uint8Array(length), fin };
}

function codeOf(act: () => unknown): WireCodeName | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof PeerError) return error.wireCode;
    throw error;
  }
}

/** Sends everything that can be sent, in pieces of so many bytes. @returns the ids, in order. */
function sendAll(streams: StreamTable, pieceBytes: number): number[] {
  const ids: number[] = [];
  for (;;) {
    const send = streams.select();
    const piece = send === undefined ? undefined : streams.take(send, pieceBytes, 0);
    if (send === undefined || piece === undefined) return ids;
    ids.push(send.id);
  }
}

/** Receives a whole stream of the peer, reads its end, and answers with an end. */
function complete(streams: StreamTable, streamId: number): void {
  streams.received(data(streamId, 0, 1, true), NOW);
  streams.read(streamId, PLENTY, NOW);
  expect(streams.read(streamId, PLENTY, NOW)).toBe('end');
  if ((streamId & 2) !== 0) return;
  streams.finish(streamId);
  sendAll(streams, 100);
  streams.acknowledged(streamId, 0, 0, true);
}

describe('stream ids', () => {
  it.each([
    [0, false, [0, 4, 8]],
    [1, false, [1, 5, 9]],
    [0, true, [2, 6, 10]],
    [1, true, [3, 7, 11]],
  ] as const)('are those of RFC 9000 for opener %d, unidirectional %s', (opener, uni, ids) => {
    const streams = table(opener, OPTIONS, { maxStreamsBidi: 3, maxStreamsUni: 3 });
    expect(ids.map(() => streams.open(uni, 0, NOW))).toEqual(ids);
    expect(streams.open(uni, 0, NOW)).toBeUndefined();
  });

  it('tell when more are allowed, once, if one had been refused', () => {
    const streams = table(0);
    for (let i = 0; i < 3; i++) open(streams);
    streams.maxStreamsReceived(true, 4);
    expect(events).toEqual([]);
    open(streams);
    expect(streams.open(false, 0, NOW)).toBeUndefined();
    streams.maxStreamsReceived(false, 100);
    streams.maxStreamsReceived(true, 4);
    expect(events).toEqual([]);
    streams.maxStreamsReceived(true, 5);
    streams.maxStreamsReceived(true, 6);
    expect(events).toEqual([{ type: 'streamsAllowed', unidirectional: false }]);
  });

  it('R-LIMITS-1 are given out up to the limit of the peer, which never goes down', () => {
    const streams = table(0);
    for (let i = 0; i < 3; i++) open(streams);
    expect(streams.open(false, 0, NOW)).toBeUndefined();
    streams.maxStreamsReceived(true, 4);
    streams.maxStreamsReceived(true, 2);
    streams.maxStreamsReceived(false, 100);
    expect(streams.open(false, 0, NOW)).toBe(12);
    expect(streams.open(false, 0, NOW)).toBeUndefined();
  });

  it('opening one opens all lower ones of its type (RFC 9000 §2.1)', () => {
    const streams = table(0);
    streams.received(data(9, 0, 1), NOW);
    const told = events.filter((event) => event.type === 'stream');
    expect(told.map((event) => event.streamId)).toEqual([1, 5, 9]);
    expect(streams.streamCount).toBe(3);
  });
});

describe('frames that a peer must not send', () => {
  it.each([
    ['data on a stream that only we send on', (t: StreamTable) => t.received(data(2, 0, 1), NOW)],
    ['a reset of it', (t: StreamTable) => t.resetReceived(2, 0, 0, NOW)],
    [
      'a stop of a stream that only the peer sends on',
      (t: StreamTable) => t.stopReceived(3, 0, NOW),
    ],
    ['a limit for it', (t: StreamTable) => t.maxStreamDataReceived(3, 9, NOW)],
    ['data on a stream that we never opened', (t: StreamTable) => t.received(data(4, 0, 1), NOW)],
    ['a stop of it', (t: StreamTable) => t.stopReceived(4, 0, NOW)],
    ['a limit for it', (t: StreamTable) => t.maxStreamDataReceived(4, 9, NOW)],
  ])('R-STREAM-1 %s: STREAM_STATE', (_what, act) => {
    const streams = table(0);
    open(streams);
    open(streams, true);
    streams.received(data(3, 0, 1), NOW);
    expect(codeOf(() => act(streams))).toBe('STREAM_STATE');
  });

  it('R-STREAM-1 a stream beyond the limit: STREAM_LIMIT', () => {
    const last = 4 * (OPTIONS.maxStreamsBidi - 1) + 1;
    const acts = [
      (t: StreamTable, id: number) => t.received(data(id, 0, 1), NOW),
      (t: StreamTable, id: number) => t.resetReceived(id, 0, 0, NOW),
      (t: StreamTable, id: number) => t.stopReceived(id, 0, NOW),
      (t: StreamTable, id: number) => t.maxStreamDataReceived(id, 1, NOW),
    ];
    for (const act of acts) {
      expect(codeOf(() => act(table(0), last))).toBeUndefined();
      expect(codeOf(() => act(table(0), last + 4))).toBe('STREAM_LIMIT');
    }
    expect(codeOf(() => table(0).received(data(4 * OPTIONS.maxStreamsUni + 3, 0, 1), NOW))).toBe(
      'STREAM_LIMIT',
    );
  });

  it('R-STREAM-1 more data than the stream allows: FLOW_CONTROL', () => {
    const streams = table(0);
    streams.received(data(1, 0, 600), NOW);
    expect(codeOf(() => streams.received(data(1, 600, 1), NOW))).toBe('FLOW_CONTROL');
  });

  it('R-STREAM-1 more data than the session allows: FLOW_CONTROL', () => {
    const streams = table(0);
    streams.received(data(1, 0, 600), NOW);
    streams.received(data(5, 399, 1), NOW);
    expect(codeOf(() => streams.received(data(5, 0, 400), NOW))).toBeUndefined();
    expect(codeOf(() => streams.received(data(9, 0, 1), NOW))).toBe('FLOW_CONTROL');
  });

  it('R-STREAM-1 a reset with a final size beyond the session limit: FLOW_CONTROL', () => {
    const streams = table(0);
    streams.received(data(1, 0, 600), NOW);
    expect(codeOf(() => streams.resetReceived(5, 0, 401, NOW))).toBe('FLOW_CONTROL');
  });

  it('frames for streams that are over are ignored', () => {
    const streams = table(0);
    complete(streams, 1);
    expect(events.at(-1)).toEqual({ type: 'streamClosed', streamId: 1 });
    const count = events.length;
    streams.received(data(1, 0, 1, true), NOW);
    streams.resetReceived(1, 0, 1, NOW);
    streams.stopReceived(1, 0, NOW);
    streams.maxStreamDataReceived(1, 5_000, NOW);
    streams.acknowledged(1, 0, 0, true);
    expect(streams.lost(1, 0, 1, true)).toBe(0);
    expect(events).toHaveLength(count);
    expect(streams.select()).toBeUndefined();
  });
});

describe('limits that are told to the peer', () => {
  it('MAX_STREAMS comes when half of the streams have ended', () => {
    const streams = table(0);
    complete(streams, 1);
    expect(frames.filter((frame) => frame.type === 'maxStreams')).toEqual([]);
    complete(streams, 5);
    expect(frames.filter((frame) => frame.type === 'maxStreams')).toEqual([
      { type: 'maxStreams', bidirectional: true, maximum: 6 },
    ]);
    expect(codeOf(() => streams.received(data(21, 0, 1), NOW))).toBeUndefined();
    expect(codeOf(() => streams.received(data(25, 0, 1), NOW))).toBe('STREAM_LIMIT');
  });

  it('MAX_STREAMS lets any number of streams pass, one after the other', () => {
    const streams = table(0);
    for (let i = 0; i < 1_000; i++) {
      complete(streams, 4 * i + 3);
      streams.maxStreamsAcknowledged(false, i + 3);
    }
    expect(streams.streamCount).toBe(0);
    const last = frames.filter((frame) => frame.type === 'maxStreams').at(-1);
    expect(last).toEqual({ type: 'maxStreams', bidirectional: false, maximum: 1_002 });
  });

  it('MAX_STREAMS waits until the last one is known to have arrived', () => {
    const streams = table(0);
    for (const id of [3, 7, 11]) complete(streams, id);
    expect(codeOf(() => complete(streams, 15))).toBe('STREAM_LIMIT');
    const maxima = () =>
      frames.flatMap((frame) => (frame.type === 'maxStreams' ? [frame.maximum] : []));
    expect(maxima()).toEqual([3]);
    streams.maxStreamsAcknowledged(false, 3);
    expect(maxima()).toEqual([3, 5]);
    // A copy that another path carried.
    complete(streams, 15);
    streams.maxStreamsAcknowledged(false, 3);
    expect(maxima()).toEqual([3, 5]);
    streams.maxStreamsAcknowledged(false, 5);
    expect(maxima()).toEqual([3, 5, 6]);
  });

  it('streams that we opened give the peer no more', () => {
    const streams = table(0);
    for (const id of [open(streams), open(streams), open(streams)]) {
      streams.finish(id);
      sendAll(streams, 100);
      streams.acknowledged(id, 0, 0, true);
      streams.received(data(id, 0, 0, true), NOW);
      expect(streams.read(id, 1, NOW)).toBe('end');
    }
    expect(streams.streamCount).toBe(0);
    expect(frames).toEqual([]);
  });

  it('MAX_STREAM_DATA and MAX_DATA come as the application reads', () => {
    const streams = table(0);
    streams.received(data(1, 0, 600), NOW);
    expect(frames).toEqual([]);
    streams.read(1, 299, NOW);
    expect(frames).toEqual([]);
    expect(streams.read(1, 301, NOW)).toHaveLength(301);
    expect(frames).toEqual([
      { type: 'maxData', maximum: 1_600 },
      { type: 'maxStreamData', streamId: 1, maximum: 1_200 },
    ]);
  });

  it('a stream whose end is known gets no more credit, the session does', () => {
    const streams = table(0);
    streams.received(data(1, 0, 600, true), NOW);
    streams.read(1, 600, NOW);
    expect(frames.map((frame) => frame.type)).toEqual(['maxData']);
  });

  it('what is discarded counts as read for the session: after a stop', () => {
    const streams = table(0);
    streams.received(data(1, 0, 300), NOW);
    streams.stopSending(1, 7, NOW);
    expect(frames).toEqual([{ type: 'stopSending', streamId: 1, code: 7 }]);
    streams.received(data(1, 300, 300), NOW);
    expect(frames.at(-1)).toEqual({ type: 'maxData', maximum: 1_600 });
  });

  it('what is discarded counts as read for the session: after a reset, also what never came', () => {
    const streams = table(0);
    streams.received(data(1, 0, 100), NOW);
    streams.resetReceived(1, 7, 600, NOW);
    expect(frames).toEqual([{ type: 'maxData', maximum: 1_600 }]);
    expect(events.at(-1)).toEqual({ type: 'streamReset', streamId: 1, code: 7 });
    streams.resetReceived(1, 7, 600, NOW);
    expect(frames).toHaveLength(1);
  });

  it('windows widen while the beginning of a stream is missing', () => {
    const wide = { ...OPTIONS, maxReceiveWindowBytes: 4_000, maxStreamReceiveWindowBytes: 2_400 };
    const streams = table(0, wide);
    streams.received(data(1, 599, 1), NOW);
    expect(frames).toEqual([
      { type: 'maxStreamData', streamId: 1, maximum: 1_200 },
      { type: 'maxData', maximum: 4_000 },
    ]);
  });

  it('the window of the session grows with those of its streams, several times as large', () => {
    const wide = { ...OPTIONS, maxReceiveWindowBytes: 9_000, maxStreamReceiveWindowBytes: 2_400 };
    const streams = table(0, wide);
    streams.received(data(1, 0, 600), NOW);
    streams.read(1, 600, NOW);
    expect(frames).toEqual([
      { type: 'maxData', maximum: 2_600 },
      { type: 'maxStreamData', streamId: 1, maximum: 1_800 },
      { type: 'maxData', maximum: 600 + STREAMS_PER_WINDOW * 1_200 },
    ]);
    streams.received(data(1, 600, 1_200), NOW);
    streams.read(1, 1_200, NOW);
    expect(frames.at(-1)).toEqual({ type: 'maxData', maximum: 1_800 + 9_000 });
  });
});

describe('who sends next', () => {
  it('streams of one priority take turns', () => {
    const streams = table(0);
    const ids = [open(streams), open(streams), open(streams)];
    for (const id of ids) streams.write(id, new Uint8Array(300));
    expect(sendAll(streams, 100)).toEqual([0, 4, 8, 0, 4, 8, 0, 4, 8]);
  });

  it('a higher priority goes first, also when it comes later or is changed', () => {
    const streams = table(0);
    const [low, high] = [open(streams), open(streams, false, 5)];
    streams.write(low, new Uint8Array(200));
    streams.write(high, new Uint8Array(200));
    expect(streams.select()?.id).toBe(high);
    streams.setPriority(low, 6);
    expect(sendAll(streams, 100)).toEqual([low, low, high, high]);
  });

  it('a stream that its limit blocks lets others go', () => {
    const streams = table(0, OPTIONS, { maxStreamData: 100 });
    const [first, second] = [open(streams, false, 9), open(streams)];
    streams.write(first, new Uint8Array(300));
    streams.write(second, new Uint8Array(100));
    expect(sendAll(streams, 100)).toEqual([first, second]);
    expect(streams.pending()).toMatchObject({ hasWork: false, bytes: 0, isBlocked: true });
    streams.maxStreamDataReceived(first, 200, NOW);
    expect(sendAll(streams, 100)).toEqual([first]);
  });

  it('the credit of the session bounds new data, not what is sent again or an end', () => {
    const streams = table(0, OPTIONS, { maxData: 250 });
    const id = open(streams);
    streams.write(id, new Uint8Array(400));
    expect(sendAll(streams, 100)).toEqual([id, id, id]);
    expect(streams.sessionCredit).toBe(0);
    expect(streams.pending()).toMatchObject({ hasWork: false, isBlocked: true });
    expect(streams.lost(id, 0, 100, false)).toBe(100);
    expect(sendAll(streams, 100)).toEqual([id]);
    expect(streams.sessionCredit).toBe(0);
    const other = open(streams);
    streams.finish(other);
    expect(sendAll(streams, 100)).toEqual([other]);
    streams.maxDataReceived(200);
    expect(streams.sessionCredit).toBe(0);
    streams.maxDataReceived(400);
    expect(sendAll(streams, 1_000)).toEqual([id]);
    expect(streams.sessionCredit).toBe(0);
  });

  it('nothing is pending when all is sent', () => {
    const streams = table(0);
    const id = open(streams);
    streams.write(id, new Uint8Array(400));
    expect(streams.pending()).toMatchObject({ hasWork: true, bytes: 400 });
    sendAll(streams, 1_000);
    expect(streams.pending()).toMatchObject({ hasWork: false, bytes: 0, isBlocked: false });
    expect(streams.isOutstanding(id, 0, 400, false)).toBe(true);
    streams.acknowledged(id, 0, 400, false);
    expect(streams.isOutstanding(id, 0, 400, false)).toBe(false);
  });
});

describe('what may be written', () => {
  it('is bounded for a stream and for the session, and writers hear when there is room', () => {
    const streams = table(0);
    const [first, second] = [open(streams), open(streams)];
    expect(streams.write(first, new Uint8Array(1_200))).toBe(OPTIONS.streamSendBufferBytes);
    expect(streams.write(second, new Uint8Array(1_200))).toBe(500);
    expect(streams.write(second, new Uint8Array(1))).toBe(0);
    expect(streams.bufferedBytes).toBe(OPTIONS.sendBufferBytes);
    sendAll(streams, 100);
    streams.acknowledged(first, 0, 400, false);
    expect(events.filter((event) => event.type === 'writable')).toEqual([
      { type: 'writable', streamId: second },
    ]);
    streams.acknowledged(first, 400, 500, false);
    expect(events.at(-1)).toEqual({ type: 'writable', streamId: first });
    expect(streams.write(second, new Uint8Array(1_200))).toBe(500);
  });

  it('is what the paths can send soon, and writers hear when half of that has gone', () => {
    aheadBytes = 400;
    const streams = table(0);
    const id = open(streams);
    expect(streams.write(id, new Uint8Array(1_000))).toBe(400);
    expect(streams.write(id, new Uint8Array(1_000))).toBe(0);
    const [send] = [...streams.streams].map((stream) => stream.send);
    if (send === undefined) throw new Error('a stream that can be written to');
    streams.take(send, 199, 0);
    expect(events).toEqual([]);
    streams.take(send, 1, 0);
    expect(events).toEqual([{ type: 'writable', streamId: id }]);
    expect(streams.write(id, new Uint8Array(1_000))).toBe(200);
    // What has been sent and may have to be sent again counts only as buffered.
    expect(streams.bufferedBytes).toBe(600);
  });

  it('is nothing on a stream that was finished, that is not there, or that only the peer sends on', () => {
    const streams = table(0);
    const id = open(streams);
    streams.finish(id);
    streams.received(data(3, 0, 1), NOW);
    for (const bad of [id, 400, 3]) {
      expect(() => streams.write(bad, new Uint8Array(1))).toThrow(UsageError);
    }
    expect(() => streams.read(open(streams, true), 1, NOW)).toThrow(UsageError);
  });

  it('vanishes on a stream that was reset, at the wish of either end', () => {
    const streams = table(0);
    const id = open(streams);
    streams.write(id, new Uint8Array(900));
    sendAll(streams, 100);
    streams.stopReceived(id, 3, NOW);
    streams.stopReceived(id, 4, NOW);
    expect(frames).toEqual([{ type: 'resetStream', streamId: id, code: 3, finalSize: 900 }]);
    expect(events.at(-1)).toEqual({ type: 'streamStopped', streamId: id, code: 3 });
    expect(streams.bufferedBytes).toBe(0);
    expect(streams.write(id, new Uint8Array(50))).toBe(50);
    expect(streams.bufferedBytes).toBe(0);
    expect(streams.isDelivered).toBe(false);
    streams.resetAcknowledged(id);
    expect(streams.isDelivered).toBe(true);
  });

  it('ends everywhere when the session is closed, and all is delivered with the last end', () => {
    const streams = table(0);
    const ids = [open(streams), open(streams)];
    for (const id of ids) streams.write(id, new Uint8Array(10));
    streams.finishAll();
    expect(() => streams.write(0, new Uint8Array(1))).toThrow(UsageError);
    sendAll(streams, 100);
    for (const id of ids) {
      expect(streams.isDelivered).toBe(false);
      streams.acknowledged(id, 0, 10, true);
    }
    expect(streams.isDelivered).toBe(true);
    streams.received(data(1, 0, 1), NOW);
    expect(sendAll(streams, 100)).toEqual([1]);
  });
});

describe('what an application hears', () => {
  it('readable once until it has read all, then the end once, then that it is closed', () => {
    const streams = table(0);
    streams.received(data(3, 0, 10), NOW);
    streams.received(data(3, 10, 10), NOW);
    expect(events.map((event) => event.type)).toEqual(['stream', 'readable']);
    expect(streams.read(3, 100, NOW)).toHaveLength(10);
    expect(streams.read(3, 100, NOW)).toHaveLength(10);
    expect(streams.read(3, 100, NOW)).toBeUndefined();
    streams.received(data(3, 20, 0, true), NOW);
    expect(events.map((event) => event.type)).toEqual(['stream', 'readable', 'readable']);
    expect(streams.read(3, 100, NOW)).toBe('end');
    expect(events.at(-1)).toEqual({ type: 'streamClosed', streamId: 3 });
    expect(streams.read(3, 100, NOW)).toBeUndefined();
  });

  it('nothing of what lies behind a gap', () => {
    const streams = table(0);
    streams.received(data(3, 5, 10), NOW);
    expect(events.map((event) => event.type)).toEqual(['stream']);
    expect(streams.read(3, 100, NOW)).toBeUndefined();
    streams.received(data(3, 0, 5), NOW);
    expect(events.at(-1)).toEqual({ type: 'readable', streamId: 3 });
  });
});
