import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatTicket,
  KeyRing,
  parseTicket,
  type Ticket,
  UsageError,
} from '../../src/core/index.js';
import {
  DOOR_KEY_BYTES,
  KEY_ID_BYTES,
  MAX_ADDRESSES,
  MAX_TICKET_LENGTH,
  SECRET_BYTES,
} from '../../src/core/ticket.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import { toHex } from '../helpers/hex.js';

function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 37 + seed);
}

function ticket(addresses: readonly string[] = ['192.0.2.1:4433']): Ticket {
  return {
    keyId: bytes(KEY_ID_BYTES, 1),
    secret: bytes(SECRET_BYTES, 2),
    doorKey: bytes(DOOR_KEY_BYTES, 3),
    addresses,
  };
}

function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `198.51.100.${i}:4433`);
}

function errorOf(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('it should have thrown');
}

describe('tickets', () => {
  it('come back as they were', () => {
    const secret = (n: number) => fc.uint8Array({ minLength: n, maxLength: n });
    const anyTicket = fc.record({
      keyId: secret(KEY_ID_BYTES),
      secret: secret(SECRET_BYTES),
      doorKey: secret(DOOR_KEY_BYTES),
      addresses: fc.array(fc.string({ minLength: 1, maxLength: 30, unit: 'grapheme' }), {
        maxLength: 20,
      }),
    });
    fc.assert(
      fc.property(anyTicket, (one) => {
        const text = formatTicket(one);
        expect(text).toMatch(/^roving:\/\/[!-~]*#[A-Za-z0-9_-]{96}$/);
        const back = parseTicket(` ${text}\n`);
        expect(back.addresses).toEqual(one.addresses);
        expect(toHex(back.keyId)).toBe(toHex(one.keyId));
        expect(toHex(back.secret)).toBe(toHex(one.secret));
        expect(toHex(back.doorKey)).toBe(toHex(one.doorKey));
      }),
    );
  });

  it('show their addresses in a form that people can read', () => {
    const text = formatTicket(ticket(['192.0.2.1:4433', 'example.net:443']));
    expect(text).toMatch(/^roving:\/\/192\.0\.2\.1:4433,example\.net:443#/);
  });

  it('may hold no address, IPv6 and WebSocket addresses', () => {
    for (const list of [[], ['[2001:db8::1]:443'], ['wss://example.net/a,b#c?d=%20']]) {
      expect(parseTicket(formatTicket(ticket(list))).addresses).toEqual(list);
    }
  });

  it('may hold so many addresses and no more', () => {
    const most = addresses(MAX_ADDRESSES);
    const text = formatTicket(ticket(most));
    expect(parseTicket(text).addresses).toEqual(most);
    expect(() => parseTicket(text.replace('#', ',192.0.2.9:1#'))).toThrow(UsageError);
  });

  it('are not made if they could not be read again', () => {
    const good = ticket();
    for (const bad of [
      { ...good, keyId: bytes(KEY_ID_BYTES - 1, 0) },
      { ...good, secret: bytes(SECRET_BYTES + 1, 0) },
      { ...good, doorKey: bytes(0, 0) },
      ticket(addresses(MAX_ADDRESSES + 1)),
      ticket(['']),
      ticket(['\ud800']),
      ticket(['x'.repeat(MAX_TICKET_LENGTH)]),
    ]) {
      expect(() => formatTicket(bad)).toThrow(UsageError);
    }
  });

  describe('that are damaged', () => {
    const text = formatTicket(ticket());
    const secrets = text.slice(text.indexOf('#') + 1);

    it.each([
      ['nothing', ''],
      ['another scheme', text.replace('roving:', 'https:')],
      ['no secrets', text.slice(0, text.indexOf('#'))],
      ['empty secrets', text.slice(0, text.indexOf('#') + 1)],
      ['a letter too few', text.slice(0, -1)],
      ['a letter too many', `${text}A`],
      ['four letters too many', `${text}AAAA`],
      ['a letter that is none', text.replace(secrets.slice(20, 21), '*')],
      ['a space within', `${text.slice(0, -30)} ${text.slice(-29)}`],
      ['an address that can not be read', text.replace('192.0', '%E0%A4%A')],
      ['far too long', `roving://${'1,'.repeat(MAX_TICKET_LENGTH / 2)}#${secrets}`],
      ['the secrets alone', secrets],
      ['the secrets in front', `roving://${secrets}#192.0.2.1`],
    ])('are refused without repeating the secret: %s', (_what, damaged) => {
      const error = errorOf(() => parseTicket(damaged));
      expect(error).toBeInstanceOf(UsageError);
      for (let i = 0; i + 6 <= secrets.length; i++) {
        expect(error.message).not.toContain(secrets.slice(i, i + 6));
      }
    });

    it('are refused or read, but never cause another error', () => {
      const edit = fc.record({
        at: fc.nat({ max: text.length }),
        remove: fc.nat({ max: 5 }),
        insert: fc.string({ maxLength: 5, unit: 'binary' }),
      });
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
          let damaged = text;
          for (const { at, remove, insert } of edits) {
            damaged = damaged.slice(0, at) + insert + damaged.slice(at + remove);
          }
          try {
            expect(parseTicket(damaged).secret).toHaveLength(SECRET_BYTES);
          } catch (error) {
            expect(error).toBeInstanceOf(UsageError);
          }
        }),
        { numRuns: 500 },
      );
    });
  });
});

