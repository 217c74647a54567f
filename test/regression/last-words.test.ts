/**
 * Two last packets that were never sent. Whoever abandoned the only path queued the word of it for
 * another path; until there was one, the other end probed a path that nobody listened on. And who
 * was sent CLOSE ended at once, so that it was never acknowledged (protocol.md#close), and the
 * closing end repeated it for seconds. Found by random worlds (seeds 1, 14).
 */
import { describe, expect, it } from 'vitest';
import { Bed, symmetric } from '../../src/sim/index.js';

function bed(carrier: 'udp' | 'tcp'): Bed {
  const made = new Bed({
    seed: 'last words',
    paths: [{ name: 'only', carrier, link: symmetric({ rateMbps: 50, rttMs: 20 }) }],
  });
  made.connect();
  expect(made.establish()).toBe(true);
  made.world.run({ forMs: 500 });
  return made;
}

describe('the end that abandons the only path', () => {
  it('says so on that path', () => {
    const { server, client, world } = bed('udp');
    server.host.command(() => {
      for (const { pathId } of server.session.paths()) server.session.abandonPath(pathId);
    });
    world.run({ forMs: 50 });
    expect(client.session.paths()).toEqual([]);
    expect(client.isClosed).toBe(false);
  });
});

describe.each(['udp', 'tcp'] as const)('a close over %s', (carrier) => {
  it('is acknowledged: both ends forget the session within a round trip', () => {
    const { server, client, clientHost, world } = bed(carrier);
    clientHost.command((_core, now) => client.session.close(now));
    world.run({ forMs: 100 });
    expect([client.isClosed, client.error]).toEqual([true, undefined]);
    expect([server.isClosed, server.error]).toEqual([true, undefined]);
    expect(clientHost.core.statistics().sessions).toBe(0);
    expect(server.host.core.statistics().sessions).toBe(0);
  });
});
