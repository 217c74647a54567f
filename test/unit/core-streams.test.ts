import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { InvariantError, PeerError, type WireCodeName } from '../../src/core/errors.js';
import {
  FREE_RUNS,
  MEAN_RUN_BYTES,
  ReceiveStream,
  ReorderBudget,
} from '../../src/core/streams/receive-stream.js';
import { ReceiveWindow } from '../../src/core/streams/receive-window.js';
import { SendStream } from '../../src/core/streams/send-stream.js';

const PLENTY = Number.MAX_SAFE_INTEGER;

function at(ms: number): Instant {
  return ms as Instant;
}

/** Bytes that tell where in a stream they belong. */
function pattern(offset: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (offset + i) * 31 + ((offset + i) >> 8));
}

function wireCodeOf(act: () => unknown): WireCodeName | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof PeerError) return error.wireCode;
    throw error;
  }
}

function readAll(receive: ReceiveStream, limit = PLENTY): number[] {
  const all: number[] = [];
  for (;;) {
    const bytes = receive.read(limit);
    if (bytes === undefined) return all;
    for (const byte of bytes) all.push(byte);
  }
}

/** A piece of a stream on its way: the bytes as they were when it was sent. */
interface Flight {
  readonly start: number;
  readonly end: number;
  readonly fin: boolean;
  readonly bytes: Uint8Array;
  arrived: boolean;
}

/** Both ends of a stream, and a network that does to the pieces whatever a test asks for. */
class Line {
  readonly send = new SendStream(0, 0);
  readonly budget = new ReorderBudget();
  readonly receive = new ReceiveStream(0, PLENTY, this.budget);
  readonly flights: Flight[] = [];
  readonly got: number[] = [];
  credit = 0;

  /** Sends one piece. @returns whether there was one. */
  transmit(limit: number): boolean {
    const had = this.send.hasWork(this.credit);
    const piece = this.send.next(limit, this.credit);
    if (piece === undefined) return false;
    expect(had).toBe(true);
    const { start, end } = piece.range;
    expect(end - start).toBeLessThanOrEqual(limit);
    if (piece.isNew) this.credit -= end - start;
    expect(this.credit).toBeGreaterThanOrEqual(0);
    expect(end).toBeLessThanOrEqual(this.send.maxData);
    const bytes = Uint8Array.from(this.send.read(piece.range).flatMap((view) => [...view]));
    expect(bytes).toHaveLength(end - start);
    this.flights.push({ start, end, fin: piece.fin, bytes, arrived: false });
    return true;
  }

  deliver(flight: Flight): void {
    flight.arrived = true;
    this.receive.receive(flight.start, flight.bytes, flight.fin);
  }

  acknowledge(flight: Flight): void {
    const before = this.send.bufferedBytes;
    const freed = this.send.acknowledged(flight.start, flight.end, flight.fin);
    expect(this.send.bufferedBytes).toBe(before - freed);
    expect(this.send.isOutstanding(flight.start, flight.end, flight.fin)).toBe(false);
  }

  /** The network heals: everything arrives and is acknowledged. */
  heal(): void {
    this.send.maxData = PLENTY;
    this.credit = PLENTY;
    for (const flight of this.flights) {
      if (flight.arrived) this.acknowledge(flight);
      else this.send.lose(flight.start, flight.end, flight.fin);
    }
    while (this.transmit(1_000)) {
      const flight = this.flights[this.flights.length - 1];
      if (flight === undefined) throw new Error('a piece was sent');
      this.deliver(flight);
      this.acknowledge(flight);
    }
    this.got.push(...readAll(this.receive));
  }
}

const which = fc.nat({ max: 30 });
const lineStep = fc.oneof(
  fc.record({ type: fc.constant('write' as const), n: fc.integer({ min: 0, max: 300 }) }),
  fc.record({ type: fc.constant('write' as const), n: fc.integer({ min: 2_000, max: 5_000 }) }),
  { weight: 3, arbitrary: fc.record({ type: fc.constant('send' as const), n: fc.nat(1_500) }) },
  fc.record({ type: fc.constant('credit' as const), n: fc.nat({ max: 4_000 }) }),
  fc.record({ type: fc.constant('limit' as const), n: fc.nat({ max: 4_000 }) }),
  { weight: 2, arbitrary: fc.record({ type: fc.constant('deliver' as const), n: which }) },
  fc.record({ type: fc.constant('acknowledge' as const), n: which }),
  fc.record({ type: fc.constant('lose' as const), n: which }),
  fc.record({ type: fc.constant('read' as const), n: fc.integer({ min: 1, max: 2_000 }) }),
);

