import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { EventQueue } from '../../src/sim/event-queue.js';
import { Link, type LinkParams } from '../../src/sim/link.js';
import { PRESETS } from '../../src/sim/presets.js';
import { Prng } from '../../src/sim/prng.js';

const seeds = process.env['SEED'] === undefined ? [1, 2, 3] : [Number(process.env['SEED'])];

interface Arrival {
  readonly packet: number;
  readonly at: number;
}

/** Takes everything until nothing is on the way, or until `until`. */
function arrivals(link: Link<number>, until = Number.POSITIVE_INFINITY): Arrival[] {
  const out: Arrival[] = [];
  while (link.nextAt <= until && link.nextAt !== Number.POSITIVE_INFINITY) {
    const at = link.nextAt as Instant;
    for (let packet = link.take(at); packet !== undefined; packet = link.take(at)) {
      out.push({ packet, at });
    }
  }
  return out;
}

function make(params: Partial<LinkParams>, seed: number | string = 1): Link<number> {
  return new Link<number>(params, new Prng(seed).fork('link'));
}

/** Submits `count` packets, one every `everyMs`, taking arrivals as they come. */
function feed(link: Link<number>, count: number, sizeBytes: number, everyMs: number): Arrival[] {
  const out: Arrival[] = [];
  for (let i = 0; i < count; i++) {
    const now = i * everyMs;
    out.push(...arrivals(link, now));
    link.submit(i, sizeBytes, now as Instant);
  }
  return [...out, ...arrivals(link)];
}

describe.each(seeds)('link, seed %i', (seed) => {
  it.each(Object.entries(PRESETS))('%s never delivers before the one-way delay', (_name, pair) => {
    const params: Partial<LinkParams> = pair.down;
    const link = make(params, seed);
    for (const { packet, at } of feed(link, 500, 1200, 2)) {
      const least = (params.delayMs ?? 0) - (params.jitterMs ?? 0);
      expect(at - packet * 2).toBeGreaterThanOrEqual(Math.max(0, least));
    }
  });

  it('loses the share it is told to', () => {
    const got = feed(make({ loss: 0.05, delayMs: 1 }, seed), 20_000, 100, 0.1).length;
    expect(got / 20_000).toBeGreaterThan(0.942);
    expect(got / 20_000).toBeLessThan(0.958);
  });

  it('loses in bursts as Gilbert and Elliott say', () => {
    const burstLoss = { goodToBad: 0.02, badToGood: 0.2, lossWhenBad: 0.8, lossWhenGood: 0.01 };
    const got = feed(make({ burstLoss }, seed), 50_000, 100, 0.1);
    const bad = 0.02 / (0.02 + 0.2);
    const expected = bad * 0.8 + (1 - bad) * 0.01;
    expect(Math.abs(1 - got.length / 50_000 - expected)).toBeLessThan(0.012);
    let runs = 0;
    let last = -1;
    for (const { packet } of got) {
      if (packet > last + 1) runs++;
      last = packet;
    }
    // Independent losses at this rate would come 1.09 at a time.
    expect((50_000 - got.length) / runs).toBeGreaterThan(1.8);
  });

  it('keeps the order under jitter, unless it may reorder', () => {
    const params = { delayMs: 20, jitterMs: 10 };
    const kept = feed(make(params, seed), 2000, 100, 1).map((arrival) => arrival.packet);
    expect(kept).toEqual([...kept].sort((a, b) => a - b));
    const mixed = feed(make({ ...params, reorder: true }, seed), 2000, 100, 1);
    expect(mixed).toHaveLength(2000);
    expect(mixed.some(({ packet }, i) => packet !== i)).toBe(true);
    for (const { packet, at } of mixed) {
      expect(at - packet).toBeGreaterThanOrEqual(10);
      expect(at - packet).toBeLessThanOrEqual(30);
    }
  });

  it('delivers some packets twice if told to', () => {
    const got = feed(make({ duplicate: 0.1 }, seed), 10_000, 100, 1).length;
    expect(got).toBeGreaterThan(10_850);
    expect(got).toBeLessThan(11_150);
  });
});

