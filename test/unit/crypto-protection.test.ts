import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, toHex } from '../../src/crypto/bytes.js';
import { nextTrafficSecret, trafficSecret } from '../../src/crypto/key-schedule.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import {
  AEAD_FAILURE_LIMIT,
  type KeyPhase,
  PacketOpener,
  PacketSealer,
  SPEC_KEY_LIMIT_PACKETS,
  SPEC_KEY_UPDATE_PACKETS,
} from '../../src/crypto/protection.js';
import type { CipherName, CryptoProvider } from '../../src/crypto/provider.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { simulatedCrypto } from '../../src/sim/crypto.js';

const CIPHER: CipherName = 'AES-256-GCM';
const SESSION = new Uint8Array(32).fill(21);
const AAD = Uint8Array.of(0, 1, 2, 3, 4);
const TEXT = Uint8Array.of(10, 20, 30);
const MAX = Number.MAX_SAFE_INTEGER;

interface Packet {
  readonly keyPhase: KeyPhase;
  readonly packetNumber: number;
  readonly sealed: Uint8Array;
}

/** A sender and receiver of one direction of a path, with the sender's limits lowered. */
function pair(crypto: CryptoProvider = nodeCrypto, updateAfterPackets = 4, keyLimitPackets = 8) {
  const secret = trafficSecret(crypto, SESSION, 0, 'c2s');
  const limits = { updateAfterPackets, keyLimitPackets };
  const sealer = new PacketSealer(crypto, CIPHER, secret, limits);
  const opener = new PacketOpener(crypto, CIPHER, secret);
  return { sealer, opener };
}

function seal(sealer: PacketSealer, packetNumber: number): Packet {
  const sealed = concatBytes(...sealer.seal(packetNumber, AAD, [TEXT]));
  return { keyPhase: sealer.keyPhase, packetNumber, sealed };
}

function opens(opener: PacketOpener, packet: Packet): boolean {
  const plaintext = opener.open(packet.keyPhase, packet.packetNumber, AAD, packet.sealed);
  if (plaintext !== undefined) expect(plaintext).toEqual(TEXT);
  return plaintext !== undefined;
}

