/** Records and segments that are replayed, moved, reflected, altered or cut off (docs/security.md). */
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/crypto/index.js';
import { alter, dropAll, type Packet, type Policy, type TapRecord } from '../../src/sim/index.js';
import { ServerBench } from '../helpers/bench.js';
import { RogueClient, streamFrame } from '../helpers/rogue-peer.js';
import { Scene } from '../helpers/threat-scene.js';

const DATA_HEADER_BYTES = 13;

function sumOf(scene: Scene, name: 'replayedPackets' | 'rejectedPackets'): number {
  const { client, server } = scene.bed;
  let sum = 0;
  for (const { statistics } of [...client.session.paths(), ...server.session.paths()]) {
    sum += statistics[name];
  }
  return sum;
}

function isData(record: TapRecord): boolean {
  return record.protocol === 'udp' && (record.bytes[0] ?? 0xff) <= 1;
}

describe('records of a running transfer', () => {
  it('T5 replayed on the same path, at once and much later: counted, and nothing else', () => {
    const scene = new Scene({ carriers: ['udp'] });
    const records = scene.tap();
    scene.begin(2_000_000);
    const ofClient = (one: TapRecord) => isData(one) && one.direction === 'up';
    const replay = (some: readonly TapRecord[]): number => {
      for (const record of some) scene.box().replay(record);
      return some.length;
    };
    let replayed = replay(records.filter(ofClient).slice(0, 100));
    scene.run(300);
    replayed += replay(records.filter(ofClient).slice(-100));
    scene.run(10);
    const counted = scene.bed.server.session.paths()[0]?.statistics.replayedPackets;
    expect(counted).toBe(replayed);
    // The other way they have to share the link with the transfer.
    const ofServer = records.filter((one) => isData(one) && one.direction === 'down');
    replay([...ofServer.slice(0, 20), ...ofServer.slice(-20)]);
    scene.expectUnaffected();
    expect(sumOf(scene, 'replayedPackets')).toBeGreaterThan(replayed);
  });

  it('T6 moved from one path to the other, with its own or the other connection id', () => {
    const scene = new Scene({ carriers: ['udp', 'udp'] });
    const [a, b] = [scene.tap(0), scene.tap(1)];
    scene.begin(2_000_000);
    const before = sumOf(scene, 'replayedPackets');
    const moved = { up: 0, down: 0 };
    for (const direction of ['up', 'down'] as const) {
      const from = a.filter((one) => isData(one) && one.direction === direction).slice(-50);
      const like = b.filter((one) => isData(one) && one.direction === direction).at(-1);
      if (like === undefined) throw new Error('nothing was seen on path 2');
      for (const record of from) {
        const bytes = record.bytes.slice();
        const { source, destination } = like;
        scene.box(1).injectDatagram({ direction, source, destination, bytes, path: 'p2' });
        // A number far ahead, so that not the window but the key has to tell.
        bytes.set(like.bytes.subarray(1, 9), 1);
        bytes.set([0, 1], 9);
        scene.box(1).injectDatagram({ direction, source, destination, bytes, path: 'p2' });
        moved[direction] += 1;
      }
    }
    scene.expectUnaffected();
    const { client, server } = scene.bed;
    const rejected = (end: typeof client) =>
      end.session.paths().reduce((sum, path) => sum + path.statistics.rejectedPackets, 0);
    expect(moved.up).toBe(50);
    expect(rejected(server)).toBe(moved.up);
    expect(rejected(client)).toBeGreaterThan(0);
    // Under its own connection id it is still a packet of path 1: one that was there before.
    expect(sumOf(scene, 'replayedPackets') - before).toBeLessThanOrEqual(moved.up + moved.down);
  });

  it("T7 reflected to its sender, with its own or the sender's connection id", () => {
    const scene = new Scene({ carriers: ['udp'] });
    const records = scene.tap();
    scene.begin(2_000_000);
    const ups = records.filter((one) => isData(one) && one.direction === 'up').slice(-100);
    const downs = records.filter((one) => isData(one) && one.direction === 'down');
    const reflect = (one: TapRecord, like: TapRecord | undefined): void => {
      const bytes = one.bytes.slice();
      if (like !== undefined) bytes.set(like.bytes.subarray(1, 9), 1);
      if (like !== undefined) bytes.set([0, 1], 9);
      const direction = one.direction === 'up' ? 'down' : 'up';
      const [source, destination] = [one.destination, one.source];
      scene.box().injectDatagram({ direction, source, destination, bytes });
    };
    for (const one of ups) {
      reflect(one, undefined);
      reflect(one, downs[0]);
    }
    for (const one of downs.slice(-100)) {
      reflect(one, undefined);
      reflect(one, ups[0]);
    }
    scene.expectUnaffected();
    expect(sumOf(scene, 'rejectedPackets')).toBeGreaterThanOrEqual(100);
    expect(sumOf(scene, 'replayedPackets')).toBe(0);
  });

  it('T8 every bit of the header, and bits of all the rest, flipped over UDP: one packet lost each', () => {
    const scene = new Scene({ carriers: ['udp'] }).begin(8_000_000);
    let count = 0;
    let flipped = 0;
    const flip = alter((bytes) => {
      count += 1;
      if (count % 9 !== 0) return bytes;
      const headerBits = DATA_HEADER_BYTES * 8;
      const total = bytes.length * 8;
      const at = flipped < headerBits ? flipped : (flipped * 97) % total;
      flipped += 1;
      bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (1 << (at & 7));
      return bytes;
    });
    scene.box().policies.push(flip);
    scene.run(1_500);
    scene.box().setPolicies();
    expect(flipped).toBeGreaterThan(3 * DATA_HEADER_BYTES * 8);
    scene.finish();
    expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
  });

  it('T8 flipped bits in TCP segments close that path, and the session goes on', () => {
    const scene = new Scene({ carriers: ['tcp', 'tcp'] }).begin(20_000_000, 'client');
    let nextAt: number = scene.bed.world.now;
    let bit = 0;
    const flip: Policy = (packet, direction, now) => {
      if (direction !== 'up' || (packet.segment?.length ?? 0) < 100 || now < nextAt) return 'pass';
      const bytes = packet.bytes();
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      packet.replaceBytes(bytes);
      bit += 37;
      nextAt = now + 700;
      return 'pass';
    };
    scene.box().policies.push(flip);
    scene.finish(200_000);
    expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
    const closed = scene
      .news()
      .filter((event) => event.type === 'path' && event.state === 'closed');
    expect(closed.length).toBeGreaterThan(4);
  });
});

