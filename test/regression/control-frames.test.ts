/**
 * Giving up many streams in one turn got the peer accused: more control frames waited than a fixed
 * bound, which took each of them for provoked.
 */
import { describe, expect, it } from 'vitest';
import { MAX_PENDING_ABANDONS, maxPendingControlFrames } from '../../src/core/options.js';
import type { BedEnd } from '../../src/sim/index.js';
import { established, expectOpen, way } from '../helpers/beds.js';

function openAll(end: BedEnd, unidirectional: boolean): number[] {
  return end.host.command((_core, now) => {
    const ids: number[] = [];
    for (;;) {
      const id = end.session.openStream({ unidirectional }, now);
      if (id === undefined) return ids;
      end.session.write(id, new Uint8Array(10));
      ids.push(id);
    }
  });
}

describe('an application that gives up all of its streams in one turn', () => {
  it('gets nobody accused', () => {
    const bed = established({ seed: 'all at once', paths: [way('only', 'udp', '50/20')] });
    const { client, server, world } = bed;
    const both = [...openAll(client, false), ...openAll(server, false)];
    const ours = openAll(client, true);
    expect(2 * both.length + ours.length).toBeGreaterThan(1_024);
    world.run({ forMs: 500 });
    expect(client.session.streamCount).toBe(both.length + ours.length);
    client.host.command((_core, now) => {
      for (const id of [...both, ...ours]) client.session.reset(id, 1);
      for (const id of both) client.session.stopSending(id, 2, now);
    });
    world.run({ forMs: 2_000 });
    expectOpen(bed);
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
  });
});

describe('the bound of control frames that wait', () => {
  const spare = maxPendingControlFrames({ streamLimit: 0, streamCount: 0, maxPaths: 0 });

  it('has room for three of each stream that there may be, and one of each path', () => {
    const scope = { streamLimit: 100, streamCount: 40, maxPaths: 16 };
    expect(maxPendingControlFrames(scope)).toBe(spare + 316);
    expect(spare).toBeGreaterThanOrEqual(1_024 + MAX_PENDING_ABANDONS);
  });

  it('does not grow with what a peer names, but with the streams that there are', () => {
    const scope = { streamLimit: 2 ** 51, maxPaths: 16 };
    const bound = maxPendingControlFrames({ ...scope, streamCount: 0 });
    expect(bound).toBeLessThan(20_000);
    expect(maxPendingControlFrames({ ...scope, streamCount: 50_000 })).toBeGreaterThan(150_000);
  });
});
