/** Path MTU discovery (protocol.md#packet-size, R-SIZE-1 to R-SIZE-4) over simulated links. */

import { describe, expect, it } from 'vitest';
import { type BedEnd, Nat, World } from '../../src/sim/index.js';
import { download, established, expectOpen, runUntilRead, upload, way } from '../helpers/beds.js';

const MB = 1_000_000;
/** An IPv4 header and a UDP header. */
const OVERHEAD_BYTES = 28;

function sizeAt(end: BedEnd): number {
  return end.session.paths()[0]?.statistics.packetBytes ?? 0;
}

function lostAt(end: BedEnd): number {
  return end.session.paths()[0]?.statistics.lostPackets ?? -1;
}

describe('path MTU discovery', () => {
  it.each([1228, 1280, 1400, 1500])(
    'finds what a link with an MTU of %i carries, and loses no data on the way',
    (mtu) => {
      const bed = established({ seed: mtu, paths: [way('p', 'udp', '20/30')] });
      bed.paths.get('p')?.set({ mtu });
      const { reader } = upload(bed, { bytes: 4 * MB });
      runUntilRead(bed, reader, 4 * MB, 10_000);
      const found = sizeAt(bed.client) + OVERHEAD_BYTES;
      expect(found).toBeLessThanOrEqual(mtu);
      expect(found).toBeGreaterThan(mtu - 17);
      // R-SIZE-2: what is lost is probes, and they are not counted.
      expect(bed.client.session.paths()[0]?.statistics.suspectCount).toBe(0);
      expectOpen(bed);
    },
  );

  it('is done by the server as well', () => {
    const bed = established({ seed: 1, paths: [way('p', 'udp', '20/30')] });
    const { reader } = download(bed, { bytes: 2 * MB });
    runUntilRead(bed, reader, 2 * MB, 10_000);
    expect(sizeAt(bed.server)).toBe(1472);
    expect(sizeAt(bed.client)).toBe(1200);
  });

  it('costs an idle session nothing', () => {
    const bed = established({ seed: 1, paths: [way('p', 'udp', '20/30')] });
    bed.world.run({ forMs: 60_000 });
    expect(sizeAt(bed.client)).toBe(1200);
    expect(bed.client.session.paths()[0]?.statistics.sentPackets).toBeLessThan(12);
  });

  it.each([
    ['one path', 1],
    ['two paths', 2],
  ])('notices within a second when the link becomes narrower, with %s', (_name, count) => {
    const names = ['p', 'q'].slice(0, count);
    const paths = names.map((name) => way(name, 'udp', '20/30'));
    const bed = established({ seed: 5, paths });
    const { reader } = upload(bed, {});
    bed.world.run({ forMs: 3_000 });
    expect(sizeAt(bed.client)).toBe(1472);
    reader.resetGap();
    bed.paths.get('p')?.set({ mtu: 1300 });
    const before = reader.readBytes;
    bed.world.run({ forMs: 5_000 });
    expect(reader.longestGapMs).toBeLessThan(1_000);
    // R-SIZE-3, and then the search finds what still passes.
    expect(sizeAt(bed.client) + OVERHEAD_BYTES).toBeLessThanOrEqual(1300);
    expect(sizeAt(bed.client) + OVERHEAD_BYTES).toBeGreaterThan(1283);
    expect(reader.readBytes - before).toBeGreaterThan(0.8 * count * 2.5 * MB * 4.5);
    expect(reader.wrongByteAt).toBe(-1);
    expectOpen(bed);
  });

  it('looks again after ten minutes whether the path has become wider', () => {
    const bed = established({ seed: 3, paths: [way('p', 'udp', '1/30')] });
    bed.paths.get('p')?.set({ mtu: 1400 });
    const { reader } = upload(bed, {});
    bed.world.run({ forMs: 10_000 });
    expect(sizeAt(bed.client)).toBeLessThanOrEqual(1372);
    bed.paths.get('p')?.set({ mtu: 1500 });
    bed.world.run({ forMs: 500_000 });
    expect(sizeAt(bed.client)).toBeLessThanOrEqual(1372);
    bed.world.run({ forMs: 150_000 });
    expect(sizeAt(bed.client)).toBe(1472);
    expect(reader.wrongByteAt).toBe(-1);
  });

  it('does not take random loss for a narrow path', () => {
    const link = way('p', 'udp', '20/30');
    const bed = established({ seed: 8, paths: [link] });
    bed.paths.get('p')?.set({ loss: 0.05 });
    upload(bed, {});
    let smallest = Number.POSITIVE_INFINITY;
    bed.world.run({ forMs: 2_000 });
    for (let i = 0; i < 200; i++) {
      bed.world.run({ forMs: 50 });
      smallest = Math.min(smallest, sizeAt(bed.client));
    }
    expect(smallest).toBe(1472);
    expect(lostAt(bed.client)).toBeGreaterThan(100);
  });

  it('starts anew after the client has moved to another network', () => {
    const world = new World({ seed: 2 });
    const nat = new Nat(world);
    const paths = [way('p', 'udp', '20/30', { boxes: [nat] })];
    const bed = established({ seed: 2, world, paths });
    const { reader } = download(bed, {});
    world.run({ forMs: 2_000 });
    expect(sizeAt(bed.server)).toBe(1472);
    bed.paths.get('p')?.set({ mtu: 1350 });
    nat.rebind({ address: true });
    world.run({ until: () => sizeAt(bed.server) === 1200, forMs: 1_000 });
    expect(sizeAt(bed.server)).toBe(1200);
    world.run({ forMs: 4_000 });
    expect(sizeAt(bed.server)).toBeLessThanOrEqual(1322);
    expect(sizeAt(bed.server)).toBeGreaterThan(1305);
    expect(reader.wrongByteAt).toBe(-1);
  });
});
