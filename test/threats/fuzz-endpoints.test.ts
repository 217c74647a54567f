/**
 * T52: whole endpoints under random and mutated input, from strangers and from authenticated peers.
 * Nothing may throw, nothing may grow without bound, and live sessions go on.
 *
 * `FUZZ_CASES=1000000 SEED=7 npx vitest run test/threats/fuzz-endpoints.test.ts`
 */
import { describe, expect, it } from 'vitest';
import type { CarrierId } from '../../src/core/index.js';
import { concatBytes } from '../../src/crypto/index.js';
import type { Frame } from '../../src/wire/index.js';
import { ClientBench, SERVER_ADDRESS, ServerBench } from '../helpers/bench.js';
import { TestPrng } from '../helpers/prng.js';
import { encoded, RogueClient, RogueServer, streamFrame } from '../helpers/rogue-peer.js';

const CASES = Number(process.env['FUZZ_CASES'] ?? 20_000);
const SEED = Number(process.env['SEED'] ?? 1);
/** A new endpoint after so many, so that a case can be found again. */
const CASES_PER_BENCH = 500;
const FIRST_BYTES = [0x00, 0x01, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xc1];

function mutate(prng: TestPrng, corpus: readonly Uint8Array[]): Uint8Array {
  if (corpus.length === 0 || prng.chance(0.2)) {
    const bytes = prng.bytes(prng.below(prng.chance(0.1) ? 3_000 : 120));
    if (bytes.length > 0 && prng.chance(0.8)) bytes[0] = prng.pick(FIRST_BYTES);
    return bytes;
  }
  let bytes: Uint8Array = prng.pick(corpus).slice();
  for (let i = prng.below(4); i >= 0; i--) {
    const at = prng.below(bytes.length + 1);
    const kind = prng.below(6);
    if (kind === 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << prng.below(8));
    if (kind === 1) bytes = bytes.slice(0, at);
    if (kind === 2) bytes = concatBytes(bytes.slice(0, at), prng.bytes(prng.below(20)));
    if (kind === 3) bytes = concatBytes(bytes.slice(0, at), prng.pick(corpus).slice(at));
    if (kind === 4 && bytes.length > 0) bytes[0] = prng.pick(FIRST_BYTES);
  }
  return bytes;
}

/** In pieces, with or without a header that fits. */
function pour(prng: TestPrng, bench: ServerBench | ClientBench, to: CarrierId, bytes: Uint8Array) {
  const length = prng.chance(0.8) ? bytes.length : prng.below(65_536);
  const record = concatBytes(Uint8Array.of(length >>> 8, length & 0xff), bytes);
  const cut = prng.below(record.length + 1);
  bench.deliver(to, record.subarray(0, cut));
  bench.deliver(to, record.subarray(cut));
}

const INTERESTING = [0, 1, 63, 64, 255, 256, 2 ** 14, 2 ** 30, 2 ** 32 - 1, 2 ** 51, 2 ** 53 - 1];

/** Mostly what is allowed: a session that ends at once has not been tried much. */
function randomFrame(prng: TestPrng): Frame {
  const id = prng.chance(0.98) ? 4 * prng.below(20) + prng.pick([0, 0, 2]) : prng.integer();
  const path = prng.chance(0.98) ? 0 : prng.below(2 ** 32);
  const value = prng.chance(0.03) ? prng.pick(INTERESTING) : prng.integer(100_000);
  switch (prng.below(13)) {
    case 0:
      return { type: 'ping' };
    case 1: {
      const top = prng.chance(0.98) ? prng.below(3) : value;
      const ranges = [{ smallest: Math.max(0, top - prng.below(5)), largest: top }];
      return { type: 'ack', pathId: path, largest: top, delayUs: value, ranges };
    }
    case 2:
      return { type: 'resetStream', streamId: id, code: value, finalSize: value };
    case 3:
      return { type: 'stopSending', streamId: id, code: value };
    case 4:
      return { type: 'maxData', maximum: value };
    case 5:
      return { type: 'maxStreamData', streamId: id, maximum: value };
    case 6:
      return {
        type: 'maxStreams',
        bidirectional: prng.chance(0.5),
        maximum: Math.min(value, 2 ** 51),
      };
    case 7:
      return { type: 'pathChallenge', data: prng.bytes(8) };
    case 8:
      return { type: 'pathResponse', data: prng.bytes(8) };
    case 9:
      if (prng.chance(0.9)) return { type: 'ping' };
      return { type: 'pathAbandon', pathId: path, code: value };
    case 10:
      return { type: 'pathStatus', pathId: path, sequence: value, status: 'backup' };
    default:
      return streamFrame(
        id,
        Math.min(value, 2 ** 52),
        prng.bytes(prng.below(60)),
        prng.chance(0.2),
      );
  }
}

/** A payload: frames, and now and then something that is none. */
function payload(prng: TestPrng): Uint8Array {
  const frames = Array.from({ length: 1 + prng.below(5) }, () => randomFrame(prng));
  const bytes = encoded(frames).slice();
  return prng.chance(0.04) ? mutate(prng, [bytes]) : bytes;
}

const rounds = Math.max(1, Math.ceil(CASES / 4 / CASES_PER_BENCH));

