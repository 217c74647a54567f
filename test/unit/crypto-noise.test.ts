import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../src/crypto/bytes.js';
import { sessionSecret } from '../../src/crypto/key-schedule.js';
import {
  NoiseHandshake,
  type NoiseOptions,
  type NoisePattern,
  type NoiseRole,
} from '../../src/crypto/noise.js';
import { CipherState } from '../../src/crypto/noise-state.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import type { CipherName, CryptoProvider } from '../../src/crypto/provider.js';
import { nodeCrypto } from '../../src/node/crypto.js';

const PATTERNS: readonly NoisePattern[] = ['NN', 'NNpsk0', 'NNpsk2'];
const CIPHERS: Readonly<Record<string, CipherName>> = {
  AESGCM: 'AES-256-GCM',
  ChaChaPoly: 'ChaCha20-Poly1305',
};
const EMPTY = new Uint8Array(0);

interface NoiseVector {
  readonly protocol_name: string;
  readonly init_prologue: string;
  readonly init_psks?: readonly string[];
  readonly init_ephemeral: string;
  readonly resp_ephemeral: string;
  readonly handshake_hash: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

// Public vectors of other implementations, kept beside the repository.
const VECTORS = new URL('../../../shared/vectors/noise.json', import.meta.url);
const NAMES = PATTERNS.flatMap((pattern) =>
  Object.keys(CIPHERS).map((cipher) => `Noise_${pattern}_25519_${cipher}_SHA256`),
);

function sides(options: Omit<NoiseOptions, 'role' | 'ephemeral'>, seed = 1) {
  const make = (role: NoiseRole, fill: number) =>
    new NoiseHandshake({ ...options, role, ephemeral: new Uint8Array(32).fill(fill) });
  return { client: make('initiator', seed), server: make('responder', seed + 100) };
}

function psk0(crypto: CryptoProvider = nodeCrypto, fill = 42) {
  return {
    crypto,
    pattern: 'NNpsk0',
    cipher: 'ChaCha20-Poly1305',
    psk: new Uint8Array(32).fill(fill),
    prologue: Uint8Array.of(1, 2, 3),
  } as const;
}

/** Counts the X25519 computations of a provider. */
function counting(crypto: CryptoProvider): { crypto: CryptoProvider; count: () => number } {
  let count = 0;
  return {
    count: () => count,
    crypto: {
      ...crypto,
      x25519PublicKey: (key) => {
        count++;
        return crypto.x25519PublicKey(key);
      },
      x25519: (key, publicKey) => {
        count++;
        return crypto.x25519(key, publicKey);
      },
    },
  };
}

describe.each([nodeCrypto, portableCrypto])('Noise vectors with $name', (crypto) => {
  const vectors: readonly NoiseVector[] = existsSync(VECTORS)
    ? (JSON.parse(readFileSync(VECTORS, 'utf8')) as { vectors: NoiseVector[] }).vectors
    : [];

  it.skipIf(vectors.length === 0).each(NAMES)('%s', (name) => {
    const found = vectors.filter((vector) => vector.protocol_name === name);
    expect(found.length).toBeGreaterThan(0);
    for (const vector of found) checkVector(crypto, vector);
  });
});

function checkVector(crypto: CryptoProvider, vector: NoiseVector): void {
  const [, pattern, , cipherWord = ''] = vector.protocol_name.split('_');
  const cipher = CIPHERS[cipherWord] ?? 'AES-256-GCM';
  const psk = vector.init_psks?.[0];
  const common = {
    crypto,
    pattern: pattern as NoisePattern,
    cipher,
    prologue: fromHex(vector.init_prologue),
    ...(psk === undefined ? {} : { psk: fromHex(psk) }),
  };
  const client = new NoiseHandshake({
    ...common,
    role: 'initiator',
    ephemeral: fromHex(vector.init_ephemeral),
  });
  const server = new NoiseHandshake({
    ...common,
    role: 'responder',
    ephemeral: fromHex(vector.resp_ephemeral),
  });
  const [first, second, ...transport] = vector.messages;
  expect(toHex(client.writeMessage(fromHex(first?.payload ?? '')))).toBe(first?.ciphertext);
  expect(toHex(server.readMessage(fromHex(first?.ciphertext ?? '')) ?? EMPTY)).toBe(first?.payload);
  expect(toHex(server.writeMessage(fromHex(second?.payload ?? '')))).toBe(second?.ciphertext);
  expect(toHex(client.readMessage(fromHex(second?.ciphertext ?? '')) ?? EMPTY)).toBe(
    second?.payload,
  );
  expect(toHex(client.handshakeHash)).toBe(vector.handshake_hash);
  expect(toHex(server.handshakeHash)).toBe(vector.handshake_hash);
  expect(client.split()).toEqual(server.split());

  const { k1, k2 } = client.split();
  const states = [k1, k2].map((key) => {
    const state = { seal: new CipherState(crypto, cipher), open: new CipherState(crypto, cipher) };
    state.seal.initializeKey(key);
    state.open.initializeKey(key);
    return state;
  });
  expect(transport.length).toBeGreaterThan(2);
  for (const [i, { payload, ciphertext }] of transport.entries()) {
    const state = states[i % 2];
    expect(toHex(state?.seal.encryptWithAd(EMPTY, fromHex(payload)) ?? EMPTY)).toBe(ciphertext);
    expect(toHex(state?.open.decryptWithAd(EMPTY, fromHex(ciphertext)) ?? EMPTY)).toBe(payload);
  }
}

describe.each(PATTERNS)('%s', (pattern) => {
  it.each(Object.values(CIPHERS))('hands over payloads of any size, with %s', (cipher) => {
    const payloads = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(payloads, payloads, fc.uint8Array(), (up, down, prologue) => {
        const psk = pattern === 'NN' ? {} : { psk: new Uint8Array(32).fill(1) };
        const { client, server } = sides({
          crypto: nodeCrypto,
          pattern,
          cipher,
          prologue,
          ...psk,
        });
        expect(server.readMessage(client.writeMessage(up))).toEqual(up);
        expect(client.readMessage(server.writeMessage(down))).toEqual(down);
        expect(client.split()).toEqual(server.split());
        expect(client.handshakeHash).toEqual(server.handshakeHash);
      }),
      { numRuns: 25 },
    );
  });

  it.each([0, 1, 2, 3, 4, 5, 6])(
    'R-NOISE-1 refuses point %d of low order in both messages',
    (index) => {
      const points = [
        '00'.repeat(32),
        `01${'00'.repeat(31)}`,
        `ec${'ff'.repeat(30)}7f`,
        'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
        '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
        `ed${'ff'.repeat(30)}7f`,
        `ee${'ff'.repeat(30)}7f`,
      ];
      const point = fromHex(points[index] ?? '');
      // One who knows the psk, but sends the point instead of a public key, everything authentic.
      const evil: CryptoProvider = { ...nodeCrypto, x25519PublicKey: () => point };
      const options = {
        pattern,
        cipher: 'AES-256-GCM',
        prologue: EMPTY,
        ...(pattern === 'NN' ? {} : { psk: new Uint8Array(32) }),
      } as const;
      const evilClient = sides({ ...options, crypto: evil }).client;
      const server = sides({ ...options, crypto: nodeCrypto }).server;
      expect(server.readMessage(evilClient.writeMessage(EMPTY))).toBeUndefined();

      const { client } = sides({ ...options, crypto: nodeCrypto });
      const evilServer = sides({ ...options, crypto: evil }).server;
      evilServer.readMessage(client.writeMessage(EMPTY));
      expect(client.readMessage(evilServer.writeMessage(EMPTY))).toBeUndefined();
    },
  );
});

