/**
 * Strangers, replayed handshakes and floods: what arrives before anything is proved
 * (docs/security.md).
 */
import { describe, expect, it } from 'vitest';
import type { CarrierId, SessionEvent } from '../../src/core/index.js';
import { concatBytes } from '../../src/crypto/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { contentAt, firstWrongByte } from '../../src/sim/index.js';
import { RecordReader, SPEC_MAX_UNATTACHED_RECORD_BYTES } from '../../src/wire/index.js';
import { type BenchOptions, ServerBench } from '../helpers/bench.js';
import { TestPrng } from '../helpers/prng.js';
import { RogueClient, streamFrame } from '../helpers/rogue-peer.js';
import { bytesFrom, bytesTo, Scene } from '../helpers/threat-scene.js';

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** What an observer of a TCP carrier sees: bytes back, and when it was closed. */
function observeTcp(bench: ServerBench, carrierId: CarrierId, openedAt: number) {
  bench.advance(2 * HANDSHAKE_TIMEOUT_MS);
  const back = bench.sent.filter((one) => one.carrierId === carrierId);
  const closedAt = bench.closedCarriers.get(carrierId);
  return { back: back.length, closedAfter: closedAt === undefined ? -1 : closedAt - openedAt };
}

describe('strangers', () => {
  it('T1 random bytes get no answer, and their connections end after 10 s', () => {
    const bench = new ServerBench();
    const prng = new TestPrng(7);
    for (let i = 0; i < 300; i++) {
      const bytes = prng.bytes(prng.below(200));
      if (bytes.length > 0) bytes[0] = prng.pick([0x00, 0x80, 0x90, 0xa0, 0xb0, 0xc0, prng.word()]);
      bench.deliver(bench.udp, bytes, `10.1.0.1:${i + 1}`);
    }
    expect(bench.sent).toEqual([]);
    for (let i = 0; i < 20; i++) {
      const openedAt = bench.now;
      const tcp = bench.tcp();
      bench.deliver(tcp, concatBytes(Uint8Array.of(0, 100), prng.bytes(100)));
      const seen = observeTcp(bench, tcp, openedAt);
      expect(seen).toEqual({ back: 0, closedAfter: HANDSHAKE_TIMEOUT_MS });
    }
  });

  it('T2 with a wrong secret a known id and an unknown one look the same', () => {
    const bench = new ServerBench();
    const live = RogueClient.connected(bench, { carrier: 'udp', remote: '10.0.0.1:1' });
    const wrong = { ...bench.ticket, secret: new Uint8Array(32).fill(1) };
    const unknown = { ...wrong, keyId: new Uint8Array(8).fill(1) };
    const counts = [wrong, unknown].map((ticket) => {
      const before = bench.sent.length;
      const udp = new RogueClient(bench, { carrier: 'udp', remote: '10.0.0.2:2', ticket });
      udp.handshake();
      const openedAt = bench.now;
      const tcp = new RogueClient(bench, { carrier: 'tcp', ticket });
      tcp.handshake();
      const seen = observeTcp(bench, tcp.carrierId, openedAt);
      const toStrangers = bench.sent.slice(before).filter((one) => one.remote !== '10.0.0.1:1');
      return {
        ...seen,
        toStrangers: toStrangers.length,
        halfOpen: bench.endpoint.statistics().halfOpen,
      };
    });
    expect(counts[0]).toEqual({ back: 0, closedAfter: 10_000, toStrangers: 0, halfOpen: 0 });
    expect(counts[1]).toEqual(counts[0]);
    // The same for the connection id of a path: known and unknown, sealed with a wrong key.
    live.listen();
    const forged = live.seal(0, [{ type: 'ping' }]);
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
    const elsewhere = forged.slice();
    elsewhere[1] = (elsewhere[1] ?? 0) ^ 1;
    bench.deliver(bench.udp, forged, '10.0.0.3:3');
    bench.deliver(bench.udp, elsewhere, '10.0.0.3:3');
    bench.advance(1_000);
    expect(bench.bytesTo('10.0.0.3:3')).toBe(0);
    expect(bench.session.paths()[0]?.state).not.toBe('closed');
    expect(bench.errorOf(bench.session)).toBeUndefined();
  });

  it.each([0, SPEC_MAX_UNATTACHED_RECORD_BYTES + 1, 0xffff])(
    'T10 a stranger announces a record of %i bytes: closed before anything is kept',
    (length) => {
      const bench = new ServerBench();
      const tcp = bench.tcp();
      bench.deliver(tcp, Uint8Array.of(length >>> 8));
      expect(bench.closedCarriers.has(tcp)).toBe(false);
      bench.deliver(tcp, Uint8Array.of(length & 0xff));
      expect(bench.closedCarriers.get(tcp)).toBe(bench.now);
      expect(bench.endpoint.statistics().unattachedCarriers).toBe(0);
    },
  );

  it('T10 an honest length costs no memory before its bytes have come', () => {
    const reader = new RecordReader();
    reader.push(Uint8Array.of(SPEC_MAX_UNATTACHED_RECORD_BYTES >>> 8));
    reader.push(Uint8Array.of(SPEC_MAX_UNATTACHED_RECORD_BYTES & 0xff));
    for (let i = 0; i < 1_000; i++) reader.push(Uint8Array.of(0x80));
    expect(reader.next()).toBeUndefined();
    expect(reader.bufferedBytes).toBe(1_002);
    expect(reader.failed).toBe(false);
  });

  it('T25 10,000 connections that send nothing: bounded, closed, and no obstacle', () => {
    const scene = new Scene({ carriers: ['tcp'] }).begin(3_000_000);
    const { serverHost, world } = scene.bed;
    const limit = 4_096;
    const closed: number[] = [];
    for (let i = 0; i < 10_000; i++) {
      const info = { name: 'tcp', kind: 'stream', local: '*:1', remote: `10.9.0.1:${i}` } as const;
      world.schedule(world.now + i / 10, () =>
        serverHost.open({ info, send: () => undefined, close: () => closed.push(world.now) }),
      );
    }
    scene.expectUnaffected();
    scene.run(500);
    expect(serverHost.core.statistics().unattachedCarriers).toBeLessThanOrEqual(limit);
    // A client that comes in the middle of it is served.
    expect(scene.bed.openPath('p1')).toBeDefined();
    scene.run(500);
    const isActive = (event: SessionEvent) => event.type === 'path' && event.state === 'active';
    expect(scene.bed.client.events.filter(isActive)).toHaveLength(2);
    scene.run(HANDSHAKE_TIMEOUT_MS);
    expect(closed).toHaveLength(10_000);
    expect(serverHost.core.statistics().unattachedCarriers).toBe(0);
  });

  it('T26 a byte every 9 s does not move the deadline of 10 s', () => {
    const bench = new ServerBench();
    const openedAt = bench.now;
    const slow = new RogueClient(bench, { carrier: 'tcp' });
    const hello = slow.helloBytes(slow.makeHello());
    const record = concatBytes(Uint8Array.of(hello.length >>> 8, hello.length), hello);
    bench.deliver(slow.carrierId, record.subarray(0, 1));
    bench.advance(9_000);
    bench.deliver(slow.carrierId, record.subarray(1, 2));
    expect(bench.closedCarriers.has(slow.carrierId)).toBe(false);
    bench.advance(9_000);
    expect(bench.closedCarriers.get(slow.carrierId)).toBe(openedAt + HANDSHAKE_TIMEOUT_MS);
    // Nor does a good HELLO alone.
    const greedy = new RogueClient(bench, { carrier: 'tcp' });
    const since = bench.now;
    greedy.handshake();
    expect(bench.endpoint.statistics().halfOpen).toBe(1);
    bench.advance(12_000);
    expect(bench.closedCarriers.get(greedy.carrierId)).toBe(since + HANDSHAKE_TIMEOUT_MS);
    // A second one ends it at once.
    const twice = new RogueClient(bench, { carrier: 'tcp' });
    twice.handshake();
    twice.handshake();
    expect(bench.closedCarriers.get(twice.carrierId)).toBe(bench.now);
    expect(bench.endpoint.statistics().halfOpen).toBe(0);
  });
});

