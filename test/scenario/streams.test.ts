/** Streams: limits, windows, priorities, and the ways in which one ends. */
import { describe, expect, it } from 'vitest';
import { contentAt, Reader } from '../../src/sim/index.js';
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
const PATHS = [way('a', 'udp', '20/30'), way('b', 'tcp', '10/50')];

describe('priorities', () => {
  it('let a late stream overtake all that waits', () => {
    const bed = established({ seed: 'priority', paths: PATHS });
    const { reader, sender: bulk } = upload(bed, { bytes: 12 * MIB });
    bed.world.run({ forMs: 1_000 });
    const before = reader.perStream.get(bulk.streamId) ?? 0;
    const urgent = upload(bed, { bytes: 200_000, priority: 5 });
    const startedAt = bed.world.now;
    const isThere = () => (reader.perStream.get(urgent.sender.streamId) ?? 0) === 200_000;
    expect(bed.world.run({ until: isThere, forMs: 5_000 })).toBe('done');
    // 200 kB at 30 Mbit/s, and what stood in the queues before it.
    expect(bed.world.now - startedAt).toBeLessThan(400);
    expect((reader.perStream.get(bulk.streamId) ?? 0) - before).toBeLessThan(1.5 * MIB);
  });

  it('equal ones share', () => {
    const bed = established({ seed: 'share', paths: PATHS });
    const { reader, sender: first } = upload(bed, { bytes: 8 * MIB });
    const { sender: second } = upload(bed, { bytes: 8 * MIB });
    bed.world.run({ forMs: 2_500 });
    const [one = 0, other = 0] = [first, second].map(({ streamId }) =>
      reader.perStream.get(streamId),
    );
    expect(one / other).toBeGreaterThan(0.8);
    expect(one / other).toBeLessThan(1.25);
  });
});

describe('a bidirectional stream', () => {
  it('is half closed: one way has ended, the other goes on', () => {
    const bed = established({ seed: 'half', paths: PATHS });
    const { client, server, clientHost, world } = bed;
    const atServer = new Reader(server);
    const atClient = new Reader(client);
    const id = clientHost.command((_core, now) => client.session.openStream({}, now)) ?? -1;
    clientHost.command(() => {
      client.session.write(id, contentAt(0, 1_000));
      client.session.finish(id);
    });
    world.run({ forMs: 500 });
    expect([atServer.readBytes, atServer.endedStreams]).toEqual([1_000, 1]);
    expect(client.session.streamCount).toBe(1);
    server.host.command(() => server.session.write(id, contentAt(0, 5_000)));
    world.run({ forMs: 500 });
    expect([atClient.readBytes, atClient.endedStreams]).toEqual([5_000, 0]);
    server.host.command(() => server.session.finish(id));
    world.run({ forMs: 500 });
    expect(atClient.endedStreams).toBe(1);
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
    expect([atClient.wrongByteAt, atServer.wrongByteAt]).toEqual([-1, -1]);
  });
});

describe('stop sending', () => {
  it('ends what the peer sends, with the code, and leaves the other way alone', () => {
    const bed = established({ seed: 'stop', paths: PATHS });
    const { client, server, world } = bed;
    const { sender } = download(bed, { bytes: 50 * MIB, unidirectional: false });
    world.run({ forMs: 500 });
    client.host.command((_core, now) => client.session.stopSending(sender.streamId, 42, now));
    world.run({ forMs: 500 });
    expect(server.events).toContainEqual({
      type: 'streamStopped',
      streamId: sender.streamId,
      code: 42,
    });
    expect(server.session.bufferedBytes).toBe(0);
    const atServer = new Reader(server);
    client.host.command(() => {
      client.session.write(sender.streamId, contentAt(0, 3_000));
      client.session.finish(sender.streamId);
    });
    world.run({ forMs: 500 });
    expect([atServer.readBytes, atServer.endedStreams]).toEqual([3_000, 1]);
    expect([client.session.streamCount, server.session.streamCount]).toEqual([0, 0]);
    expectOpen(bed);
  });
});

