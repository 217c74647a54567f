import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeSet } from '../../src/core/range-set.js';

/** Members are below this, so that random ranges meet often. */
const END = 64;

/** What the set must say, in the most obvious way: one member at a time. */
class SlowSet {
  readonly members = new Set<number>();

  add(start: number, end: number): number {
    const before = this.members.size;
    for (let n = start; n < end; n++) this.members.add(n);
    return this.members.size - before;
  }

  remove(start: number, end: number): number {
    const before = this.members.size;
    for (let n = start; n < end; n++) this.members.delete(n);
    return before - this.members.size;
  }

  ranges(wanted: boolean, start: number, end: number): { start: number; end: number }[] {
    const ranges: { start: number; end: number }[] = [];
    for (let n = start; n < end; n++) {
      if (this.members.has(n) !== wanted) continue;
      const last = ranges[ranges.length - 1];
      if (last?.end === n) last.end = n + 1;
      else ranges.push({ start: n, end: n + 1 });
    }
    return ranges;
  }
}

const place = fc.nat({ max: END });
const step = fc.oneof(
  fc.record({ type: fc.constant('add' as const), start: place, end: place }),
  fc.record({ type: fc.constant('remove' as const), start: place, end: place }),
  fc.record({ type: fc.constant('shift' as const), start: place, end: place }),
);

describe('RangeSet', () => {
  it('says what a set of single members says', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const fast = new RangeSet();
        const slow = new SlowSet();
        for (const { type, start, end } of steps) {
          if (type === 'add') expect(fast.add(start, end)).toBe(slow.add(start, end));
          else if (type === 'remove') expect(fast.remove(start, end)).toBe(slow.remove(start, end));
          else {
            const first = slow.ranges(true, 0, END)[0];
            expect(fast.shift()).toEqual(first);
            if (first !== undefined) slow.remove(first.start, first.end);
          }
          const ranges = slow.ranges(true, 0, END);
          expect(fast.ranges).toEqual(ranges);
          expect(fast.size).toBe(slow.members.size);
          expect(fast.rangeCount).toBe(ranges.length);
          expect(fast.isEmpty).toBe(ranges.length === 0);
          expect(fast.first()).toEqual(ranges[0]);
          expect(fast.last()).toEqual(ranges.at(-1));
          expect(fast.gaps(start, end)).toEqual(slow.ranges(false, start, end));
          expect(fast.covers(start, end)).toBe(slow.ranges(false, start, end).length === 0);
          expect(fast.has(start)).toBe(slow.members.has(start));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('joins ranges that touch', () => {
    const set = new RangeSet();
    set.add(10, 20);
    set.add(30, 40);
    expect(set.add(20, 30)).toBe(10);
    expect(set.ranges).toEqual([{ start: 10, end: 40 }]);
  });

  it('counts members up to the largest integer', () => {
    const set = new RangeSet();
    set.add(Number.MAX_SAFE_INTEGER - 10, Number.MAX_SAFE_INTEGER);
    set.add(0, 5);
    expect(set.size).toBe(15);
    expect(set.has(Number.MAX_SAFE_INTEGER - 1)).toBe(true);
    expect(set.has(Number.MAX_SAFE_INTEGER)).toBe(false);
  });

  it('is empty after clear', () => {
    const set = new RangeSet();
    set.add(1, 3);
    set.add(5, 9);
    set.clear();
    expect([set.isEmpty, set.size, set.first(), set.last(), set.shift()]).toEqual([
      true,
      0,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
