import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asciiBytes, concatBytes, equalBytes, fromHex, toHex } from '../../src/crypto/bytes.js';

describe('bytes', () => {
  it('concatenates parts into fresh memory', () => {
    const part = Uint8Array.of(1, 2);
    const all = concatBytes(part, new Uint8Array(0), Uint8Array.of(3));
    part[0] = 9;
    expect(all).toEqual(Uint8Array.of(1, 2, 3));
    expect(concatBytes()).toEqual(new Uint8Array(0));
  });

  it('compares by content and length', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(equalBytes(a, b)).toBe(toHex(a) === toHex(b));
        expect(equalBytes(a, a.slice())).toBe(true);
      }),
    );
  });

  it('finds a difference in each place', () => {
    const bytes = new Uint8Array(32);
    for (let bit = 0; bit < 256; bit++) {
      const other = new Uint8Array(32);
      other[bit >>> 3] = 1 << (bit & 7);
      expect(equalBytes(bytes, other)).toBe(false);
    }
  });

  it('turns hexadecimal digits into bytes and back', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(fromHex(toHex(bytes))).toEqual(bytes);
        expect(fromHex(toHex(bytes).toUpperCase())).toEqual(bytes);
      }),
    );
  });

  it.each(['0', '0g', 'zz', ' 00 ', '0x00'])('refuses %j as hexadecimal digits', (text) => {
    expect(() => fromHex(text)).toThrow(RangeError);
  });

  it('does not show a malformed secret in the error', () => {
    expect(() => fromHex('c0ffee-secret')).toThrow(/^(?!.*c0ffee)/);
  });

  it('takes ASCII text only', () => {
    expect(asciiBytes('roving/1\0')).toEqual(
      Uint8Array.of(114, 111, 118, 105, 110, 103, 47, 49, 0),
    );
    expect(() => asciiBytes('é')).toThrow(RangeError);
  });
});
