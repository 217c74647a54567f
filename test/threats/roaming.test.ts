/** Races for a path's address, hijacking, and honest roaming (docs/security.md). */
import { describe, expect, it } from 'vitest';
import { MAX_CANDIDATES, MAX_CHALLENGES } from '../../src/core/address-book.js';
import type { PathId } from '../../src/core/index.js';
import {
  Bed,
  BulkSender,
  dropAll,
  Nat,
  type Policy,
  Reader,
  type Rebinding,
  symmetric,
  World,
} from '../../src/sim/index.js';
import type { Frame } from '../../src/wire/index.js';
import { ServerBench } from '../helpers/bench.js';
import { type Heard, RogueClient } from '../helpers/rogue-peer.js';
import { bytesTo, Scene } from '../helpers/threat-scene.js';

const VICTIM = '10.66.0.1';
const LINK = symmetric({ rateMbps: 20, rttMs: 20 });

/** Copies each of the client's datagrams; the copy, from another address, arrives first. */
function race(scene: Scene, nextSource: () => string | undefined, leadMs = 2): Policy {
  const { world } = scene.bed;
  return (packet, direction, _now, box) => {
    if (direction !== 'up' || packet.source.host.startsWith('10.66.')) return 'pass';
    const source = nextSource();
    if (source === undefined) return 'pass';
    const copy = packet.clone();
    copy.source = world.parseAddress(source);
    world.forward(copy);
    box.release(packet, leadMs);
    return 'drop';
  };
}

describe('races for the address of a path', () => {
  it.each(['server', 'client'] as const)(
    'T11 an attacker who wins every race gets hardly more than three challenges, the client its data (from %s)',
    (from) => {
      const undisturbedMs = new Scene({ carriers: ['udp'] }).begin(5_000_000, from).finish();
      const scene = new Scene({ carriers: ['udp'] });
      scene.reachable(VICTIM);
      scene.begin(5_000_000, from);
      const records = scene.tap();
      scene.box().policies.unshift(race(scene, () => `${VICTIM}:1000`));
      const took = scene.expectUnaffected();
      expect(undisturbedMs / took).toBeGreaterThan(0.5);
      const got = records.filter((one) => one.destination === `${VICTIM}:1000`);
      expect(got.length).toBeGreaterThan(0);
      const first = got[0]?.at ?? 0;
      // Copies go ahead as long as the attacker is: until the client's own packet is there.
      const late = got.filter(({ at }) => at > first + 2);
      expect(late.length).toBeLessThan(MAX_CHALLENGES);
      expect(got.length - late.length).toBeLessThanOrEqual(3);
      expect(bytesTo(records, `${VICTIM}:1000`)).toBeLessThanOrEqual(600);
      expect((got.at(-1)?.at ?? 0) - first).toBeLessThan(3_000);
    },
  );

  it('T11 single races now and then change nothing', () => {
    const scene = new Scene({ carriers: ['udp'] });
    scene.reachable(VICTIM);
    scene.begin(3_000_000);
    let count = 0;
    scene
      .box()
      .policies.unshift(
        race(scene, () => (++count % 20 === 0 ? `${VICTIM}:${1000 + count}` : undefined)),
      );
    scene.expectUnaffected();
  });

  it('T12 one spoofed packet, then silence, with megabytes waiting: at most three times its bytes', () => {
    const scene = new Scene({ carriers: ['udp'] });
    scene.reachable(VICTIM);
    scene.begin(100_000_000);
    const records = scene.tap();
    let spoofedBytes = 0;
    const spoof = race(scene, () => `${VICTIM}:1000`);
    scene.box().policies.unshift((packet, direction, now, box) => {
      if (direction !== 'up') return 'pass';
      if (spoofedBytes > 0) return 'drop';
      spoofedBytes = packet.bytes().length;
      return spoof(packet, direction, now, box);
    });
    scene.run(20_000);
    const got = bytesTo(records, `${VICTIM}:1000`);
    expect(got).toBeGreaterThan(0);
    expect(got).toBeLessThanOrEqual(3 * spoofedBytes);
    scene.run(60_000);
    expect(bytesTo(records, `${VICTIM}:1000`)).toBe(got);
  });

  it('T12 small spoofed packets keep no place, and wake nobody for ever', () => {
    const bench = new ServerBench();
    const rogue = RogueClient.connected(bench, { carrier: 'udp' });
    for (let i = 1; i <= 2 * MAX_CANDIDATES; i++) {
      const packet = rogue.seal(0, [{ type: 'padding', length: 1 }]);
      bench.deliver(bench.udp, packet, `${VICTIM}:${i}`);
      const got = bench.bytesTo(`${VICTIM}:${i}`);
      expect(got).toBeLessThanOrEqual(3 * packet.length);
    }
    const path = bench.session.pathById(0 as PathId);
    expect(path?.addresses?.candidateCount).toBe(MAX_CANDIDATES);
    answerAll(rogue);
    expect(bench.advance(10_000)).toBeLessThan(500);
    for (let i = 1; i <= 2 * MAX_CANDIDATES; i++) {
      expect(bench.bytesTo(`${VICTIM}:${i}`)).toBeLessThanOrEqual(3 * 30);
    }
    rogue.send(0, [{ type: 'ping' }], '10.0.0.77:77');
    expect(bench.bytesTo('10.0.0.77:77')).toBeGreaterThan(0);
  });

  it('T13 1000 spoofed addresses: four at a time, three challenges each, and the transfer runs', () => {
    const undisturbedMs = new Scene({ carriers: ['udp'] }).begin(5_000_000).finish();
    const scene = new Scene({ carriers: ['udp'] });
    scene.reachable(VICTIM);
    scene.begin(5_000_000);
    const records = scene.tap();
    let port = 999;
    let most = 0;
    const book = () => scene.bed.server.session.pathById(0 as PathId)?.addresses;
    scene.box().policies.unshift(
      race(scene, () => {
        most = Math.max(most, book()?.candidateCount ?? 0);
        port = 1_000 + ((port + 1) % 1_000);
        return `${VICTIM}:${port}`;
      }),
    );
    const took = scene.expectUnaffected();
    expect(most).toBe(MAX_CANDIDATES);
    expect(undisturbedMs / took).toBeGreaterThan(0.5);
    const perAddress = new Map<string, number>();
    for (const one of records) {
      if (!one.destination.startsWith(VICTIM)) continue;
      perAddress.set(one.destination, (perAddress.get(one.destination) ?? 0) + 1);
    }
    expect(perAddress.size).toBeGreaterThan(MAX_CANDIDATES);
    expect(Math.max(...perAddress.values())).toBeLessThanOrEqual(MAX_CHALLENGES);
  });
});

