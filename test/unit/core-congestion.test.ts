import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BaseRtt } from '../../src/core/congestion/base-rtt.js';
import {
  type AckInfo,
  INITIAL_WINDOW_PACKETS,
  MAX_WINDOW_BYTES,
  MIN_WINDOW_PACKETS,
} from '../../src/core/congestion/controller.js';
import { CUBIC_BETA } from '../../src/core/congestion/cubic.js';
import {
  Bbr,
  type CongestionController,
  Cubic,
  StreamWindow,
} from '../../src/core/congestion/index.js';
import { MaxFilter } from '../../src/core/congestion/max-filter.js';
import type { Instant } from '../../src/core/contract.js';
import { DeliveryRate } from '../../src/core/delivery-rate.js';
import { Recovery, type SentPacket } from '../../src/core/recovery.js';
import { RttEstimator } from '../../src/core/rtt.js';
import { usedHeap } from '../helpers/heap.js';
import { TestPrng } from '../helpers/prng.js';

const PACKET = 1_200;

function at(ms: number): Instant {
  return ms as Instant;
}

interface PipeOptions {
  readonly bytesPerMs: number;
  readonly rttMs: number;
  /** Room in front of the bottleneck; what does not fit is lost. */
  readonly queueBytes?: number;
  /** Share of packets that are lost for no reason. */
  readonly lossShare?: number;
  /** A stream carrier: nothing is lost, and packets are large. */
  readonly isStream?: boolean;
}

interface Flight {
  readonly packet: SentPacket;
  readonly ackAt: number;
}

/**
 * A sender with all it needs, a queue, a link of a fixed rate, and a receiver that acknowledges
 * each packet: enough to see where a controller settles, and nothing else.
 */
class Pipe {
  readonly controller: CongestionController;
  readonly options: PipeOptions;
  readonly recovery: Recovery;
  readonly #rate = new DeliveryRate();
  readonly #rtt = new RttEstimator();
  readonly #random = new TestPrng(7);
  #flights: Flight[] = [];
  #landed = 0;
  #now = 0;
  #linkFreeAt = 0;
  #pacedUntil = 0;
  #progressAt = 0;
  deliveredBytes = 0;
  lostPackets = 0;
  /** The most that was in flight, and in the window, since the last {@link watch}. */
  peakInFlightBytes = 0;
  lowestWindowBytes = Number.POSITIVE_INFINITY;

  constructor(controller: CongestionController, options: PipeOptions) {
    this.controller = controller;
    this.options = options;
    this.recovery = new Recovery(options.isStream === true);
  }

  get bdpBytes(): number {
    return this.options.bytesPerMs * this.options.rttMs;
  }

  watch(): void {
    this.deliveredBytes = 0;
    this.peakInFlightBytes = 0;
    this.lowestWindowBytes = Number.POSITIVE_INFINITY;
  }

  /** Goodput of the next `ms`, as a share of the link's rate. */
  share(ms: number): number {
    this.watch();
    this.run(ms);
    return this.deliveredBytes / (ms * this.options.bytesPerMs);
  }

  run(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      while (this.#canSend()) this.#send();
      const next = this.#nextAt();
      if (next > end) break;
      this.#now = Math.max(this.#now, next);
      const flight = this.#flights[this.#landed];
      if (flight !== undefined && flight.ackAt <= this.#now) {
        this.#takeFlight();
        this.#acknowledge(flight.packet);
      } else if ((this.recovery.lossAt ?? Number.POSITIVE_INFINITY) <= this.#now) {
        this.#lose(this.recovery.detectLost(this.#rtt, at(this.#now)));
      } else if (this.#probeAt() <= this.#now) {
        const lost = [...this.recovery.outstanding()];
        for (const packet of lost) this.recovery.declareLost(packet);
        this.#lose(lost);
        this.#progressAt = this.#now;
      }
    }
    this.#now = end;
  }

  #takeFlight(): void {
    this.#landed += 1;
    if (this.#landed < 1_000) return;
    this.#flights = this.#flights.slice(this.#landed);
    this.#landed = 0;
  }

