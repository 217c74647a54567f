/** Prefixes, and what is left of descriptors. */
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Descriptors, prefixOf } from '../../src/node/strangers.js';

describe('the prefix of a stranger', () => {
  it.each([
    ['192.0.2.7', '192.0.2.200'],
    ['::ffff:192.0.2.7', '192.0.2.1'],
    ['2001:db8:1:2201::1', '2001:db8:1:22ff:a:b:c:d'],
    ['2001:db8::1', '2001:db8:0:ff::2'],
    ['fe80::1%eth0', 'fe80::2'],
    ['::1', '::2'],
  ])('%s and %s have one', (one, other) => {
    expect(prefixOf(one)).toBe(prefixOf(other));
  });

  it.each([
    ['192.0.2.7', '192.0.3.7'],
    ['2001:db8:1:2201::1', '2001:db8:1:2301::1'],
    ['2001:db8::1', '2001:db9::1'],
    ['::1', '127.0.0.1'],
  ])('%s and %s do not', (one, other) => {
    expect(prefixOf(one)).not.toBe(prefixOf(other));
  });
});

describe('descriptors', () => {
  const socketAt = (fd: number) => ({ _handle: { fd } }) as unknown as Socket;

  it.each([
    [100, 75],
    [1_024, 960],
    [1_048_576, 1_048_512],
  ])('of %i are short from %i on', (limit, first) => {
    const descriptors = new Descriptors(limit);
    expect(descriptors.areShort(socketAt(first - 1))).toBe(false);
    expect(descriptors.areShort(socketAt(first))).toBe(true);
  });

  it('are no question where there are none', () => {
    expect(new Descriptors(100).areShort({} as Socket)).toBe(false);
    expect(new Descriptors(100).areShort({ _handle: null } as unknown as Socket)).toBe(false);
  });
});