function challenges(heard: readonly Heard[]): { to: string | undefined; data: Uint8Array }[] {
  return heard.flatMap(({ remote, frames }) =>
    frames.flatMap((frame) =>
      frame.type === 'pathChallenge' ? [{ to: remote, data: frame.data }] : [],
    ),
  );
}

/** An honest client's answers to what went to its own address. */
function answerAll(rogue: RogueClient): void {
  const frames: Frame[] = challenges(rogue.listen())
    .filter(({ to }) => to === rogue.remote)
    .map(({ data }) => ({ type: 'pathResponse', data }));
  if (frames.length > 0) rogue.send(0, frames);
  rogue.acknowledge(0);
}

describe('challenges', () => {
  const addressOf = (bench: ServerBench, index = 0) => bench.session.paths()[index]?.remote;

  it('T14 garbage and old answers validate nothing; each challenge is fresh', () => {
    const bench = new ServerBench();
    const rogue = RogueClient.connected(bench, { carrier: 'udp' });
    answerAll(rogue);
    const seen: string[] = [];
    const old: Uint8Array[] = [];
    for (let i = 0; i < 3; i++) {
      rogue.send(0, [{ type: 'ping' }], `${VICTIM}:${i + 1}`);
      const asked = challenges(rogue.listen()).filter(({ to }) => to?.startsWith(VICTIM));
      expect(asked.length).toBeGreaterThan(0);
      for (const { data } of asked) seen.push(Buffer.from(data).toString('hex'));
      const wrong = asked[0]?.data.slice() ?? new Uint8Array(8);
      wrong[7] = (wrong[7] ?? 0) ^ 1;
      rogue.send(0, [{ type: 'pathResponse', data: wrong }], `${VICTIM}:${i + 1}`);
      for (const data of old) rogue.send(0, [{ type: 'pathResponse', data }]);
      bench.advance(15_000);
      for (const { to, data } of challenges(rogue.listen())) {
        if (to?.startsWith(VICTIM)) seen.push(Buffer.from(data).toString('hex'));
        if (to?.startsWith(VICTIM)) old.push(data);
      }
      rogue.acknowledge(0);
    }
    for (const data of old) rogue.send(0, [{ type: 'pathResponse', data }], `${VICTIM}:9`);
    expect(addressOf(bench)).toBe(rogue.remote);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.every((hex) => hex.length === 16)).toBe(true);
  });

  it('T15 an answer that comes by another path, or address, validates what was asked', () => {
    const bench = new ServerBench();
    const rogue = RogueClient.connected(bench, { carrier: 'udp' });
    rogue.join(1, '10.0.0.50:50');
    const joined = challenges(rogue.listen()).find(({ to }) => to === '10.0.0.50:50');
    expect(joined).toBeDefined();
    rogue.send(0, [{ type: 'ping' }], '10.0.0.60:60');
    const asked = challenges(rogue.listen()).find(({ to }) => to === '10.0.0.60:60');
    expect(asked).toBeDefined();
    // Over path 1, whose own address is asked separately.
    rogue.send(1, [{ type: 'pathResponse', data: asked?.data ?? new Uint8Array(8) }]);
    expect(addressOf(bench, 0)).toBe('10.0.0.60:60');
    expect(addressOf(bench, 1)).toBe('10.0.0.50:50');
    const book = bench.session.pathById(1 as PathId)?.addresses;
    expect(book?.isValidated).toBe(false);
    rogue.send(
      0,
      [{ type: 'pathResponse', data: joined?.data ?? new Uint8Array(8) }],
      '10.0.0.60:60',
    );
    expect(book?.isValidated).toBe(true);
  });
});