  #probeAt(): number {
    if (this.recovery.outstandingCount === 0) return Number.POSITIVE_INFINITY;
    return this.#progressAt + this.#rtt.probeTimeoutMs(0);
  }

  #nextAt(): number {
    const ackAt = this.#flights[this.#landed]?.ackAt ?? Number.POSITIVE_INFINITY;
    const pacedAt = this.#hasWindow() ? this.#pacedUntil : Number.POSITIVE_INFINITY;
    const lossAt = this.recovery.lossAt ?? Number.POSITIVE_INFINITY;
    return Math.min(ackAt, pacedAt, lossAt, this.#probeAt());
  }

  get #packetBytes(): number {
    if (this.options.isStream !== true) return PACKET;
    const { bandwidth, congestionWindowBytes } = this.controller;
    return Math.max(4_096, Math.floor(Math.min(4 * bandwidth, congestionWindowBytes / 12)));
  }

  #hasWindow(): boolean {
    const space = this.controller.congestionWindowBytes - this.recovery.inFlightBytes;
    return space >= this.#packetBytes;
  }

  #canSend(): boolean {
    return this.#pacedUntil <= this.#now && this.#hasWindow();
  }

  #send(): void {
    const bytes = this.#packetBytes;
    const now = at(this.#now);
    if (this.recovery.outstandingCount === 0) this.#progressAt = now;
    const packet: SentPacket = {
      number: this.recovery.nextNumber,
      sentAt: now,
      bytes,
      frames: [],
      rateMark: this.#rate.mark(this.recovery.inFlightBytes, now),
      expectedArrivalAt: now,
      isReinjected: false,
      isCopied: false,
    };
    this.recovery.sent(packet);
    this.peakInFlightBytes = Math.max(this.peakInFlightBytes, this.recovery.inFlightBytes);
    const rate = this.controller.pacingRate;
    if (rate !== undefined) this.#pacedUntil = Math.max(this.#pacedUntil, now - 2) + bytes / rate;
    const queued = Math.max(0, this.#linkFreeAt - now) * this.options.bytesPerMs;
    if (queued + bytes > (this.options.queueBytes ?? Number.POSITIVE_INFINITY)) return;
    this.#linkFreeAt = Math.max(now, this.#linkFreeAt) + bytes / this.options.bytesPerMs;
    if (this.#random.chance(this.options.lossShare ?? 0)) return;
    this.#flights.push({ packet, ackAt: this.#linkFreeAt + this.options.rttMs });
  }

  #lose(lost: readonly SentPacket[]): void {
    const last = lost[lost.length - 1];
    if (last === undefined) return;
    this.lostPackets += lost.length;
    const bytes = lost.reduce((sum, packet) => sum + packet.bytes, 0);
    this.controller.lost(bytes, last.sentAt, this.recovery.inFlightBytes, at(this.#now));
  }

  #acknowledge(packet: SentPacket): void {
    const now = at(this.#now);
    const range = { smallest: packet.number, largest: packet.number };
    const outcome = this.recovery.acknowledge([range], now);
    this.#progressAt = now;
    if (outcome?.largestAcked === undefined) {
      this.controller.lossWasSpurious(packet.bytes);
      return;
    }
    this.#rtt.sample(now - packet.sentAt, 0, now);
    this.#rate.delivered(packet.rateMark, packet.bytes, packet.sentAt, now);
    this.deliveredBytes += packet.bytes;
    this.#lose(this.recovery.detectLost(this.#rtt, now));
    this.controller.acknowledged(
      {
        ackedBytes: packet.bytes,
        inFlightBytes: this.recovery.inFlightBytes,
        deliveredBytes: this.#rate.deliveredBytes,
        largestSentAt: packet.sentAt,
        rate: this.#rate.takeSample(this.#rtt.minRttMs, now),
        minRttMs: this.#rtt.minRttMs,
        smoothedRttMs: this.#rtt.smoothedRttMs,
        rttVarianceMs: this.#rtt.rttVarianceMs,
        latestRttMs: this.#rtt.latestRttMs,
        isAppLimited: false,
      },
      now,
    );
    const window = this.controller.congestionWindowBytes;
    this.lowestWindowBytes = Math.min(this.lowestWindowBytes, window);
  }
}

/** Rate in bytes per ms, and round trip in ms: 1 Mbit/s far away to 40 Mbit/s nearby. */
const PIPES: readonly (readonly [number, number])[] = [
  [125, 300],
  [1_250, 40],
  [3_750, 80],
  [5_000, 10],
];

describe('Bbr', () => {
  it.each(PIPES)('settles near the product of %d bytes/ms and %d ms', (bytesPerMs, rttMs) => {
    const pipe = new Pipe(new Bbr(PACKET), {
      bytesPerMs,
      rttMs,
      queueBytes: Math.max(2 * bytesPerMs * rttMs, 40_000),
    });
    pipe.run(5_000 + 40 * rttMs);
    expect(pipe.controller.isStarting).toBe(false);
    expect(pipe.share(4_000)).toBeGreaterThan(0.9);
    expect(pipe.controller.bandwidth / bytesPerMs).toBeGreaterThan(0.95);
    expect(pipe.controller.bandwidth / bytesPerMs).toBeLessThan(1.05);
    const window = pipe.controller.congestionWindowBytes;
    expect(window).toBeGreaterThan(pipe.bdpBytes);
    expect(window).toBeLessThan(2.5 * pipe.bdpBytes + 8 * PACKET);
  });

  it('leaves the queue nearly empty', () => {
    const pipe = new Pipe(new Bbr(PACKET), { bytesPerMs: 1_250, rttMs: 40 });
    pipe.run(3_000);
    pipe.watch();
    pipe.run(5_000);
    expect(pipe.peakInFlightBytes).toBeLessThan(1.5 * pipe.bdpBytes);
  });

  it.each(PIPES)(
    'does not collapse at two per cent of loss on %d bytes/ms and %d ms',
    (bytesPerMs, rttMs) => {
      const pipe = new Pipe(new Bbr(PACKET), {
        bytesPerMs,
        rttMs,
        queueBytes: Math.max(2 * bytesPerMs * rttMs, 40_000),
        lossShare: 0.02,
      });
      pipe.run(5_000 + 40 * rttMs);
      expect(pipe.share(10_000)).toBeGreaterThan(0.85);
      expect(pipe.lostPackets).toBeGreaterThan(0);
      expect(pipe.lowestWindowBytes).toBeGreaterThan(0.4 * pipe.bdpBytes);
    },
  );

  it('finds out that the round trip has grown, without going below half a product', () => {
    const options = { bytesPerMs: 1_250, rttMs: 40, queueBytes: 200_000 };
    const pipe = new Pipe(new Bbr(PACKET), options);
    pipe.run(3_000);
    const before = pipe.bdpBytes;
    options.rttMs = 70;
    pipe.watch();
    pipe.run(15_000);
    expect(pipe.lowestWindowBytes).toBeLessThan(0.6 * before);
    expect(pipe.lowestWindowBytes).toBeGreaterThan(0.4 * before);
    expect(pipe.share(5_000)).toBeGreaterThan(0.9);
    expect(pipe.controller.congestionWindowBytes).toBeGreaterThan(1.7 * pipe.bdpBytes);
  });

  it('is not slowed down by what it loses when it probes in front of a short queue', () => {
    const options = { bytesPerMs: 2_500, rttMs: 640, queueBytes: 125_000, lossShare: 0.005 };
    const pipe = new Pipe(new Bbr(PACKET), options);
    pipe.run(15_000);
    expect(pipe.share(30_000)).toBeGreaterThan(0.95);
    expect(pipe.lowestWindowBytes).toBeGreaterThan(pipe.bdpBytes);
    expect(pipe.lostPackets).toBeGreaterThan(0);
  });

  it('backs off in rounds that lose much while it does not probe', () => {
    const pipe = new Pipe(new Bbr(PACKET), { bytesPerMs: 2_500, rttMs: 40, lossShare: 0.12 });
    pipe.run(10_000);
    expect(pipe.share(10_000)).toBeLessThan(0.5);
  });

  it('paces only when it knows a round trip', () => {
    const bbr = new Bbr(PACKET);
    expect(bbr.pacingRate).toBeUndefined();
    expect(bbr.congestionWindowBytes).toBe(INITIAL_WINDOW_PACKETS * PACKET);
  });
});

/** An acknowledgement of one packet that was sent a round trip ago. */
function ack(now: number, over: Partial<AckInfo> = {}): AckInfo {
  return {
    ackedBytes: PACKET,
    inFlightBytes: 10 * PACKET,
    deliveredBytes: 0,
    largestSentAt: at(now - 50),
    rate: undefined,
    minRttMs: 50,
    smoothedRttMs: 50,
    rttVarianceMs: 1,
    latestRttMs: 50,
    isAppLimited: false,
    ...over,
  };
}

/** Acknowledges a window's worth each 50 ms, for so many rounds, from `now` on. */
function rounds(cubic: Cubic, count: number, now: number, over: Partial<AckInfo> = {}): number {
  for (let round = 0; round < count; round++) {
    const packets = Math.floor(cubic.congestionWindowBytes / PACKET);
    for (let i = 0; i < packets; i++) cubic.acknowledged(ack(now, over), at(now));
    now += 50;
  }
  return now;
}

describe('Cubic', () => {
  it('doubles its window each round at first', () => {
    const cubic = new Cubic(PACKET);
    const before = cubic.congestionWindowBytes;
    rounds(cubic, 3, 100);
    expect(cubic.isStarting).toBe(true);
    expect(cubic.congestionWindowBytes).toBe(8 * before);
  });

  it('ends slow start when the delay rises', () => {
    const cubic = new Cubic(PACKET);
    const now = rounds(cubic, 3, 100);
    rounds(cubic, 1, now, { latestRttMs: 60 });
    expect(cubic.isStarting).toBe(false);
  });

  it('backs off to 0.7 of its window, once for all that was sent before', () => {
    const cubic = new Cubic(PACKET);
    const now = rounds(cubic, 3, 100);
    const before = cubic.congestionWindowBytes;
    cubic.lost(PACKET, at(now - 10), before, at(now));
    cubic.lost(5 * PACKET, at(now), before, at(now + 20));
    expect(cubic.congestionWindowBytes).toBeCloseTo(CUBIC_BETA * before);
    cubic.lost(PACKET, at(now + 1), before, at(now + 60));
    expect(cubic.congestionWindowBytes).toBeCloseTo(CUBIC_BETA ** 2 * before);
  });

  it('never has a window of less than two packets', () => {
    const cubic = new Cubic(PACKET);
    for (let i = 0; i < 50; i++) cubic.lost(PACKET, at(2 * i + 1), 0, at(2 * i + 2));
    expect(cubic.congestionWindowBytes).toBe(MIN_WINDOW_PACKETS * PACKET);
  });

  it('never has a window of more than the bound', () => {
    const cubic = new Cubic(PACKET);
    for (let i = 0; i < 40; i++) cubic.acknowledged(ack(i, { ackedBytes: 8 << 20 }), at(i));
    expect(cubic.congestionWindowBytes).toBe(MAX_WINDOW_BYTES);
  });

  it('grows back to where it was in the time that RFC 9438 gives, flat there, then faster', () => {
    const cubic = new Cubic(PACKET);
    let now = rounds(cubic, 4, 100);
    const before = cubic.congestionWindowBytes / PACKET;
    cubic.lost(PACKET, at(now - 1), 0, at(now));
    now += 51;
    const k = Math.cbrt((before * (1 - CUBIC_BETA)) / 0.4);
    const half = rounds(cubic, Math.floor((k * 1_000) / 100), now);
    const atHalf = cubic.congestionWindowBytes / PACKET;
    const full = rounds(cubic, Math.ceil((k * 1_000) / 100) + 2, half);
    const atFull = cubic.congestionWindowBytes / PACKET;
    expect(atHalf).toBeGreaterThan(before * (1 - 0.3 / 4));
    expect(atFull / before).toBeGreaterThan(0.97);
    expect(atFull / before).toBeLessThan(1.1);
    expect(atFull - atHalf).toBeLessThan(atHalf - CUBIC_BETA * before);
    rounds(cubic, Math.floor((k * 1_000) / 50), full);
    expect(cubic.congestionWindowBytes / PACKET).toBeGreaterThan(1.2 * before);
  });

  it('does not grow while the sender has too little to send', () => {
    const cubic = new Cubic(PACKET);
    rounds(cubic, 5, 100, { isAppLimited: true });
    expect(cubic.congestionWindowBytes).toBe(INITIAL_WINDOW_PACKETS * PACKET);
  });

  it('takes a back-off back when the loss was none', () => {
    const cubic = new Cubic(PACKET);
    const now = rounds(cubic, 3, 100);
    const before = cubic.congestionWindowBytes;
    cubic.lost(PACKET, at(now - 10), before, at(now));
    cubic.lossWasSpurious(PACKET);
    expect(cubic.congestionWindowBytes).toBe(before);
    expect(cubic.isStarting).toBe(true);
    cubic.lossWasSpurious(PACKET);
    expect(cubic.congestionWindowBytes).toBe(before);
  });

  it('takes it back only when every packet of the loss has arrived', () => {
    const cubic = new Cubic(PACKET);
    const now = rounds(cubic, 3, 100);
    const before = cubic.congestionWindowBytes;
    cubic.lost(2 * PACKET, at(now - 10), before, at(now));
    cubic.lost(PACKET, at(now - 5), before, at(now + 1));
    cubic.lossWasSpurious(2 * PACKET);
    expect(cubic.congestionWindowBytes).toBe(CUBIC_BETA * before);
    cubic.lossWasSpurious(PACKET);
    expect(cubic.congestionWindowBytes).toBe(before);
  });

  it.each(PIPES)(
    'keeps %d bytes/ms and %d ms full, with a queue of a product',
    (bytesPerMs, rttMs) => {
      const queueBytes = Math.max(bytesPerMs * rttMs, 20 * PACKET);
      const pipe = new Pipe(new Cubic(PACKET), { bytesPerMs, rttMs, queueBytes });
      pipe.run(20_000);
      expect(pipe.share(15_000)).toBeGreaterThan(0.95);
      expect(pipe.lostPackets).toBeGreaterThan(0);
      expect(pipe.lowestWindowBytes).toBeGreaterThan(0.65 * (pipe.bdpBytes + queueBytes));
      expect(pipe.peakInFlightBytes).toBeLessThan(1.2 * (pipe.bdpBytes + queueBytes));
    },
  );
});

/** What a carrier may have swallowed: the product, a little more, and some packets. */
function mostInFlight(pipe: Pipe): number {
  return 1.5 * pipe.bdpBytes + 32 * 1024;
}

describe('StreamWindow', () => {
  it.each(PIPES)(
    'keeps %d bytes/ms and %d ms full, with little in the queue',
    (bytesPerMs, rttMs) => {
      const pipe = new Pipe(new StreamWindow(), { bytesPerMs, rttMs, isStream: true });
      pipe.run(5_000 + 40 * rttMs);
      expect(pipe.controller.isStarting).toBe(false);
      expect(pipe.share(60_000)).toBeGreaterThan(0.95);
      expect(pipe.peakInFlightBytes).toBeLessThanOrEqual(mostInFlight(pipe));
      expect(pipe.lostPackets).toBe(0);
    },
  );

  it('follows a path that becomes ten times slower', () => {
    const options = { bytesPerMs: 12_500, rttMs: 40, isStream: true };
    const pipe = new Pipe(new StreamWindow(), options);
    pipe.run(5_000);
    options.bytesPerMs = 1_250;
    pipe.run(30_000);
    expect(pipe.share(20_000)).toBeGreaterThan(0.95);
    expect(pipe.peakInFlightBytes).toBeLessThanOrEqual(mostInFlight(pipe));
  });

  it('follows a path that becomes ten times faster', () => {
    const options = { bytesPerMs: 1_250, rttMs: 40, isStream: true };
    const pipe = new Pipe(new StreamWindow(), options);
    pipe.run(5_000);
    options.bytesPerMs = 12_500;
    pipe.run(30_000);
    expect(pipe.share(20_000)).toBeGreaterThan(0.9);
  });

  it('leaves pacing to the carrier, and shrugs at losses', () => {
    const window = new StreamWindow();
    const before = window.congestionWindowBytes;
    window.lost();
    window.lossWasSpurious();
    expect([window.pacingRate, window.congestionWindowBytes]).toEqual([undefined, before]);
  });
});

describe('BaseRtt', () => {
  function round(base: BaseRtt, ms: number, count: number, now: number, isStarting = false): void {
    for (let i = 0; i < count; i++) base.sample(ms);
    base.endRound(isStarting, 0, at(now));
  }

  it('knows nothing at first, then the mean so far', () => {
    const base = new BaseRtt();
    expect(base.valueMs).toBe(Number.POSITIVE_INFINITY);
    base.sample(40);
    base.sample(60);
    expect(base.valueMs).toBe(50);
  });

  it('is the smallest mean of a round, not the smallest sample', () => {
    const base = new BaseRtt();
    for (let i = 0; i < 32; i++) base.sample(i % 2 === 0 ? 10 : 50);
    base.endRound(false, 0, at(1));
    expect([base.valueMs, base.measuredAt]).toEqual([30, 1]);
    round(base, 45, 32, 2);
    expect([base.valueMs, base.measuredAt]).toEqual([30, 1]);
    round(base, 20, 32, 3);
    expect([base.valueMs, base.measuredAt]).toEqual([20, 3]);
  });

  it('is confirmed by a round that is hardly longer', () => {
    const base = new BaseRtt();
    round(base, 100, 32, 1);
    round(base, 102.4, 32, 2);
    expect([base.valueMs, base.measuredAt]).toEqual([100, 2]);
    round(base, 102.6, 32, 3);
    expect(base.measuredAt).toBe(2);
  });

  it('takes short rounds together until there are enough samples; fewer do at the start', () => {
    const base = new BaseRtt();
    round(base, 10, 8, 1, true);
    expect(base.measuredAt).toBe(1);
    for (let i = 2; i <= 4; i++) round(base, 5, 8, i);
    expect([base.valueMs, base.measuredAt]).toEqual([10, 1]);
    round(base, 5, 8, 5);
    expect([base.valueMs, base.measuredAt]).toEqual([5, 5]);
  });

  it('can be replaced by a longer one, measured since the restart', () => {
    const base = new BaseRtt();
    round(base, 10, 32, 1);
    base.sample(1_000);
    base.restart();
    base.sample(30);
    base.replace(at(2));
    expect([base.valueMs, base.measuredAt]).toEqual([30, 2]);
    base.replace(at(3));
    expect([base.valueMs, base.measuredAt]).toEqual([30, 3]);
  });
});

describe('MaxFilter', () => {
  const samples = fc.array(
    fc.record({ value: fc.nat({ max: 1_000 }), after: fc.nat({ max: 4 }) }),
    { minLength: 1, maxLength: 200 },
  );

  it('is never above the largest sample of the window, nor below the last one', () => {
    fc.assert(
      fc.property(samples, fc.integer({ min: 1, max: 20 }), (steps, length) => {
        const filter = new MaxFilter();
        const all: { value: number; at: number }[] = [];
        let now = 0;
        for (const { value, after } of steps) {
          now += after;
          all.push({ value, at: now });
          filter.update(value, now, length);
          const recent = all.filter((one) => one.at + length >= now).map((one) => one.value);
          expect(filter.value).toBeLessThanOrEqual(Math.max(...recent));
          expect(filter.value).toBeGreaterThanOrEqual(value);
        }
      }),
    );
  });

  it('is 0 before any sample', () => {
    expect(new MaxFilter().value).toBe(0);
  });

  it('holds the maximum for exactly the window, then the best of what came later', () => {
    const filter = new MaxFilter();
    filter.update(100, 0, 10);
    filter.update(80, 4, 10);
    filter.update(60, 8, 10);
    filter.update(10, 10, 10);
    expect(filter.value).toBe(100);
  });

  it('keeps a bounded number of samples', () => {
    const filter = new MaxFilter();
    const before = usedHeap();
    for (let i = 0; i < 300_000; i++) filter.update(300_000 - i, i, 1e9);
    expect(usedHeap() - before).toBeLessThan(2_000_000);
    expect(filter.value).toBe(300_000);
  });
});
