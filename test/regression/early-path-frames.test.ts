/**
 * Control frames go on the path that delivers first. So when a client opened a slow path and at
 * once made it a backup, or gave it up, the server heard of that over a fast path before the slow
 * path's first packet had arrived; it took this for a path that never was, and closed the session
 * with PROTOCOL_VIOLATION. Found by random worlds (seeds 4, 8, 12).
 */
import { describe, expect, it } from 'vitest';
import type { PathId } from '../../src/core/index.js';
import { Bed, symmetric } from '../../src/sim/index.js';

function bed(): Bed {
  const made = new Bed({
    seed: 'early',
    paths: [
      { name: 'fast', carrier: 'udp', link: symmetric({ rateMbps: 50, rttMs: 10 }) },
      { name: 'slow', carrier: 'udp', link: symmetric({ rateMbps: 50, rttMs: 400 }) },
    ],
  });
  made.connect({}, ['fast']);
  expect(made.establish()).toBe(true);
  made.openPath('slow');
  return made;
}

const SLOW = 1 as PathId;

describe('what a client says of a path before the path has arrived', () => {
  it('keeps the status for when the path is there', () => {
    const { world, client, clientHost, server } = bed();
    clientHost.command(() => client.session.setPathStatus(SLOW, 'backup'));
    world.run({ forMs: 1_000 });
    expect(server.isClosed).toBe(false);
    const path = server.session.paths().find((one) => one.pathId === SLOW);
    expect(path?.isBackup).toBe(true);
  });

  it('opens no path that was abandoned meanwhile', () => {
    const { world, client, clientHost, server } = bed();
    world.run({ forMs: 20 });
    clientHost.command(() => client.session.abandonPath(SLOW));
    world.run({ forMs: 1_000 });
    expect(server.isClosed).toBe(false);
    expect(server.session.paths().map((one) => one.pathId)).toEqual([0]);
  });
});