describe('an attacker who forwards', () => {
  it.each([0, 300])(
    'T16 may become the path, and is left when it stops (%i ms of silence)',
    (silentMs) => {
      const scene = new Scene({ carriers: ['udp'] });
      scene.reachable(VICTIM);
      scene.begin(30_000_000);
      const { world, client, server } = scene.bed;
      const own = server.session.paths()[0]?.remote;
      const evil = `${VICTIM}:1000`;
      const forward = race(scene, () => evil, 15);
      scene.box().policies.unshift((packet, direction, now, box) => {
        if (direction === 'down' && packet.destination.text === evil) {
          packet.destination = world.parseAddress(own ?? '');
          return 'pass';
        }
        return forward(packet, direction, now, box);
      });
      scene.run(2_000);
      expect(server.session.paths()[0]?.remote).toBe(evil);
      expect(scene.news()).toMatchObject([{ type: 'path', reason: `moved to ${evil}` }]);
      // It stops: what is sent to it is lost.
      // Silence first: the client then has nothing left to say from where it is.
      scene.box().setPolicies(dropAll());
      scene.run(silentMs);
      scene.box().setPolicies();
      const stoppedAt = world.now;
      const isBack = () => server.session.paths()[0]?.remote === own;
      expect(world.run({ until: isBack, forMs: 10_000 })).toBe('done');
      expect(world.now - stoppedAt).toBeLessThan(1_000);
      scene.finish();
      expect(client.isClosed).toBe(false);
    },
  );
});