describe('replayed handshakes', () => {
  it.each(['tcp', 'udp'] as const)('T3 T4 a recorded attach over %s, replayed', (carrier) => {
    const scene = new Scene({ carriers: [carrier, carrier] });
    const records = [scene.tap(0), scene.tap(1)];
    scene.begin(3_000_000);
    const { world, serverHost } = scene.bed;
    // HELLOs, JOINs and what followed them.
    const attacks = records.flatMap((seen) =>
      seen.filter((one) => one.direction === 'up' && one.bytes.length > 0).slice(0, 6),
    );
    const firstAt = carrier === 'tcp' ? 2 : 0;
    const kinds = new Set(attacks.map((one) => one.bytes[firstAt]));
    expect([...kinds].sort()).toEqual([0x00, 0x80, 0xc0]);
    scene.reachable('10.66.0.1');
    const seen = scene.tap(0);
    const answers: number[] = [];
    attacks.forEach((record, i) => {
      if (carrier === 'udp') {
        scene.box().replay(record, `10.66.0.1:${1000 + i}`);
        return;
      }
      const info = { name: 'tcp', kind: 'stream', local: '*:1', remote: '10.66.0.1:1' } as const;
      const send = () => answers.push(world.now);
      const id = serverHost.open({ info, send, close: () => undefined });
      serverHost.grant(id, 1_000_000);
      serverHost.receive(id, record.bytes);
    });
    scene.expectUnaffected();
    expect(answers).toEqual([]);
    for (let i = 0; i < attacks.length; i++) {
      const source = `10.66.0.1:${1000 + i}`;
      const back = bytesTo(seen, source);
      expect(back).toBeLessThanOrEqual(3 * (attacks[i]?.bytes.length ?? 0));
      // A HELLO that is still half-open gets its ACCEPT again, a JOIN nothing at all.
      if (attacks[i]?.bytes[0] === 0x80) expect(back).toBeLessThan(attacks[i]?.bytes.length ?? 0);
      if ((attacks[i]?.bytes[0] ?? 0) >= 0xc0) expect(back).toBe(0);
    }
    expect(scene.bed.server.session.paths()).toHaveLength(2);
    expect(serverHost.core.statistics().halfOpen).toBeLessThanOrEqual(1);
    expect(scene.bed.accepted).toHaveLength(1);
  });

  it('T3 a replayed HELLO costs no Diffie-Hellman, also once its session has begun', () => {
    const counting = countingCrypto();
    const bench = new ServerBench({ crypto: counting.crypto });
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    const hello = rogue.makeHello();
    const bytes = rogue.helloBytes(hello);
    rogue.handshake(hello);
    const afterFirst = counting.count();
    const before = bench.sent.length;
    for (let i = 0; i < 100; i++) bench.deliver(bench.udp, bytes, `10.66.0.${i + 1}:5`);
    // The same ACCEPT again, since the client may be any of them; nothing that was computed anew.
    const answers = bench.sent.slice(before);
    expect(answers.length).toBeLessThanOrEqual(100);
    for (const one of answers) expect(one.bytes.length).toBeLessThanOrEqual(bytes.length);
    const established = bench.sent.length;
    rogue.send(0, [{ type: 'ping' }]);
    for (let i = 0; i < 100; i++) bench.deliver(bench.udp, bytes, rogue.remote);
    expect(bench.endpoint.statistics()).toMatchObject({ sessions: 1, halfOpen: 0 });
    expect(counting.count()).toBe(afterFirst);
    expect(bench.sent.slice(established).every((one) => one.remote === rogue.remote)).toBe(true);
  });

  it('T23 a HELLO with another version, stripped ciphers or a changed offer is not answered', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    const good = rogue.helloBytes(rogue.makeHello());
    for (let at = 0; at < good.length; at++) {
      const altered = good.slice();
      altered[at] = (altered[at] ?? 0) ^ 0x01;
      bench.deliver(bench.udp, altered, rogue.remote);
    }
    for (let end = 0; end < good.length; end++) {
      bench.deliver(bench.udp, good.subarray(0, end), rogue.remote);
    }
    expect(bench.sent).toEqual([]);
    // An offer without any cipher that the server takes.
    const weak = new RogueClient(bench, { carrier: 'udp', parameters: { ciphers: [] } });
    expect(weak.handshake()).toBeUndefined();
    expect(rogue.handshake()).toBe('accepted');
  });
});

