/** What can be done to a client while it connects (docs/security.md). */
import { describe, expect, it } from 'vitest';
import { MAX_ACCEPTS_PER_HELLO } from '../../src/core/handshake-client.js';
import { concatBytes } from '../../src/crypto/index.js';
import { encodeGone, FIRST_ACCEPT } from '../../src/wire/index.js';
import { ClientBench, SERVER_ADDRESS } from '../helpers/bench.js';
import { TestPrng } from '../helpers/prng.js';
import { RogueServer } from '../helpers/rogue-peer.js';

function forgedAccept(server: RogueServer, prng: TestPrng): Uint8Array {
  const echo = server.hello.envelope.subarray(0, 8);
  return concatBytes(Uint8Array.of(FIRST_ACCEPT), echo, prng.bytes(prng.below(160)));
}

describe('a client that connects', () => {
  it.each(['tcp', 'udp'] as const)(
    'T3 forged ACCEPTs over %s neither spoil the handshake nor make it send more',
    (carrier) => {
      const bench = new ClientBench(carrier);
      const server = new RogueServer(bench);
      const remote = carrier === 'udp' ? SERVER_ADDRESS : undefined;
      const prng = new TestPrng(3);
      const before = bench.sent.length;
      for (let i = 0; i < MAX_ACCEPTS_PER_HELLO - 1; i++) {
        server.raw(bench.carrierId, forgedAccept(server, prng), remote);
      }
      expect(bench.sent.length).toBe(before);
      server.answer(server.accept());
      expect(bench.session.lifecycle).toBe('established');
      server.answer(server.accept());
      expect(bench.sent.filter((one) => one.at > 1_000)).toEqual([]);
    },
  );

  it('T3 a flood of forged ACCEPTs costs a bounded number of computations a HELLO', () => {
    const bench = new ClientBench('udp');
    const server = new RogueServer(bench);
    const prng = new TestPrng(4);
    for (let i = 0; i < 5_000; i++) {
      server.raw(bench.carrierId, forgedAccept(server, prng), SERVER_ADDRESS);
    }
    server.answer(server.accept());
    expect(bench.session.lifecycle).toBe('handshaking');
    // The repeated HELLO opens the door again.
    bench.advance(300);
    server.answer(server.accept());
    expect(bench.session.lifecycle).toBe('established');
  });

  it('T23 an authentic ACCEPT with what was not offered is no answer, however often it comes', () => {
    const bench = new ClientBench('udp', { session: { ciphers: ['ChaCha20-Poly1305'] } });
    const server = new RogueServer(bench);
    for (const ciphers of [['AES-256-GCM'], [], ['AES-256-GCM', 'ChaCha20-Poly1305']] as const) {
      const accept = server.accept({ ciphers });
      server.answer(accept);
      server.answer(accept);
    }
    expect(bench.session.lifecycle).toBe('handshaking');
    server.answer(server.accept({ ciphers: ['ChaCha20-Poly1305'] }));
    expect(bench.session.lifecycle).toBe('established');
  });

  it('T42 a GONE with a wrong token, before and after it is established, changes nothing', () => {
    const bench = new ClientBench('udp');
    const server = new RogueServer(bench);
    const echo = server.hello.envelope.slice(0, 8);
    const gone = encodeGone({ echo, token: new Uint8Array(16) });
    server.raw(bench.carrierId, gone, SERVER_ADDRESS);
    server.answer(server.accept());
    server.raw(bench.carrierId, gone, SERVER_ADDRESS);
    expect(bench.session.lifecycle).toBe('established');
    expect(bench.errorOf(bench.session)).toBeUndefined();
  });
});
