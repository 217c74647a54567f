/** Addresses that change and machines that sleep, while the session goes on. */
import { describe, expect, it } from 'vitest';
import type { PathId } from '../../src/core/index.js';
import {
  applyFault,
  type BedEnd,
  contentAt,
  dropAll,
  Middlebox,
  Nat,
  Reader,
  World,
} from '../../src/sim/index.js';
import {
  CARRIERS,
  download,
  established,
  expectOpen,
  runUntilRead,
  upload,
  way,
} from '../helpers/beds.js';

const MIB = 1_048_576;
const INITIAL_WINDOW_BYTES = 10 * 1_472;

/** A download under way through a NAT, and what the server knows of its path. */
function behindNat(seed: string) {
  const world = new World({ seed });
  const nat = new Nat(world);
  const bed = established({ seed, world, paths: [way('only', 'udp', '50/40', { boxes: [nat] })] });
  const { reader } = download(bed, { bytes: 30 * MIB });
  world.run({ forMs: 1_500 });
  const path = () => {
    const [first] = bed.server.session.paths();
    if (first === undefined) throw new Error('the path is gone');
    return first;
  };
  return { bed, world, nat, reader, path };
}

describe('a NAT that gives out another port in the middle of a download', () => {
  it('leaves the congestion state as it was', () => {
    const { bed, world, nat, reader, path } = behindNat('port');
    const before = path();
    expect(before.statistics.congestionWindowBytes).toBeGreaterThan(10 * INITIAL_WINDOW_BYTES);
    nat.rebind({ port: true });
    world.run({ until: () => path().remote !== before.remote, forMs: 5_000 });
    const after = path();
    expect(after.remote).not.toBe(before.remote);
    expect(after.pathId).toBe(before.pathId);
    const kept = after.statistics.congestionWindowBytes / before.statistics.congestionWindowBytes;
    expect(kept).toBeGreaterThan(0.5);
    expect(after.statistics.minRttMs).toBe(before.statistics.minRttMs);
    runUntilRead(bed, reader, 30 * MIB, 20_000);
    expectOpen(bed);
  });
});

describe('a NAT that gives out another port while nothing reaches the client', () => {
  it.each([200, 300, 600, 1_500])('for %i ms costs little more than that', (blockedMs) => {
    const world = new World({ seed: `deaf ${blockedMs}` });
    const [nat, box] = [new Nat(world), new Middlebox(world)];
    const paths = [way('only', 'udp', '50/40', { boxes: [nat, box] })];
    const bed = established({ seed: 1, world, paths });
    const { reader } = upload(bed, { bytes: 30 * MIB });
    world.run({ forMs: 1_500 });
    const remote = () => bed.server.session.paths()[0]?.remote;
    const before = remote();
    nat.rebind({ port: true });
    box.setPolicies(dropAll({ direction: 'down' }));
    world.run({ forMs: blockedMs });
    box.setPolicies();
    const openedAt = world.now;
    world.run({ until: () => remote() !== before, forMs: 15_000 });
    expect(world.now - openedAt).toBeLessThan(700);
    runUntilRead(bed, reader, 30 * MIB, 30_000);
    expectOpen(bed);
  });
});

describe('a NAT that gets another address in the middle of a download', () => {
  it('starts the congestion control anew: it may be another network', () => {
    const { bed, world, nat, reader, path } = behindNat('address');
    const before = path();
    nat.rebind({ address: true });
    world.run({ until: () => path().remote !== before.remote, forMs: 5_000 });
    const after = path();
    expect(after.pathId).toBe(before.pathId);
    expect(after.statistics.congestionWindowBytes).toBeLessThan(2 * INITIAL_WINDOW_BYTES);
    runUntilRead(bed, reader, 30 * MIB, 20_000);
    expectOpen(bed);
  });
});

/** Both ends write a hundred bytes fifty times a second, through a NAT on a path of 60 ms. */
function conversation(seed: string) {
  const world = new World({ seed });
  const nat = new Nat(world);
  const bed = established({ seed, world, paths: [way('only', 'udp', '10/60', { boxes: [nat] })] });
  const ends = [bed.client, bed.server] as const;
  const readers = [new Reader(bed.client), new Reader(bed.server)] as const;
  const streamIds = ends.map(({ session }) => session.openStream({}, world.now) ?? -1);
  const written = [0, 0];
  const say = (who: 0 | 1): void => {
    const from = written[who] ?? 0;
    ends[who].session.write(streamIds[who] ?? -1, contentAt(from, 100).slice());
    ends[who].host.touch();
    written[who] = from + 100;
  };
  const talk = (forMs: number, until: () => boolean): void => {
    for (const endsAt = world.now + forMs; world.now < endsAt && !until(); ) {
      say(0);
      say(1);
      world.run({ forMs: 20, until });
    }
  };
  /** How long it takes from now on until each end reads what the other has yet to write. */
  const firstBytesMs = (): { toServer: number; toClient: number } => {
    const startedAt = world.now;
    const [fromClient = 0, fromServer = 0] = written;
    const at = { toServer: Number.NaN, toClient: Number.NaN };
    const look = (): boolean => {
      if (Number.isNaN(at.toServer) && readers[1].readBytes > fromClient)
        at.toServer = world.now - startedAt;
      if (Number.isNaN(at.toClient) && readers[0].readBytes > fromServer)
        at.toClient = world.now - startedAt;
      return !Number.isNaN(at.toServer) && !Number.isNaN(at.toClient);
    };
    talk(5_000, look);
    return at;
  };
  return { bed, world, nat, say, talk, written, readers, firstBytesMs };
}

