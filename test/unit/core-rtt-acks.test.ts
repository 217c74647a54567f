import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ACK_AT_ONCE_MAX_BYTES,
  ACK_AT_ONCE_MIN_BYTES,
  ACK_ELICITING_THRESHOLD,
  AckTracker,
  MAX_TRACKED_RANGES,
} from '../../src/core/ack-tracker.js';
import type { Instant } from '../../src/core/contract.js';
import {
  INITIAL_RTT_MS,
  MIN_RTT_WINDOW_MS,
  MIN_VARIANCE_MS,
  RECENT_RTT_MS,
  RttEstimator,
} from '../../src/core/rtt.js';

function at(ms: number): Instant {
  return ms as Instant;
}

describe('RttEstimator', () => {
  it('begins with the guess of RFC 9002', () => {
    const rtt = new RttEstimator();
    expect(rtt.hasSample).toBe(false);
    expect(rtt.smoothedRttMs).toBe(INITIAL_RTT_MS);
    expect(rtt.minRttMs).toBe(INITIAL_RTT_MS);
    expect(rtt.probeTimeoutMs(0)).toBe(3 * INITIAL_RTT_MS);
  });

  it('takes the first sample whole, and half of it for its variation', () => {
    const rtt = new RttEstimator();
    rtt.sample(100, 20, at(0));
    expect([rtt.smoothedRttMs, rtt.rttVarianceMs, rtt.minRttMs]).toEqual([100, 50, 100]);
    expect(rtt.probeTimeoutMs(25)).toBe(100 + 4 * 50 + 25);
  });

  it('takes a path for longer when all samples of a round trip, and many, are much longer', () => {
    const rtt = new RttEstimator();
    rtt.sample(100, 0, at(0));
    for (let n = 1; n < 40; n++) rtt.sample(1_200 + n, 0, at(n));
    expect(rtt.minRttMs).toBe(100);
    for (let n = 40; n < 102; n++) rtt.sample(1_200 + n, 0, at(n));
    expect(rtt.minRttMs).toBe(1_201);
    rtt.sample(90, 0, at(200));
    expect(rtt.minRttMs).toBe(90);
  });

  it('does not take jitter, a queue of our own or a few late packets for a longer path', () => {
    const jitters = new RttEstimator();
    const queued = new RttEstimator();
    for (const rtt of [jitters, queued]) rtt.sample(100, 0, at(0));
    for (let n = 1; n < 1_000; n++) {
      // One in thirty is below the bound.
      jitters.sample(n % 30 === 0 ? 190 : 500, 0, at(n));
      queued.sample(800, 0, at(n), 700);
    }
    expect([jitters.minRttMs, queued.minRttMs]).toEqual([100, 100]);
  });

  it('counts the latest sample as a first one after a restart', () => {
    const rtt = new RttEstimator();
    rtt.restart(at(0));
    expect(rtt.hasSample).toBe(false);
    rtt.sample(100, 0, at(0));
    rtt.sample(1_200, 0, at(1));
    rtt.restart(at(2));
    expect([rtt.smoothedRttMs, rtt.rttVarianceMs, rtt.minRttMs]).toEqual([1_200, 600, 1_200]);
  });

  it('follows RFC 9002 §5.3 step by step', () => {
    const rtt = new RttEstimator();
    rtt.sample(100, 0, at(0));
    // 20 ms of the second are the peer's delay.
    rtt.sample(140, 20, at(1));
    expect(rtt.rttVarianceMs).toBe(0.75 * 50 + 0.25 * 20);
    expect(rtt.smoothedRttMs).toBe(0.875 * 100 + 0.125 * 120);
    // A delay that would go below the minimum is not believed.
    const smoothed = rtt.smoothedRttMs;
    rtt.sample(110, 20, at(2));
    expect(rtt.smoothedRttMs).toBe(0.875 * smoothed + 0.125 * 110);
    expect(rtt.latestRttMs).toBe(110);
  });

  it('keeps its estimates between the smallest and the largest sample', () => {
    const sample = fc.tuple(fc.double({ min: 0.1, max: 1e4, noNaN: true }), fc.nat({ max: 50 }));
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 50 }), (samples) => {
        const rtt = new RttEstimator();
        samples.forEach(([ms, delay], i) => {
          rtt.sample(ms, delay, at(i));
        });
        const all = samples.map(([ms]) => ms);
        expect(rtt.minRttMs).toBe(Math.min(...all));
        expect(rtt.smoothedRttMs).toBeGreaterThanOrEqual(Math.min(...all) - 1e-6);
        expect(rtt.smoothedRttMs).toBeLessThanOrEqual(Math.max(...all) + 1e-6);
        expect(rtt.probeTimeoutMs(0)).toBeGreaterThanOrEqual(rtt.smoothedRttMs + MIN_VARIANCE_MS);
      }),
    );
  });

  it('leaves a probe timeout some time even where nothing varies', () => {
    const rtt = new RttEstimator();
    for (let i = 0; i < 200; i++) rtt.sample(30, 0, at(i));
    expect(rtt.probeTimeoutMs(0)).toBeCloseTo(30 + MIN_VARIANCE_MS);
  });

  it('forgets a minimum that is too old', () => {
    const rtt = new RttEstimator();
    rtt.sample(20, 0, at(0));
    rtt.sample(50, 0, at(MIN_RTT_WINDOW_MS));
    expect(rtt.minRttMs).toBe(20);
    rtt.sample(50, 0, at(MIN_RTT_WINDOW_MS + 1));
    expect(rtt.minRttMs).toBe(50);
  });

  it('counts what is longer than the sample before by more than half a round trip', () => {
    const rtt = new RttEstimator();
    const samples = [40, 50, 65, 90, 60, 90, 40, 70];
    for (const [index, ms] of samples.entries()) rtt.sample(ms, 0, at(index));
    expect(rtt.jumps).toBe(2);
  });

  it('knows the smallest of the last samples', () => {
    const rtt = new RttEstimator();
    rtt.sample(20, 0, at(0));
    rtt.sample(40, 0, at(RECENT_RTT_MS - 1));
    rtt.sample(60, 0, at(RECENT_RTT_MS));
    expect(rtt.recentRttMs).toBe(20);
    rtt.sample(70, 0, at(2 * RECENT_RTT_MS));
    expect(rtt.recentRttMs).toBe(60);
    rtt.sample(80, 0, at(5 * RECENT_RTT_MS));
    expect(rtt.recentRttMs).toBe(80);
  });
});

