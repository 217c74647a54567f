import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import {
  FLAP_MEMORY_MS,
  PathHealth,
  PROBE_INTERVAL_MAX_MS,
  PROBE_INTERVAL_MIN_MS,
  PROBE_INTERVAL_SHARE,
  PROBE_WINDOW_PACKETS,
  READMIT_AFTER_PACKETS,
  READMIT_MAX_PACKETS,
} from '../../src/core/path-health.js';

function at(ms: number): Instant {
  return ms as Instant;
}

/** How many packets a path that has just become suspect must deliver before it is used again. */
function packetsToProve(health: PathHealth, now: number): number {
  for (let packets = 1; packets <= 1_000; packets++) {
    health.progressed(1, at(now));
    if (health.isProven) return packets;
  }
  return Number.POSITIVE_INFINITY;
}

describe('silence', () => {
  it('ends when an answer is overdue, not soon after progress, and again after whole timeouts', () => {
    const health = new PathHealth(at(100));
    expect(health.silenceDeadline(110, 20, 30)).toBe(120);
    expect(health.silenceDeadline(125, 20, 30)).toBe(125);
    health.timedOut(at(150));
    expect(health.silenceDeadline(125, 20, 30)).toBe(180);
    expect(health.silenceDeadline(125, 20, 45)).toBe(195);
    expect(health.timeoutCount).toBe(1);
    health.progressed(1, at(160));
    expect(health.silenceDeadline(125, 20, 30)).toBe(180);
    expect([health.timeoutCount, health.progressAt]).toEqual([0, 160]);
  });
});

describe('a suspect path', () => {
  it('is used again after three packets', () => {
    const health = new PathHealth(at(0));
    health.becameSuspect(at(100));
    expect([health.suspectSince, health.isProven]).toEqual([100, false]);
    expect(packetsToProve(health, 200)).toBe(READMIT_AFTER_PACKETS);
    health.recovered();
    expect([health.suspectSince, health.probesWanted]).toEqual([undefined, 0]);
  });

  it('has to deliver twice as much for each earlier alarm, up to a bound', () => {
    const health = new PathHealth(at(0));
    const required = [1, 2, 3, 4, 5, 6].map((n) => {
      health.becameSuspect(at(1_000 * n));
      const packets = packetsToProve(health, 1_000 * n + 500);
      health.recovered();
      return packets;
    });
    expect(required).toEqual([3, 6, 12, 24, 24, 24]);
    expect(Math.max(...required)).toBe(READMIT_MAX_PACKETS);
  });

  it('is forgiven its alarms after a minute', () => {
    const health = new PathHealth(at(0));
    health.becameSuspect(at(0));
    health.recovered();
    health.becameSuspect(at(FLAP_MEMORY_MS - 1));
    expect(packetsToProve(health, FLAP_MEMORY_MS)).toBe(2 * READMIT_AFTER_PACKETS);
    health.recovered();
    health.becameSuspect(at(2 * FLAP_MEMORY_MS));
    expect(packetsToProve(health, 2 * FLAP_MEMORY_MS)).toBe(READMIT_AFTER_PACKETS);
  });

  it('counts no evidence from before it became suspect', () => {
    const health = new PathHealth(at(0));
    health.progressed(100, at(10));
    health.becameSuspect(at(20));
    expect(health.isProven).toBe(false);
    health.progressed(2, at(30));
    health.becameSuspect(at(40));
    health.progressed(2, at(50));
    expect(health.isProven).toBe(false);
  });

  it('remembers a bounded number of alarms', () => {
    const health = new PathHealth(at(0));
    for (let n = 0; n < 100_000; n++) health.becameSuspect(at(n));
    expect(packetsToProve(health, 100_000)).toBe(READMIT_MAX_PACKETS);
  });
});

describe('probes', () => {
  it('follow at once for each packet that arrives, so that a path proves itself quickly', () => {
    const health = new PathHealth(at(0));
    health.becameSuspect(at(100));
    expect(health.probesWanted).toBe(1);
    health.probed(at(100));
    expect(health.probesWanted).toBe(0);
    health.progressed(1, at(150));
    expect(health.probesWanted).toBe(PROBE_WINDOW_PACKETS);
    health.progressed(3, at(160));
    expect(health.probesWanted).toBe(3 * PROBE_WINDOW_PACKETS);
    for (let i = 0; i < 20; i++) health.probed(at(161));
    expect(health.probesWanted).toBe(0);
  });

  it('are not asked for by progress on a path in good order', () => {
    const health = new PathHealth(at(0));
    health.progressed(5, at(10));
    expect(health.probesWanted).toBe(0);
  });

  it('come every 50 ms at first, then in proportion to the silence, at least every 5 s', () => {
    const health = new PathHealth(at(0));
    health.becameSuspect(at(100));
    const intervalAfter = (silenceMs: number) => {
      health.probed(at(silenceMs));
      return health.nextProbeAt - silenceMs;
    };
    expect(intervalAfter(100)).toBe(PROBE_INTERVAL_MIN_MS);
    expect(intervalAfter(20_000)).toBe(20_000 * PROBE_INTERVAL_SHARE);
    expect(intervalAfter(10_000_000)).toBe(PROBE_INTERVAL_MAX_MS);
  });

  it('are about five hundred in the first hour of silence after the first ten seconds', () => {
    const health = new PathHealth(at(0));
    health.becameSuspect(at(10_000));
    let count = 0;
    for (let now = 10_000; now < 3_600_000; now = health.nextProbeAt) {
      health.probed(at(now));
      count += 1;
    }
    expect(count).toBeGreaterThan(500);
    expect(count).toBeLessThan(1_300);
  });
});
