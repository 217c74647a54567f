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
    expect(descriptors.missing(socketAt(first - 1))).toBe(0);
    expect(descriptors.missing(socketAt(first))).toBe(1);
    expect(descriptors.missing(socketAt(first + 4))).toBe(5);
  });

  it.each([96, 1_024])(
    'of %i are never used up by strangers, the oldest of whom make room',
    (limit) => {
      const descriptors = new Descriptors(limit);
      const strangers: number[] = [];
      const used = new Set(Array.from({ length: 24 }, (_, fd) => fd));
      for (let n = 0; n < 20 * limit; n++) {
        let fd = 0;
        while (used.has(fd)) fd += 1;
        used.add(fd);
        expect(fd).toBeLessThan(limit - 1);
        for (let i = descriptors.missing(socketAt(fd)); i > 0; i--) {
          const oldest = strangers.shift();
          if (oldest !== undefined) used.delete(oldest);
        }
        strangers.push(fd);
      }
      // Without need nobody is sent away.
      expect(strangers.length).toBeGreaterThan(limit / 2 - 24);
    },
  );

  it('are no question where there are none', () => {
    expect(new Descriptors(100).missing({} as Socket)).toBe(0);
    expect(new Descriptors(100).missing({ _handle: null } as unknown as Socket)).toBe(0);
  });
});
