import { describe, expect, it } from 'vitest';
import { MAX_LOOKED_AT, SendQueue } from '../../src/core/streams/send-queue.js';
import { SendStream } from '../../src/core/streams/send-stream.js';
import { TestPrng } from '../helpers/prng.js';

const PLENTY = 2 ** 40;
const LIMITS = { sessionCredit: PLENTY, sendBufferBytes: PLENTY, streamSendBufferBytes: 5_000 };

function stream(id: number, bytes: number, options: { priority?: number; maxData?: number } = {}) {
  const send = new SendStream(id, options.maxData ?? PLENTY);
  send.priority = options.priority ?? 0;
  if (bytes > 0) send.write(new Uint8Array(bytes));
  return send;
}

function queueOf(...streams: SendStream[]): SendQueue {
  const queue = new SendQueue();
  for (const send of streams) queue.add(send);
  return queue;
}

/** The ids in the order of their turns, one byte each. */
function turnsOf(queue: SendQueue, count: number, sessionCredit = PLENTY): number[] {
  const ids: number[] = [];
  for (let i = 0; i < count; i++) {
    const send = queue.select(sessionCredit);
    if (send === undefined) break;
    send.next(1, sessionCredit);
    queue.rotate(send);
    ids.push(send.id);
  }
  return ids;
}

describe('the queue of streams that send', () => {
  it('gives turns to equal streams, and to higher priorities first', () => {
    const queue = queueOf(stream(1, 3), stream(2, 3), stream(3, 2, { priority: 1 }));
    expect(turnsOf(queue, 10)).toEqual([3, 3, 1, 2, 1, 2, 1, 2]);
  });

  it('passes over those that have nothing new, if only that is wanted', () => {
    const [skipped, blocked, fresh] = [
      stream(1, 100),
      stream(2, 100, { maxData: 50 }),
      stream(3, 100),
    ];
    for (const send of [skipped, blocked]) expect(send.next(10, PLENTY, 90)).toBeDefined();
    expect(skipped.unsentBytes).toBe(0);
    expect(blocked.unsentBytes).toBe(50);
    const queue = queueOf(skipped, blocked, fresh);
    expect(queue.select(PLENTY)?.id).toBe(1);
    expect(queue.select(PLENTY, true)?.id).toBe(3);
    expect(queueOf(skipped, blocked).select(PLENTY, true)).toBeUndefined();
  });

  it('follows a change of priority', () => {
    const [one, two, idle] = [stream(1, 2), stream(2, 2), stream(3, 0)];
    const queue = queueOf(one, two);
    queue.setPriority(two, 5);
    queue.setPriority(one, -1);
    queue.setPriority(idle, 9);
    expect(turnsOf(queue, 10)).toEqual([2, 2, 1, 1]);
  });

  it('sets aside what the peer’s window holds up, until it is added again', () => {
    const held = stream(1, 100, { maxData: 1 });
    const queue = queueOf(held, stream(2, 2));
    expect(turnsOf(queue, 10)).toEqual([1, 2, 2]);
    expect(queue.pending(LIMITS)).toMatchObject({ hasWork: false, isBlocked: true });
    held.maxData = 3;
    queue.add(held);
    expect(turnsOf(queue, 10)).toEqual([1, 1]);
    queue.delete(held);
    expect(queue.pending(LIMITS)).toMatchObject({ hasWork: false, isBlocked: false });
  });

  it('keeps the turns of what the session’s window holds up, but lets lost data pass', () => {
    const [first, second] = [stream(1, 5), stream(2, 5)];
    const queue = queueOf(first, second);
    second.next(2, PLENTY);
    second.lose(0, 2, false);
    expect(turnsOf(queue, 10, 0)).toEqual([2, 2]);
    expect(queue.pending({ ...LIMITS, sessionCredit: 0 })).toMatchObject({
      hasWork: false,
      isBlocked: true,
    });
    expect(turnsOf(queue, 2)).toEqual([1, 2]);
  });

  it('has no work and nothing blocked after all is sent, with or without an end', () => {
    const ending = stream(1, 1);
    ending.finish();
    const queue = queueOf(ending, stream(2, 1));
    expect(turnsOf(queue, 10)).toEqual([1, 2]);
    expect(queue.pending(LIMITS)).toMatchObject({ hasWork: false, isBlocked: false, bytes: 0 });
  });

  it('counts what waits, and the narrowest room that is left', () => {
    const [one, two] = [stream(1, 1_000), stream(2, 2_000, { maxData: 1_500 })];
    one.next(400, PLENTY);
    expect(queueOf(one, two).pending({ ...LIMITS, sendBufferBytes: 4_800 })).toEqual({
      hasWork: true,
      bytes: 600 + 1_500,
      creditBytes: 4_600,
      skippedBytes: 0,
      isBlocked: false,
    });
  });

  it(`looks at ${MAX_LOOKED_AT} streams at most to say how much waits`, () => {
    const streams = Array.from({ length: 2 * MAX_LOOKED_AT }, (_, id) => stream(id, 10));
    expect(queueOf(...streams).pending(LIMITS).bytes).toBe(10 * MAX_LOOKED_AT);
  });

  it.each([1, 2, 3, 4, 5])('agrees with a search through all streams, seed %i', (seed) => {
    const prng = new TestPrng(seed);
    const streams = Array.from({ length: 8 }, (_, id) =>
      stream(id, 0, { priority: prng.below(3), maxData: 40 }),
    );
    const queue = new SendQueue();
    for (let step = 0; step < 2_000; step++) {
      const send = streams[prng.below(streams.length)];
      if (send === undefined) continue;
      const credit = prng.below(4) === 0 ? 0 : PLENTY;
      const action = prng.below(5);
      if (action === 0) send.write(new Uint8Array(prng.below(9)));
      else if (action === 1) send.maxData = send.maxData + prng.below(9);
      else if (action === 2) send.lose(Math.max(0, send.sentBytes - 3), send.sentBytes, false);
      else if (action === 3) queue.setPriority(send, prng.below(3));
      else {
        const chosen = queue.select(credit);
        const able = streams.filter((one) => one.hasWork(credit));
        const best = Math.max(...able.map((one) => one.priority));
        expect(chosen === undefined).toBe(able.length === 0);
        if (chosen === undefined) continue;
        expect([chosen.hasWork(credit), chosen.priority]).toEqual([true, best]);
        chosen.next(5, credit);
        queue.rotate(chosen);
      }
      if (action < 3) queue.add(send);
      const pending = queue.pending({ ...LIMITS, sessionCredit: credit });
      expect(pending.hasWork).toBe(streams.some((one) => one.hasWork(credit)));
      const isUnsent = streams.some((one) => one.unsentBytes > 0);
      expect(pending.isBlocked).toBe(!pending.hasWork && isUnsent);
    }
  });
});