describe('T52 fuzz of whole endpoints', () => {
  it(`a server with live sessions, ${rounds * CASES_PER_BENCH} packets of strangers`, () => {
    for (let round = 0; round < rounds; round++) {
      const prng = new TestPrng(SEED * 1_000 + round);
      const bench = new ServerBench({ seed: SEED + round });
      const live = [
        RogueClient.connected(bench, { carrier: 'udp', remote: '10.0.0.1:1' }),
        RogueClient.connected(bench, { carrier: 'tcp' }),
      ];
      live[0]?.join(1, '10.0.0.2:2');
      const helper = new RogueClient(bench, { carrier: 'udp', remote: '10.0.0.3:3' });
      const corpus = [
        ...bench.sent.map((one) => one.bytes),
        helper.helloBytes(helper.makeHello()),
        helper.helloBytes(helper.makeHello(), new Uint8Array(16)),
        live[0]?.seal(0, [{ type: 'ping' }]) ?? new Uint8Array(0),
        live[0]?.sealJoin(1, [{ type: 'ping' }]) ?? new Uint8Array(0),
      ];
      const strangers = Array.from({ length: 4 }, () => bench.tcp());
      for (let i = 0; i < CASES_PER_BENCH; i++) {
        const bytes = mutate(prng, corpus);
        if (prng.chance(0.6)) bench.deliver(bench.udp, bytes, `10.66.0.${prng.below(200)}:9`);
        else pour(prng, bench, prng.pick(strangers), bytes);
        if (prng.chance(0.05)) strangers[prng.below(4)] = bench.tcp();
        if (prng.chance(0.05)) bench.advance(prng.below(2_000));
      }
      live.forEach((client, index) => {
        const session = bench.sessions[index];
        if (session === undefined) throw new Error('a live session is gone');
        expect(bench.errorOf(session), `round ${round}`).toBeUndefined();
        const content = prng.bytes(50);
        client.send(0, [streamFrame(0, 0, content)]);
        expect(session.read(0, 100, bench.now)).toEqual(content);
      });
      const { halfOpen, sessions } = bench.endpoint.statistics();
      expect(sessions).toBe(2);
      expect(halfOpen).toBeLessThanOrEqual(2);
      bench.advance(20_000);
      expect(bench.endpoint.statistics()).toMatchObject({ halfOpen: 0, unattachedCarriers: 0 });
    }
  });

  it.each(['tcp', 'udp'] as const)(
    `a server, ${rounds * CASES_PER_BENCH} authentic packets over %s with anything in them`,
    (carrier) => {
      for (let round = 0; round < rounds; round++) {
        const prng = new TestPrng(SEED * 1_000 + round + 500);
        const bench = new ServerBench({ seed: SEED + round });
        const honest = RogueClient.connected(bench, { carrier: 'udp', remote: '10.0.0.1:1' });
        const kept = bench.session;
        let rogue = RogueClient.connected(bench, { carrier });
        for (let i = 0; i < CASES_PER_BENCH; i++) {
          if (bench.session.lifecycle !== 'established') {
            rogue = RogueClient.connected(bench, { carrier });
          }
          const { session } = bench;
          if (prng.chance(0.1) && session.openStream({}, bench.now) !== undefined) bench.drain();
          const { carrierId, remote } = rogue.path(0);
          const source = remote === undefined || prng.chance(0.9) ? remote : '10.66.0.1:7';
          rogue.raw(carrierId, rogue.sealPayload(0, payload(prng)), source);
          for (let id = 0; id < 8; id++) {
            if (session.lifecycle !== 'closed')
              session.read(id === 3 || id === 7 ? 0 : id, 50, bench.now);
          }
          bench.drain();
          if (prng.chance(0.1)) bench.advance(prng.below(500));
        }
        expect(bench.errorOf(kept), `round ${round}`).toBeUndefined();
        honest.send(0, [streamFrame(0, 0, Uint8Array.of(5))]);
        expect(kept.read(0, 1, bench.now)).toEqual(Uint8Array.of(5));
        bench.advance(60_000);
        expect(bench.endpoint.statistics().sessions).toBeLessThanOrEqual(2);
      }
    },
  );

  it.each(['tcp', 'udp'] as const)(
    `a client over %s, ${rounds * CASES_PER_BENCH} packets`,
    (carrier) => {
      for (let round = 0; round < rounds; round++) {
        const prng = new TestPrng(SEED * 1_000 + round + 900);
        const bench = new ClientBench(carrier, { seed: SEED + round });
        const remote = carrier === 'udp' ? SERVER_ADDRESS : undefined;
        const server = new RogueServer(bench);
        const accept = server.accept();
        const echo = server.hello.envelope.slice(0, 8);
        const corpus = [accept, concatBytes(Uint8Array.of(0xb0), echo, prng.bytes(16))];
        corpus.push(concatBytes(Uint8Array.of(0xa0), echo, prng.bytes(44)));
        const isEstablished = () => bench.session.lifecycle === 'established';
        // A TCP carrier that delivers rubbish is closed, and nothing is left to fuzz.
        const before = carrier === 'udp' ? 60 : 0;
        for (let i = 0; i < before; i++)
          bench.deliver(bench.carrierId, mutate(prng, corpus), remote);
        bench.advance(5_000);
        server.answer(accept);
        expect(isEstablished(), `round ${round}`).toBe(true);
        for (let i = 0; i < CASES_PER_BENCH - before && isEstablished(); i++) {
          const isAuthentic = prng.chance(carrier === 'udp' ? 0.5 : 0.99);
          const bytes = isAuthentic ? server.sealPayload(0, payload(prng)) : mutate(prng, corpus);
          server.raw(bench.carrierId, bytes, remote);
          if (prng.chance(0.1)) bench.advance(prng.below(500));
        }
        bench.advance(60_000);
        expect(bench.endpoint.statistics().sessions).toBeLessThanOrEqual(1);
      }
    },
  );
});
