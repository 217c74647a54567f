import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/index.js';
import { KeepAlive } from '../../src/core/keep-alive.js';

const at = (ms: number): Instant => ms as Instant;

/** Keep-alives through a NAT that remembers for so long; `undefined`: for ever. */
function live(keepAlive: KeepAlive, memoryMs: number | undefined, forMs: number, from = 0): number {
  let now = from;
  let losses = 0;
  while (now < from + forMs) {
    const silence = keepAlive.intervalMs;
    now += silence;
    keepAlive.spoke(silence, at(now));
    if (memoryMs === undefined || silence <= memoryMs) continue;
    losses += 1;
    keepAlive.doubted(at(now + 50));
  }
  return losses;
}

describe('the interval of keep-alives', () => {
  it('grows to its maximum where nothing is forgotten', () => {
    const keepAlive = new KeepAlive({ startMs: 15_000, maxMs: 60_000 });
    expect(live(keepAlive, undefined, 1_000_000)).toBe(0);
    expect(keepAlive.intervalMs).toBe(60_000);
  });

  it('stays below what a NAT remembers, after one loss an hour', () => {
    const keepAlive = new KeepAlive({ startMs: 15_000, maxMs: 60_000 });
    expect(live(keepAlive, 25_000, 3_000_000)).toBe(1);
    expect(keepAlive.intervalMs).toBeGreaterThanOrEqual(15_000);
    expect(keepAlive.intervalMs).toBeLessThan(25_000);
  });

  it('never goes below ten seconds, nor below where it began', () => {
    const keepAlive = new KeepAlive({ startMs: 15_000, maxMs: 60_000 });
    live(keepAlive, 5_000, 1_000_000);
    expect(keepAlive.intervalMs).toBe(10_000);
    const short = new KeepAlive({ startMs: 2_000, maxMs: 60_000 });
    live(short, 500, 100_000);
    expect(short.intervalMs).toBe(2_000);
  });

  it('is left alone by challenges that follow no silence', () => {
    const keepAlive = new KeepAlive({ startMs: 15_000, maxMs: 15_000 });
    keepAlive.doubted(at(1_000));
    keepAlive.spoke(15_000, at(20_000));
    keepAlive.doubted(at(23_001));
    expect(keepAlive.intervalMs).toBe(15_000);
  });

  it('is none if none was wished for', () => {
    const keepAlive = new KeepAlive({ startMs: 0, maxMs: 60_000 });
    keepAlive.heardFirst(100_000, at(100_000));
    expect(keepAlive.intervalMs).toBe(0);
  });
});
