/**
 * Two faults at the limit of open paths, found by random worlds (seeds 16, 18, 35). A client that
 * abandoned its paths and opened a new one could not join: the server, which had not heard of that
 * yet, counted the old ones and refused, so that the word of it never arrived. And a client looked
 * at its own limit only, and went on for ever with JOINs that a server with a lower one refused.
 */
import { describe, expect, it } from 'vitest';
import { Bed, symmetric } from '../../src/sim/index.js';

const LINK = symmetric({ rateMbps: 50, rttMs: 20 });

function bed(serverMaxPaths: number): Bed {
  const made = new Bed({
    seed: 'limit',
    server: { maxPaths: serverMaxPaths },
    paths: ['a', 'b', 'c'].map((name) => ({ name, carrier: 'udp', link: LINK })),
  });
  made.connect({}, ['a', 'b']);
  expect(made.establish()).toBe(true);
  made.world.run({ forMs: 500 });
  return made;
}

describe('at the limit of open paths', () => {
  it('a client that gave up all of them joins with a new one', () => {
    const made = bed(2);
    const { client, clientHost, world, server } = made;
    clientHost.command(() => {
      for (const { pathId } of client.session.paths()) client.session.abandonPath(pathId);
    });
    made.openPath('c');
    world.run({ forMs: 1_000 });
    for (const { session } of [client, server]) {
      expect(session.paths().map(({ pathId, state }) => [pathId, state])).toEqual([[2, 'active']]);
    }
  });

  it('a client keeps to the lower limit of both ends', () => {
    const made = bed(2);
    made.openPath('c');
    expect(made.client.session.paths().map(({ pathId }) => pathId)).toEqual([0, 1]);
  });
});
