import { describe, expect, it } from 'vitest';
import {
  connectionIdKey,
  dataHeader,
  encodeAccept,
  encodeGone,
  encodeHello,
  encodeRetry,
  expandPacketNumber,
  joinHeader,
  parsePacket,
  SPEC_MAX_INTEGER,
  SPEC_MAX_PACKET_BYTES,
} from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

const KINDS = ['stream', 'datagram'] as const;

function run(length: number, from = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) & 0xff);
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const envelope = run(40);
const echo = run(8, 100);
const noise = run(48, 7);
const sealed = run(17, 30);

describe('DATA', () => {
  it('has a connection id on datagram carriers', () => {
    const connectionId = run(8, 200);
    const header = dataHeader({ keyPhase: 1, connectionId, packetNumber: 2 ** 40 + 5 });
    expect(toHex(header)).toBe(`01${toHex(connectionId)}00000005`);
    expect(parsePacket(concat(header, sealed), 'datagram')).toEqual({
      type: 'data',
      keyPhase: 1,
      connectionId,
      truncatedNumber: 5,
      header,
      sealed,
    });
  });

  it('has none on stream carriers', () => {
    const header = dataHeader({ keyPhase: 0, packetNumber: 2 ** 32 - 1 });
    expect(toHex(header)).toBe('00ffffffff');
    expect(parsePacket(concat(header, sealed), 'stream')).toEqual({
      type: 'data',
      keyPhase: 0,
      truncatedNumber: 2 ** 32 - 1,
      header,
      sealed,
    });
  });

  it('R-DATA-5 has room for a tag at least', () => {
    expect(parsePacket(new Uint8Array(5 + 15), 'stream')).toBeUndefined();
    expect(parsePacket(new Uint8Array(5 + 16), 'stream')).toBeDefined();
    expect(parsePacket(new Uint8Array(13 + 15), 'datagram')).toBeUndefined();
    expect(parsePacket(new Uint8Array(13 + 16), 'datagram')).toBeDefined();
  });

  it('R-PACKET-3 has at most 65535 bytes', () => {
    for (const kind of KINDS) {
      expect(parsePacket(new Uint8Array(SPEC_MAX_PACKET_BYTES), kind)).toBeDefined();
      expect(parsePacket(new Uint8Array(SPEC_MAX_PACKET_BYTES + 1), kind)).toBeUndefined();
    }
  });

  it('is made of views', () => {
    const bytes = new Uint8Array(100);
    const packet = parsePacket(bytes, 'datagram');
    if (packet?.type !== 'data') return expect.fail('no DATA');
    expect(packet.sealed.buffer).toBe(bytes.buffer);
    expect(packet.header.buffer).toBe(bytes.buffer);
  });
});

describe('JOIN', () => {
  it('names its path by an envelope', () => {
    const header = joinHeader({ keyPhase: 1, envelope, packetNumber: 258 });
    expect(toHex(header)).toBe(`c1${toHex(envelope)}00000102`);
    for (const kind of KINDS) {
      expect(parsePacket(concat(header, sealed), kind)).toEqual({
        type: 'join',
        firstByte: 0xc1,
        envelope,
        keyPhase: 1,
        truncatedNumber: 258,
        header,
        sealed,
      });
    }
    expect(parsePacket(concat(header, run(15)), 'stream')).toBeUndefined();
  });
});