function countingCrypto() {
  let count = 0;
  const crypto = {
    ...nodeCrypto,
    name: 'counting',
    aead: nodeCrypto.aead,
    hash: nodeCrypto.hash,
    hmac: nodeCrypto.hmac,
    x25519PublicKey: (key: Uint8Array) => {
      count += 1;
      return nodeCrypto.x25519PublicKey(key);
    },
    x25519: (a: Uint8Array, b: Uint8Array) => {
      count += 1;
      return nodeCrypto.x25519(a, b);
    },
  };
  return { crypto, count: () => count };
}

describe('floods', () => {
  it('T24 10,000 forged and replayed HELLOs a second leave a transfer alone', () => {
    const counting = countingCrypto();
    const scene = new Scene({ carriers: ['udp'], bed: { crypto: counting.crypto } });
    const records = scene.tap();
    const alone = new Scene({ carriers: ['udp'], bed: { crypto: nodeCrypto } });
    const undisturbedMs = alone.begin(4_000_000).finish();
    scene.begin(4_000_000);
    const hello = records.find((one) => one.bytes[0] === 0x80);
    if (hello === undefined) throw new Error('no HELLO was seen');
    const before = counting.count();
    const prng = new TestPrng(24);
    const { world, serverHost } = scene.bed;
    let sent = 0;
    const flood = (): void => {
      for (let i = 0; i < 10; i++) {
        const source = `10.66.${prng.below(250)}.${prng.below(250)}:${1 + prng.below(60_000)}`;
        const bytes = prng.chance(0.5) ? hello.bytes.slice() : prng.bytes(140);
        bytes[0] = 0x80;
        const [direction, destination] = ['up' as const, scene.serverAddress()];
        scene.box().injectDatagram({ direction, source, destination, bytes });
        sent += 1;
      }
      if (sent < 20_000) world.schedule(world.now + 1, flood);
    };
    flood();
    const took = scene.expectUnaffected();
    scene.run(500);
    expect(undisturbedMs / took).toBeGreaterThan(0.8);
    expect(counting.count()).toBe(before);
    expect(serverHost.core.statistics()).toMatchObject({ sessions: 1, halfOpen: 0 });
    const replies = records.filter((one) => one.destination.startsWith('10.66.'));
    expect(replies).toEqual([]);
  });

  const flooded: BenchOptions = {
    limits: { cookieAbove: 8, maxHalfOpen: 32, maxHalfOpenPerKey: 24 },
  };

  it('T24 under load a cookie is asked for, and a client with the ticket still gets in', () => {
    const counting = countingCrypto();
    const bench = new ServerBench({ ...flooded, crypto: counting.crypto });
    const victims: string[] = [];
    const helloBytes: number[] = [];
    for (let i = 0; i < 100; i++) {
      const remote = `10.66.0.${i + 1}:7`;
      victims.push(remote);
      const flooder = new RogueClient(bench, { carrier: 'udp', remote });
      const hello = flooder.makeHello();
      helloBytes.push(flooder.helloBytes(hello).length);
      const before = counting.count();
      bench.deliver(bench.udp, flooder.helloBytes(hello), remote);
      if (i >= 8) expect(counting.count()).toBe(before);
    }
    expect(bench.endpoint.statistics().halfOpen).toBe(8);
    victims.forEach((remote, i) => {
      expect(bench.bytesTo(remote)).toBeLessThanOrEqual(3 * (helloBytes[i] ?? 0));
    });
    const genuine = new RogueClient(bench, { carrier: 'udp', ticket: bench.issue('other') });
    const hello = genuine.makeHello();
    const before = bench.sent.length;
    expect(genuine.handshake(hello)).toBe('retry');
    const retry = genuine.answers(before)[0];
    const cookie = retry === undefined ? undefined : genuine.cookieOf(hello, retry);
    // Bound to the address and the key, and good for 120 s at most.
    bench.deliver(bench.udp, genuine.helloBytes(hello, cookie), '10.0.0.8:8');
    expect(bench.endpoint.statistics().halfOpen).toBe(8);
    expect(genuine.handshake(hello, cookie)).toBe('accepted');
    genuine.send(0, [{ type: 'ping' }]);
    expect(bench.sessions).toHaveLength(1);
  });

  it.each([0, 1, 59_000])('T24 a cookie is no good after 120 s (issued at %i ms)', (offsetMs) => {
    const bench = new ServerBench({ limits: { cookieAbove: 0 } });
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    bench.advance(offsetMs);
    const hello = rogue.makeHello();
    const before = bench.sent.length;
    rogue.handshake(hello);
    const retry = rogue.answers(before)[0];
    const cookie = retry === undefined ? undefined : rogue.cookieOf(hello, retry);
    bench.advance(119_999);
    const late = rogue.makeHello();
    rogue.handshake(late, cookie); // whatever the answer, it moves the server's own clock on
    bench.advance(2);
    expect(rogue.handshake(rogue.makeHello(), cookie)).toBe('retry');
  });

  it('T24 the holder of one ticket can not fill all the places of the half-open', () => {
    const bench = new ServerBench(flooded);
    for (let i = 0; i < 40; i++) new RogueClient(bench, { carrier: 'tcp' }).handshake();
    expect(bench.endpoint.statistics().halfOpen).toBe(24);
    const other = new RogueClient(bench, { carrier: 'tcp', ticket: bench.issue('other') });
    expect(other.handshake()).toBe('accepted');
    bench.advance(HANDSHAKE_TIMEOUT_MS);
    expect(bench.endpoint.statistics().halfOpen).toBe(0);
    expect(new RogueClient(bench, { carrier: 'tcp' }).handshake()).toBe('accepted');
  });
});

