/** Acknowledgements that are made to cost memory or time (docs/security.md). */
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/index.js';
import { Recovery, type SentPacket } from '../../src/core/recovery.js';
import { RttEstimator } from '../../src/core/rtt.js';
import type { AckRange } from '../../src/wire/index.js';

function packet(number: number, at: number): SentPacket {
  return {
    number,
    sentAt: at as Instant,
    bytes: 100,
    frames: [],
    rateMark: {} as SentPacket['rateMark'],
    expectedArrivalAt: at as Instant,
    isReinjected: false,
    isCopied: false,
  };
}

function sentBy(recovery: Recovery, count: number): void {
  for (let i = 0; i < count; i++) recovery.sent(packet(recovery.nextNumber, i));
}

/** Counts how often ranges are looked at, which is what time goes into. */
function counted(ranges: readonly AckRange[], look: () => void): AckRange[] {
  return ranges.map(({ smallest, largest }) => ({
    get smallest() {
      look();
      return smallest;
    },
    get largest() {
      look();
      return largest;
    },
  }));
}

describe('acknowledgements', () => {
  it('T31 on a stream carrier a gap does not pin what was sent for good', () => {
    const recovery = new Recovery(true);
    sentBy(recovery, 10_000);
    const outcome = recovery.acknowledge([{ smallest: 9_999, largest: 9_999 }], 1 as Instant);
    expect(outcome?.acked).toHaveLength(10_000);
    expect(recovery.outstandingCount).toBe(0);
    expect(recovery.inFlightBytes).toBe(0);
  });

  it('T31 64 ranges against a thousand lost packets cost some looks each, not 64', () => {
    const recovery = new Recovery(false);
    sentBy(recovery, 4_000);
    recovery.acknowledge([{ smallest: 3_999, largest: 3_999 }], 1 as Instant);
    const lost = recovery.detectLost(new RttEstimator(), 4_000 as Instant);
    expect(lost.length).toBeGreaterThan(1_024);
    const ranges: AckRange[] = [];
    for (let top = 500; ranges.length < 64; top -= 4) ranges.push({ smallest: top, largest: top });
    let looks = 0;
    const seen = counted(ranges, () => {
      looks += 1;
    });
    expect(recovery.acknowledge(seen, 5_000 as Instant)?.spurious).toHaveLength(0);
    expect(looks).toBeLessThan(1_024 * 10 + 64 * 4);
  });

  it('T27 late acknowledgements of lost packets are found in every range, and only there', () => {
    const recovery = new Recovery(false);
    sentBy(recovery, 100);
    recovery.acknowledge([{ smallest: 99, largest: 99 }], 1 as Instant);
    recovery.detectLost(new RttEstimator(), 4_000 as Instant);
    const ranges = [
      { smallest: 60, largest: 70 },
      { smallest: 33, largest: 33 },
      { smallest: 0, largest: 2 },
    ];
    const outcome = recovery.acknowledge(ranges, 5_000 as Instant);
    const numbers = outcome?.spurious.map((one) => one.number).sort((a, b) => a - b);
    expect(numbers).toEqual([0, 1, 2, 33, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70]);
  });
});
