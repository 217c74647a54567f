/** A server that tells its clients where else it is (protocol.md#server-addresses). */

import { describe, expect, it } from 'vitest';
import { PeerError, UsageError } from '../../src/core/index.js';
import { type BedEnd, symmetric, World } from '../../src/sim/index.js';
import { established, expectOpen, runUntilRead, upload, way } from '../helpers/beds.js';
import { ServerBench } from '../helpers/bench.js';
import { RogueClient } from '../helpers/rogue-peer.js';

const MIB = 1_048_576;

function told(end: BedEnd) {
  return end.events.filter((event) => event.type === 'serverAddresses');
}

function bedOf(seed: number) {
  const bed = established({ seed, paths: [way('a', 'udp', '20/30')] });
  const tell = (addresses: string[], avoidFirst = false): void => {
    bed.serverHost.command(() => bed.server.session.tellAddresses({ addresses, avoidFirst }));
  };
  return { bed, tell };
}

describe('a server that tells its addresses', () => {
  it('is heard by the client, with the whole list each time', () => {
    const { bed, tell } = bedOf(1);
    const addresses = ['192.0.2.1:7600', '[2001:db8::1]:7600', 'wss://roving.example/way'];
    tell(addresses, true);
    bed.world.run({ forMs: 100 });
    tell(['192.0.2.1:7600']);
    bed.world.run({ forMs: 100 });
    expect(told(bed.client)).toEqual([
      { type: 'serverAddresses', addresses, avoidFirst: true },
      { type: 'serverAddresses', addresses: ['192.0.2.1:7600'], avoidFirst: false },
    ]);
    expect(bed.client.session.serverAddresses?.addresses).toEqual(['192.0.2.1:7600']);
    expectOpen(bed);
  });

  it('is heard although packets are lost, and never with an older list last (R-ADDRESSES-1)', () => {
    const { bed, tell } = bedOf(2);
    bed.paths.get('a')?.set({ loss: 0.4 });
    for (let i = 0; i < 40; i++) {
      tell([`192.0.2.${i}:7600`]);
      bed.world.run({ forMs: 40 });
    }
    bed.paths.get('a')?.set({ loss: 0 });
    bed.world.run({ forMs: 3_000 });
    const numbers = told(bed.client).map((event) => Number(event.addresses[0]?.split(/[.:]/)[3]));
    expect(numbers.at(-1)).toBe(39);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expectOpen(bed);
  });

  it('can be left by its first address: the session goes on by the one that was told', () => {
    const world = new World({ seed: 3 });
    const link = symmetric({ rateMbps: 20, rttMs: 30 });
    const bed = established({ seed: 3, world, paths: [way('a', 'udp', '20/30')] });
    const { reader } = upload(bed, { bytes: 6 * MIB });
    const client = world.machine('client');
    const server = world.machine('server');
    const serverAddress = '10.99.0.1';
    const other = world.path({ name: 'other', client, server, serverAddress, ...link });
    bed.client.on((event) => {
      if (event.type !== 'serverAddresses') return;
      const carrierId = bed.clientHost.udp({ host: other.clientAddress });
      const [remote] = event.addresses;
      const { session } = bed.client;
      bed.clientHost.command((core, now) => core.openPath(session, carrierId, remote, now));
    });
    const list = { addresses: [`${serverAddress}:7600`], avoidFirst: false };
    bed.serverHost.command(() => bed.server.session.tellAddresses(list));
    world.run({ forMs: 500 });
    bed.paths.get('a')?.set({ black: true });
    runUntilRead(bed, reader, 6 * MIB, 10_000);
    expect(bed.client.session.paths().map((path) => path.state)).toEqual(['suspect', 'active']);
  });

  it('can not tell more than a packet holds, and a client can tell nothing', () => {
    const { bed, tell } = bedOf(4);
    expect(() => tell(Array.from({ length: 17 }, () => 'a:1'))).toThrow(UsageError);
    expect(() => tell(['x'.repeat(256)])).toThrow(UsageError);
    expect(() => tell([''])).toThrow(UsageError);
    expect(() => tell(Array.from({ length: 5 }, () => 'x'.repeat(250)))).toThrow(UsageError);
    const list = { addresses: ['a:1'], avoidFirst: false };
    expect(() => bed.client.session.tellAddresses(list)).toThrow(UsageError);
    tell(Array.from({ length: 16 }, () => 'x'.repeat(64)));
    bed.world.run({ forMs: 100 });
    expect(told(bed.client)).toHaveLength(1);
  });

  it('closes the session of a client that tells addresses (R-ADDRESSES-3)', () => {
    const bench = new ServerBench({});
    const rogue = RogueClient.connected(bench, { carrier: 'udp' });
    const { session } = bench;
    rogue.send(0, [{ type: 'serverAddresses', sequence: 0, avoidFirst: false, addresses: [] }]);
    const error = bench.errorOf(session);
    expect(error).toBeInstanceOf(PeerError);
    expect(error instanceof PeerError && error.wireCode).toBe('PROTOCOL_VIOLATION');
  });
});
