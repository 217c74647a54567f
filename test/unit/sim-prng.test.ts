import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/sim/prng.js';

const take = (prng: Prng, count: number): number[] =>
  Array.from({ length: count }, () => prng.next());

describe('prng', () => {
  it('repeats itself for a seed, as number or text, and differs for another', () => {
    expect(take(new Prng(7), 50)).toEqual(take(new Prng('7'), 50));
    expect(take(new Prng(7), 50)).not.toEqual(take(new Prng(8), 50));
  });

  it('forks generators that depend on seed and label only', () => {
    const early = new Prng(7).fork('a');
    const parent = new Prng(7);
    take(parent, 100);
    expect(take(parent.fork('a'), 20)).toEqual(take(early, 20));
    expect(take(parent.fork('b'), 20)).not.toEqual(take(parent.fork('a'), 20));
  });

  it('spreads evenly', () => {
    const prng = new Prng('even');
    const counts = new Array<number>(16).fill(0);
    for (let i = 0; i < 64_000; i++) {
      const slot = prng.integer(0, 15);
      counts[slot] = (counts[slot] ?? 0) + 1;
    }
    // 4000 each; the standard deviation is 61.
    for (const count of counts) expect(Math.abs(count - 4000)).toBeLessThan(300);
  });

  it('keeps integers in their range and refuses an empty one', () => {
    const prng = new Prng(1);
    for (let i = 0; i < 1000; i++) expect([3, 4, 5]).toContain(prng.integer(3, 5));
    expect(() => prng.integer(5, 4)).toThrow(RangeError);
    expect(() => prng.pick([])).toThrow(RangeError);
    expect(prng.chance(0)).toBe(false);
    expect(prng.chance(1)).toBe(true);
  });

  it('makes bytes of any length', () => {
    expect(new Prng(1).bytes(0)).toHaveLength(0);
    const bytes = new Prng(1).bytes(10_001);
    expect(bytes).toHaveLength(10_001);
    expect(new Set(bytes).size).toBe(256);
  });
});
