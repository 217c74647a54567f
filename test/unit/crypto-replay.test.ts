import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REPLAY_WINDOW_WIDTH, ReplayWindow } from '../../src/crypto/replay-window.js';

const W = REPLAY_WINDOW_WIDTH;
const MAX = Number.MAX_SAFE_INTEGER;

/** What the window must do, in the most obvious way: forget nothing. */
class SlowWindow {
  readonly #seen = new Set<number>();
  readonly #width: number;
  #largest = -1;

  constructor(width: number) {
    this.#width = width;
  }

  accept(n: number): boolean {
    if (this.#largest - n >= this.#width || this.#seen.has(n)) return false;
    this.#seen.add(n);
    this.#largest = Math.max(this.#largest, n);
    return true;
  }
}

function accept(window: ReplayWindow, n: number): boolean {
  const isNew = window.check(n);
  if (isNew) window.record(n);
  return isNew;
}

/** One window, step by step: the number that arrives, and whether it is new. */
const STEPS: readonly (readonly [number, boolean, string])[] = [
  [0, true, 'the first number'],
  [0, false, 'at once again'],
  [1, true, 'the next'],
  [1, false, 'again'],
  [9, true, 'a gap'],
  [8, true, 'in the gap'],
  [7, true, 'in the gap'],
  [7, false, 'in the gap again'],
  [31, true, 'end of the first word'],
  [32, true, 'begin of the second word'],
  [31, false, 'end of the first word again'],
  [32, false, 'begin of the second word again'],
  [63, true, 'end of the second word'],
  [33, true, 'late'],
  [W - 1, true, 'a window with 0 as its lowest number'],
  [0, false, 'the lowest number, seen'],
  [2, true, 'near the low edge, not seen'],
  [W, true, 'one step, 0 falls out'],
  [0, false, 'just too old, and seen'],
  [1, false, 'the lowest number, seen'],
  [W + 2, true, 'two steps'],
  [2, false, 'too old, seen'],
  [3, true, 'the lowest number, not seen'],
  [3, false, 'the lowest number again'],
  [4, true, 'one above the low edge'],
  [W + 1, true, 'skipped by the two steps'],
  [W + 6, true, 'four steps'],
  [6, false, 'just too old, though never seen'],
  [7, false, 'low edge, seen at the begin'],
  [10, true, 'just above it, not seen'],
  [2 * W + 6, true, 'a jump of the width'],
  [W + 6, false, 'just too old after the jump'],
  [W + 7, true, 'the lowest after the jump'],
  [2 * W + 5, true, 'the second largest'],
  [3 * W + 100, true, 'a jump of more than the width'],
  [2 * W + 100, false, 'just too old'],
  [2 * W + 101, true, 'the lowest, on a bit that an old number had'],
  [3 * W + 99, true, 'below the largest'],
  [4 * W + 132, true, 'a jump by the size of the whole ring'],
  [3 * W + 133, true, 'the lowest, where the ring was cleared'],
  [2 ** 32 - 1, true, 'the last number of 32 bits'],
  [2 ** 32, true, 'the first number of 33 bits'],
  [2 ** 32 - 1, false, 'the last number of 32 bits again'],
  [2 ** 32 - W, false, 'just too old'],
  [2 ** 32 - W + 1, true, 'the lowest'],
  [0, false, 'the low 32 bits of a number that was seen'],
  [MAX - 1, true, 'the last number but one'],
  [MAX, true, 'the last number'],
  [MAX, false, 'the last number again'],
  [MAX - 1, false, 'the last but one again'],
  [MAX - W, false, 'just too old'],
  [MAX - W + 1, true, 'the lowest of the last window'],
  [MAX + 1, false, 'no number of a packet any more'],
];

describe('T5 R-DATA-4 replay window', () => {
  it('follows the table, step by step', () => {
    const window = new ReplayWindow();
    expect(STEPS.length).toBeGreaterThanOrEqual(34);
    for (const [n, isNew, why] of STEPS) {
      expect(accept(window, n), `${n}: ${why}`).toBe(isNew);
    }
  });

  it('accepts each number once, in order, over many windows', () => {
    const window = new ReplayWindow();
    for (let n = 0; n < 3 * W; n++) expect(accept(window, n)).toBe(true);
    for (let n = 0; n < 3 * W; n++) expect(accept(window, n)).toBe(false);
  });

  it('accepts a whole window backwards, and nothing below it', () => {
    const window = new ReplayWindow();
    const top = 10 * W + 17;
    for (let i = 0; i < W; i++) expect(accept(window, top - i)).toBe(true);
    for (let i = W; i < 2 * W; i++) expect(accept(window, top - i)).toBe(false);
  });

  it('records nothing by a check', () => {
    const window = new ReplayWindow();
    expect(window.check(5)).toBe(true);
    expect(window.check(5)).toBe(true);
    expect(window.largest).toBe(-1);
    window.record(5);
    expect(window.check(5)).toBe(false);
    expect(window.check(4)).toBe(true);
    expect(window.largest).toBe(5);
  });

  it('is not changed by recording what it refuses', () => {
    const window = new ReplayWindow(32);
    window.record(100);
    for (const n of [68, 36, -1, 100.5, Number.NaN, Number.POSITIVE_INFINITY, MAX + 1]) {
      expect(window.check(n)).toBe(false);
      window.record(n);
    }
    expect(window.largest).toBe(100);
    for (let n = 69; n < 100; n++) expect(window.check(n)).toBe(true);
  });

  it('says what a window that forgets nothing says', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: -140, max: 40 }) },
      { weight: 1, arbitrary: fc.integer({ min: -2000, max: 2000 }) },
      { weight: 1, arbitrary: fc.constantFrom(31, 32, 33, 63, 64, 127, 128, 159, 160, 161) },
    );
    fc.assert(
      fc.property(
        fc.constantFrom(32, 64, 128),
        fc.constantFrom(0, 2 ** 31 - 50, 2 ** 32 - 50, 2 ** 53 - 100_000),
        fc.array(step, { minLength: 50, maxLength: 400 }),
        (width, start, steps) => {
          const fast = new ReplayWindow(width);
          const slow = new SlowWindow(width);
          let largest = start;
          for (const delta of steps) {
            const n = Math.max(0, Math.min(MAX, largest + delta));
            expect(accept(fast, n)).toBe(slow.accept(n));
            largest = Math.max(largest, n);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('says the same over a long run at the default width', () => {
    const fast = new ReplayWindow();
    const slow = new SlowWindow(W);
    let random = 12345;
    let largest = 0;
    for (let i = 0; i < 200_000; i++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      const spread = random >>> 29 === 0 ? 4 * W : 64;
      const n = Math.max(0, largest - spread + ((random >>> 3) % (spread + spread / 8)));
      if (accept(fast, n) !== slow.accept(n)) throw new Error(`step ${i}: they differ on ${n}`);
      largest = Math.max(largest, n);
    }
    expect(largest).toBeGreaterThan(10 * W);
  });

  it.each([0, -32, 33, 1.5, Number.NaN])('takes no width of %d', (width) => {
    expect(() => new ReplayWindow(width)).toThrow(RangeError);
  });
});