describe('handshake packets', () => {
  it('HELLO without and with a cookie', () => {
    const plain = encodeHello({ envelope, noise });
    const cookie = run(16, 50);
    const withCookie = encodeHello({ envelope, cookie, noise });
    expect(plain).toHaveLength(1 + 40 + 1 + 48);
    for (const kind of KINDS) {
      const hello = { type: 'hello', firstByte: 0x80, envelope, noise };
      expect(parsePacket(plain, kind)).toEqual(hello);
      expect(parsePacket(withCookie, kind)).toEqual({ ...hello, cookie });
    }
  });

  it('R-HELLO-1 HELLO with a cookie of another length, or cut off in it, is none', () => {
    const bytes = encodeHello({ envelope, noise });
    for (const length of [1, 15, 17, 48, 255]) {
      bytes[41] = length;
      expect(parsePacket(bytes, 'datagram')).toBeUndefined();
    }
    const cookie = encodeHello({ envelope, cookie: run(16), noise });
    expect(parsePacket(cookie.subarray(0, 41), 'datagram')).toBeUndefined();
    expect(parsePacket(cookie.subarray(0, 57), 'datagram')).toBeUndefined();
    expect(parsePacket(cookie.subarray(0, 58), 'datagram')).toBeDefined();
  });

  it('ACCEPT, RETRY and GONE', () => {
    const nonce = run(12, 60);
    const sealedCookie = run(32, 70);
    const token = run(16, 80);
    for (const kind of KINDS) {
      expect(parsePacket(encodeAccept({ echo, noise }), kind)).toEqual({
        type: 'accept',
        echo,
        noise,
      });
      expect(parsePacket(encodeRetry({ echo, nonce, sealedCookie }), kind)).toEqual({
        type: 'retry',
        echo,
        nonce,
        sealedCookie,
      });
      expect(parsePacket(encodeGone({ echo, token }), kind)).toEqual({ type: 'gone', echo, token });
    }
  });

  it('R-PACKET-2 RETRY and GONE have one length only', () => {
    const retry = encodeRetry({ echo, nonce: run(12), sealedCookie: run(32) });
    const gone = encodeGone({ echo, token: run(16) });
    for (const whole of [retry, gone]) {
      expect(parsePacket(whole.subarray(0, -1), 'datagram')).toBeUndefined();
      expect(parsePacket(concat(whole, run(1)), 'datagram')).toBeUndefined();
    }
    expect(parsePacket(run(8, 0x90).subarray(0, 8), 'datagram')).toBeUndefined();
  });

  it('are not encoded with parts of wrong length', () => {
    expect(() => encodeHello({ envelope: run(39), noise })).toThrow(RangeError);
    expect(() => encodeHello({ envelope, cookie: run(0), noise })).toThrow(RangeError);
    expect(() => encodeHello({ envelope, noise: new Uint8Array(65_500) })).toThrow(RangeError);
    expect(() => encodeAccept({ echo: run(7), noise })).toThrow(RangeError);
    expect(() => encodeRetry({ echo, nonce: run(8), sealedCookie: run(32) })).toThrow(RangeError);
    expect(() => encodeGone({ echo, token: run(15) })).toThrow(RangeError);
    expect(() => joinHeader({ keyPhase: 0, envelope: run(8), packetNumber: 0 })).toThrow(
      RangeError,
    );
    expect(() => dataHeader({ keyPhase: 0, connectionId: run(40), packetNumber: 0 })).toThrow(
      RangeError,
    );
    for (const packetNumber of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => dataHeader({ keyPhase: 0, packetNumber })).toThrow(RangeError);
    }
  });
});

describe('first bytes', () => {
  it('R-PACKET-1 other than the eight known ones are no packet', () => {
    const known = new Set([0x00, 0x01, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xc1]);
    for (let first = 0; first < 256; first++) {
      // 25 bytes suit GONE, 53 RETRY, 200 the rest.
      const some = [25, 53, 200].some((length) => {
        const bytes = new Uint8Array(length);
        bytes[0] = first;
        return parsePacket(bytes, 'datagram') !== undefined;
      });
      expect(some).toBe(known.has(first));
    }
    expect(parsePacket(new Uint8Array(0), 'stream')).toBeUndefined();
  });
});

describe('R-DATA-1 expandPacketNumber', () => {
  const W = 2 ** 32;
  it.each([
    [0, -1, 0],
    [5, -1, 5],
    [W - 1, -1, W - 1],
    [0, W - 1, W],
    [0, W - 2, W],
    [W - 1, W, W - 1],
    [3, 10 * W + W - 3, 11 * W + 3],
    [W - 3, 11 * W + 3, 11 * W - 3],
    [W / 2, 5 * W - 1, 5 * W + W / 2],
    [W / 2 + 1, 5 * W - 1, 4 * W + W / 2 + 1],
    [0xffff_ffff, SPEC_MAX_INTEGER - 1, SPEC_MAX_INTEGER],
    [0xffff_ffff, SPEC_MAX_INTEGER, SPEC_MAX_INTEGER],
    [0xffff_fff0, SPEC_MAX_INTEGER, SPEC_MAX_INTEGER - 15],
    [0, SPEC_MAX_INTEGER, SPEC_MAX_INTEGER - W + 1],
    [0, SPEC_MAX_INTEGER - 1, SPEC_MAX_INTEGER - W + 1],
  ])('%d after %d is %d', (truncated, largest, expected) => {
    expect(expandPacketNumber(truncated, largest)).toBe(expected);
  });
});

describe('connectionIdKey', () => {
  it('differs exactly where ids differ', () => {
    expect(connectionIdKey(fromHex('00ff80017f000000'))).toBe('\x00\xff\x80\x01\x7f\x00\x00\x00');
    const keys = new Set<string>();
    for (let at = 0; at < 8; at++) {
      for (let value = 1; value < 256; value++) {
        const id = new Uint8Array(8);
        id[at] = value;
        keys.add(connectionIdKey(id));
      }
    }
    expect(keys.size).toBe(8 * 255);
    expect(() => connectionIdKey(new Uint8Array(7))).toThrow(RangeError);
  });
});
