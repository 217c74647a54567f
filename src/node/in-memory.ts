/**
 * Two sessions in one process, joined by memory carriers: the whole protocol without a network.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { KeyRing, type SessionOptions, type Ticket } from '../core/index.js';
import {
  createMemoryCarriers,
  type MemoryCarrierOptions,
  type MemoryCarriers,
} from './carriers/memory.js';
import { Driver } from './driver.js';
import { RovingSession } from './session.js';

const DEFAULT_CARRIER_COUNT = 2;

export interface InMemoryOptions {
  /** How many, or which; two stream carriers. */
  readonly carriers?: number | readonly MemoryCarrierOptions[];
  readonly client?: Partial<SessionOptions>;
  readonly server?: Partial<SessionOptions>;
}

export interface InMemoryPair {
  readonly client: RovingSession;
  readonly server: RovingSession;
  /** In the order of the options; to be cut, or blocked. */
  readonly carriers: readonly MemoryCarriers[];
}

/**
 * Joins two ends in this process, with a handshake and encryption as over a network.
 *
 * @returns both ends of an established session. Close one of them when you are done.
 * @throws ConnectTimeoutError, for instance if there are no carriers.
 */
export async function connectInMemory(options: InMemoryOptions = {}): Promise<InMemoryPair> {
  const { carriers: wanted = DEFAULT_CARRIER_COUNT } = options;
  const settings = typeof wanted === 'number' ? Array.from({ length: wanted }, () => ({})) : wanted;
  const carriers = settings.map((one, index) =>
    createMemoryCarriers({ name: `memory${index}`, ...one }),
  );
  const keyRing = new KeyRing(random(32), random(32));
  const ticket: Ticket = {
    keyId: random(8),
    secret: random(32),
    doorKey: keyRing.doorKey,
    addresses: [],
  };
  keyRing.add({ ...ticket, name: 'memory', grants: [] });

  const accepted = new Promise<RovingSession>((resolve) => {
    const serverDriver: Driver = new Driver({
      keyRing,
      session: { ...options.server },
      onAccepted: (session, entry) => resolve(new RovingSession(serverDriver, session, entry)),
    });
    for (const { server } of carriers) serverDriver.addCarrier(server);
  });

  const driver = new Driver();
  const core = driver.command((endpoint, now) =>
    endpoint.connect(ticket, { ...options.client }, now),
  );
  const client = new RovingSession(driver, core);
  const established = once(client, 'established');
  const failed = once(client, 'close').then(([error]) => {
    throw error;
  });
  failed.catch(() => undefined);
  for (const one of carriers) {
    const { kind } = one.client;
    client.addPath(one.client, kind === 'datagram' ? one.server.local : undefined);
  }
  await Promise.race([established, failed]);
  const server = await Promise.race([accepted, failed]);
  return { client, server, carriers };
}

function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}