describe('honest roaming', () => {
  function roam(change: Rebinding, from: 'client' | 'server') {
    const world = new World({ seed: 17 });
    const nat = new Nat(world);
    const paths = [{ name: 'p1', link: LINK, carrier: 'udp' as const, boxes: [nat] }];
    const bed = new Bed({ seed: 17, world, paths });
    bed.connect();
    bed.establish();
    const ends = from === 'client' ? [bed.client, bed.server] : [bed.server, bed.client];
    const [sending, receiving] = ends as [typeof bed.client, typeof bed.client];
    const reader = new Reader(receiving);
    const sender = new BulkSender(sending, { bytes: 6_000_000 });
    world.run({ forMs: 1_000 });
    const before = sending.session.paths()[0]?.statistics;
    const marks = [bed.client.events.length, bed.server.events.length];
    nat.rebind(change);
    const moved = () => bed.server.events.slice(marks[1]).some((event) => event.type === 'path');
    world.run({ until: moved, forMs: 10_000 });
    const after = sending.session.paths()[0]?.statistics;
    const done = () => reader.readBytes >= sender.totalBytes && reader.endedStreams > 0;
    expect(world.run({ until: done, forMs: 60_000 })).toBe('done');
    expect(reader.wrongByteAt).toBe(-1);
    const news = [...bed.client.events.slice(marks[0]), ...bed.server.events.slice(marks[1])];
    const kinds = new Set(news.map((event) => event.type));
    return { before, after, kinds, remote: bed.server.session.paths()[0]?.remote, nat };
  }

  it.each(['client', 'server'] as const)(
    'T17 a new port: nothing is lost, and what was learnt of the path is kept (from %s)',
    (from) => {
      const { before, after, kinds, remote, nat } = roam({ port: true }, from);
      expect(remote?.startsWith(nat.outsideAddress)).toBe(true);
      expect([...kinds].filter((kind) => !/path|stream/.test(kind))).toEqual([]);
      const [was, is] = [before?.congestionWindowBytes ?? 0, after?.congestionWindowBytes ?? 0];
      expect(is).toBeGreaterThan(was * 0.7);
      expect(after?.minRttMs).toBeLessThan(40);
    },
  );

  it('T17 a new address: nothing is lost, and what was learnt of the path is void', () => {
    const { after, kinds, remote, nat } = roam({ port: true, address: true }, 'server');
    expect(remote).toContain(`${nat.outsideAddress}:`);
    expect([...kinds].filter((kind) => !/path|stream/.test(kind))).toEqual([]);
    expect(after?.congestionWindowBytes).toBeLessThan(30_000);
    // What the challenge took, and no sample yet.
    expect(after?.smoothedRttMs).toBeCloseTo(20, 0);
    expect(after?.rttVarianceMs).toBe((after?.smoothedRttMs ?? 0) / 2);
  });

  it('T22 a socket that reports an ICMP error costs at most a path', () => {
    const scene = new Scene({ carriers: ['udp', 'udp'] }).begin(3_000_000);
    const { clientHost, clientCarriers } = scene.bed;
    const carrier = clientCarriers.get('p1');
    if (carrier === undefined) throw new Error('no carrier');
    // The worst that a driver could make of a spoofed "port unreachable".
    clientHost.carriers.get(carrier)?.close();
    clientHost.carrierClosed(carrier, new Error('ECONNREFUSED'));
    scene.finish();
    const news = scene.news().filter((event) => event.type !== 'path');
    expect(news).toEqual([]);
    const lost = scene.news().filter((event) => event.type === 'path' && event.state === 'closed');
    expect(lost.length).toBeLessThanOrEqual(2);
  });

  it('T22 silence in one direction is not fatal either', () => {
    const scene = new Scene({ carriers: ['udp'] }).begin(2_000_000);
    const block = dropAll({ direction: 'down' });
    scene.box().policies.unshift(block);
    scene.run(30_000);
    scene.box().policies.shift();
    scene.finish();
    expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
  });
});

describe('a client that has moved, whose old address an attacker spoofs', () => {
  it('T11 is taken for still there only by an exact copy, not by a number that was seen', () => {
    const bench = new ServerBench();
    const rogue = RogueClient.connected(bench, { carrier: 'udp', remote: '10.0.0.9:9' });
    const away = '10.0.0.77:7';
    rogue.send(0, [{ type: 'ping' }], away);
    const copy = rogue.seal(0, [{ type: 'ping' }]);
    rogue.raw(bench.udp, copy, away);
    const book = bench.session.pathById(0 as PathId)?.addresses;
    expect(book?.likelyNext).toBe(away);
    const forged = copy.slice();
    forged.set([(forged.at(-1) ?? 0) ^ 1], forged.length - 1);
    rogue.raw(bench.udp, forged, '10.0.0.9:9');
    expect(book?.likelyNext).toBe(away);
    rogue.raw(bench.udp, copy, '10.0.0.9:9');
    expect(book?.likelyNext).toBeUndefined();
  });
});
