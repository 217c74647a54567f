import { describe, expect, it } from 'vitest';
import {
  DEFAULT_SESSION_OPTIONS,
  Endpoint,
  KeyRing,
  type SessionOptions,
  UsageError,
} from '../../src/core/index.js';
import { checkOptions } from '../../src/core/options-check.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { Bed, symmetric } from '../../src/sim/index.js';

function problem(options: object): string | undefined {
  try {
    checkOptions({ ...DEFAULT_SESSION_OPTIONS, ...options } as SessionOptions);
    return undefined;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.message;
  }
}

describe('checkOptions', () => {
  it.each([
    {},
    { maxAckDelayMs: 0, keepAliveMs: 0, maxStreamsBidi: 0, maxStreamsUni: 2 ** 51 },
    { receiveWindowBytes: 2, maxReceiveWindowBytes: 1 },
    { sessionTimeoutMs: 1.5, connectTimeoutMs: 1_000_000 },
    { instance: new Uint8Array(1), epoch: 0 },
    { instance: new Uint8Array(32), epoch: Number.MAX_SAFE_INTEGER },
    { ciphers: ['ChaCha20-Poly1305'], scheduler: 'backup', congestionControl: 'cubic' },
    { maxPacketBytes: 65_535, keyUpdatePackets: 2 ** 22 },
  ])('takes %j', (options) => {
    expect(problem(options)).toBeUndefined();
  });

  it.each([
    ['maxAckDelayMs', 2.5, 'a whole number from 0 to 16383'],
    ['maxAckDelayMs', -1, 'a whole number from 0 to 16383'],
    ['keyUpdatePackets', 2 ** 23, 'a whole number from 1 to 4194304'],
    ['maxPacketBytes', 70_000, 'a whole number from 1200 to 65535'],
    ['maxPacketBytes', 100, 'a whole number from 1200 to 65535'],
    ['receiveWindowBytes', 0, 'a whole number from 1 to 9007199254740991'],
    ['streamReceiveWindowBytes', 1.5, 'a whole number from 1 to 9007199254740991'],
    ['sendBufferBytes', Number.POSITIVE_INFINITY, 'a whole number from 1 to 9007199254740991'],
    ['maxStreamsUni', 2 ** 51 + 1, 'a whole number from 0 to 2251799813685248'],
    ['maxPaths', undefined, 'a whole number from 1 to 9007199254740991'],
    ['sessionTimeoutMs', Number.NaN, 'a number from 1 to 9007199254740991'],
    ['connectTimeoutMs', '9', 'a number from 1 to 9007199254740991'],
    ['ciphers', 'none', 'one or more of AES-256-GCM, ChaCha20-Poly1305'],
    ['congestionControl', 'reno', 'one of bbr, cubic'],
    ['epoch', 0.5, 'a whole number from 0 to 9007199254740991'],
  ])('refuses %s: %s', (name, value, range) => {
    expect(problem({ [name]: value })).toBe(`the option ${name} is ${range}, not ${value}`);
  });

  it('refuses lists without ciphers, names of objects, and instances without a length', () => {
    expect(problem({ ciphers: [] })).toContain('ciphers');
    expect(problem({ ciphers: ['toString'] })).toContain('not toString');
    expect(problem({ scheduler: 'toString' })).toContain('earliestArrival');
    expect(problem({ instance: new Uint8Array(0) })).toContain('1 to 32 bytes, not 0 bytes');
    expect(problem({ instance: new Uint8Array(33) })).toContain('not 33 bytes');
    expect(problem({ instance: 'me' })).toContain('not me');
  });
});

describe('options that cannot be kept', () => {
  const random = (length: number) => new Uint8Array(length);

  it('are refused when an endpoint is made, server or not', () => {
    const session = { maxAckDelayMs: 2.5 };
    const keyRing = new KeyRing(new Uint8Array(32), new Uint8Array(32));
    for (const ring of [{}, { keyRing }]) {
      expect(() => new Endpoint({ crypto: nodeCrypto, random, session, ...ring })).toThrow(
        UsageError,
      );
    }
  });

  it('are refused by connect', () => {
    const link = symmetric({ rateMbps: 10, rttMs: 10 });
    const bed = new Bed({ seed: 'options', paths: [{ name: 'only', carrier: 'udp', link }] });
    expect(() => bed.connect({ maxPacketBytes: 70_000 })).toThrow(UsageError);
  });
});
