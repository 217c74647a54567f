import { describe, expect, it } from 'vitest';
import { utf8Decode, utf8Encode, utf8Length, utf8Truncate } from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

const oracle = new TextDecoder('utf-8', { ignoreBOM: true });

describe('UTF-8', () => {
  it.each(['', 'a', 'grün', '€', '𝄞 and 😀', '\u{10ffff}\u{ffff}\u{0}\u{7ff}\u{800}\ufeffx'])(
    'goes both ways: %s',
    (text) => {
      expect(toHex(utf8Encode(text))).toBe(toHex(new TextEncoder().encode(text)));
      expect(utf8Decode(utf8Encode(text))).toBe(text);
      expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
    },
  );

  it('puts U+FFFD for a lone surrogate', () => {
    expect(toHex(utf8Encode('a\ud800b\udc00'))).toBe('61efbfbd62efbfbd');
    expect(utf8Length('a\ud800b\udc00')).toBe(8);
  });

  it('decodes every pair of bytes, and what follows, as the platform does', () => {
    const bytes = new Uint8Array(4);
    for (let first = 0x70; first < 0x100; first++) {
      for (let second = 0; second < 0x100; second++) {
        bytes.set([first, second, second ^ 0x15, first & 0xbf]);
        const ours = utf8Decode(bytes);
        if (ours !== oracle.decode(bytes)) expect.fail(`differs for ${toHex(bytes)}`);
      }
    }
  });

  it.each(['c080', 'eda080', 'f08080af', 'f4908080', 'e282', 'f09f98', '80', 'ff41', 'f09f9841'])(
    'replaces the bad %s and goes on',
    (hex) => {
      const bytes = fromHex(`${hex}41`);
      expect(utf8Decode(bytes)).toBe(oracle.decode(bytes));
    },
  );

  it('truncates between characters', () => {
    expect(utf8Truncate('a€b', 4)).toBe('a€');
    expect(utf8Truncate('a€b', 3)).toBe('a');
    expect(utf8Truncate('😀😀', 7)).toBe('😀');
    expect(utf8Truncate('abc', 3)).toBe('abc');
    expect(utf8Truncate('abc', 0)).toBe('');
  });
});
