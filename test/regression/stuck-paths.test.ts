/**
 * Stories of data that stayed where nobody looked for it (found by reading the code).
 */

import { describe, expect, it } from 'vitest';
import { Bed, BulkSender, Reader, symmetric } from '../../src/sim/index.js';

const DATAGRAM_BYTES = 1_472;

function bedOf(rtts: readonly number[], carriers: readonly ('tcp' | 'udp')[]): Bed {
  const bed = new Bed({
    seed: 5,
    paths: rtts.map((rttMs, index) => ({
      name: `p${index + 1}`,
      carrier: carriers[index] ?? 'udp',
      maxDatagramBytes: DATAGRAM_BYTES,
      link: symmetric({ rateMbps: 20, rttMs }),
    })),
    client: { keepAliveMs: 0, scheduler: 'roundRobin' },
    server: { keepAliveMs: 0 },
  });
  bed.redials = false;
  bed.connect();
  expect(bed.establish()).toBe(true);
  return bed;
}

describe('data on a path that fails while the other one is in doubt', () => {
  // One path is in doubt, its data goes to the other, which dies; when the doubt is over nobody
  // fetched what was stuck on the dead one: it had become suspect when no path was healthy.
  it.each([
    ['two datagram paths', ['udp', 'udp']],
    ['two stream paths', ['tcp', 'tcp']],
    ['a datagram and a stream path', ['udp', 'tcp']],
  ] as const)('arrives when the doubt is over: %s', (_name, carriers) => {
    for (const overlapMs of [20, 60, 120, 200, 320]) {
      const bed = bedOf([300, 10], carriers);
      const reader = new Reader(bed.server);
      bed.world.run({ forMs: 2_000 });
      new BulkSender(bed.client, { bytes: 2_000_000 });
      bed.world.run({ forMs: 150 });
      // The first path answers late: its way back is dark for a while.
      bed.paths.get('p1')?.set({ black: true }, 'down');
      bed.world.run({ forMs: 380 });
      bed.paths.get('p2')?.set({ black: true });
      bed.world.run({ forMs: overlapMs });
      bed.paths.get('p1')?.set({ black: false }, 'down');
      bed.world.run({ until: () => reader.endedStreams > 0, forMs: 120_000 });
      expect(reader.readBytes, `overlap ${overlapMs} ms`).toBe(2_000_000);
      expect(reader.wrongByteAt).toBe(-1);
    }
  });
});

describe('a path that was dark when it was opened', () => {
  // Its lost probes were taken for congestion, and their rate for that of the path: when it came to
  // light it waited seconds between two packets (found in a network that was dark for half a minute).
  it('is as fast as any new one when it comes to light', () => {
    const bed = new Bed({
      seed: 6,
      paths: ['light', 'dark'].map((name) => ({
        name,
        carrier: 'udp',
        maxDatagramBytes: DATAGRAM_BYTES,
        link: symmetric({ rateMbps: 20, rttMs: 40 }),
      })),
    });
    bed.paths.get('dark')?.set({ black: true });
    bed.connect();
    expect(bed.establish()).toBe(true);
    const reader = new Reader(bed.server);
    bed.world.run({ forMs: 4_000 });
    bed.paths.get('light')?.set({ black: true });
    new BulkSender(bed.client, { bytes: 1_000_000 });
    bed.world.run({ forMs: 6_000 });
    bed.paths.get('dark')?.set({ black: false });
    bed.world.run({ until: () => reader.endedStreams > 0, forMs: 1_500 });
    expect(reader.readBytes).toBe(1_000_000);
  });
});

describe('a datagram path that stays away for days', () => {
  it('costs both ends a bounded number of records, and is used again when it is back', () => {
    const bed = bedOf([40, 40], ['udp', 'tcp']);
    const reader = new Reader(bed.server);
    new BulkSender(bed.client, { bytes: 2_000_000 });
    bed.world.run({ forMs: 2_000 });
    bed.paths.get('p1')?.set({ black: true });
    new BulkSender(bed.client, { bytes: 2_000_000 });
    bed.world.run({ forMs: 2 * 3_600_000 });
    const infos = [bed.client, bed.server].flatMap(({ session }) => session.paths());
    const suspects = infos.filter(({ state }) => state === 'suspect');
    expect(suspects.length).toBeGreaterThan(0);
    // Two hours of a probe every five seconds at least, and what was under way before.
    for (const { statistics } of suspects) {
      expect(statistics.sentPackets).toBeGreaterThan(1_000);
      expect(statistics.inFlightBytes).toBeLessThan(500_000);
      expect(statistics.lostPackets).toBeGreaterThan(1_000);
    }
    bed.paths.get('p1')?.set({ black: false });
    bed.world.run({ forMs: 60_000 });
    expect(bed.client.session.paths().map(({ state }) => state)).toEqual(['active', 'active']);
    expect([reader.readBytes, reader.wrongByteAt]).toEqual([4_000_000, -1]);
  });
});
