/** Carriers that lost the race to the server and find no place among the paths. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { KeyRing } from '../../src/core/index.js';
import { createMemoryCarriers } from '../../src/node/carriers/memory.js';
import { Driver } from '../../src/node/driver.js';
import { RovingSession } from '../../src/node/session.js';

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

describe.each(['datagram', 'stream'] as const)('%s carriers that find no room', (kind) => {
  it('are closed once the session is established, and the others stay', async () => {
    const keyRing = new KeyRing(random(32), random(32));
    const secrets = { keyId: random(8), secret: random(32), doorKey: keyRing.doorKey };
    keyRing.add({ ...secrets, name: 'test', grants: [] });
    const serverDriver: Driver = new Driver({
      keyRing,
      onAccepted: (core, entry) => void new RovingSession(serverDriver, core, entry),
    });
    const driver = new Driver();
    const core = driver.command((endpoint, now) =>
      endpoint.connect({ ...secrets, addresses: [] }, { maxPaths: 2 }, now),
    );
    const session = new RovingSession(driver, core);
    const pairs = ['a', 'b', 'c', 'd'].map((name) => createMemoryCarriers({ name, kind }));
    try {
      for (const { client, server } of pairs) {
        serverDriver.addCarrier(server);
        session.addPath(client, kind === 'datagram' ? server.local : undefined);
      }
      await once(session, 'established');
      await vi.waitFor(() => expect(driver.carrierCount).toBe(2));
      expect(session.paths).toHaveLength(2);
      for (const { carrierId } of session.paths) expect(driver.carrier(carrierId)).toBeDefined();
      await session.close();
      await vi.waitFor(() => expect(driver.carrierCount).toBe(0));
    } finally {
      driver.close();
      serverDriver.close();
    }
  });
});