describe('KeyRing', () => {
  function ring(seed = 9): KeyRing {
    return new KeyRing(bytes(DOOR_KEY_BYTES, 1), bytes(SECRET_BYTES, seed));
  }

  function entry(seed: number, name = 'key') {
    const secret = bytes(SECRET_BYTES, seed);
    return { keyId: bytes(KEY_ID_BYTES, seed), secret, name, grants: ['shell'] };
  }

  it('finds what was added, by the value of its id', () => {
    const keys = ring();
    keys.add(entry(1, 'one'));
    keys.add(entry(2, 'two'));
    expect(keys.find(bytes(KEY_ID_BYTES, 2))?.name).toBe('two');
    expect(keys.find(bytes(KEY_ID_BYTES, 3))).toBeUndefined();
    expect(keys.size).toBe(2);
  });

  it('replaces a key with the same id, and forgets one that is removed', () => {
    const keys = ring();
    keys.add(entry(1, 'one'));
    keys.add(entry(1, 'another'));
    expect([keys.size, keys.find(bytes(KEY_ID_BYTES, 1))?.name]).toEqual([1, 'another']);
    expect(keys.remove(bytes(KEY_ID_BYTES, 1))).toBe(true);
    expect(keys.remove(bytes(KEY_ID_BYTES, 1))).toBe(false);
    expect(keys.find(bytes(KEY_ID_BYTES, 1))).toBeUndefined();
  });

  it('takes no parts of a wrong length', () => {
    const key = bytes(32, 0);
    expect(() => new KeyRing(bytes(31, 0), key)).toThrow(UsageError);
    expect(() => new KeyRing(key, bytes(33, 0))).toThrow(UsageError);
    expect(() => ring().add({ ...entry(1), keyId: bytes(7, 0) })).toThrow(UsageError);
    expect(() => ring().add({ ...entry(1), secret: bytes(16, 0) })).toThrow(UsageError);
  });

  it('makes a token of its own for each session, the same one after a restart', () => {
    const tokens = [0, 1, 2].map((n) => toHex(ring().goneToken(portableCrypto, bytes(8, n))));
    expect(new Set(tokens).size).toBe(3);
    expect(tokens[0]).toHaveLength(32);
    expect(toHex(ring().goneToken(portableCrypto, bytes(8, 0)))).toBe(tokens[0]);
    expect(toHex(ring(10).goneToken(portableCrypto, bytes(8, 0)))).not.toBe(tokens[0]);
  });
});
