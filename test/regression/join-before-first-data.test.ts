/**
 * A server knew a session only from the first DATA packet of path 0 on. When that packet was late
 * or lost, and the JOIN of another path came first, or path 0 itself went silent and was probed
 * by a JOIN, the server answered GONE, and the client believed it. Found by random worlds (seeds
 * 20, 27, 35).
 */
import { describe, expect, it } from 'vitest';
import { Bed, dropAll, Middlebox, symmetric, World } from '../../src/sim/index.js';

const FIRST_DATA = 0x00;

function isData(bytes: Uint8Array): boolean {
  return ((bytes[0] ?? 0xff) & 0xfe) === FIRST_DATA;
}

/** Two paths of which the first answers first, and then loses the client's DATA packets. */
function bed(carrier: 'udp' | 'tcp'): { bed: Bed; box: Middlebox } {
  const world = new World({ seed: 'half-open' });
  const box = new Middlebox(
    world,
    dropAll({ direction: 'up', protocol: 'udp', where: (packet) => isData(packet.bytes()) }),
  );
  const made = new Bed({
    seed: 'half-open',
    world,
    paths: [
      { name: 'first', carrier: 'udp', link: symmetric({ rateMbps: 10, rttMs: 20 }), boxes: [box] },
      { name: 'second', carrier, link: symmetric({ rateMbps: 10, rttMs: 40 }) },
    ],
  });
  return { bed: made, box };
}

describe.each(['udp', 'tcp'] as const)(
  'the JOIN of a %s path that overtakes all of path 0',
  (carrier) => {
    it('makes the session, with both paths', () => {
      const { bed: made, box } = bed(carrier);
      made.connect();
      expect(made.establish()).toBe(true);
      made.world.run({ forMs: 500 });
      box.setPolicies();
      made.world.run({ forMs: 5_000 });
      expect(made.client.error).toBeUndefined();
      const ids = made.server.session.paths().map((path) => path.pathId);
      expect(ids.sort()).toEqual([0, 1]);
      expect(made.accepted).toHaveLength(1);
    });
  },
);

describe('the only path, when it goes black right after the ACCEPT', () => {
  it('is joined again by its probes', () => {
    const world = new World({ seed: 'half-open' });
    const made = new Bed({
      seed: 'half-open',
      world,
      paths: [{ name: 'only', carrier: 'udp', link: symmetric({ rateMbps: 10, rttMs: 20 }) }],
    });
    made.connect();
    const { client } = made;
    world.run({ until: () => client.session.lifecycle === 'established', forMs: 5_000 });
    made.paths.get('only')?.set({ black: true });
    world.run({ forMs: 4_000 });
    made.paths.get('only')?.set({ black: false });
    expect(made.establish(5_000)).toBe(true);
    expect(client.error).toBeUndefined();
  });
});
