import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { DeliveryRate, type RateMark } from '../../src/core/delivery-rate.js';
import { InvariantError } from '../../src/core/errors.js';
import {
  MAX_PACKET_THRESHOLD,
  MAX_REMEMBERED_LOST,
  PACKET_THRESHOLD,
  REORDER_MEMORY_LOSSES,
  Recovery,
  type SentPacket,
  TIME_THRESHOLD,
} from '../../src/core/recovery.js';
import { RttEstimator } from '../../src/core/rtt.js';
import type { AckRange } from '../../src/wire/index.js';
import { usedHeap } from '../helpers/heap.js';

const BYTES = 1_000;
const MARK: RateMark = {
  deliveredBytes: 0,
  deliveredAt: 0 as Instant,
  firstSentAt: 0 as Instant,
  isAppLimited: false,
};

function at(ms: number): Instant {
  return ms as Instant;
}

function send(recovery: Recovery, now: number, bytes = BYTES): SentPacket {
  const packet: SentPacket = {
    number: recovery.nextNumber,
    sentAt: at(now),
    bytes,
    frames: [],
    rateMark: MARK,
    expectedArrivalAt: at(now + 50),
    isReinjected: false,
    isCopied: false,
  };
  recovery.sent(packet);
  return packet;
}

function sendMany(recovery: Recovery, count: number, now: number): SentPacket[] {
  return Array.from({ length: count }, () => send(recovery, now));
}

/** ACK ranges from single numbers, highest first, as they are on the wire. */
function ranges(...numbers: number[]): AckRange[] {
  return numbers.sort((a, b) => b - a).map((n) => ({ smallest: n, largest: n }));
}

function rttOf(ms: number): RttEstimator {
  const rtt = new RttEstimator();
  rtt.sample(ms, 0, at(0));
  return rtt;
}

function numbersOf(packets: readonly SentPacket[] | undefined): number[] | undefined {
  return packets?.map((packet) => packet.number);
}

describe('Recovery: acknowledgement', () => {
  it('counts what is in flight until it is acknowledged', () => {
    const recovery = new Recovery(false);
    sendMany(recovery, 4, 0);
    expect([recovery.inFlightBytes, recovery.outstandingCount]).toEqual([4 * BYTES, 4]);
    const outcome = recovery.acknowledge(ranges(1, 3), at(10));
    expect(numbersOf(outcome?.acked)).toEqual([1, 3]);
    expect(outcome?.ackedBytes).toBe(2 * BYTES);
    expect(outcome?.largestAcked?.number).toBe(3);
    expect(recovery.largestAcked).toBe(3);
    expect([recovery.inFlightBytes, recovery.outstandingCount]).toEqual([2 * BYTES, 2]);
    expect(numbersOf([...recovery.outstanding()])).toEqual([0, 2]);
    expect(recovery.oldestOutstanding?.number).toBe(0);
  });

  it('takes a repeated acknowledgement for nothing new', () => {
    const recovery = new Recovery(false);
    sendMany(recovery, 3, 0);
    recovery.acknowledge(ranges(0, 1, 2), at(10));
    expect(recovery.acknowledge(ranges(0, 1, 2), at(20))).toEqual({
      acked: [],
      ackedBytes: 0,
      spurious: [],
      largestAcked: undefined,
    });
    expect(recovery.inFlightBytes).toBe(0);
  });

  it('gives a round-trip sample only where the largest packet is new', () => {
    const recovery = new Recovery(false);
    sendMany(recovery, 3, 0);
    recovery.acknowledge(ranges(2), at(10));
    const outcome = recovery.acknowledge([{ smallest: 0, largest: 2 }], at(20));
    expect(numbersOf(outcome?.acked)).toEqual([0, 1]);
    expect(outcome?.largestAcked).toBeUndefined();
  });

  it('R-ACK-1 refuses an acknowledgement of what was never sent, and changes nothing', () => {
    const recovery = new Recovery(false);
    expect(recovery.acknowledge(ranges(0), at(0))).toBeUndefined();
    sendMany(recovery, 2, 0);
    recovery.skipNumber();
    expect(recovery.acknowledge([{ smallest: 0, largest: 3 }], at(10))).toBeUndefined();
    expect([recovery.outstandingCount, recovery.largestAcked]).toEqual([2, -1]);
    expect(recovery.acknowledge([{ smallest: 0, largest: 2 }], at(10))?.acked).toHaveLength(2);
  });

  it('knows since when an answer is owed: the first may be held back, the second calls for it', () => {
    const recovery = new Recovery(false);
    const owed = (from = 0) => recovery.owedSince(from, 25);
    expect(owed()).toBeUndefined();
    send(recovery, 5);
    expect(owed()).toBe(30);
    recovery.skipNumber();
    for (const sentAt of [9, 12, 60]) send(recovery, sentAt);
    expect([owed(), owed(1), owed(3), owed(4), owed(5)]).toEqual([9, 12, 37, 85, undefined]);
    recovery.acknowledge(ranges(2), at(70));
    expect([owed(), owed(recovery.largestAcked + 1)]).toEqual([12, 37]);
  });

  it('sends packets in the order of their numbers only', () => {
    const recovery = new Recovery(false);
    const packet = send(recovery, 0);
    expect(() => recovery.sent(packet)).toThrow(InvariantError);
  });
});

