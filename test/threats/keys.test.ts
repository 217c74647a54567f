/** Keys that leak, wear out or are taken away; what an observer can link (docs/security.md). */
import { describe, expect, it } from 'vitest';
import {
  type CryptoProvider,
  concatBytes,
  NoiseHandshake,
  PacketOpener,
  trafficSecret,
} from '../../src/crypto/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { simulatedCrypto, type TapRecord } from '../../src/sim/index.js';
import { expandPacketNumber, parsePacket } from '../../src/wire/index.js';
import { ServerBench } from '../helpers/bench.js';
import { RogueClient, streamFrame } from '../helpers/rogue-peer.js';
import { Scene } from '../helpers/threat-scene.js';

describe('keys that leak', () => {
  it('T35 the keys of one path open nothing of another, nor what came before an update', () => {
    const bench = new ServerBench({ session: { keyUpdatePackets: 20 } });
    const rogue = RogueClient.connected(bench, { carrier: 'udp' });
    rogue.join(1, '10.0.0.50:50');
    const { session } = bench;
    const id = session.openStream({ unidirectional: true }, bench.now) ?? -1;
    for (let i = 0; i < 60; i++) {
      session.write(id, new Uint8Array(3_000));
      bench.drain();
      rogue.listen();
      rogue.acknowledge(0);
      rogue.acknowledge(1);
      bench.advance(20);
    }
    const secret = trafficSecret(bench.crypto, rogue.secret, 0, 's2c');
    const leaked = new PacketOpener(bench.crypto, 'AES-256-GCM', secret);
    const opened = new Map<string, number>();
    const seen = new Map<string, number>();
    for (const { bytes, remote } of bench.sent) {
      const packet = parsePacket(bytes, 'datagram');
      if (packet?.type !== 'data' || remote === undefined) continue;
      const number = expandPacketNumber(packet.truncatedNumber, 0);
      const text = leaked.open(packet.keyPhase, number, packet.header, packet.sealed);
      seen.set(remote, (seen.get(remote) ?? 0) + 1);
      if (text !== undefined) opened.set(remote, (opened.get(remote) ?? 0) + 1);
    }
    expect(seen.get('10.0.0.50:50')).toBeGreaterThan(3);
    expect(opened.get('10.0.0.50:50')).toBeUndefined();
    expect(opened.get(rogue.remote ?? '')).toBeGreaterThan(20);
    // A later key does not open what an earlier one sealed: there is no way back.
    const later = rogue.path(0).opener;
    const first = bench.sent.find(({ bytes }) => bytes[0] === 0x00);
    const packet = parsePacket(first?.bytes ?? new Uint8Array(0), 'datagram');
    if (packet?.type !== 'data') throw new Error('no packet was seen');
    expect(later.open(packet.keyPhase, 0, packet.header, packet.sealed)).toBeUndefined();
  });

  it('T36 the ticket alone does not open a recorded session', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    const hello = rogue.makeHello();
    expect(rogue.handshake(hello)).toBe('accepted');
    const accept = bench.sent.map(({ bytes }) => parsePacket(bytes, 'datagram'))[0];
    if (accept?.type !== 'accept') throw new Error('no ACCEPT');
    const attacker = (role: 'initiator' | 'responder') =>
      new NoiseHandshake({
        crypto: bench.crypto,
        role,
        pattern: 'NNpsk0',
        cipher: 'ChaCha20-Poly1305',
        psk: bench.ticket.secret,
        prologue: concatBytes(
          new TextEncoder().encode('roving/1'),
          Uint8Array.of(0x80),
          hello.envelope,
        ),
        ephemeral: bench.prng.bytes(32),
      });
    // What the HELLO offers can be read with the ticket (docs/security.md): it is no secret.
    const responder = attacker('responder');
    expect(responder.readMessage(hello.message)).toBeDefined();
    responder.writeMessage(new Uint8Array(0));
    expect(Buffer.compare(responder.handshakeHash, hello.noise.handshakeHash)).not.toBe(0);
    // The ACCEPT, and all after it, not.
    const initiator = attacker('initiator');
    initiator.writeMessage(new Uint8Array(0));
    expect(initiator.readMessage(accept.noise)).toBeUndefined();
  });

  it('T37 a revoked key: no new session; the one that runs ends if that is wanted', () => {
    for (const endSessions of [false, true]) {
      const bench = new ServerBench();
      const rogue = RogueClient.connected(bench, { carrier: 'udp' });
      const { session } = bench;
      const waiting = new RogueClient(bench, { carrier: 'tcp' });
      expect(bench.endpoint.revoke(bench.ticket.keyId, endSessions, bench.now)).toBe(true);
      bench.drain();
      expect(new RogueClient(bench, { carrier: 'udp', remote: '10.0.0.5:5' }).handshake()).toBe(
        undefined,
      );
      expect(waiting.handshake()).toBeUndefined();
      const codes = rogue
        .listen()
        .flatMap(({ frames }) => frames.flatMap((one) => (one.type === 'close' ? [one.code] : [])));
      expect(codes.includes(10)).toBe(endSessions);
      expect(session.lifecycle).toBe(endSessions ? 'closing' : 'established');
      rogue.send(0, [streamFrame(0, 0, Uint8Array.of(1))]);
      expect(session.read(0, 10, bench.now) !== undefined).toBe(!endSessions);
    }
  });

  it('T37 a half-open session of a revoked key does not become one', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    expect(rogue.handshake()).toBe('accepted');
    bench.endpoint.revoke(bench.ticket.keyId, true, bench.now);
    rogue.send(0, [{ type: 'ping' }]);
    expect(bench.sessions).toHaveLength(0);
  });
});