describe('AckTracker: when to acknowledge', () => {
  it('waits for the second packet, at most for the longest delay', () => {
    const acks = new AckTracker(10, false);
    acks.received(0, 1_200, true, at(100));
    expect([acks.isPending, acks.isDue(at(100)), acks.deadline]).toEqual([true, false, 110]);
    expect(acks.isDue(at(109.9))).toBe(false);
    expect(acks.isDue(at(110))).toBe(true);
    for (let n = 1; n < ACK_ELICITING_THRESHOLD; n++) acks.received(n, 1_200, true, at(101));
    expect(acks.isDue(at(101))).toBe(true);
    acks.report(at(101));
    expect(acks.isPending).toBe(true);
    acks.reported();
    expect([acks.isPending, acks.isDue(at(1e6)), acks.deadline]).toEqual([false, false, undefined]);
  });

  it('is in no hurry for packets that elicit nothing', () => {
    const acks = new AckTracker(10, false);
    for (let n = 0; n < 10; n++) acks.received(2 * n, 40, false, at(n));
    acks.hurry();
    expect([acks.isPending, acks.isDue(at(1e6)), acks.deadline]).toEqual([false, false, undefined]);
    expect(acks.largest).toBe(18);
  });

  it.each([
    ['a gap', [0, 2]],
    ['a packet that was overtaken', [5, 3]],
  ])('acknowledges %s at once on a datagram carrier', (_what, [first = 0, second = 0]) => {
    const acks = new AckTracker(10, false);
    acks.received(first, 1_200, true, at(0));
    acks.reported();
    acks.received(second, 1_200, true, at(1));
    expect(acks.isDue(at(1))).toBe(true);
  });

  it.each([
    [ACK_AT_ONCE_MIN_BYTES - 1, false],
    [ACK_AT_ONCE_MIN_BYTES, true],
    [ACK_AT_ONCE_MAX_BYTES, true],
    [ACK_AT_ONCE_MAX_BYTES + 1, false],
  ])('on a stream carrier a packet of %d bytes is acknowledged at once: %s', (bytes, atOnce) => {
    const acks = new AckTracker(10, true);
    acks.received(0, bytes, true, at(0));
    expect(acks.isDue(at(0))).toBe(atOnce);
  });

  it('hurries for a probe', () => {
    const acks = new AckTracker(10, true);
    acks.received(0, 40, true, at(0));
    expect(acks.isDue(at(0))).toBe(false);
    acks.hurry();
    expect(acks.isDue(at(0))).toBe(true);
  });
});

describe('AckTracker: what to acknowledge', () => {
  it('reports ranges from the highest down, and the delay of the largest packet', () => {
    const acks = new AckTracker(10, false);
    for (const n of [0, 1, 4, 5, 9]) acks.received(n, 100, true, at(n));
    acks.received(3, 100, true, at(11));
    expect(acks.report(at(11.5))).toEqual({
      ranges: [
        { smallest: 9, largest: 9 },
        { smallest: 3, largest: 5 },
        { smallest: 0, largest: 1 },
      ],
      delayUs: 2_500,
    });
    expect(acks.isPending).toBe(true);
  });

  it('keeps a bounded number of ranges, the newest', () => {
    const acks = new AckTracker(10, false);
    const count = 3 * MAX_TRACKED_RANGES;
    for (let n = 0; n < count; n++) acks.received(2 * n, 100, true, at(n));
    const { ranges } = acks.report(at(count));
    expect(ranges).toHaveLength(MAX_TRACKED_RANGES);
    expect(ranges[0]).toEqual({ smallest: 2 * count - 2, largest: 2 * count - 2 });
    expect(ranges.at(-1)?.smallest).toBe(2 * (count - MAX_TRACKED_RANGES));
  });

  it('never reports a packet that has not arrived, and always the largest', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 200 }), { minLength: 1, maxLength: 150 }), (numbers) => {
        const acks = new AckTracker(10, false);
        const arrived = new Set<number>();
        for (const n of numbers) {
          acks.received(n, 100, true, at(0));
          arrived.add(n);
          const { ranges } = acks.report(at(0));
          expect(ranges.length).toBeLessThanOrEqual(MAX_TRACKED_RANGES);
          expect(ranges[0]?.largest).toBe(Math.max(...arrived));
          for (const { smallest, largest } of ranges) {
            for (let k = smallest; k <= largest; k++) expect(arrived.has(k)).toBe(true);
          }
        }
      }),
    );
  });
});