describe('segments', () => {
  /** A client's bytes on a TCP carrier: hello, then records with 300 bytes of a stream. */
  function conversation() {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'tcp' });
    rogue.handshake();
    const content = Uint8Array.from({ length: 300 }, (_, i) => i);
    const packets = [0, 100, 200].map((at) =>
      rogue.seal(0, [streamFrame(0, at, content.subarray(at, at + 100), at === 200)]),
    );
    const bytes = concatBytes(
      ...packets.flatMap((packet) => [Uint8Array.of(packet.length >>> 8, packet.length), packet]),
    );
    return { bench, rogue, content, bytes };
  }

  function readAll(bench: ServerBench): { bytes: number[]; ended: boolean } {
    const bytes: number[] = [];
    for (;;) {
      const piece = bench.session.read(0, 1_000, bench.now);
      if (piece === undefined || piece === 'end') return { bytes, ended: piece === 'end' };
      bytes.push(...piece);
    }
  }

  it('T9 split at every byte, and merged, they make no difference', () => {
    const { bytes: sample } = conversation();
    for (let cut = 0; cut <= sample.length; cut += 1) {
      const { bench, rogue, content, bytes } = conversation();
      bench.deliver(rogue.carrierId, bytes.subarray(0, cut));
      bench.deliver(rogue.carrierId, bytes.subarray(cut));
      expect(readAll(bench)).toEqual({ bytes: [...content], ended: true });
    }
    const { bench, rogue, content, bytes } = conversation();
    for (const byte of bytes) bench.deliver(rogue.carrierId, Uint8Array.of(byte));
    expect(readAll(bench)).toEqual({ bytes: [...content], ended: true });
  });

  it('T9 T21 cut off at any byte they give a prefix and never an end', () => {
    const { bytes: sample } = conversation();
    for (let cut = 0; cut < sample.length; cut += 3) {
      const { bench, rogue, content, bytes } = conversation();
      bench.deliver(rogue.carrierId, bytes.subarray(0, cut));
      bench.close(rogue.carrierId);
      if (bench.sessions.length === 0) continue;
      const { bytes: read, ended } = readAll(bench);
      expect(ended).toBe(false);
      expect(read).toEqual([...content.subarray(0, read.length)]);
      expect(bench.errorOf(bench.session)).toBeUndefined();
    }
  });

  it('T8 every bit flipped, one at a time: a prefix at most, no error, and a new path completes it', () => {
    const { bytes: sample } = conversation();
    for (let bit = 0; bit < sample.length * 8; bit++) {
      const { bench, rogue, content, bytes } = conversation();
      const first = (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0) + 2;
      // The first record makes the session; what it does not make need not go on.
      const at = bit >> 3;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      bench.deliver(rogue.carrierId, bytes);
      if (at < first) {
        expect(bench.sessions.length).toBe(0);
        bench.advance(10_000);
        expect(bench.closedCarriers.has(rogue.carrierId)).toBe(true);
        continue;
      }
      const before = readAll(bench);
      expect(before.ended).toBe(false);
      expect(before.bytes).toEqual([...content.subarray(0, before.bytes.length)]);
      rogue.join(1, 'tcp', [streamFrame(0, 0, content, true)]);
      const after = readAll(bench);
      expect([...before.bytes, ...after.bytes]).toEqual([...content]);
      expect(after.ended).toBe(true);
      expect(bench.errorOf(bench.session)).toBeUndefined();
    }
  });

  it('T9 bytes put in between, at any byte, close the path and deliver nothing of their own', () => {
    const { bytes: sample } = conversation();
    for (let at = 0; at < sample.length; at += 7) {
      const { bench, rogue, content, bytes } = conversation();
      bench.deliver(rogue.carrierId, bytes.subarray(0, at));
      bench.deliver(rogue.carrierId, Uint8Array.of(0, 30, ...new Array(30).fill(0x00)));
      bench.deliver(rogue.carrierId, bytes.subarray(at));
      bench.advance(10_000);
      expect(bench.closedCarriers.has(rogue.carrierId) || bench.sessions.length === 1).toBe(true);
      if (bench.sessions.length === 0) continue;
      const { bytes: read, ended } = readAll(bench);
      // In front of all else it is a stranger's packet that is ignored.
      expect(ended).toBe(read.length === content.length);
      expect(read).toEqual([...content.subarray(0, read.length)]);
      if (at > 0) expect(ended).toBe(false);
    }
  });
});