/** Notes each key and nonce that seals; none may come twice. */
function watching(inner: CryptoProvider) {
  const perKey = new Map<string, Set<string>>();
  let repeated = 0;
  const crypto: CryptoProvider = {
    name: 'watching',
    hash: (data) => inner.hash(data),
    hmac: (key, data) => inner.hmac(key, data),
    x25519: (a, b) => inner.x25519(a, b),
    x25519PublicKey: (key) => inner.x25519PublicKey(key),
    aead: (cipher, key) => {
      const aead = inner.aead(cipher, key);
      const name = Buffer.from(key).toString('hex');
      return {
        seal: (nonce, ...others) => {
          const used = perKey.get(name) ?? new Set();
          perKey.set(name, used);
          const text = Buffer.from(nonce).toString('hex');
          if (used.has(text)) repeated += 1;
          used.add(text);
          return aead.seal(nonce, ...others);
        },
        open: (nonce, aad, sealed) => aead.open(nonce, aad, sealed),
      };
    },
  };
  return { crypto, perKey, repeated: () => repeated };
}

describe('keys that wear out', () => {
  it.each([
    ['udp', 'udp'],
    ['tcp', 'udp'],
  ] as const)('T38 over %s and %s: keys change in time, and no nonce is used twice', (a, b) => {
    const watch = watching(simulatedCrypto);
    const session = { keyUpdatePackets: 100 };
    const bed = { crypto: watch.crypto, client: session, server: session };
    const scene = new Scene({ carriers: [a, b], bed, connect: session }).begin(4_000_000);
    scene.run(300);
    scene.bed.openPath('p2');
    scene.run(100);
    scene.mark();
    scene.finish();
    expect(watch.repeated()).toBe(0);
    const sizes = [...watch.perKey.values()].map((nonces) => nonces.size);
    expect(sizes.length).toBeGreaterThan(12);
    // Some round trips' packets more than the limit, since an update waits for an acknowledgement.
    expect(Math.max(...sizes)).toBeLessThan(1_000);
  });
});

/**
 * Every string of so many bytes in the payloads, as hexadecimal: 8, or 10 on TCP. There a record
 * begins with 7 bytes that are alike in all sessions of the world (length, type, a small number):
 * with one sealed byte more they would be equal once in 256.
 */
function stringsOf(records: readonly TapRecord[], length: number): Set<string> {
  const strings = new Set<string>();
  for (const { bytes } of records) {
    const hex = Buffer.from(bytes).toString('hex');
    for (let at = 0; at + 2 * length <= hex.length; at += 2) {
      strings.add(hex.slice(at, at + 2 * length));
    }
  }
  return strings;
}

function common(a: ReadonlySet<string>, b: ReadonlySet<string>): string[] {
  return [...a].filter((one) => b.has(one));
}

describe('what an observer can link', () => {
  it.each([
    ['udp', 'udp'],
    ['tcp', 'tcp'],
    ['tcp', 'udp'],
  ] as const)('T43 paths over %s and %s, and a rejoin, share no string of bytes', (a, b) => {
    const scene = new Scene({ carriers: [a, b], bed: { crypto: nodeCrypto } });
    const [onA, onB] = [scene.tap(0), scene.tap(1)];
    scene.establish();
    scene.transfer(300_000);
    scene.finish();
    // The second interface again, later: a new path id on a new carrier.
    const again = scene.tap(1);
    const { clientHost, clientCarriers } = scene.bed;
    const carrier = clientCarriers.get('p2');
    if (carrier !== undefined) clientHost.closeCarrier(carrier);
    scene.run(50);
    again.length = 0;
    if (b === 'udp') scene.bed.openPath('p2');
    scene.run(3_000);
    const rejoin = again.filter((one) => one.bytes.length > 0);
    expect(rejoin.length).toBeGreaterThan(1);
    const firstAt = rejoin[0]?.at ?? 0;
    const before = onB.filter((one) => one.at < firstAt && one.bytes.length > 0);
    // The short tail of the old path may still be under way: only the new one's own packets count.
    const length = a === 'tcp' ? 10 : 8;
    const [setA, setB] = [stringsOf(onA, length), stringsOf(before, length)];
    const newFlow = rejoin.filter((one) => !before.some((old) => sameFlow(old, one)));
    const fresh = stringsOf(newFlow, length);
    expect(setA.size).toBeGreaterThan(10_000);
    expect(setB.size).toBeGreaterThan(1_000);
    expect(fresh.size).toBeGreaterThan(30);
    expect(common(setA, setB)).toEqual([]);
    expect(common(fresh, setA)).toEqual([]);
    expect(common(fresh, setB)).toEqual([]);
  });
});

function sameFlow(a: TapRecord, b: TapRecord): boolean {
  const ends = (one: TapRecord) => [one.source, one.destination].sort().join();
  return ends(a) === ends(b);
}