describe('link', () => {
  it('serves its rate exactly', () => {
    const link = make({ rateBitsPerSec: 12e6, delayMs: 5 });
    for (let i = 0; i < 1000; i++) link.submit(i, 1500, 0 as Instant);
    const got = arrivals(link);
    expect(got).toHaveLength(1000);
    for (const { packet, at } of got) expect(at).toBeCloseTo(packet + 1 + 5, 6);
  });

  it('uses link time for lost packets', () => {
    const link = make({ rateBitsPerSec: 12e6, loss: 0.5 });
    for (let i = 0; i < 100; i++) link.submit(i, 1500, 0 as Instant);
    for (const { packet, at } of arrivals(link)) expect(at).toBeCloseTo(packet + 1, 6);
  });

  it('drops the tail of a full queue, by time or by bytes', () => {
    const byTime = make({ rateBitsPerSec: 12e6, queueMs: 50 });
    const byBytes = make({ rateBitsPerSec: 12e6, queueBytes: 75_000 });
    for (const link of [byTime, byBytes]) {
      for (let i = 0; i < 200; i++) link.submit(i, 1500, 0 as Instant);
      expect(arrivals(link).map(({ packet }) => packet)).toEqual([...Array(50).keys()]);
      expect(link.stats.droppedByQueue).toBe(150);
      expect(link.stats.queueDelayMaxMs).toBeCloseTo(50, 6);
    }
  });

  it('drops what is queued and on the way when it goes black, and works again after', () => {
    const link = make({ rateBitsPerSec: 12e6, delayMs: 10 });
    for (let i = 0; i < 20; i++) link.submit(i, 1500, 0 as Instant);
    expect(arrivals(link, 12)).toHaveLength(2);
    link.set({ black: true }, 12 as Instant);
    expect(link.nextAt).toBe(Number.POSITIVE_INFINITY);
    expect(link.submit(20, 1500, 13 as Instant)).toBe(false);
    expect(link.stats.droppedByBlack).toBe(19);
    link.set({ black: false }, 20 as Instant);
    link.submit(21, 1500, 20 as Instant);
    expect(arrivals(link)).toEqual([{ packet: 21, at: 31 }]);
  });

  it('applies a new rate to what is left of the packet in transmission', () => {
    const link = make({ rateBitsPerSec: 1.2e6 });
    link.submit(0, 1500, 0 as Instant);
    link.submit(1, 1500, 0 as Instant);
    link.set({ rateBitsPerSec: 12e6 }, 5 as Instant);
    const got = arrivals(link);
    expect(got[0]?.at).toBeCloseTo(5.5, 6);
    expect(got[1]?.at).toBeCloseTo(6.5, 6);
    link.submit(2, 1500, 10 as Instant);
    link.set({ rateBitsPerSec: 0 }, 10.25 as Instant);
    expect(arrivals(link)).toEqual([{ packet: 2, at: 10.25 }]);
  });

  it('never overtakes when the delay shrinks', () => {
    const link = make({ delayMs: 100 });
    link.submit(0, 100, 0 as Instant);
    link.set({ delayMs: 10 }, 5 as Instant);
    link.submit(1, 100, 5 as Instant);
    expect(arrivals(link)).toEqual([
      { packet: 0, at: 100 },
      { packet: 1, at: 100 },
    ]);
  });

  it('swallows packets above its MTU', () => {
    const link = make({ mtu: 1280 });
    expect(link.submit(0, 1281, 0 as Instant)).toBe(false);
    expect(link.submit(1, 1280, 0 as Instant)).toBe(true);
    expect(link.stats.droppedByMtu).toBe(1);
  });
});

describe('event queue', () => {
  it('gives what it was given by time, and first come first served among equals', () => {
    const queue = new EventQueue();
    const prng = new Prng('queue');
    const entries: { at: number; index: number; wake(): void }[] = [];
    const seen: number[] = [];
    for (let index = 0; index < 3000; index++) {
      const at = prng.integer(0, 200);
      const entry = { at, index, wake: () => seen.push(index) };
      entries.push(entry);
      queue.push(at, entry);
    }
    while (queue.size > 0) queue.pop()?.wake(0 as Instant);
    entries.sort((a, b) => a.at - b.at || a.index - b.index);
    expect(seen).toEqual(entries.map((entry) => entry.index));
    expect(queue.pop()).toBeUndefined();
  });
});