describe('connections that are killed', () => {
  it('T19 every connection is reset for a minute: back-off, and all arrives once when it stops', () => {
    const scene = new Scene({ carriers: ['tcp'] });
    const records = scene.tap();
    scene.begin(3_000_000);
    let resets = 0;
    let lastReset: Packet | undefined;
    const kill: Policy = (packet, _direction, now, box) => {
      if (packet.segment === undefined || packet.segment.reset) return 'pass';
      const like = records.filter((one) => one.segment !== undefined && one.at === now).at(-1);
      if (like === undefined || lastReset === packet || packet.segment.syn) return 'pass';
      lastReset = packet;
      resets += 1;
      box.injectReset(like);
      return 'drop';
    };
    scene.box().policies.push(kill);
    scene.run(60_000);
    expect(resets).toBeGreaterThan(10);
    expect(resets).toBeLessThan(400);
    const dials = records.filter((one) => one.segment?.syn === true && one.direction === 'up');
    expect(dials.length).toBeLessThan(60);
    expect(scene.bed.client.session.paths().length).toBeLessThanOrEqual(16);
    expect(scene.bed.client.isClosed).toBe(false);
    scene.box().setPolicies();
    scene.finish();
    expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
  });

  it.each(['reset', 'fin'] as const)(
    'T20 a forged %s costs one path, and is no end of anything',
    (how) => {
      const scene = new Scene({ carriers: ['tcp', 'udp'] });
      const records = scene.tap(0);
      scene.begin(5_000_000);
      const like = records.filter((one) => one.direction === 'down' && one.bytes.length > 0).at(-1);
      if (like === undefined) throw new Error('nothing was seen');
      if (how === 'reset') {
        scene.box().injectReset(like);
      } else {
        // What a forged FIN comes to: both drivers see a connection that ended in good order.
        const { clientHost, clientCarriers } = scene.bed;
        const carrier = clientCarriers.get('p1');
        if (carrier !== undefined) clientHost.closeCarrier(carrier);
      }
      scene.run(100);
      expect(scene.reader.endedStreams).toBe(0);
      scene.finish();
      expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
      const closed = scene
        .news()
        .filter((event) => event.type === 'path' && event.state === 'closed');
      expect(closed.length).toBeGreaterThanOrEqual(1);
    },
  );

  it.each(['tcp', 'udp'] as const)(
    'T21 the last records dropped and all paths closed (%s)',
    (carrier) => {
      const options = { sessionTimeoutMs: 20_000 };
      const bed = { client: options, server: options };
      const scene = new Scene({ carriers: [carrier, carrier], bed, connect: options }).begin(
        3_000_000,
      );
      const { world, client, clientHost } = scene.bed;
      const enough = () => scene.reader.readBytes > 2_000_000;
      expect(world.run({ until: enough, forMs: 20_000 })).toBe('done');
      scene.box(0).setPolicies(dropAll());
      scene.box(1).setPolicies(dropAll());
      scene.bed.redials = false;
      scene.run(1_000);
      for (const id of [...clientHost.carriers.keys()]) {
        if (carrier === 'tcp') clientHost.closeCarrier(id);
      }
      scene.run(5_000);
      expect(client.isClosed).toBe(false);
      expect(scene.reader.endedStreams).toBe(0);
      scene.run(60_000);
      expect(client.isClosed).toBe(true);
      expect(client.error).toMatchObject({ code: 'ERR_SESSION_TIMEOUT' });
      expect(scene.reader.endedStreams).toBe(0);
      expect(scene.reader.wrongByteAt).toBe(-1);
      expect(scene.reader.readBytes).toBeLessThan(3_000_000);
      const error = client.error as { streams?: readonly { readBytes: number }[] };
      expect(error.streams?.map((one) => one.readBytes)).toEqual([scene.reader.readBytes]);
    },
  );
});