describe('a race for the first packet', () => {
  it('T11 a copy from another address, or to another socket, does not take path 0 away', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    rogue.handshake();
    const first = rogue.seal(0, [streamFrame(0, 0, Uint8Array.of(1, 2, 3))]);
    const info = { name: 'udp', kind: 'datagram', local: '*:7601' } as const;
    const other = bench.endpoint.carrierOpened(info, bench.now);
    bench.deliver(other, first, rogue.remote);
    expect(bench.sessions).toHaveLength(0);
    bench.deliver(bench.udp, first, '10.66.0.1:1');
    bench.deliver(bench.udp, first, rogue.remote);
    expect(bench.session.paths()[0]?.remote).toBe(rogue.remote);
    const id = bench.session.openStream({}, bench.now) ?? -1;
    bench.session.write(id, new Uint8Array(200_000));
    bench.drain();
    bench.advance(20_000);
    expect(bench.bytesTo('10.66.0.1:1')).toBeLessThanOrEqual(3 * first.length);
    expect(bench.bytesTo(rogue.remote ?? '')).toBeGreaterThan(10_000);
  });
});

describe('a race for the HELLO', () => {
  it('T4 a copy that comes first does not shut the client out, nor gets its data', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    const hello = rogue.makeHello();
    bench.deliver(bench.udp, rogue.helloBytes(hello), '10.66.0.1:1');
    expect(rogue.handshake(hello)).toBe('accepted');
    const first = rogue.seal(0, [{ type: 'ping' }]);
    bench.deliver(bench.udp, first, '10.66.0.1:1');
    bench.deliver(bench.udp, first, rogue.remote);
    const id = bench.session.openStream({}, bench.now) ?? -1;
    bench.session.write(id, new Uint8Array(100_000));
    bench.drain();
    const accepted = rogue.helloBytes(hello).length;
    expect(bench.bytesTo('10.66.0.1:1')).toBeLessThanOrEqual(accepted + 3 * first.length);
    rogue.send(0, [{ type: 'ping' }]);
    const challenge = rogue
      .listen()
      .filter(({ remote }) => remote === rogue.remote)
      .flatMap(({ frames }) => frames)
      .find((frame) => frame.type === 'pathChallenge');
    if (challenge?.type !== 'pathChallenge') throw new Error('the client was not asked');
    rogue.send(0, [{ type: 'pathResponse', data: challenge.data }]);
    expect(bench.session.paths()[0]?.remote).toBe(rogue.remote);
    expect(bench.bytesTo(rogue.remote ?? '')).toBeGreaterThan(5_000);
    expect(bench.bytesTo('10.66.0.1:1')).toBeLessThanOrEqual(accepted + 3 * first.length);
  });

  it('T3 a copied JOIN on another connection costs that path, and delays what was sent on it', () => {
    const bench = new ServerBench();
    const rogue = RogueClient.connected(bench, { carrier: 'tcp' });
    const own = bench.tcp();
    rogue.addPath(1, own, undefined);
    const join = rogue.sealJoin(1, [{ type: 'ping' }]);
    const thief = bench.tcp();
    rogue.raw(thief, join, undefined);
    rogue.raw(own, join, undefined);
    expect(bench.closedCarriers.has(own)).toBe(true);
    const id = bench.session.openStream({ unidirectional: true }, bench.now) ?? -1;
    bench.session.write(id, contentAt(0, 60_000).slice());
    bench.drain();
    const heard = new Set<number>();
    for (let i = 0; i < 100; i++) {
      for (const { pathId, frames } of rogue.listen()) {
        if (pathId !== 0) continue;
        for (const frame of frames) {
          if (frame.type !== 'stream') continue;
          expect(firstWrongByte(frame.offset, frame.data)).toBe(-1);
          for (let k = 0; k < frame.data.length; k++) heard.add(frame.offset + k);
        }
      }
      rogue.acknowledge(0);
      bench.advance(50);
    }
    expect(heard.size).toBe(60_000);
    expect(bench.session.paths().find((path) => path.pathId === 1)?.state).not.toBe('active');
    expect(bench.errorOf(bench.session)).toBeUndefined();
  });
});

describe('scene', () => {
  it('counts what it claims to count', () => {
    const scene = new Scene({ carriers: ['udp'] });
    const records = scene.tap();
    scene.begin(100_000).finish();
    expect(bytesTo(records, scene.serverAddress())).toBeGreaterThan(1_000);
    expect(bytesFrom(records, scene.serverAddress())).toBeGreaterThan(100_000);
  });
});
