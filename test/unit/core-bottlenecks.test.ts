import { describe, expect, it } from 'vitest';
import {
  Bottlenecks,
  correlation,
  DelayTrace,
  type GroupMember,
} from '../../src/core/congestion/bottlenecks.js';
import { CubicCurve } from '../../src/core/congestion/cubic-curve.js';
import { QueueWatch } from '../../src/core/congestion/queue-watch.js';
import type { Instant } from '../../src/core/index.js';
import { TestPrng } from '../helpers/prng.js';

const at = (ms: number): Instant => ms as Instant;

/** Queues that wander by themselves, as seen by paths that go through one of them each. */
class Queues {
  readonly #prng: TestPrng;
  readonly #ms: number[];
  now = 0;

  constructor(count: number, seed: number) {
    this.#prng = new TestPrng(seed);
    this.#ms = Array.from({ length: count }, () => 25);
  }

  run(
    traces: readonly { trace: DelayTrace; queue: number; baseMs: number }[],
    forMs: number,
  ): void {
    for (const end = this.now + forMs; this.now < end; this.now += 20) {
      if (this.now % 100 === 0) {
        for (const [i, ms] of this.#ms.entries()) {
          this.#ms[i] = Math.max(
            0,
            Math.min(50, ms + (this.#prng.below(1_000) / 1_000 - 0.5) * 20),
          );
        }
      }
      for (const { trace, queue, baseMs } of traces) {
        trace.sample(
          baseMs + (this.#ms[queue] ?? 0) + (2 * this.#prng.below(1_000)) / 1_000,
          this.now,
        );
      }
    }
  }
}

function member(delays: DelayTrace, rest: Partial<GroupMember> = {}): GroupMember {
  return { delays, windowBytes: 100_000, rttMs: 50, isStarting: false, ...rest };
}

describe('delays of two paths', () => {
  it.each([1, 2, 3])('are correlated through one queue and not through two, seed %i', (seed) => {
    const [a, b, c] = [new DelayTrace(), new DelayTrace(), new DelayTrace()];
    const queues = new Queues(2, seed);
    const paths = [
      { trace: a, queue: 0, baseMs: 20 },
      { trace: b, queue: 0, baseMs: 90 },
      { trace: c, queue: 1, baseMs: 20 },
    ];
    queues.run(paths, 10_000);
    expect(correlation(a, b, at(queues.now))).toBeGreaterThan(0.9);
    expect(Math.abs(correlation(a, c, at(queues.now)) ?? 1)).toBeLessThan(0.9);
  });

  it('say nothing without a queue, or with too few samples', () => {
    const [a, b] = [new DelayTrace(), new DelayTrace()];
    for (let ms = 0; ms < 2_000; ms += 20) {
      a.sample(20 + (ms % 40) / 10, ms);
      b.sample(20 + (ms % 40) / 10, ms);
    }
    expect(correlation(a, b, at(2_000))).toBeUndefined();
    for (let ms = 2_000; ms < 8_000; ms += 20) {
      a.sample(20, ms);
      b.sample(20, ms);
    }
    expect(correlation(a, b, at(8_000))).toBeUndefined();
  });
});

describe('paths in one group', () => {
  function groupsAfter(queueOfSecond: number, ms: number, seed = 5): Map<number, number> {
    const [a, b] = [new DelayTrace(), new DelayTrace()];
    const queues = new Queues(2, seed);
    const bottlenecks = new Bottlenecks();
    const members = new Map([
      [0, member(a)],
      [7, member(b)],
    ]);
    let shares = new Map<number, number>();
    for (let passed = 0; passed < ms; passed += 500) {
      const paths = [
        { trace: a, queue: 0, baseMs: 20 },
        { trace: b, queue: queueOfSecond, baseMs: 30 },
      ];
      queues.run(paths, 500);
      expect(bottlenecks.isDue(at(queues.now))).toBe(true);
      shares = bottlenecks.shares(members, at(queues.now));
      expect(bottlenecks.isDue(at(queues.now + 499))).toBe(false);
    }
    return shares;
  }

  it('are half a flow each after some seconds', () => {
    expect([...groupsAfter(0, 10_000).values()]).toEqual([0.5, 0.5]);
  });

  it('are found by more than one look', () => {
    expect([...groupsAfter(0, 2_500).values()]).toEqual([1, 1]);
  });

  it('are none if they have a queue of their own each', () => {
    expect([...groupsAfter(1, 60_000).values()]).toEqual([1, 1]);
  });

  it('grow as RFC 6356 has it when their windows and round trips differ', () => {
    const [a, b] = [new DelayTrace(), new DelayTrace()];
    const queues = new Queues(1, 9);
    const bottlenecks = new Bottlenecks();
    const members = new Map([
      [0, member(a, { windowBytes: 90_000, rttMs: 30 })],
      [1, member(b, { windowBytes: 60_000, rttMs: 60 })],
    ]);
    let shares = new Map<number, number>();
    for (let i = 0; i < 20; i++) {
      const paths = [a, b].map((trace) => ({ trace, queue: 0, baseMs: 30 }));
      queues.run(paths, 500);
      shares = bottlenecks.shares(members, at(queues.now));
    }
    const best = 90_000 / 30 ** 2;
    const sum = 90_000 / 30 + 60_000 / 60;
    expect(shares.get(0)).toBeCloseTo(Math.sqrt((90_000 * best) / sum ** 2), 9);
    expect(shares.get(1)).toBeCloseTo(Math.sqrt((60_000 * best) / sum ** 2), 9);
  });
});

describe('the window of a part of a flow', () => {
  it('grows so much more slowly that two halves make one', () => {
    const grown = (share: number): number => {
      const curve = new CubicCurve(1_000, 100_000);
      curve.share = share;
      curve.backOff();
      for (let ms = 0; ms < 4_000; ms += 10) curve.grow(curve.windowBytes / 5, 50, at(ms));
      return curve.windowBytes - 70_000;
    };
    expect(grown(0.5)).toBeGreaterThan(0);
    expect(grown(0.5)).toBeLessThan(0.55 * grown(1));
  });
});

describe('a queue that is full', () => {
  it('is told by a round trip near the longest of late', () => {
    const watch = new QueueWatch();
    for (const [round, ms] of [20, 30, 50, 70].entries()) {
      watch.sample(ms);
      watch.endRound(at(round * 100));
    }
    expect(watch.isFull(65)).toBe(true);
    expect(watch.isFull(30)).toBe(false);
  });

  it('is not seen where the round trip hardly varies', () => {
    const watch = new QueueWatch();
    for (const [round, ms] of [40, 44, 50, 41].entries()) {
      watch.sample(ms);
      watch.endRound(at(round * 100));
    }
    expect(watch.isFull(50)).toBe(false);
  });
});
