import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/index.js';
import { PathMtu } from '../../src/core/path-mtu.js';

const at = (ms: number): Instant => ms as Instant;

/** Probes until the search ends; the path carries datagrams up to `carriedBytes`. */
function search(mtu: PathMtu, carriedBytes: number, from = 0, now = 0): number[] {
  const sizes: number[] = [];
  let number = from;
  mtu.sent(mtu.packetBytes);
  for (;;) {
    const bytes = mtu.nextProbeBytes(at(now));
    if (bytes === undefined) return sizes;
    sizes.push(bytes);
    mtu.probed(number, bytes, 100, at(now));
    expect(mtu.nextProbeBytes(at(now)), 'one probe at a time').toBeUndefined();
    if (bytes <= carriedBytes) mtu.acknowledged([{ smallest: number, largest: number }], 3);
    else mtu.acknowledged([{ smallest: number + 1, largest: number + 3 }], 3);
    number += 4;
  }
}

describe('the search for a packet size', () => {
  it('tries what Ethernet carries first, then what the carrier could', () => {
    const mtu = new PathMtu(65_507);
    expect(search(mtu, 65_507)).toEqual([1_472, 65_507]);
    expect(mtu.packetBytes).toBe(65_507);
  });

  it('never goes beyond the carrier, and below 1200 only with it', () => {
    expect(search(new PathMtu(1_200), 65_507)).toEqual([]);
    const small = new PathMtu(800);
    expect(small.packetBytes).toBe(800);
    expect(search(small, 65_507)).toEqual([]);
    const odd = new PathMtu(1_300);
    expect(search(odd, 65_507)).toEqual([1_300]);
  });

  it('gives a size up after three lost probes, and ends within 16 bytes', () => {
    for (const carried of [1_200, 1_252, 1_372, 1_452, 1_471]) {
      const mtu = new PathMtu(1_472);
      const sizes = search(mtu, carried);
      expect(sizes.slice(0, 3)).toEqual([1_472, 1_472, 1_472]);
      expect(mtu.packetBytes).toBeLessThanOrEqual(carried);
      expect(mtu.packetBytes).toBeGreaterThan(carried - 16);
      expect(sizes.length).toBeLessThanOrEqual(18);
    }
  });

  it('sends no probe before a packet was full', () => {
    const mtu = new PathMtu(1_472);
    mtu.sent(600);
    expect(mtu.nextProbeBytes(at(0))).toBeUndefined();
    mtu.sent(1_190);
    expect(mtu.nextProbeBytes(at(0))).toBe(1_472);
  });

  it('takes a probe for lost after three probe timeouts in which nothing later arrived', () => {
    const mtu = new PathMtu(1_472);
    mtu.sent(1_200);
    mtu.probed(7, 1_472, 100, at(0));
    expect(mtu.expiresAt).toBe(300);
    mtu.expire(at(299));
    expect(mtu.nextProbeBytes(at(299))).toBeUndefined();
    mtu.expire(at(300));
    expect(mtu.nextProbeBytes(at(300))).toBe(1_472);
  });

  it('is made again after ten minutes, if there was something left to gain', () => {
    const mtu = new PathMtu(1_472);
    search(mtu, 1_300);
    mtu.sent(mtu.packetBytes);
    expect(mtu.nextProbeBytes(at(599_999))).toBeUndefined();
    expect(search(mtu, 1_472, 1_000, 600_000)).toEqual([1_472]);
    expect(mtu.packetBytes).toBe(1_472);
  });
});

describe('a black hole for larger packets', () => {
  const large = (number: number) => ({ number, bytes: 1_472 });
  const small = (number: number) => ({ number, bytes: 90 });

  function wide(): PathMtu {
    const mtu = new PathMtu(1_472);
    search(mtu, 1_472);
    return mtu;
  }

  it('is three of them lost and none arrived, while a smaller one did', () => {
    const mtu = wide();
    expect(mtu.settled([], [large(10), large(11)])).toBe(false);
    expect(mtu.settled([small(14)], [])).toBe(false);
    expect(mtu.settled([], [large(12)])).toBe(true);
    expect(mtu.packetBytes).toBe(1_200);
  });

  it('is not when everything is lost, or when one of them arrives', () => {
    const mtu = wide();
    expect(mtu.settled([], [large(10), large(11), large(12), small(13)])).toBe(false);
    expect(mtu.settled([large(14)], [])).toBe(false);
    expect(mtu.settled([small(15)], [large(13)])).toBe(false);
    expect(mtu.packetBytes).toBe(1_472);
  });

  it('is not a matter of losses from before the size was found', () => {
    const mtu = wide();
    mtu.restart();
    expect(search(mtu, 1_472, 100)).toEqual([1_472]);
    expect(mtu.settled([small(90)], [large(80), large(81), large(82)])).toBe(false);
  });
});