function play(line: Line, type: string, n: number): void {
  const flight = line.flights[line.flights.length - 1 - (n % Math.max(1, line.flights.length))];
  switch (type) {
    case 'write':
      line.send.write(pattern(line.send.writtenBytes, n));
      break;
    case 'send':
      line.transmit(n);
      break;
    case 'credit':
      line.credit += n;
      break;
    case 'limit':
      line.send.maxData = line.send.maxData + n;
      break;
    case 'deliver':
      // Also what was delivered before, or taken for lost.
      if (flight !== undefined) line.deliver(flight);
      break;
    case 'acknowledge':
      if (flight?.arrived === true) line.acknowledge(flight);
      break;
    case 'lose':
      // Also what has arrived, or was taken for lost before.
      if (flight !== undefined) line.send.lose(flight.start, flight.end, flight.fin);
      break;
    case 'read':
      line.got.push(...(line.receive.read(n) ?? []));
  }
}

describe('SendStream and ReceiveStream together', () => {
  it('yield the same bytes after any split, order, duplication, loss and repetition', () => {
    fc.assert(
      fc.property(fc.array(lineStep, { maxLength: 120 }), (steps) => {
        const line = new Line();
        for (const { type, n } of steps) play(line, type, n);
        line.send.finish();
        line.heal();
        expect(line.got).toEqual([...pattern(0, line.send.writtenBytes)]);
        expect(line.receive.isAtEnd).toBe(true);
        expect(line.receive.finalSize).toBe(line.send.writtenBytes);
        expect(line.send.isDone).toBe(true);
        expect([line.send.bufferedBytes, line.send.overdueBytes, line.send.unsentBytes]).toEqual([
          0, 0, 0,
        ]);
        expect([line.budget.runs, line.budget.bytes]).toEqual([0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});

describe('SendStream', () => {
  function written(length: number, maxData = PLENTY): SendStream {
    const send = new SendStream(4, maxData);
    send.write(pattern(0, length));
    return send;
  }

  it('sends what was lost before anything new', () => {
    const send = written(3_000);
    send.next(1_000, PLENTY);
    send.next(1_000, PLENTY);
    expect(send.lose(0, 1_000, false)).toBe(1_000);
    expect(send.overdueBytes).toBe(1_000);
    expect(send.nextPieceOffset).toBe(0);
    expect(send.next(600, 0)).toMatchObject({
      range: { start: 0, end: 600 },
      fin: false,
      isNew: false,
    });
    expect(send.next(600, 0)?.range).toMatchObject({ start: 600, end: 1_000 });
    expect(send.next(600, PLENTY)).toMatchObject({
      range: { start: 2_000, end: 2_600 },
      fin: false,
      isNew: true,
    });
  });

  it('does not send again what has arrived after all', () => {
    const send = written(2_000);
    send.next(2_000, PLENTY);
    send.acknowledged(500, 1_000, false);
    expect(send.lose(0, 2_000, false)).toBe(1_500);
    send.acknowledged(0, 500, false);
    expect(send.next(PLENTY, PLENTY)?.range).toEqual({ start: 1_000, end: 2_000 });
    expect(send.lose(0, 1_000, false)).toBe(0);
  });

  it('counts what is lost twice once', () => {
    const send = written(1_000);
    send.next(1_000, PLENTY);
    expect([send.lose(0, 700, false), send.lose(300, 1_000, false)]).toEqual([700, 300]);
    expect(send.overdueBytes).toBe(1_000);
  });

  it('takes a piece from behind what is left to others, which they get afterwards in order', () => {
    const send = written(10_000);
    expect(send.next(1_000, PLENTY)?.range).toEqual({ start: 0, end: 1_000 });
    const ahead = send.next(500, PLENTY, 3_000);
    expect(ahead).toMatchObject({ range: { start: 4_000, end: 4_500 }, creditBytes: 3_500 });
    // All that waits before it counts: the next piece follows at once.
    expect(send.next(500, PLENTY, 3_000)?.range).toEqual({ start: 4_500, end: 5_000 });
    expect([send.sentBytes, send.overdueBytes, send.unsentBytes]).toEqual([5_000, 3_000, 5_000]);
    expect(send.lose(0, 1_000, false)).toBe(1_000);
    const rest = [send.next(9_000, PLENTY), send.next(9_000, PLENTY), send.next(9_000, PLENTY)];
    expect(rest.map((piece) => [piece?.range.start, piece?.isNew, piece?.creditBytes])).toEqual([
      [0, false, 0],
      [1_000, true, 0],
      [5_000, true, 5_000],
    ]);
  });

  it('leaves nothing out that flow control, or the end, does not let it come back from', () => {
    const send = written(10_000, 2_000);
    expect(send.next(500, PLENTY, 9_000)?.range).toEqual({ start: 1_500, end: 2_000 });
    expect(send.next(500, PLENTY, 9_000)).toBeUndefined();
    expect(send.hasWork(0)).toBe(true);
    expect(send.next(9_000, 0)?.range).toEqual({ start: 0, end: 1_500 });
    const short = written(1_000);
    short.finish();
    expect(short.next(400, PLENTY, 9_000)).toMatchObject({ range: { start: 600 }, fin: true });
    expect(short.next(9_000, PLENTY)).toMatchObject({ range: { start: 0, end: 600 }, fin: false });
  });

  it('stops at the limits of the stream and of the session', () => {
    const send = written(1_000, 600);
    expect(send.next(PLENTY, 400)?.range).toEqual({ start: 0, end: 400 });
    expect(send.hasWork(0)).toBe(false);
    expect(send.next(PLENTY, 400)?.range).toEqual({ start: 400, end: 600 });
    expect(send.hasWork(PLENTY)).toBe(false);
    expect(send.next(PLENTY, PLENTY)).toBeUndefined();
    send.maxData = 500;
    expect(send.maxData).toBe(600);
    send.maxData = 1_000;
    expect(send.next(PLENTY, PLENTY)?.range).toEqual({ start: 600, end: 1_000 });
  });

  it('says the end with the last byte, alone if need be, and again when that is lost', () => {
    const send = written(100);
    expect(send.next(PLENTY, PLENTY)?.fin).toBe(false);
    send.finish();
    expect(send.next(PLENTY, 0)).toMatchObject({
      range: { start: 100, end: 100 },
      fin: true,
      isNew: true,
    });
    expect(send.hasWork(PLENTY)).toBe(false);
    send.lose(100, 100, true);
    expect(send.next(PLENTY, 0)?.fin).toBe(true);
    send.acknowledged(0, 100, false);
    expect([send.isDone, send.isOutstanding(100, 100, true)]).toMatchObject([false, true]);
    send.acknowledged(100, 100, true);
    expect(send.isDone).toBe(true);
    send.lose(100, 100, true);
    expect(send.hasWork(PLENTY)).toBe(false);
  });

  it('says the end of an empty stream', () => {
    const send = new SendStream(0, 0);
    send.finish();
    expect(send.next(0, 0)).toMatchObject({ range: { start: 0, end: 0 }, fin: true, isNew: true });
    send.acknowledged(0, 0, true);
    expect(send.isDone).toBe(true);
  });

  it('takes no bytes after its end', () => {
    const send = written(1);
    send.finish();
    expect(() => send.write(pattern(1, 1))).toThrow(InvariantError);
    const other = written(1);
    other.reset(0);
    expect(() => other.write(pattern(1, 1))).toThrow(InvariantError);
  });

  it('forgets everything when it is reset, and is done when that has arrived', () => {
    const send = written(5_000);
    send.next(2_000, PLENTY);
    send.lose(0, 1_000, false);
    send.reset(7);
    send.reset(8);
    expect(send.resetCode).toBe(7);
    expect(send.sentBytes).toBe(2_000);
    expect([send.bufferedBytes, send.unsentBytes, send.overdueBytes]).toEqual([0, 0, 0]);
    expect(send.hasWork(PLENTY)).toBe(false);
    expect([send.acknowledged(0, 2_000, false), send.lose(0, 2_000, true)]).toEqual([0, 0]);
    expect(send.isOutstanding(0, 2_000, false)).toBe(false);
    expect(send.isDone).toBe(false);
    send.resetWasAcknowledged();
    expect(send.isDone).toBe(true);
  });

  it('copies small writes together, so that a packet has few chunks', () => {
    const send = new SendStream(0, PLENTY);
    for (let i = 0; i < 20_000; i++) send.write(pattern(i, 1));
    const piece = send.next(16_384, PLENTY);
    const views = send.read(piece?.range ?? { start: 0, end: 0 });
    expect(views.length).toBeLessThan(32);
    expect(views.flatMap((view) => [...view])).toEqual([...pattern(0, 16_384)]);
  });

  it('does not change what was handed out when small writes follow', () => {
    const send = new SendStream(0, PLENTY);
    send.write(pattern(0, 10));
    const views = send.read(send.next(PLENTY, PLENTY)?.range ?? { start: 0, end: 0 });
    for (let i = 1; i < 50; i++) send.write(pattern(10 * i, 10));
    expect(views.flatMap((view) => [...view])).toEqual([...pattern(0, 10)]);
  });

  it('does not keep views of small writes, which the caller may use again', () => {
    const send = new SendStream(0, PLENTY);
    const scratch = pattern(0, 100);
    send.write(scratch);
    scratch.fill(0);
    const views = send.read({ start: 0, end: 100 });
    expect(views.flatMap((view) => [...view])).toEqual([...pattern(0, 100)]);
  });
});

/** What a receiving stream must do, one byte at a time. */
class SlowReceiver {
  readonly bytes: (number | undefined)[] = [];
  readonly #maxData: number;
  #highest = 0;
  #final: number | undefined;
  #read = 0;

  constructor(maxData: number) {
    this.#maxData = maxData;
  }

  receive(offset: number, data: Uint8Array, fin: boolean): number | WireCodeName {
    const end = offset + data.length;
    if (end > this.#maxData) return 'FLOW_CONTROL';
    if (this.#final !== undefined && (end > this.#final || (fin && end !== this.#final))) {
      return 'FINAL_SIZE';
    }
    if (fin && end < this.#highest) return 'FINAL_SIZE';
    if (fin) this.#final = end;
    data.forEach((byte, i) => {
      this.bytes[offset + i] ??= byte;
    });
    const advance = Math.max(0, end - this.#highest);
    this.#highest += advance;
    return advance;
  }

  get readable(): number {
    let end = this.#read;
    while (this.bytes[end] !== undefined) end += 1;
    return end - this.#read;
  }

  read(count: number): (number | undefined)[] {
    this.#read += count;
    return this.bytes.slice(this.#read - count, this.#read);
  }

  get isAtEnd(): boolean {
    return this.#read === this.#final;
  }
}

const LIMIT = 150;
const receiveStep = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      offset: fc.nat({ max: 140 }),
      length: fc.nat({ max: 25 }),
      /** Different values each time: what arrived first must stand. */
      salt: fc.nat({ max: 255 }),
      fin: fc.nat({ max: 20 }).map((n) => n === 0),
    }),
  },
  fc.record({ limit: fc.integer({ min: 1, max: 40 }) }),
);

describe('ReceiveStream', () => {
  it('does what an array of single bytes does; of a byte that comes twice the first stands', () => {
    fc.assert(
      fc.property(fc.array(receiveStep, { maxLength: 80 }), (steps) => {
        const budget = new ReorderBudget();
        const fast = new ReceiveStream(0, LIMIT, budget);
        const slow = new SlowReceiver(LIMIT);
        for (const step of steps) {
          if ('limit' in step) {
            const bytes = fast.read(step.limit) ?? [];
            expect(bytes.length).toBeLessThanOrEqual(step.limit);
            expect([...bytes]).toEqual(slow.read(bytes.length));
          } else {
            const data = new Uint8Array(step.length).fill(step.salt);
            const expected = slow.receive(step.offset, data, step.fin);
            let advance = 0;
            const code = wireCodeOf(() => {
              advance = fast.receive(step.offset, data, step.fin);
            });
            expect(code ?? advance).toBe(expected);
            // The session ends with the first violation.
            if (code !== undefined) return;
          }
          expect(fast.readableBytes).toBe(slow.readable);
          expect(fast.isAtEnd).toBe(slow.isAtEnd);
        }
        const rest = readAll(fast, 7);
        expect(rest).toEqual(slow.read(rest.length));
        expect(slow.readable).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['data beyond the final size', 10, 1, false],
    ['another final size, with data', 0, 11, true],
    ['a smaller final size', 0, 9, true],
    ['a smaller final size, alone', 5, 0, true],
  ])('R-STREAM-1 refuses %s', (_what, offset, length, fin) => {
    const receive = new ReceiveStream(0, 100);
    receive.receive(0, pattern(0, 10), true);
    expect(receive.receive(0, pattern(0, 10), true)).toBe(0);
    expect(receive.receive(10, pattern(10, 0), true)).toBe(0);
    expect(wireCodeOf(() => receive.receive(offset, pattern(offset, length), fin))).toBe(
      'FINAL_SIZE',
    );
  });

  it('R-STREAM-1 refuses a final size below what has arrived', () => {
    const receive = new ReceiveStream(0, 100);
    receive.receive(50, pattern(50, 10), false);
    expect(wireCodeOf(() => receive.receive(0, pattern(0, 59), true))).toBe('FINAL_SIZE');
    expect(wireCodeOf(() => receive.reset(1, 59))).toBe('FINAL_SIZE');
  });

  it('R-STREAM-1 refuses data beyond its limit, which can be raised', () => {
    const receive = new ReceiveStream(0, 10);
    expect(receive.receive(0, pattern(0, 10), false)).toBe(10);
    expect(wireCodeOf(() => receive.receive(10, pattern(10, 1), false))).toBe('FLOW_CONTROL');
    expect(wireCodeOf(() => receive.receive(11, pattern(11, 0), true))).toBe('FLOW_CONTROL');
    receive.maxData = 11;
    expect(receive.receive(10, pattern(10, 1), true)).toBe(1);
  });

  it('refuses many tiny pieces with gaps, from all streams of a session together', () => {
    const budget = new ReorderBudget();
    const streams = [0, 4].map((id) => new ReceiveStream(id, PLENTY, budget));
    let count = 0;
    let code: WireCodeName | undefined;
    while (code === undefined && count < 10 * FREE_RUNS) {
      const stream = streams[count % 2];
      code = wireCodeOf(() => stream?.receive(2 * count, pattern(0, 1), false));
      count += 1;
    }
    expect(code).toBe('LIMIT_EXCEEDED');
    expect(count).toBeGreaterThan(FREE_RUNS);
    expect(count).toBeLessThan(FREE_RUNS * (1 + 2 / MEAN_RUN_BYTES));
  });

  it('bears any number of packets with gaps that are of an honest size', () => {
    const budget = new ReorderBudget();
    const receive = new ReceiveStream(0, PLENTY, budget);
    const data = new Uint8Array(1_100);
    for (let i = 1; i <= 4 * FREE_RUNS; i++) receive.receive(2_000 * i, data, false);
    expect(budget.runs).toBe(4 * FREE_RUNS);
    receive.stop();
    expect([budget.runs, budget.bytes]).toEqual([0, 0]);
  });

  it('does not keep a large packet in memory for a small piece of it', () => {
    const receive = new ReceiveStream(0, PLENTY);
    let pinnedBytes = 0;
    for (let i = 0; i < 100; i++) {
      const packet = new Uint8Array(65_535);
      packet.set(pattern(500 * i, 500), 1_000);
      receive.receive(500 * i, packet.subarray(1_000, 1_500), false);
    }
    for (let bytes = receive.read(PLENTY); bytes !== undefined; bytes = receive.read(PLENTY)) {
      pinnedBytes += bytes.buffer.byteLength;
    }
    expect(receive.readBytes).toBe(50_000);
    expect(pinnedBytes).toBeLessThanOrEqual(2 * 50_000);
  });

  it.each([
    ['forwards', (i: number) => i],
    ['backwards', (i: number) => 9_999 - i],
    ['even ones first', (i: number) => (i < 5_000 ? 2 * i : 2 * (i - 5_000) + 1)],
  ])('copies tiny pieces together that come in %s', (_what, place) => {
    const budget = new ReorderBudget();
    budget.bytes = 1e9;
    const receive = new ReceiveStream(0, PLENTY, budget);
    for (let i = 0; i < 10_000; i++) receive.receive(place(i), pattern(place(i), 1), false);
    let chunks = 0;
    const all: number[] = [];
    for (let bytes = receive.read(PLENTY); bytes !== undefined; bytes = receive.read(PLENTY)) {
      chunks += 1;
      for (const byte of bytes) all.push(byte);
    }
    expect(all).toEqual([...pattern(0, 10_000)]);
    expect(chunks).toBeLessThan(200);
  });

  it('drops what comes after a stop, and counts it for flow control', () => {
    const receive = new ReceiveStream(0, 100);
    receive.receive(0, pattern(0, 10), false);
    receive.receive(20, pattern(20, 10), false);
    receive.read(4);
    expect(receive.stop()).toBe(26);
    expect(receive.isStopped).toBe(true);
    expect(receive.receive(30, pattern(30, 5), false)).toBe(5);
    expect([receive.readableBytes, receive.read(PLENTY)]).toEqual([0, undefined]);
    expect(receive.stop()).toBe(0);
    expect(receive.isDone).toBe(false);
    receive.receive(35, pattern(35, 0), true);
    expect(receive.isDone).toBe(true);
  });

  it('discards what was not read when the peer resets, and knows the final size', () => {
    const budget = new ReorderBudget();
    const receive = new ReceiveStream(0, 100, budget);
    receive.receive(0, pattern(0, 10), false);
    expect(receive.reset(9, 30)).toBe(20);
    expect([receive.resetCode, receive.finalSize, receive.isDone]).toEqual([9, 30, true]);
    expect([receive.read(PLENTY), receive.readableBytes, budget.bytes]).toEqual([undefined, 0, 0]);
    receive.receive(10, pattern(10, 20), true);
    expect(receive.readableBytes).toBe(0);
    expect(wireCodeOf(() => receive.reset(9, 31))).toBe('FINAL_SIZE');
  });

  it('delivers what was complete before the reset (RFC 9000 §3.2)', () => {
    const receive = new ReceiveStream(0, 100);
    receive.receive(0, pattern(0, 10), true);
    expect(receive.isComplete).toBe(true);
    expect(receive.reset(9, 10)).toBe(0);
    expect(receive.resetCode).toBeUndefined();
    expect(readAll(receive)).toEqual([...pattern(0, 10)]);
    expect([receive.isAtEnd, receive.isDone]).toEqual([true, false]);
    receive.endWasRead();
    expect(receive.isDone).toBe(true);
  });

  it('R-STREAM-1 refuses a reset beyond its limit', () => {
    const receive = new ReceiveStream(0, 100);
    expect(wireCodeOf(() => receive.reset(1, 101))).toBe('FLOW_CONTROL');
  });
});

describe('ReceiveWindow', () => {
  it('tells a new limit when half of the window was read', () => {
    const window = new ReceiveWindow(1_000, 1_000, at(0));
    expect(window.advertised).toBe(1_000);
    expect(window.consume(499, 10, at(1_000))).toBeUndefined();
    expect(window.consume(1, 10, at(1_000))).toBe(1_500);
    expect(window.advertised).toBe(1_500);
  });

  it('doubles while it is used up within two round trips, up to its bound', () => {
    const window = new ReceiveWindow(1_000, 5_000, at(0));
    const sizes = [1, 2, 3, 4].map((round) => {
      window.consume(window.advertised, 100, at(round * 150));
      return window.windowBytes;
    });
    expect(sizes).toEqual([2_000, 4_000, 5_000, 5_000]);
  });

  it('does not grow for a reader that takes its time', () => {
    const window = new ReceiveWindow(1_000, 5_000, at(0));
    expect(window.consume(1_000, 100, at(200))).toBe(2_000);
    expect(window.windowBytes).toBe(1_000);
  });

  it('widens once a round trip while the beginning is missing', () => {
    const window = new ReceiveWindow(1_000, 3_000, at(0));
    expect(window.widen(100, at(0))).toBe(2_000);
    expect(window.widen(100, at(99))).toBeUndefined();
    expect(window.widen(100, at(100))).toBe(3_000);
    expect(window.widen(100, at(500))).toBeUndefined();
  });

  it('never lowers its limit, never allows more than its largest window, never blocks for good', () => {
    const step = fc.record({
      bytes: fc.nat({ max: 1_000 }),
      after: fc.nat({ max: 100 }),
      widen: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const most = 5_000;
        const window = new ReceiveWindow(700, most, at(0));
        let now = 0;
        let consumed = 0;
        let limit = window.advertised;
        for (const { bytes, after, widen } of steps) {
          now += after;
          const taken = Math.min(bytes, limit - consumed);
          consumed += taken;
          const told = widen ? window.widen(50, at(now)) : undefined;
          const next = window.consume(taken, 50, at(now)) ?? told ?? limit;
          expect(next).toBe(window.advertised);
          expect(next).toBeGreaterThanOrEqual(limit);
          expect(next - consumed).toBeLessThanOrEqual(most);
          expect(next).toBeGreaterThan(consumed);
          limit = next;
        }
      }),
    );
  });

  it('is as large at first as the peer was told, whatever its bound', () => {
    expect(new ReceiveWindow(9_000, 4_000, at(0)).advertised).toBe(9_000);
  });
});
