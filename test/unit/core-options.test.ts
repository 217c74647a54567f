import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/core/contract.js';
import { assert } from '../../src/core/errors.js';
import {
  AbortedError,
  CarrierError,
  ClosedByPeerError,
  ConnectTimeoutError,
  ContinuityError,
  DEFAULT_ENDPOINT_LIMITS,
  DEFAULT_SESSION_OPTIONS,
  InvariantError,
  PeerError,
  RevokedError,
  SCHEDULERS,
  SessionError,
  SupersededError,
  UndeliveredError,
  UsageError,
  WIRE_CODES,
} from '../../src/core/index.js';
import { JOIN_WINDOW_MS, JoinRate, MAX_JOINS_PER_WINDOW } from '../../src/core/join-rate.js';

/** Defaults that are names, not numbers; `instance` and `epoch` have none. */
const NAMES = new Set(['ciphers', 'scheduler', 'congestionControl']);
/** Above this nothing is a bound any more, whatever it counts: a day, or 2^32 of anything. */
const LARGEST_BOUND = 2 ** 32;

describe('options', () => {
  const session = Object.entries(DEFAULT_SESSION_OPTIONS).filter(([name]) => !NAMES.has(name));
  const endpoint = Object.entries(DEFAULT_ENDPOINT_LIMITS);

  it.each([...session, ...endpoint])('%s has a default that is a bound: %s', (name, value) => {
    expect(Number.isSafeInteger(value), name).toBe(true);
    expect(value).toBeGreaterThan(0);
    expect(value).toBeLessThan(LARGEST_BOUND);
  });

  it.each([...session, ...endpoint].map(([name]) => name))('%s tells its unit', (name) => {
    expect(name).toMatch(/(Ms|Bytes|Packets|^max[A-Z]\w*|^cookieAbove)$/);
  });

  it('names a scheduler and ciphers that exist', () => {
    expect(Object.keys(SCHEDULERS)).toContain(DEFAULT_SESSION_OPTIONS.scheduler);
    expect(DEFAULT_SESSION_OPTIONS.ciphers.length).toBeGreaterThan(0);
  });

  it('never begins with more than the largest value allowed later', () => {
    const o = DEFAULT_SESSION_OPTIONS;
    expect(o.receiveWindowBytes).toBeLessThanOrEqual(o.maxReceiveWindowBytes);
    expect(o.streamReceiveWindowBytes).toBeLessThanOrEqual(o.maxStreamReceiveWindowBytes);
    expect(o.streamSendBufferBytes).toBeLessThanOrEqual(o.sendBufferBytes);
    const limits = DEFAULT_ENDPOINT_LIMITS;
    expect(limits.maxHalfOpenPerKey).toBeLessThan(limits.maxHalfOpen);
    expect(limits.cookieAbove).toBeLessThan(limits.maxHalfOpen);
    expect(limits.maxSessionsPerKey).toBeLessThan(limits.maxSessions);
  });

  it('keeps to the bounds of the protocol', () => {
    const o = DEFAULT_SESSION_OPTIONS;
    // R-PACKET-3, R-KEY-UPDATE-2, and R-NOISE-5: two lifetimes are the most a cookie may live.
    expect(o.maxPacketBytes).toBeLessThanOrEqual(65_535);
    expect(o.keyUpdatePackets).toBeLessThanOrEqual(2 ** 22);
    expect(2 * DEFAULT_ENDPOINT_LIMITS.cookieLifetimeMs).toBeLessThanOrEqual(120_000);
    expect(DEFAULT_ENDPOINT_LIMITS.handshakeTimeoutMs).toBe(10_000);
    expect(DEFAULT_ENDPOINT_LIMITS.takeoverIntervalMs).toBe(1_000);
    expect(o.sessionTimeoutMs).toBe(24 * 60 * 60 * 1_000);
  });
});

describe('errors', () => {
  const errors: readonly (readonly [SessionError, string])[] = [
    [new UsageError('u'), 'ERR_USAGE'],
    [new PeerError('FINAL_SIZE', 'p'), 'ERR_PEER'],
    [new CarrierError('c'), 'ERR_CARRIER'],
    [new InvariantError('i'), 'ERR_INVARIANT'],
    [new ClosedByPeerError(true, 7, 'bye'), 'ERR_CLOSED_BY_PEER'],
    [new AbortedError('a'), 'ERR_ABORTED'],
    [new SupersededError('s'), 'ERR_SUPERSEDED'],
    [new RevokedError('r'), 'ERR_REVOKED'],
    [new ConnectTimeoutError('t'), 'ERR_CONNECT_TIMEOUT'],
    [new ContinuityError('ERR_SESSION_GONE', 'g', []), 'ERR_SESSION_GONE'],
    [new ContinuityError('ERR_SESSION_TIMEOUT', 'o', []), 'ERR_SESSION_TIMEOUT'],
    [new UndeliveredError('d', []), 'ERR_UNDELIVERED'],
  ];

  it.each(errors)('%s has the code %s', (error, code) => {
    expect(error.code).toBe(code);
    expect(error).toBeInstanceOf(SessionError);
    expect(error).toBeInstanceOf(Error);
  });

  it('have a code each', () => {
    expect(new Set(errors.map(([error]) => error.code)).size).toBe(errors.length);
  });

  it('of a peer name the rule and the frame', () => {
    const error = new PeerError('FLOW_CONTROL', 'too much', 0x08);
    expect([error.wireCode, error.frameType]).toEqual(['FLOW_CONTROL', 8]);
    expect(error.message).toBe('the peer broke the protocol: too much (FLOW_CONTROL)');
    expect(new PeerError('INTERNAL', '').frameType).toBe(0);
  });

  it('tell a close by the application of the peer from one by its protocol', () => {
    const own = new ClosedByPeerError(true, 7, 'done');
    expect([own.application, own.closeCode]).toEqual([true, 7]);
    expect(own.message).toBe('the peer closed the session with code 7: done');
    expect(new ClosedByPeerError(false, 2, '').message).toBe(
      'the peer closed the session with protocol code 2',
    );
  });

  it('say how far each stream had come when the session could not go on', () => {
    const streams = [{ streamId: 4, writtenBytes: 10, acknowledgedBytes: 5, readBytes: 3 }];
    expect(new ContinuityError('ERR_SESSION_GONE', 'g', streams).streams).toEqual(streams);
  });

  it('that are our own fault come out of assert', () => {
    expect(() => assert(false, 'one and one is two')).toThrow(InvariantError);
    expect(() => assert(true, 'never seen')).not.toThrow();
  });

  it('have the wire codes of docs/protocol.md', () => {
    const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
    const section = text.slice(text.indexOf('### 8.1 Codes'), text.indexOf('### 8.2'));
    const rows = [...section.matchAll(/^\| (\d+) \| ([A-Z_]+) \|/gm)];
    expect(Object.fromEntries(rows.map(([, code, name]) => [name, Number(code)]))).toEqual(
      WIRE_CODES,
    );
  });
});

describe('JoinRate', () => {
  it('bears a bounded number of joins in its time, and as many in the next', () => {
    const rate = new JoinRate();
    for (const now of [5, JOIN_WINDOW_MS + 5]) {
      for (let i = 0; i < MAX_JOINS_PER_WINDOW; i++) {
        expect(rate.joined((now + i / 1_000) as Instant)).toBe(true);
      }
      expect(rate.joined((now + JOIN_WINDOW_MS - 1) as Instant)).toBe(false);
    }
  });
});
