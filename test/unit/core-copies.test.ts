import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { lateAt } from '../../src/core/copies.js';
import { Recovery, type SentPacket } from '../../src/core/recovery.js';
import { RttEstimator } from '../../src/core/rtt.js';

const RTT_MS = 60;
/** The sender's estimate for each packet. */
const ARRIVES_AFTER_MS = 30;
const BULK_BYTES = 16_000;

function at(ms: number): Instant {
  return ms as Instant;
}

/** A path whose round trips take 60 ms, from the beginning on or with a jump at `jumpAtMs`. */
class Scene {
  readonly recovery = new Recovery(true);
  readonly rtt = new RttEstimator();

  constructor(jumpAtMs?: number) {
    this.rtt.sample(RTT_MS, 0, at(0));
    if (jumpAtMs === undefined) return;
    this.rtt.sample(RTT_MS, 0, at(jumpAtMs - 1));
    this.rtt.sample(10 * RTT_MS, 0, at(jumpAtMs));
  }

  send(now: number, bytes: number): SentPacket {
    const packet: SentPacket = {
      number: this.recovery.nextNumber,
      sentAt: at(now),
      bytes,
      frames: [],
      rateMark: {
        deliveredBytes: 0,
        deliveredAt: at(0),
        firstSentAt: at(0),
        isAppLimited: false,
      },
      expectedArrivalAt: at(now + ARRIVES_AFTER_MS),
      isReinjected: false,
      isCopied: false,
    };
    this.recovery.sent(packet);
    return packet;
  }

  lateAt(isStream = true): number | undefined {
    const { recovery, rtt } = this;
    const carrier = { isStream };
    return lateAt({ carrier, recovery, rtt } as unknown as Parameters<typeof lateAt>[0]);
  }
}

describe('what is under way on a stream carrier', () => {
  it('is late when a repair would be over', () => {
    const scene = new Scene(9_000);
    scene.send(10_000, BULK_BYTES);
    expect(scene.lateAt()).toBe(10_000 + RTT_MS + 100);
  });

  it('is late sooner where round trips have not jumped for two seconds', () => {
    const scene = new Scene(9_000);
    scene.send(11_001, BULK_BYTES);
    expect(scene.lateAt()).toBe(11_001 + RTT_MS + 40);
  });

  it('has no such history at the beginning', () => {
    const scene = new Scene();
    scene.send(1_000, BULK_BYTES);
    expect(scene.lateAt()).toBe(1_000 + RTT_MS + 100);
  });

  it('is late sooner behind what is late', () => {
    const scene = new Scene(9_000);
    scene.send(10_000, BULK_BYTES).isCopied = true;
    expect(scene.lateAt()).toBeUndefined();
    scene.send(10_100, BULK_BYTES);
    expect(scene.lateAt()).toBe(10_100 + RTT_MS + 40);
  });

  it('is late as soon as its answer is overdue if it is little', () => {
    const scene = new Scene();
    for (let n = 0; n < 100; n++) scene.rtt.sample(RTT_MS, 0, at(n));
    scene.send(1_000, 100);
    expect(scene.lateAt()).toBe(1_000 + RTT_MS + 10);
  });

  it('is not waited for any longer because it is little and round trips vary by seconds', () => {
    const scene = new Scene(9_000);
    scene.rtt.sample(5_000, 0, at(9_001));
    scene.send(10_000, 100);
    expect(scene.lateAt()).toBe(10_000 + RTT_MS + 100);
  });

  it('is nothing on a datagram carrier, where losses show', () => {
    const scene = new Scene();
    scene.send(1_000, BULK_BYTES);
    expect(scene.lateAt(false)).toBeUndefined();
  });
});