describe.each([nodeCrypto, portableCrypto, simulatedCrypto])('packets with $name', (crypto) => {
  const other = (pathId: number, direction: 'c2s' | 's2c') =>
    new PacketOpener(crypto, CIPHER, trafficSecret(crypto, SESSION, pathId, direction));

  it('opens what was sealed, for any numbers and sizes', () => {
    const numbers = fc.uniqueArray(fc.maxSafeNat(), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(numbers, fc.uint8Array({ maxLength: 200 }), fc.uint8Array(), (ns, text, aad) => {
        const { sealer, opener } = pair(crypto);
        for (const n of ns.sort((a, b) => a - b)) {
          const sealed = concatBytes(...sealer.seal(n, aad, [text]));
          expect(sealed.length).toBe(text.length + 16);
          expect(opener.open(0, n, aad, sealed)).toEqual(text);
        }
        expect(opener.failedCount).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it('T6 a packet of path A does not open on path B', () => {
    const packet = seal(pair(crypto).sealer, 5);
    for (const pathId of [1, 2, 255, 256]) {
      const opener = other(pathId, 'c2s');
      expect(opens(opener, packet)).toBe(false);
      expect(opener.failedCount).toBe(1);
    }
    expect(opens(other(0, 'c2s'), packet)).toBe(true);
  });

  it('T7 a reflected packet does not open', () => {
    const packet = seal(pair(crypto).sealer, 5);
    expect(opens(other(0, 's2c'), packet)).toBe(false);
  });

  it('T8 refuses each flipped bit of header, phase, number and sealed text', () => {
    const { sealer, opener } = pair(crypto);
    const { sealed } = seal(sealer, 5);
    const aad = AAD.slice();
    for (const target of [sealed, aad]) {
      for (let bit = 0; bit < 8 * target.length; bit++) {
        const mask = 1 << (bit & 7);
        target[bit >>> 3] = (target[bit >>> 3] ?? 0) ^ mask;
        expect(opener.open(0, 5, aad, sealed)).toBeUndefined();
        target[bit >>> 3] = (target[bit >>> 3] ?? 0) ^ mask;
      }
    }
    for (let power = 0; power < 53; power++) {
      const flipped = 5 + (Math.floor(5 / 2 ** power) % 2 === 0 ? 2 ** power : -(2 ** power));
      expect(opener.open(0, flipped, aad, sealed)).toBeUndefined();
    }
    expect(opener.open(1, 5, aad, sealed)).toBeUndefined();
    expect(opener.keyPhase).toBe(0);
    expect(opener.failedCount).toBe(8 * (sealed.length + aad.length) + 53 + 1);
    expect(opener.open(0, 5, aad, sealed)).toEqual(TEXT);
  });

  it('T38 R-KEY-UPDATE-4 both follow many key updates, with reordering around each', () => {
    const { sealer, opener } = pair(crypto, 4, 8);
    const phases: KeyPhase[] = [];
    let held: Packet | undefined;
    for (let n = 0; n < 40; n++) {
      if (sealer.needsUpdate) sealer.updateKey();
      const packet = seal(sealer, n);
      phases.push(packet.keyPhase);
      // Each fourth packet arrives after the one that follows it, across the updates.
      if (n % 4 === 3) {
        held = packet;
        continue;
      }
      expect(opens(opener, packet)).toBe(true);
      sealer.acknowledged(n);
      if (held !== undefined) expect(opens(opener, held)).toBe(true);
      held = undefined;
    }
    expect(phases).toEqual(phases.map((_, n) => (Math.floor(n / 4) % 2) as KeyPhase));
    expect(opener.failedCount).toBe(0);
  });
});

describe('T38 the sender', () => {
  it('has the limits of the protocol', () => {
    expect(SPEC_KEY_UPDATE_PACKETS).toBe(2 ** 22);
    expect(SPEC_KEY_LIMIT_PACKETS).toBe(2 ** 23);
    expect(AEAD_FAILURE_LIMIT).toBe(2 ** 30);
  });

  it('R-KEY-UPDATE-1 R-KEY-UPDATE-2 asks for an update after its packets, and only once one of them is acknowledged', () => {
    const { sealer } = pair();
    for (let n = 0; n < 4; n++) {
      expect(sealer.needsUpdate).toBe(false);
      seal(sealer, n);
    }
    expect(sealer.needsUpdate).toBe(false);
    expect(() => sealer.updateKey()).toThrow('acknowledgement');
    sealer.acknowledged(4);
    expect(sealer.needsUpdate).toBe(false);
    sealer.acknowledged(2);
    expect(sealer.needsUpdate).toBe(true);
    expect(sealer.keyPhase).toBe(0);
    sealer.updateKey();
    expect(sealer.keyPhase).toBe(1);
    expect(sealer.needsUpdate).toBe(false);
  });

  it('R-KEY-UPDATE-1 takes no acknowledgement of an earlier phase for one of the present', () => {
    const { sealer } = pair();
    for (let n = 0; n < 4; n++) seal(sealer, n);
    sealer.acknowledged(0);
    sealer.updateKey();
    sealer.acknowledged(3);
    expect(() => sealer.updateKey()).toThrow('acknowledgement');
    for (let n = 4; n < 8; n++) seal(sealer, n);
    sealer.acknowledged(3);
    expect(sealer.needsUpdate).toBe(false);
    sealer.acknowledged(4);
    expect(sealer.needsUpdate).toBe(true);
  });

  it('R-KEY-UPDATE-3 is exhausted at the limit if nothing was acknowledged, and seals no more', () => {
    const { sealer } = pair();
    for (let n = 0; n < 8; n++) {
      expect(sealer.exhausted).toBe(false);
      seal(sealer, n);
    }
    expect(sealer.exhausted).toBe(true);
    expect(() => seal(sealer, 8)).toThrow('used up');
    sealer.acknowledged(7);
    expect(sealer.exhausted).toBe(false);
    expect(() => seal(sealer, 8)).toThrow('used up');
    sealer.updateKey();
    seal(sealer, 8);
  });

  it('R-DATA-3 never lets a packet number repeat, fall or wrap', () => {
    const { sealer, opener } = pair();
    seal(sealer, 7);
    for (const n of [7, 6, 0, -1, 7.5, MAX + 1, Number.NaN]) {
      expect(() => seal(sealer, n)).toThrow('packet number');
    }
    const last = seal(sealer, MAX);
    expect(opens(opener, last)).toBe(true);
    expect(sealer.exhausted).toBe(true);
    expect(() => seal(sealer, MAX)).toThrow('packet number');
    sealer.acknowledged(MAX);
    sealer.updateKey();
    expect(() => seal(sealer, 8)).toThrow('packet number');
    expect(sealer.exhausted).toBe(true);
  });

  it('never uses a nonce twice under one key', () => {
    const used = new Set<string>();
    let keyCount = 0;
    const recording: CryptoProvider = {
      ...simulatedCrypto,
      aead: (cipher, key) => {
        const aead = simulatedCrypto.aead(cipher, key);
        keyCount++;
        return {
          open: (nonce, aad, sealed) => aead.open(nonce, aad, sealed),
          seal: (nonce, aad, text) => {
            const use = `${toHex(key)} ${toHex(nonce)}`;
            expect(used.has(use)).toBe(false);
            used.add(use);
            return aead.seal(nonce, aad, text);
          },
        };
      },
    };
    const secret = trafficSecret(recording, SESSION, 0, 'c2s');
    const limits = { updateAfterPackets: 3, keyLimitPackets: 8 };
    const sealer = new PacketSealer(recording, CIPHER, secret, limits);
    const numbers = [
      0,
      1,
      2,
      3,
      255,
      256,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 32 + 1,
      2 ** 40,
      MAX,
    ];
    for (const n of numbers) {
      if (sealer.needsUpdate) sealer.updateKey();
      seal(sealer, n);
      sealer.acknowledged(n);
    }
    expect(used.size).toBe(numbers.length);
    expect(keyCount).toBe(4);
  });

  it.each([0, -1, 1.5, 2 ** 24])('takes no limit of %d packets', (limit) => {
    expect(() => pair(nodeCrypto, limit)).toThrow(RangeError);
    expect(() => pair(nodeCrypto, 1, limit)).toThrow(RangeError);
  });
});

describe('T38 the receiver', () => {
  /** Three packets of phase 0, three of phase 1 and three of phase 2. */
  function threePhases() {
    const { sealer, opener } = pair(nodeCrypto, 3);
    const packets: Packet[] = [];
    for (let n = 0; n < 9; n++) {
      if (sealer.needsUpdate) sealer.updateKey();
      packets.push(seal(sealer, n));
      sealer.acknowledged(n);
    }
    const at = (n: number) => packets[n] as Packet;
    return { opener, at };
  }

  it('keeps the previous key for numbers below the new phase', () => {
    const { opener, at } = threePhases();
    for (const n of [0, 4, 1, 3, 2, 5]) expect(opens(opener, at(n))).toBe(true);
    expect(opener.keyPhase).toBe(1);
  });

  it('R-KEY-UPDATE-4 forgets the key before the previous one', () => {
    const { opener, at } = threePhases();
    for (const n of [0, 3, 6, 4]) expect(opens(opener, at(n))).toBe(true);
    expect(opens(opener, at(1))).toBe(false);
    for (const n of [5, 7, 8]) expect(opens(opener, at(n))).toBe(true);
    expect(opener.failedCount).toBe(1);
  });

  it('R-KEY-UPDATE-5 does not move back to the previous key for a higher number', () => {
    const { opener, at } = threePhases();
    expect(opens(opener, at(3))).toBe(true);
    const late = new PacketSealer(nodeCrypto, CIPHER, trafficSecret(nodeCrypto, SESSION, 0, 'c2s'));
    expect(opens(opener, seal(late, 20))).toBe(false);
    expect(opens(opener, at(5))).toBe(true);
    expect(opens(opener, seal(late, 21))).toBe(false);
    // Between numbers of the present phase there is none of the previous.
    expect(opens(opener, { ...at(4), keyPhase: 0 })).toBe(false);
    expect(opener.keyPhase).toBe(1);
  });

  it('does not move for a forged packet of the other phase', () => {
    const { opener, at } = threePhases();
    expect(opens(opener, at(0))).toBe(true);
    for (let n = 1; n < 50; n++) {
      expect(opener.open(1, n, AAD, new Uint8Array(19))).toBeUndefined();
    }
    expect(opener.keyPhase).toBe(0);
    expect(opener.failedCount).toBe(49);
    for (const n of [1, 2, 3, 6]) expect(opens(opener, at(n))).toBe(true);
  });

  it('derives the next key once, however many forged packets ask for it', () => {
    let count = 0;
    const counting: CryptoProvider = {
      ...nodeCrypto,
      hmac: (key, data) => {
        count++;
        return nodeCrypto.hmac(key, data);
      },
    };
    const opener = new PacketOpener(counting, CIPHER, SESSION);
    opener.open(1, 1, AAD, new Uint8Array(20));
    const before = count;
    for (let n = 2; n < 100; n++) opener.open(1, n, AAD, new Uint8Array(20));
    expect(count).toBe(before);
  });

  it('opens no packet under a key two phases ahead', () => {
    const { opener, at } = threePhases();
    expect(opens(opener, at(0))).toBe(true);
    expect(opens(opener, at(6))).toBe(false);
    expect(opens(opener, at(3))).toBe(true);
  });

  it('R-KEY-UPDATE-6 opens nothing any more after its limit of failures', () => {
    const secret = trafficSecret(nodeCrypto, SESSION, 0, 'c2s');
    const { sealer } = pair();
    const opener = new PacketOpener(nodeCrypto, CIPHER, secret, { failureLimit: 3 });
    expect(opens(opener, seal(sealer, 0))).toBe(true);
    for (let i = 0; i < 3; i++) {
      expect(opener.exhausted).toBe(false);
      opener.open(0, i, AAD, new Uint8Array(30));
    }
    expect(opener.exhausted).toBe(true);
    expect(opens(opener, seal(sealer, 1))).toBe(false);
    expect(opener.failedCount).toBe(3);
    const tooMany = { failureLimit: AEAD_FAILURE_LIMIT + 1 };
    expect(() => new PacketOpener(nodeCrypto, CIPHER, secret, tooMany)).toThrow(RangeError);
  });

  it('refuses numbers that no packet has', () => {
    const { opener } = pair();
    for (const n of [-1, MAX + 1, 0.5, Number.NaN]) {
      expect(opener.open(0, n, AAD, new Uint8Array(30))).toBeUndefined();
    }
    expect(opener.failedCount).toBe(4);
  });

  it('T35 keys of a later phase do not open packets of an earlier one', () => {
    const { at } = threePhases();
    const leaked = nextTrafficSecret(nodeCrypto, trafficSecret(nodeCrypto, SESSION, 0, 'c2s'));
    const spy = () => new PacketOpener(nodeCrypto, CIPHER, leaked);
    for (const n of [0, 1, 2]) {
      expect(opens(spy(), at(n))).toBe(false);
      expect(opens(spy(), { ...at(n), keyPhase: 1 })).toBe(false);
    }
    expect(opens(spy(), { ...at(3), keyPhase: 0 })).toBe(true);
  });
});
