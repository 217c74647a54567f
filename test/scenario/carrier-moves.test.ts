/** A session over UDP and TCP, and networks that stop to let UDP through. */

import { describe, expect, it } from 'vitest';
import { Middlebox, noUdp, World } from '../../src/sim/index.js';
import { established, expectOpen, runUntilRead, upload, way } from '../helpers/beds.js';

const MIB = 1_048_576;

function mixed(seed: string) {
  const world = new World({ seed });
  const box = new Middlebox(world);
  const tcpBox = new Middlebox(world);
  const paths = [
    way('udp', 'udp', '20/30', { boxes: [box] }),
    way('tcp', 'tcp', '20/30', { boxes: [tcpBox] }),
  ];
  const bed = established({ seed, world, paths });
  const transfer = upload(bed, {});
  world.run({ forMs: 2_000 });
  const udp = () => bed.client.session.paths().find((path) => path.carrier === 'udp');
  const sentByUdp = () => udp()?.statistics.sentBytes ?? 0;
  return { world, box, bed, ...transfer, udp, sentByUdp };
}

describe('UDP that is blocked in the middle of a transfer', () => {
  it('costs no gap of a second, and is used again without one when it is let through', () => {
    const { world, box, bed, reader, udp, sentByUdp } = mixed('blocked');
    reader.resetGap();
    box.setPolicies(noUdp());
    world.run({ forMs: 20_000 });
    expect(reader.longestGapMs).toBeLessThan(1_000);
    expect(udp()?.state).toBe('suspect');
    box.setPolicies();
    reader.resetGap();
    world.run({ until: () => udp()?.state === 'active', forMs: 30_000 });
    expect(udp()?.state).toBe('active');
    const before = sentByUdp();
    world.run({ forMs: 10_000 });
    expect(sentByUdp() - before).toBeGreaterThan(5 * MIB);
    expect(reader.longestGapMs).toBeLessThan(1_000);
    runUntilRead(bed, reader, reader.readBytes + MIB, 2_000);
    expectOpen(bed);
  });
});

describe('UDP that is policed to a trickle', () => {
  it('does not hold up what TCP carries', () => {
    const { world, bed, reader } = mixed('policed');
    const policed = { rateBitsPerSec: 200_000, queueMs: 20 };
    bed.paths.get('udp')?.set(policed);
    reader.resetGap();
    world.run({ forMs: 2_000 });
    const before = reader.readBytes;
    world.run({ forMs: 10_000 });
    expect(((reader.readBytes - before) * 8) / 1e7).toBeGreaterThan(17);
    expect(reader.longestGapMs).toBeLessThan(2_000);
    bed.paths.get('udp')?.set({ rateBitsPerSec: 20e6, queueMs: 50 });
    world.run({ forMs: 20_000 });
    const after = reader.readBytes;
    world.run({ forMs: 5_000 });
    expect(((reader.readBytes - after) * 8) / 5e6).toBeGreaterThan(34);
    expectOpen(bed);
  });
});
