import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ENVELOPE_BYTES,
  EnvelopeKey,
  openCookie,
  openEnvelope,
  RetryKey,
  SEALED_COOKIE_BYTES,
  sealCookie,
  sealEnvelope,
} from '../../src/crypto/envelope.js';
import { envelopeKey, retryKey } from '../../src/crypto/key-schedule.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { simulatedCrypto } from '../../src/sim/crypto.js';

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const DOOR_KEY = new Uint8Array(32).fill(4);
const HELLO = 0x80;
const JOIN = 0xc0;

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >>> 3] = (copy[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

describe.each([nodeCrypto, portableCrypto, simulatedCrypto])('envelopes with $name', (crypto) => {
  const key = envelopeKey(crypto, DOOR_KEY);
  const nonce = new Uint8Array(12).fill(1);
  const id = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  it('opens what it sealed', () => {
    const detail = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    fc.assert(
      fc.property(bytesOf(32), bytesOf(12), bytesOf(8), detail, (doorKey, nonce, id, detail) => {
        const key = envelopeKey(crypto, doorKey);
        const envelope = sealEnvelope({ crypto, key, firstByte: JOIN, nonce, id, detail });
        expect(envelope.length).toBe(ENVELOPE_BYTES);
        expect(envelope.subarray(0, 12)).toEqual(nonce);
        expect(openEnvelope({ crypto, key, firstByte: JOIN, envelope })).toEqual({ id, detail });
      }),
      { numRuns: 50 },
    );
  });

  it('T8 refuses each flipped bit, and each other length', () => {
    const keyed = new EnvelopeKey(crypto, key);
    const envelope = keyed.seal({ firstByte: HELLO, nonce, id, detail: 1 });
    for (let bit = 0; bit < 8 * envelope.length; bit++) {
      expect(keyed.open(HELLO, flipped(envelope, bit))).toBeUndefined();
    }
    for (let length = 0; length < ENVELOPE_BYTES; length++) {
      expect(keyed.open(HELLO, envelope.subarray(0, length))).toBeUndefined();
    }
    expect(keyed.open(HELLO, new Uint8Array(ENVELOPE_BYTES + 1))).toBeUndefined();
    expect(keyed.open(HELLO, envelope)).toEqual({ id, detail: 1 });
  });

  it('T1 does not open under another door key', () => {
    const envelope = sealEnvelope({ crypto, key, firstByte: HELLO, nonce, id, detail: 1 });
    const other = envelopeKey(crypto, new Uint8Array(32).fill(5));
    expect(openEnvelope({ crypto, key: other, firstByte: HELLO, envelope })).toBeUndefined();
  });

  it('is bound to the type of its packet, but not to the key phase', () => {
    const keyed = new EnvelopeKey(crypto, key);
    const envelope = keyed.seal({ firstByte: JOIN + 1, nonce, id, detail: 7 });
    expect(keyed.open(JOIN, envelope)).toEqual({ id, detail: 7 });
    expect(keyed.open(JOIN + 1, envelope)).toEqual({ id, detail: 7 });
    expect(keyed.open(HELLO, envelope)).toBeUndefined();
    expect(keyed.seal({ firstByte: JOIN, nonce, id, detail: 7 })).toEqual(envelope);
  });

  it.each([-1, 2 ** 32, 0.5, Number.NaN])('does not seal the detail %d', (detail) => {
    const keyed = new EnvelopeKey(crypto, key);
    expect(() => keyed.seal({ firstByte: JOIN, nonce, id, detail })).toThrow(RangeError);
  });

  it('does not seal an id or nonce of another length', () => {
    const keyed = new EnvelopeKey(crypto, key);
    const parts = { firstByte: JOIN, nonce, id, detail: 1 };
    expect(() => keyed.seal({ ...parts, id: new Uint8Array(7) })).toThrow(RangeError);
    expect(() => keyed.seal({ ...parts, nonce: new Uint8Array(8) })).toThrow(RangeError);
  });

  it('T8 R-RETRY-2 a cookie opens for the HELLO that it answers, with no bit flipped', () => {
    const key = retryKey(crypto, DOOR_KEY);
    const helloNonce = new Uint8Array(12).fill(2);
    const cookie = Uint8Array.from({ length: 16 }, (_, i) => i);
    const sealed = sealCookie({ crypto, key, nonce, helloNonce, cookie });
    expect(sealed.length).toBe(SEALED_COOKIE_BYTES);
    expect(openCookie({ crypto, key, nonce, helloNonce, sealed })).toEqual(cookie);
    const keyed = new RetryKey(crypto, key);
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      expect(keyed.open(nonce, helloNonce, flipped(sealed, bit))).toBeUndefined();
    }
    for (let bit = 0; bit < 8 * 12; bit++) {
      expect(keyed.open(flipped(nonce, bit), helloNonce, sealed)).toBeUndefined();
      expect(keyed.open(nonce, flipped(helloNonce, bit), sealed)).toBeUndefined();
    }
    expect(keyed.open(nonce, helloNonce, sealed.subarray(1))).toBeUndefined();
    expect(keyed.open(nonce.subarray(1), helloNonce, sealed)).toBeUndefined();
  });

  it('does not seal a cookie of another length', () => {
    const keyed = new RetryKey(crypto, key);
    expect(() => keyed.seal(nonce, nonce, new Uint8Array(15))).toThrow(RangeError);
  });
});