describe('Recovery: loss', () => {
  it('declares a packet lost when three later ones were acknowledged', () => {
    const recovery = new Recovery(false);
    sendMany(recovery, 5, 0);
    const rtt = rttOf(1_000);
    recovery.acknowledge(ranges(PACKET_THRESHOLD - 1), at(10));
    expect(recovery.detectLost(rtt, at(10))).toEqual([]);
    recovery.acknowledge(ranges(PACKET_THRESHOLD), at(11));
    expect(numbersOf(recovery.detectLost(rtt, at(11)))).toEqual([0]);
    expect(numbersOf([...recovery.outstanding()])).toEqual([1, 4]);
    expect(recovery.inFlightBytes).toBe(2 * BYTES);
  });

  it('declares a packet lost when 9/8 round trips passed and a later one was acknowledged', () => {
    const recovery = new Recovery(false);
    const rtt = rttOf(80);
    send(recovery, 0);
    send(recovery, 1);
    expect(recovery.detectLost(rtt, at(500))).toEqual([]);
    expect(recovery.lossAt).toBeUndefined();
    recovery.acknowledge(ranges(1), at(81));
    expect(recovery.detectLost(rtt, at(81))).toEqual([]);
    expect(recovery.lossAt).toBe(80 * TIME_THRESHOLD);
    expect(recovery.detectLost(rtt, at(89.9))).toEqual([]);
    expect(numbersOf(recovery.detectLost(rtt, at(90)))).toEqual([0]);
    expect(recovery.lossAt).toBeUndefined();
  });

  it('never declares a packet lost that is newer than all acknowledged ones', () => {
    const recovery = new Recovery(false);
    sendMany(recovery, 3, 0);
    recovery.acknowledge(ranges(0), at(10));
    expect(recovery.detectLost(rttOf(10), at(1e9))).toEqual([]);
  });

  it('notices a loss that was none, and waits longer from then on', () => {
    const recovery = new Recovery(false);
    const rtt = rttOf(100);
    sendMany(recovery, 20, 0);
    recovery.acknowledge(ranges(9), at(100));
    expect(numbersOf(recovery.detectLost(rtt, at(100)))).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const outcome = recovery.acknowledge(ranges(2), at(150));
    expect(numbersOf(outcome?.spurious)).toEqual([2]);
    expect(outcome?.acked).toEqual([]);
    // Eight packets had overtaken it: half as many again are waited for.
    expect(recovery.packetThreshold).toBe(12);
    // And it took 150 ms: time decides after 9/8 of that, not of the round trip.
    send(recovery, 1_000);
    send(recovery, 1_000);
    recovery.acknowledge(ranges(21), at(1_100));
    expect(numbersOf(recovery.detectLost(rtt, at(1_168)))).not.toContain(20);
    expect(numbersOf(recovery.detectLost(rtt, at(1_169)))).toContain(20);
  });

  it('counts a spurious loss once', () => {
    const recovery = new Recovery(false);
    sendMany(recovery, 6, 0);
    recovery.acknowledge(ranges(5), at(10));
    recovery.detectLost(rttOf(10), at(10));
    expect(recovery.acknowledge(ranges(0), at(11))?.spurious).toHaveLength(1);
    expect(recovery.acknowledge(ranges(0), at(12))?.spurious).toHaveLength(0);
  });

  it('bounds the packet threshold, and forgets it when the address has changed', () => {
    const recovery = new Recovery(false);
    const count = 2 * MAX_PACKET_THRESHOLD;
    sendMany(recovery, count, 0);
    recovery.acknowledge(ranges(count - 1), at(10));
    const lost = recovery.detectLost(rttOf(1_000), at(10));
    // The last of so many that is still remembered.
    const remembered = lost[lost.length - MAX_REMEMBERED_LOST]?.number ?? -1;
    expect(recovery.acknowledge(ranges(remembered), at(11))?.spurious).toHaveLength(1);
    expect(recovery.packetThreshold).toBeGreaterThan(MAX_REMEMBERED_LOST);
    send(recovery, 20);
    const [doubtful] = recovery.outstanding();
    if (doubtful === undefined) throw new Error('nothing is outstanding');
    recovery.declareLost(doubtful);
    sendMany(recovery, count, 30);
    recovery.acknowledge(ranges(recovery.nextNumber - 1), at(40));
    recovery.acknowledge(ranges(doubtful.number), at(41));
    expect(recovery.packetThreshold).toBe(MAX_PACKET_THRESHOLD);
    recovery.resetReordering();
    expect(recovery.packetThreshold).toBe(PACKET_THRESHOLD);
  });

  it('waits two round trips for what overtook once, however late it was, and forgets it', () => {
    const recovery = new Recovery(false);
    const rtt = rttOf(100);
    const lossOf = (now: number): number => {
      sendMany(recovery, 2, now);
      recovery.acknowledge(ranges(recovery.nextNumber - 1), at(now + 500));
      return recovery.detectLost(rtt, at(now + 500)).length;
    };
    const [late] = sendMany(recovery, 1 + PACKET_THRESHOLD, 0);
    recovery.acknowledge(ranges(PACKET_THRESHOLD), at(100));
    expect(numbersOf(recovery.detectLost(rtt, at(100)))).toEqual([late?.number]);
    recovery.acknowledge(ranges(0, 1, 2), at(60_000));
    sendMany(recovery, 2, 70_000);
    recovery.acknowledge(ranges(recovery.nextNumber - 1), at(70_100));
    recovery.detectLost(rtt, at(70_100));
    expect(recovery.lossAt).toBe(70_000 + 2 * 100 * TIME_THRESHOLD);
    recovery.detectLost(rtt, at(70_300));
    expect(recovery.packetThreshold).toBeGreaterThan(PACKET_THRESHOLD);
    for (let n = 1; n < REORDER_MEMORY_LOSSES; n++) {
      expect(recovery.packetThreshold).toBeGreaterThan(PACKET_THRESHOLD);
      expect(lossOf(80_000 + 1_000 * n)).toBe(1);
    }
    expect(recovery.packetThreshold).toBe(PACKET_THRESHOLD);
  });

  it('remembers a bounded number of lost packets, the newest', () => {
    const recovery = new Recovery(false);
    const count = MAX_REMEMBERED_LOST + 100;
    sendMany(recovery, count + PACKET_THRESHOLD, 0);
    recovery.acknowledge(ranges(recovery.nextNumber - 1), at(10));
    expect(recovery.detectLost(rttOf(1_000), at(10))).toHaveLength(count);
    const everything = [{ smallest: 0, largest: count - 1 }];
    const spurious = numbersOf(recovery.acknowledge(everything, at(20))?.spurious);
    expect(spurious).toHaveLength(MAX_REMEMBERED_LOST);
    expect(spurious?.[0]).toBe(100);
  });

  it('can be told of a loss once, and of no packet that is settled', () => {
    const recovery = new Recovery(false);
    const [first, second] = sendMany(recovery, 2, 0);
    if (first === undefined || second === undefined) throw new Error('two were sent');
    recovery.acknowledge(ranges(0), at(10));
    recovery.declareLost(first);
    recovery.declareLost(second);
    recovery.declareLost(second);
    expect([recovery.inFlightBytes, recovery.outstandingCount]).toEqual([0, 0]);
    expect(recovery.oldestOutstanding).toBeUndefined();
  });

  it('has each packet in exactly one state, whatever is acknowledged and when', () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant('send' as const), n: fc.nat({ max: 20 }) }),
      fc.record({ type: fc.constant('skip' as const), n: fc.nat({ max: 3 }) }),
      fc.record({ type: fc.constant('ack' as const), n: fc.nat({ max: 200 }) }),
      fc.record({ type: fc.constant('wait' as const), n: fc.nat({ max: 60 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const recovery = new Recovery(false);
        const rtt = rttOf(50);
        const out = new Set<number>();
        const lost = new Set<number>();
        let now = 0;
        for (const { type, n } of steps) {
          if (type === 'send') for (const one of sendMany(recovery, n, now)) out.add(one.number);
          if (type === 'skip') for (let i = 0; i < n; i++) recovery.skipNumber();
          if (type === 'wait') now += n;
          if (type === 'ack' && recovery.nextNumber > 0) {
            const number = n % recovery.nextNumber;
            const outcome = recovery.acknowledge(ranges(number), at(now));
            expect(numbersOf(outcome?.acked)).toEqual(out.delete(number) ? [number] : []);
            expect(numbersOf(outcome?.spurious)).toEqual(lost.delete(number) ? [number] : []);
          }
          for (const one of recovery.detectLost(rtt, at(now))) {
            expect(out.delete(one.number)).toBe(true);
            expect(one.number).toBeLessThan(recovery.largestAcked);
            lost.add(one.number);
          }
          expect(numbersOf([...recovery.outstanding()])).toEqual([...out].sort((a, b) => a - b));
          expect(recovery.outstandingCount).toBe(out.size);
          expect(recovery.inFlightBytes).toBe(out.size * BYTES);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('Recovery: stream carriers', () => {
  it('lose nothing', () => {
    const recovery = new Recovery(true);
    sendMany(recovery, 100, 0);
    recovery.acknowledge([{ smallest: 0, largest: 50 }], at(10));
    expect(recovery.detectLost(rttOf(10), at(1e6))).toEqual([]);
    expect(recovery.lossAt).toBeUndefined();
    expect(recovery.outstandingCount).toBe(49);
  });

  it('have delivered all that was sent before what is acknowledged', () => {
    const recovery = new Recovery(true);
    sendMany(recovery, 10, 0);
    const outcome = recovery.acknowledge(ranges(3, 7), at(10));
    expect(numbersOf(outcome?.acked)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(recovery.outstandingCount).toBe(2);
  });
});

describe('Recovery: memory', () => {
  it.each([
    ['acknowledged packets', false],
    ['packets that need no acknowledgement', true],
  ])('does not grow with the number of %s', (_what, isSilent) => {
    const recovery = new Recovery(false);
    const before = usedHeap();
    for (let n = 0; n < 1_000_000; n++) {
      if (isSilent) {
        recovery.skipNumber();
      } else {
        send(recovery, n);
        if (n >= 10) recovery.acknowledge([{ smallest: n - 10, largest: n - 10 }], at(n));
      }
    }
    // A million places of an array would be eight megabytes.
    expect(usedHeap() - before).toBeLessThan(4_000_000);
    expect(recovery.nextNumber).toBe(1_000_000);
    expect(recovery.outstandingCount).toBe(isSilent ? 0 : 10);
    expect(recovery.oldestOutstanding?.number).toBe(isSilent ? undefined : 999_990);
  });
});

describe('DeliveryRate', () => {
  /** Sends `count` packets `sendGapMs` apart; they are acknowledged `ackGapMs` apart. */
  function run(count: number, sendGapMs: number, ackGapMs: number, rttMs: number) {
    const rate = new DeliveryRate();
    const events: { at: number; act: () => void }[] = [];
    const samples: (number | undefined)[] = [];
    let inFlight = 0;
    for (let i = 0; i < count; i++) {
      const sentAt = i * sendGapMs;
      let mark = MARK;
      events.push({
        at: sentAt,
        act: () => {
          mark = rate.mark(inFlight, at(sentAt));
          inFlight += BYTES;
        },
      });
      const ackedAt = Math.max(rttMs + i * ackGapMs, sentAt + rttMs);
      events.push({
        at: ackedAt,
        act: () => {
          inFlight -= BYTES;
          rate.delivered(mark, BYTES, at(sentAt), at(ackedAt));
          samples.push(rate.takeSample(rttMs, at(ackedAt))?.bytesPerMs);
        },
      });
    }
    events.sort((a, b) => a.at - b.at);
    for (const event of events) event.act();
    return samples;
  }

  it('measures the rate of the bottleneck when packets are sent faster', () => {
    const samples = run(400, 1, 2, 40);
    for (const sample of samples.slice(100)) expect(sample).toBeCloseTo(BYTES / 2, -1);
  });

  it('never measures more than was sent, though acknowledgements come at once', () => {
    // A packet each 10 ms; those from 40 ms on are acknowledged in two bursts, at 141 and 142 ms.
    const rate = new DeliveryRate();
    const marks = Array.from({ length: 14 }, (_, i) => rate.mark(i * BYTES, at(i * 10)));
    const acknowledge = (first: number, last: number, now: number) => {
      for (let i = first; i <= last; i++) {
        rate.delivered(marks[i] ?? MARK, BYTES, at(i * 10), at(now));
      }
      return rate.takeSample(40, at(now));
    };
    acknowledge(0, 4, 141);
    const mark = rate.mark(9 * BYTES, at(141.5));
    acknowledge(5, 13, 142);
    rate.delivered(mark, BYTES, at(141.5), at(181.5));
    // Ten packets in the 40 ms since the first burst, but they took 100 ms to be sent.
    expect(rate.takeSample(40, at(181.5))?.bytesPerMs).toBeLessThanOrEqual(1.01 * (BYTES / 10));
  });

  it('makes no sample of an interval shorter than half the smallest round trip', () => {
    const rate = new DeliveryRate();
    const mark = rate.mark(0, at(0));
    rate.delivered(mark, BYTES, at(0), at(19));
    expect(rate.takeSample(40, at(19))).toBeUndefined();
    const next = rate.mark(0, at(100));
    rate.delivered(next, BYTES, at(100), at(121));
    expect(rate.takeSample(40, at(121))?.bytesPerMs).toBeCloseTo(BYTES / 21);
  });

  it('has no sample where nothing was acknowledged', () => {
    expect(new DeliveryRate().takeSample(0, at(5))).toBeUndefined();
  });

  it('marks samples of a sender that has too little to send, until that is delivered', () => {
    const rate = new DeliveryRate();
    rate.limitedByApplication(2 * BYTES);
    const limited = rate.mark(2 * BYTES, at(0));
    expect(limited.isAppLimited).toBe(true);
    for (const now of [40, 41, 42]) rate.delivered(limited, BYTES, at(0), at(now));
    expect(rate.takeSample(40, at(42))?.isAppLimited).toBe(true);
    expect(rate.mark(BYTES, at(43)).isAppLimited).toBe(false);
  });

  it('does not count idle time', () => {
    const rate = new DeliveryRate();
    rate.delivered(rate.mark(0, at(0)), BYTES, at(0), at(40));
    rate.takeSample(40, at(40));
    const mark = rate.mark(0, at(100_000));
    rate.delivered(mark, BYTES, at(100_000), at(100_040));
    expect(rate.takeSample(40, at(100_040))?.bytesPerMs).toBeCloseTo(BYTES / 40);
    expect(rate.deliveredBytes).toBe(2 * BYTES);
  });
});