describe.each([
  ['another port', { port: true }],
  ['another address', { port: true, address: true }],
] as const)('a NAT that gives out %s while both ends talk', (name, change) => {
  it('holds neither up for more than a round trip and 50 ms after the next packet', () => {
    const { bed, world, nat, talk, firstBytesMs } = conversation(name);
    talk(3_000, () => false);
    // In the middle of the pause between two words.
    world.run({ forMs: 7 });
    nat.rebind(change);
    const { toServer, toClient } = firstBytesMs();
    expect(toServer).toBeLessThan(60);
    expect(toClient).toBeLessThan(110);
    talk(2_000, () => false);
    expectOpen(bed);
  });

  it('holds up an answer no longer, after silence', () => {
    const { bed, world, nat, say, talk, written, readers } = conversation(`idle ${name}`);
    talk(3_000, () => false);
    world.run({ forMs: 3_000 });
    nat.rebind(change);
    world.run({ forMs: 1_000 });
    const startedAt = world.now;
    say(0);
    world.run({ until: () => readers[1].readBytes === written[0], forMs: 1_000 });
    say(1);
    world.run({ until: () => readers[0].readBytes === written[1], forMs: 1_000 });
    expect(world.now - startedAt).toBeLessThan(70);
    expectOpen(bed);
  });
});

describe('a session over TCP, with UDP as backup, behind a NAT that gives out another address', () => {
  it('holds up the first word after silence, and its answer, as UDP alone would', () => {
    const world = new World({ seed: 'both' });
    const nats = [new Nat(world), new Nat(world)] as const;
    const paths = [
      way('tcp', 'tcp', '10/60', { boxes: [nats[0]] }),
      way('udp', 'udp', '10/60', { boxes: [nats[1]] }),
    ];
    const bed = established({ seed: 1, world, paths });
    world.run({ forMs: 500 });
    const { client, server } = bed;
    const backup = client.session.paths().find(({ carrier }) => carrier === 'udp');
    expect(backup).toBeDefined();
    client.session.setPathStatus(backup?.pathId ?? (0 as PathId), 'backup');
    const streamId = client.session.openStream({}, world.now) ?? -1;
    const [atClient, atServer] = [new Reader(client), new Reader(server)];
    const say = (from: BedEnd, at: number): void => {
      from.session.write(streamId, contentAt(at, 100).slice());
      from.host.touch();
    };
    say(client, 0);
    world.run({ forMs: 500 });
    say(server, 0);
    world.run({ forMs: 4_000 });
    expect(atServer.readBytes).toBe(100);
    for (const nat of nats) nat.rebind({ port: true, address: true });
    world.run({ forMs: 1_000 });
    const startedAt = world.now;
    say(client, 100);
    world.run({ until: () => atServer.readBytes === 200, forMs: 1_000 });
    expect(world.now - startedAt).toBeLessThan(40);
    say(server, 100);
    world.run({ until: () => atClient.readBytes === 200, forMs: 1_000 });
    expect(world.now - startedAt).toBeLessThan(110);
    expectOpen(bed);
  });
});

describe.each(CARRIERS)('a client machine that sleeps, over %s', (carrier) => {
  it.each([
    ['60 seconds', 60_000],
    ['an hour', 3_600_000],
  ] as const)('for %s goes on with its upload and its download where they were', (_name, ms) => {
    const world = new World({ seed: `sleep ${carrier} ${ms}` });
    const nat = new Nat(world);
    const paths = [way('only', carrier, '20/30', { boxes: [nat] })];
    const bed = established({ seed: 1, world, paths, tcp: { synRetries: 2 } });
    const up = upload(bed, { bytes: 6 * MIB });
    const down = download(bed, { bytes: 6 * MIB });
    world.run({ forMs: 1_000 });
    applyFault(world, { type: 'suspend', machine: 'client', ms });
    world.run({ forMs: ms });
    const wokenAt = world.now;
    const before = { up: up.reader.readBytes, down: down.reader.readBytes };
    expect(before.up).toBeLessThan(6 * MIB);
    world.run({
      until: () => up.reader.readBytes > before.up && down.reader.readBytes > before.down,
      forMs: 20_000,
    });
    expect(world.now - wokenAt).toBeLessThan(6_000);
    runUntilRead(bed, up.reader, 6 * MIB, 30_000);
    runUntilRead(bed, down.reader, 6 * MIB, 30_000);
    expectOpen(bed);
  });
});

describe('a server machine that sleeps for 60 seconds', () => {
  it.each(CARRIERS)('goes on, over %s', (carrier) => {
    const bed = established({ seed: `server ${carrier}`, paths: [way('only', carrier, '20/30')] });
    const { reader } = upload(bed, { bytes: 6 * MIB });
    bed.world.run({ forMs: 1_000 });
    applyFault(bed.world, { type: 'suspend', machine: 'server', ms: 60_000 });
    runUntilRead(bed, reader, 6 * MIB, 80_000);
    expectOpen(bed);
  });
});

describe('a client that gets another address on its interface', () => {
  it.each(CARRIERS)('joins from there, over %s, and the transfer goes on', (carrier) => {
    const bed = established({
      seed: `move ${carrier}`,
      paths: [way('only', carrier, '20/30')],
      tcp: { synRetries: 2 },
    });
    const { reader } = upload(bed, { bytes: 6 * MIB });
    bed.world.run({ forMs: 700 });
    bed.paths.get('only')?.readdress();
    bed.openPath('only');
    reader.resetGap();
    runUntilRead(bed, reader, 6 * MIB, 20_000);
    // A probe timeout, with what stood in the queue in it, and the first round trips of the new one.
    expect(reader.longestGapMs).toBeLessThan(carrier === 'udp' ? 200 : 600);
    expectOpen(bed);
  });
});
