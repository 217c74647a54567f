import { describe, expect, it } from 'vitest';
import { concatBytes, toHex } from '../../src/crypto/bytes.js';
import {
  connectionId,
  type Direction,
  envelopeKey,
  nextTrafficSecret,
  retryKey,
  sessionSecret,
  trafficKeys,
  trafficSecret,
} from '../../src/crypto/key-schedule.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import type { CryptoProvider } from '../../src/crypto/provider.js';
import { nodeCrypto } from '../../src/node/crypto.js';

const SECRET = new Uint8Array(32).fill(11);
const DIRECTIONS: readonly Direction[] = ['c2s', 's2c'];
const PATH_IDS = [...Array.from({ length: 64 }, (_, i) => i), 256, 65_536, 2 ** 31, 2 ** 32 - 1];

function everything(crypto: CryptoProvider): string[] {
  const all = [envelopeKey(crypto, SECRET), retryKey(crypto, SECRET)];
  for (const pathId of PATH_IDS) {
    for (const direction of DIRECTIONS) {
      all.push(connectionId(crypto, SECRET, pathId, direction));
      let traffic = trafficSecret(crypto, SECRET, pathId, direction);
      for (let phase = 0; phase < 3; phase++) {
        const { key, iv } = trafficKeys(crypto, traffic);
        all.push(traffic, key, iv);
        traffic = nextTrafficSecret(crypto, traffic);
      }
    }
  }
  return all.map(toHex);
}

describe.each([nodeCrypto, portableCrypto])('key schedule with $name', (crypto) => {
  // T35: every output of the schedule is an HKDF-Expand of the session secret or of a traffic
  // secret. Whoever has some outputs of a pseudorandom function under an unknown key has learnt
  // nothing of its other outputs; so the keys of a path tell neither the session secret nor those of
  // another path. Nor do they tell earlier keys: a traffic secret is an HMAC under the one before.
  it('T35 gives each path, direction and phase keys of its own', () => {
    const all = everything(crypto);
    expect(new Set(all).size).toBe(all.length);
  });

  it('T35 derives a next secret from the one before alone, and never comes back to it', () => {
    const seen = new Set<string>();
    let secret = trafficSecret(crypto, SECRET, 0, 'c2s');
    for (let i = 0; i < 200; i++) {
      seen.add(toHex(secret));
      secret = nextTrafficSecret(crypto, secret);
    }
    expect(seen.size).toBe(200);
  });

  it('T43 gives each path and direction a connection id of its own', () => {
    const ids = PATH_IDS.flatMap((pathId) =>
      DIRECTIONS.map((direction) => toHex(connectionId(crypto, SECRET, pathId, direction))),
    );
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id.length).toBe(16);
  });

  it('makes the session secret depend on both keys and the hash', () => {
    const parts = [1, 2, 3].map((fill) => new Uint8Array(32).fill(fill)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const before = toHex(sessionSecret(crypto, ...parts));
    for (const part of parts) {
      part[31] = 0xff;
      expect(toHex(sessionSecret(crypto, ...parts))).not.toBe(before);
    }
    const [k1, k2, h] = parts;
    expect(sessionSecret(crypto, k2, k1, h)).not.toEqual(sessionSecret(crypto, k1, k2, h));
    expect(() => sessionSecret(crypto, concatBytes(k1, k2), h, h)).toThrow(RangeError);
  });

  it.each([-1, 2 ** 32, 0.5, Number.NaN])('has no keys for the path id %d', (pathId) => {
    expect(() => trafficSecret(crypto, SECRET, pathId, 'c2s')).toThrow(RangeError);
    expect(() => connectionId(crypto, SECRET, pathId, 'c2s')).toThrow(RangeError);
  });

  it('takes door keys of 32 bytes only', () => {
    expect(() => envelopeKey(crypto, new Uint8Array(16))).toThrow(RangeError);
    expect(() => retryKey(crypto, new Uint8Array(33))).toThrow(RangeError);
  });
});

describe('key schedule', () => {
  it('is the same with both providers', () => {
    expect(everything(nodeCrypto)).toEqual(everything(portableCrypto));
  });
});
