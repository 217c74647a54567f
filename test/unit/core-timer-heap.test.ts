import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { TimerHeap } from '../../src/core/timer-heap.js';
import { usedHeap } from '../helpers/heap.js';

function at(ms: number): Instant {
  return ms as Instant;
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      owner: fc.nat({ max: 30 }),
      at: fc.option(fc.nat({ max: 50 }), { nil: undefined }),
    }),
  },
  fc.record({ now: fc.nat({ max: 50 }) }),
);

describe('TimerHeap', () => {
  it('says what a plain map of deadlines says', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const heap = new TimerHeap<number>();
        const slow = new Map<number, number>();
        for (const one of steps) {
          if ('owner' in one) {
            heap.set(one.owner, one.at as Instant | undefined);
            if (one.at === undefined) slow.delete(one.owner);
            else slow.set(one.owner, one.at);
          } else {
            const due = heap.takeDue(at(one.now));
            const earliest = Math.min(...slow.values());
            if (due === undefined) {
              expect(earliest).toBeGreaterThan(one.now);
            } else {
              expect(slow.get(due)).toBe(earliest);
              expect(earliest).toBeLessThanOrEqual(one.now);
              slow.delete(due);
            }
          }
          expect(heap.earliest ?? Number.POSITIVE_INFINITY).toBe(Math.min(...slow.values()));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('gives out owners in the order of their deadlines, each once', () => {
    const heap = new TimerHeap<string>();
    for (const [owner, ms] of [
      ['c', 30],
      ['a', 10],
      ['b', 20],
      ['d', 40],
    ] as const) {
      heap.set(owner, at(ms));
    }
    heap.set('a', at(25));
    heap.set('d', undefined);
    const order: (string | undefined)[] = [];
    for (let i = 0; i < 5; i++) order.push(heap.takeDue(at(100)));
    expect(order).toEqual(['b', 'a', 'c', undefined, undefined]);
    expect(heap.earliest).toBeUndefined();
  });

  it('lets an owner come back after it was taken out', () => {
    const heap = new TimerHeap<string>();
    heap.set('a', at(5));
    expect(heap.takeDue(at(5))).toBe('a');
    heap.set('a', at(5));
    expect(heap.takeDue(at(4))).toBeUndefined();
    expect(heap.takeDue(at(5))).toBe('a');
  });

  it('stays right through many changes of few deadlines', () => {
    const heap = new TimerHeap<number>();
    for (let i = 0; i < 100_000; i++) heap.set(i % 8, at(100_000 - i));
    expect(heap.earliest).toBe(1);
    const owners = Array.from({ length: 8 }, () => heap.takeDue(at(100_000)));
    expect(owners).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
    expect(heap.takeDue(at(1e9))).toBeUndefined();
  });

  it('keeps no deadlines that were replaced before they came', () => {
    const heap = new TimerHeap<number>();
    const before = usedHeap();
    for (let i = 0; i < 300_000; i++) heap.set(i % 8, at(i));
    expect(usedHeap() - before).toBeLessThan(2_000_000);
    expect(heap.earliest).toBe(299_992);
  });
});
