/**
 * A receiver of bulk data sends nothing but acknowledgements on all paths but the best. Nobody
 * acknowledges those, so the key of such a path could never be updated, and after 2^23 packets
 * the path was closed: after some 30 GB.
 */

import { expect, it } from 'vitest';
import { Bed, BulkSender, Reader, symmetric } from '../../src/sim/index.js';

it('a path that only acknowledges asks for an acknowledgement now and then', () => {
  const bed = new Bed({
    seed: 3,
    paths: [10, 60].map((rttMs, index) => ({
      name: `p${index + 1}`,
      carrier: 'udp' as const,
      maxDatagramBytes: 1_472,
      link: symmetric({ rateMbps: 20, rttMs }),
    })),
    client: { keepAliveMs: 0 },
    server: { keyUpdatePackets: 200, keepAliveMs: 0 },
  });
  bed.connect();
  expect(bed.establish()).toBe(true);
  const reader = new Reader(bed.server);
  new BulkSender(bed.client, { bytes: 20_000_000 });
  bed.world.run({ forMs: 1_000 });
  const before = bed.server.session.paths()[1]?.statistics;
  bed.world.run({ until: () => reader.endedStreams > 0, forMs: 60_000 });
  const after = bed.server.session.paths()[1]?.statistics;
  expect(reader.readBytes).toBe(20_000_000);
  // The slow path's round trip was measured anew, which takes an acknowledgement.
  expect(after?.sentPackets).toBeGreaterThan(1_000);
  expect(after?.minRttMs).toBeGreaterThanOrEqual(60);
  expect(after?.smoothedRttMs).not.toBe(before?.smoothedRttMs);
});