describe('the limit of streams', () => {
  it('lets as many be open as the peer allows, and more as they close', () => {
    const server = { maxStreamsUni: 3, maxStreamsBidi: 2 };
    const bed = established({ seed: 'limit', server, paths: PATHS });
    const { client, clientHost, world } = bed;
    const open = (unidirectional: boolean) =>
      clientHost.command((_core, now) => client.session.openStream({ unidirectional }, now));
    const uni = [open(true), open(true), open(true), open(true)];
    expect(uni).toEqual([2, 6, 10, undefined]);
    expect([open(false), open(false), open(false)]).toEqual([0, 4, undefined]);
    const reader = new Reader(bed.server);
    for (let i = 0; i < 20; i++) {
      clientHost.command(() => client.session.finish(2 + 4 * i));
      world.run({ forMs: 300 });
      // The peer tells a new limit when half of the old one is used up.
      expect(open(true), `after ${i + 1} had ended`).toBe(i === 0 ? undefined : 2 + 4 * (i + 2));
    }
    expect(reader.endedStreams).toBe(20);
    expectOpen(bed);
  });
});

describe.each(CARRIERS)('flow control over %s', (carrier) => {
  it.each([256, 1_000, 4_096])('makes progress with windows of %i bytes', (windowBytes) => {
    const server = {
      receiveWindowBytes: 2 * windowBytes,
      maxReceiveWindowBytes: 2 * windowBytes,
      streamReceiveWindowBytes: windowBytes,
      maxStreamReceiveWindowBytes: windowBytes,
    };
    const paths = [way('only', carrier, '10/20')];
    const bed = established({ seed: `tiny ${carrier}`, server, paths });
    const bytes = 60 * windowBytes;
    const one = upload(bed, { bytes });
    upload(bed, { bytes });
    const { reader } = one;
    const isDone = () =>
      [...reader.perStream.values()].filter((read) => read === bytes).length === 2;
    // A window a round trip, and half of it held back at times.
    expect(bed.world.run({ until: isDone, forMs: 60 * 2.5 * 22 })).toBe('done');
    expect(reader.wrongByteAt).toBe(-1);
    expectOpen(bed);
  });

  it('a reader that pauses holds its own stream up, and no other', () => {
    const server = {
      receiveWindowBytes: 400_000,
      maxReceiveWindowBytes: 400_000,
      streamReceiveWindowBytes: 100_000,
      maxStreamReceiveWindowBytes: 100_000,
    };
    const bed = established({
      seed: `pause ${carrier}`,
      server,
      paths: [way('only', carrier, '20/20')],
    });
    const paused = upload(bed, { bytes: MIB });
    paused.reader.isPaused = true;
    bed.world.run({ forMs: 1_000 });
    expect(paused.reader.readBytes).toBe(0);
    // The paused reader hears of all streams; this one reads its own only.
    const flowing = upload(bed, { bytes: 2 * MIB });
    const isThere = () => flowing.reader.perStream.get(flowing.sender.streamId) === 2 * MIB;
    expect(bed.world.run({ until: isThere, forMs: 10_000 })).toBe('done');
    expect(paused.sender.writtenBytes).toBeLessThan(MIB);
    expect(flowing.reader.perStream.get(paused.sender.streamId)).toBeUndefined();
    flowing.reader.read(paused.sender.streamId);
    const all = () => flowing.reader.perStream.get(paused.sender.streamId) === MIB;
    expect(bed.world.run({ until: all, forMs: 10_000 })).toBe('done');
    expect(flowing.reader.wrongByteAt).toBe(-1);
  });
});

describe('a writer', () => {
  it('is held back at the limit while all paths are black, and goes on afterwards', () => {
    const limit = 200_000;
    const client = { sendBufferBytes: limit, streamSendBufferBytes: limit };
    const bed = established({ seed: 'held back', client, paths: PATHS });
    for (const path of bed.paths.values()) path.set({ black: true });
    const { sender, reader } = upload(bed, { bytes: 3 * MIB });
    bed.world.run({ forMs: 8_000 });
    expect(sender.writtenBytes).toBe(limit);
    expect(bed.client.session.bufferedBytes).toBe(limit);
    for (const path of bed.paths.values()) path.set({ black: false });
    runUntilRead(bed, reader, 3 * MIB, 20_000);
    bed.world.run({ forMs: 1_000 });
    expect(bed.client.session.bufferedBytes).toBe(0);
    expectOpen(bed);
  });
});