describe('NNpsk0', () => {
  it('T2 T3 a first message costs the responder no Diffie-Hellman, whatever its secret', () => {
    const { crypto, count } = counting(nodeCrypto);
    const genuine = sides(psk0()).client.writeMessage(EMPTY);
    const stranger = sides(psk0(nodeCrypto, 43)).client.writeMessage(EMPTY);
    expect(sides(psk0(crypto)).server.readMessage(stranger)).toBeUndefined();
    const { server } = sides(psk0(crypto));
    expect(server.readMessage(genuine)).toEqual(EMPTY);
    expect(count()).toBe(0);
    server.writeMessage(EMPTY);
    expect(count()).toBe(2);
  });

  it('T8 refuses each flipped bit of either message', () => {
    const fresh = sides(psk0());
    const first = fresh.client.writeMessage(Uint8Array.of(1, 2, 3));
    fresh.server.readMessage(first);
    const second = fresh.server.writeMessage(Uint8Array.of(4, 5));
    for (const [i, message] of [first, second].entries()) {
      for (let bit = 0; bit < 8 * message.length; bit++) {
        const damaged = message.slice();
        damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
        const { client, server } = sides(psk0());
        if (i === 1) client.writeMessage(Uint8Array.of(1, 2, 3));
        expect((i === 0 ? server : client).readMessage(damaged)).toBeUndefined();
      }
    }
  });

  it('refuses each shorter message and one that is longer than Noise allows', () => {
    const first = sides(psk0()).client.writeMessage(Uint8Array.of(1, 2, 3));
    for (let length = 0; length < first.length; length++) {
      expect(sides(psk0()).server.readMessage(first.subarray(0, length))).toBeUndefined();
    }
    expect(sides(psk0()).server.readMessage(new Uint8Array(65_536))).toBeUndefined();
    expect(() => sides(psk0()).client.writeMessage(new Uint8Array(65_500))).toThrow(RangeError);
  });

  it('T23 a different prologue fails the handshake', () => {
    const first = sides(psk0()).client.writeMessage(EMPTY);
    const { server } = sides({ ...psk0(), prologue: Uint8Array.of(1, 2, 4) });
    expect(server.readMessage(first)).toBeUndefined();
  });

  it('T7 a reflected first message is not taken for an answer', () => {
    const { client } = sides(psk0());
    expect(client.readMessage(client.writeMessage(EMPTY))).toBeUndefined();
  });

  it('an answer to another first message is refused', () => {
    const one = sides(psk0(), 1);
    const other = sides(psk0(), 2);
    one.client.writeMessage(EMPTY);
    other.server.readMessage(other.client.writeMessage(EMPTY));
    expect(one.client.readMessage(other.server.writeMessage(EMPTY))).toBeUndefined();
  });

  it('does not depend on memory that the caller uses again', () => {
    const { client, server } = sides(psk0());
    const first = client.writeMessage(EMPTY);
    server.readMessage(first);
    first.fill(0);
    expect(client.readMessage(server.writeMessage(EMPTY))).toEqual(EMPTY);
  });

  it('throws when called out of turn, or again after a failure', () => {
    const { client, server } = sides(psk0());
    expect(() => client.readMessage(EMPTY)).toThrow('out of turn');
    expect(() => server.writeMessage(EMPTY)).toThrow('out of turn');
    expect(() => client.split()).toThrow('not complete');
    expect(() => client.handshakeHash).toThrow('not complete');
    expect(server.readMessage(client.writeMessage(EMPTY))).toEqual(EMPTY);
    expect(() => client.writeMessage(EMPTY)).toThrow('out of turn');
    expect(server.complete).toBe(false);
    expect(client.readMessage(new Uint8Array(48))).toBeUndefined();
    expect(client.complete).toBe(false);
    expect(() => client.readMessage(server.writeMessage(EMPTY))).toThrow('out of turn');
    expect(server.complete).toBe(true);
    expect(() => server.writeMessage(EMPTY)).toThrow('out of turn');
  });

  it('takes keys of 32 bytes, and a psk where the pattern has one', () => {
    const options = { ...psk0(), role: 'initiator', ephemeral: new Uint8Array(32) } as const;
    const { psk: _, ...withoutPsk } = options;
    expect(() => new NoiseHandshake({ ...options, psk: new Uint8Array(31) })).toThrow(RangeError);
    expect(() => new NoiseHandshake({ ...options, ephemeral: EMPTY })).toThrow(RangeError);
    expect(() => new NoiseHandshake({ ...options, pattern: 'NN' })).toThrow(RangeError);
    expect(() => new NoiseHandshake(withoutPsk)).toThrow(RangeError);
  });

  // T36: the messages show both ephemeral public keys, and one who has the ticket's secret can
  // compute every key that depends on it and on them. The last MixKey before Split takes the X25519
  // output of the two ephemeral keys. To compute it from the public keys alone is the computational
  // Diffie-Hellman problem, and no private key outlives the handshake. What a test can show is that
  // this output, and nothing else that differs, decides the secret.
  it('T36 the session secret depends on the ephemeral keys, not on the psk alone', () => {
    const secretOf = (seed: number, crypto: CryptoProvider = nodeCrypto) => {
      const { client, server } = sides(psk0(crypto), seed);
      server.readMessage(client.writeMessage(EMPTY));
      client.readMessage(server.writeMessage(EMPTY));
      const { k1, k2 } = client.split();
      return toHex(sessionSecret(crypto, k1, k2, client.handshakeHash));
    };
    const secrets = Array.from({ length: 20 }, (_, seed) => secretOf(seed + 1));
    expect(new Set(secrets).size).toBe(20);
    expect(secretOf(1, portableCrypto)).toBe(secrets[0]);

    // All public values and the psk equal, only the Diffie-Hellman output another.
    const guessing: CryptoProvider = {
      ...nodeCrypto,
      x25519: () => concatBytes(new Uint8Array(31), Uint8Array.of(1)),
    };
    expect(secretOf(1, guessing)).not.toBe(secrets[0]);
  });
});
