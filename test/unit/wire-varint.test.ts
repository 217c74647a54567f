import { describe, expect, it } from 'vitest';
import { Reader, SPEC_MAX_INTEGER, varintLength, WireError, Writer } from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

function encoded(value: number): string {
  const writer = new Writer(8);
  writer.varint(value);
  return toHex(writer.take());
}

/** The examples of RFC 9000 §A.1, as far as they are below 2^53, and the edges of each length. */
const VARINTS: readonly (readonly [string, number])[] = [
  ['00', 0],
  ['25', 37],
  ['3f', 63],
  ['4040', 64],
  ['7bbd', 15_293],
  ['7fff', 16_383],
  ['80004000', 16_384],
  ['9d7f3e7d', 494_878_333],
  ['bfffffff', 2 ** 30 - 1],
  ['c000000040000000', 2 ** 30],
  ['c0000000ffffffff', 2 ** 32 - 1],
  ['c000000100000000', 2 ** 32],
  ['c01fffffffffffff', SPEC_MAX_INTEGER],
];

describe('varints', () => {
  it.each(VARINTS)('%s is %d', (hex, value) => {
    expect(encoded(value)).toBe(hex);
    expect(varintLength(value)).toBe(hex.length / 2);
    const reader = new Reader(fromHex(hex));
    expect(reader.varint()).toBe(value);
    expect(reader.remaining).toBe(0);
  });

  it('need not be minimal', () => {
    for (const hex of ['4025', '80000025', 'c000000000000025']) {
      expect(new Reader(fromHex(hex)).varint()).toBe(37);
    }
  });

  it.each([
    ['', 'nothing'],
    ['40', 'half of 2 bytes'],
    ['800000', '3 of 4 bytes'],
    ['c0000000000000', '7 of 8 bytes'],
    ['c020000000000000', '2^53'],
    ['c2197c5eff14e88c', 'the first example of RFC 9000 §A.1'],
    ['ffffffffffffffff', '2^62-1'],
  ])('R-VARINT-1 refuses %s: %s', (hex) => {
    expect(() => new Reader(fromHex(hex)).varint()).toThrow(WireError);
  });

  it.each([-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, -0.1])(
    'a writer refuses %d',
    (value) => {
      expect(() => new Writer().varint(value)).toThrow(RangeError);
    },
  );
});

describe('Writer', () => {
  it('grows from a capacity of 1', () => {
    const writer = new Writer(1);
    const expected: number[] = [];
    for (let i = 0; i < 1000; i++) {
      writer.uint16(i);
      expected.push(i >> 8, i & 0xff);
    }
    expect(writer.length).toBe(2000);
    expect([...writer.take()]).toEqual(expected);
    expect(writer.length).toBe(0);
  });

  it('never touches again what it has handed out', () => {
    const writer = new Writer(16);
    const results: Uint8Array[] = [];
    for (let i = 0; i < 50; i++) {
      for (let j = 0; j < i; j++) writer.uint8(i);
      results.push(writer.take());
    }
    results.forEach((result, i) => {
      expect([...result]).toEqual(new Array(i).fill(i));
    });
  });

  it('writes big-endian integers and zeros', () => {
    const writer = new Writer();
    writer.uint8(0xff);
    writer.uint16(0x0102);
    writer.uint32(0xfffefdfc);
    writer.zeros(2);
    writer.bytes(Uint8Array.of(9));
    expect(toHex(writer.take())).toBe('ff0102fffefdfc000009');
  });

  it('refuses integers that do not fit', () => {
    const writer = new Writer();
    for (const bad of [-1, 256, 1.5]) expect(() => writer.uint8(bad)).toThrow(RangeError);
    for (const bad of [-1, 65_536, 1.5]) expect(() => writer.uint16(bad)).toThrow(RangeError);
    for (const bad of [-1, 2 ** 32, 1.5]) expect(() => writer.uint32(bad)).toThrow(RangeError);
    for (const bad of [-1, 1.5]) expect(() => writer.zeros(bad)).toThrow(RangeError);
    expect(() => new Writer(0)).toThrow(RangeError);
    expect(writer.length).toBe(0);
  });
});

describe('Reader', () => {
  it('reads within its bounds only', () => {
    const reader = new Reader(fromHex('000102030405060708'), 1, 8);
    expect(reader.uint8()).toBe(1);
    expect(reader.uint16()).toBe(0x0203);
    expect(reader.uint32()).toBe(0x04050607);
    expect(reader.remaining).toBe(0);
    expect(() => reader.uint8()).toThrow(WireError);
    expect(reader.rest()).toHaveLength(0);
  });

  it('gives views, not copies', () => {
    const source = fromHex('0102030405');
    const reader = new Reader(source);
    const head = reader.bytes(2);
    const tail = reader.rest();
    source[0] = 9;
    source[4] = 9;
    expect([...head, ...tail]).toEqual([9, 2, 3, 4, 9]);
  });

  it('refuses more bytes than there are, and moves nowhere', () => {
    const reader = new Reader(fromHex('0102'));
    expect(() => reader.bytes(3)).toThrow(WireError);
    expect(() => reader.bytes(SPEC_MAX_INTEGER)).toThrow(WireError);
    expect(() => reader.uint32()).toThrow(WireError);
    expect(reader.remaining).toBe(2);
    expect(reader.uint16()).toBe(0x0102);
  });

  it('refuses bounds outside of its bytes', () => {
    expect(() => new Reader(new Uint8Array(4), 0, 5)).toThrow(RangeError);
    expect(() => new Reader(new Uint8Array(4), 3, 2)).toThrow(RangeError);
  });
});
