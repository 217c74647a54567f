import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AckRange,
  connectionIdKey,
  dataHeader,
  decodeFrames,
  decodeParameters,
  encodeAccept,
  encodedLength,
  encodeFrame,
  encodeGone,
  encodeHello,
  encodeParameters,
  encodeRetry,
  expandPacketNumber,
  type Frame,
  joinHeader,
  type Packet,
  type Parameters,
  parsePacket,
  Reader,
  RecordReader,
  recordHeader,
  SPEC_MAX_CLOSE_REASON_BYTES,
  SPEC_MAX_INTEGER,
  SPEC_MAX_PACKET_BYTES,
  SPEC_MAX_PATH_ID,
  SPEC_MAX_STREAMS,
  utf8Decode,
  utf8Encode,
  utf8Length,
  utf8Truncate,
  varintLength,
  Writer,
} from '../../src/wire/index.js';
import { toHex } from '../helpers/hex.js';

/** All of 0 to 2^53-1, with every number of bits as likely as any other. */
const integer = fc
  .tuple(fc.integer({ min: 0, max: 53 }), fc.maxSafeNat())
  .map(([bits, n]) => n % 2 ** bits);

const pathId = integer.map((n) => n % (SPEC_MAX_PATH_ID + 1));
const streamCount = integer.map((n) => Math.min(n, SPEC_MAX_STREAMS));

function exactly(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

/** Ranges from the highest down, from steps upwards: [numbers missing below, further numbers]. */
const ackRanges = fc
  .array(fc.tuple(fc.nat({ max: 2 ** 31 }), fc.nat({ max: 2 ** 31 })), {
    minLength: 1,
    maxLength: 64,
  })
  .map((steps) => {
    const ranges: AckRange[] = [];
    let next = 0;
    for (const [missing, further] of steps) {
      const smallest = next + missing;
      ranges.unshift({ smallest, largest: smallest + further });
      next = smallest + further + 2;
    }
    return ranges;
  });

const reason = fc
  .string({ unit: 'grapheme', maxLength: 300 })
  .map((text) => utf8Truncate(text, SPEC_MAX_CLOSE_REASON_BYTES));

const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant('ping' as const) }),
  fc.tuple(pathId, integer, ackRanges).map(([pathId, delayUs, ranges]) => {
    const largest = ranges[0]?.largest ?? 0;
    return { type: 'ack' as const, pathId, largest, delayUs, ranges };
  }),
  fc.record({
    type: fc.constant('resetStream' as const),
    streamId: integer,
    code: integer,
    finalSize: integer,
  }),
  fc.record({ type: fc.constant('stopSending' as const), streamId: integer, code: integer }),
  fc
    .tuple(integer, integer, fc.uint8Array({ maxLength: 100 }), fc.boolean())
    .map(([streamId, offset, data, fin]) => {
      const last = SPEC_MAX_INTEGER - data.length;
      return { type: 'stream' as const, streamId, offset: Math.min(offset, last), data, fin };
    }),
  fc.record({ type: fc.constant('maxData' as const), maximum: integer }),
  fc.record({ type: fc.constant('maxStreamData' as const), streamId: integer, maximum: integer }),
  fc.record({
    type: fc.constant('maxStreams' as const),
    bidirectional: fc.boolean(),
    maximum: streamCount,
  }),
  fc.record({
    type: fc.constantFrom('pathChallenge' as const, 'pathResponse' as const),
    data: exactly(8),
  }),
  fc.record({
    type: fc.constant('close' as const),
    application: fc.constant(true),
    code: integer,
    reason,
  }),
  fc.record({
    type: fc.constant('close' as const),
    application: fc.constant(false),
    code: integer,
    frameType: integer,
    reason,
  }),
  fc.record({ type: fc.constant('pathAbandon' as const), pathId, code: integer }),
  fc.record({
    type: fc.constant('serverAddresses' as const),
    sequence: integer,
    avoidFirst: fc.boolean(),
    addresses: fc.array(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }), {
      maxLength: 16,
    }),
  }),
  fc.record({
    type: fc.constant('pathStatus' as const),
    pathId,
    sequence: integer,
    status: fc.constantFrom('available' as const, 'backup' as const),
  }),
);

const padding = fc.record({
  type: fc.constant('padding' as const),
  length: fc.integer({ min: 1, max: 50 }),
});

/** Frames with no two runs of padding side by side, which would come out as one. */
const frames = fc
  .array(fc.oneof({ weight: 8, arbitrary: frame }, { weight: 1, arbitrary: padding }), {
    minLength: 1,
    maxLength: 12,
  })
  .filter((list) => list.every((f, i) => f.type !== 'padding' || list[i - 1]?.type !== 'padding'));

describe('wire round trips', () => {
  it('varints come back, in as many bytes as said', () => {
    fc.assert(
      fc.property(integer, (value) => {
        const writer = new Writer(8);
        writer.varint(value);
        expect(writer.length).toBe(varintLength(value));
        expect(new Reader(writer.take()).varint()).toBe(value);
      }),
    );
  });

  it('frames come back, in as many bytes as said', () => {
    fc.assert(
      fc.property(frames, (list) => {
        const writer = new Writer(64);
        for (const f of list) {
          const before = writer.length;
          encodeFrame(writer, f);
          expect(writer.length - before).toBe(encodedLength(f));
        }
        expect(decodeFrames(writer.take())).toEqual(list);
      }),
      { numRuns: 500 },
    );
  });

  it('text comes back, and truncated text is a beginning of it that fits', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(40), (text, max) => {
        const bytes = utf8Encode(text);
        expect(toHex(bytes)).toBe(toHex(new TextEncoder().encode(text)));
        expect(utf8Decode(bytes)).toBe(text);
        const short = utf8Truncate(text, max);
        expect(text.startsWith(short)).toBe(true);
        expect(utf8Length(short)).toBeLessThanOrEqual(max);
      }),
    );
  });

  it('bytes of any kind decode to the text that the platform makes of them', () => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    const tricky = fc.array(
      fc.constantFrom(0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xff),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), tricky), (list) => {
        const bytes = Uint8Array.from(list);
        expect(utf8Decode(bytes)).toBe(decoder.decode(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it('a packet number comes back if it is within half a window of the next one', () => {
    const half = 2 ** 31;
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(-1), integer),
        fc.integer({ min: 1 - half, max: half }),
        (largest, distance) => {
          const number = Math.min(Math.max(largest + 1 + distance, 0), SPEC_MAX_INTEGER);
          expect(expandPacketNumber(number >>> 0, largest)).toBe(number);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

const keyPhase = fc.constantFrom(0 as const, 1 as const);
const noise = fc.uint8Array({ maxLength: 300 });
const sealed = fc.uint8Array({ minLength: 16, maxLength: 300 });
const kind = fc.constantFrom('stream' as const, 'datagram' as const);

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe('packet round trips', () => {
  it('DATA', () => {
    fc.assert(
      fc.property(
        keyPhase,
        fc.option(exactly(8), { nil: undefined }),
        integer,
        sealed,
        (phase, connectionId, packetNumber, body) => {
          const header = dataHeader({ keyPhase: phase, connectionId, packetNumber });
          const expected: Packet = {
            type: 'data',
            keyPhase: phase,
            ...(connectionId === undefined ? {} : { connectionId }),
            truncatedNumber: packetNumber % 2 ** 32,
            header,
            sealed: body,
          };
          const carrier = connectionId === undefined ? 'stream' : 'datagram';
          expect(parsePacket(concat(header, body), carrier)).toEqual(expected);
        },
      ),
    );
  });

  it('JOIN', () => {
    fc.assert(
      fc.property(keyPhase, exactly(40), integer, sealed, kind, (phase, envelope, n, body, on) => {
        const header = joinHeader({ keyPhase: phase, envelope, packetNumber: n });
        expect(parsePacket(concat(header, body), on)).toEqual({
          type: 'join',
          firstByte: 0xc0 + phase,
          envelope,
          keyPhase: phase,
          truncatedNumber: n % 2 ** 32,
          header,
          sealed: body,
        });
      }),
    );
  });

  it('HELLO, ACCEPT, RETRY, GONE', () => {
    fc.assert(
      fc.property(exactly(68), fc.boolean(), noise, kind, (bytes, hasCookie, message, on) => {
        const envelope = bytes.subarray(0, 40);
        const echo = bytes.subarray(0, 8);
        const cookie = bytes.subarray(40, 56);
        const hello = { envelope, ...(hasCookie ? { cookie } : {}), noise: message };
        expect(parsePacket(encodeHello(hello), on)).toEqual({
          type: 'hello',
          firstByte: 0x80,
          ...hello,
        });
        const accept = { echo, noise: message };
        expect(parsePacket(encodeAccept(accept), on)).toEqual({ type: 'accept', ...accept });
        const retry = { echo, nonce: bytes.subarray(8, 20), sealedCookie: bytes.subarray(20, 52) };
        expect(parsePacket(encodeRetry(retry), on)).toEqual({ type: 'retry', ...retry });
        const gone = { echo, token: bytes.subarray(8, 24) };
        expect(parsePacket(encodeGone(gone), on)).toEqual({ type: 'gone', ...gone });
      }),
    );
  });

  it('connection id keys are equal exactly where the ids are', () => {
    fc.assert(
      fc.property(exactly(8), exactly(8), (a, b) => {
        expect(connectionIdKey(a) === connectionIdKey(b)).toBe(toHex(a) === toHex(b));
        expect(connectionIdKey(a)).toBe(connectionIdKey(a.slice()));
      }),
    );
  });
});

describe('parameter round trips', () => {
  const parameters: fc.Arbitrary<Parameters> = fc.record(
    {
      ciphers: fc.uniqueArray(
        fc.constantFrom('AES-256-GCM' as const, 'ChaCha20-Poly1305' as const),
      ),
      maxData: integer,
      maxStreamData: integer,
      maxStreamsBidi: streamCount,
      maxStreamsUni: streamCount,
      maxAckDelayMs: fc.nat(2 ** 14 - 1),
      maxPaths: integer,
      goneToken: exactly(16),
      instance: fc.uint8Array({ minLength: 1, maxLength: 32 }),
      epoch: integer,
      sessionId: exactly(8),
    },
    {
      requiredKeys: [
        'ciphers',
        'maxData',
        'maxStreamData',
        'maxStreamsBidi',
        'maxStreamsUni',
        'maxAckDelayMs',
        'maxPaths',
      ],
    },
  );

  it('come back', () => {
    fc.assert(
      fc.property(parameters, (value) => {
        expect(decodeParameters(encodeParameters(value))).toEqual(value);
      }),
    );
  });
});

describe('records', () => {
  it('T9: every split and merge of a stream of records gives the same packets', () => {
    const packets = fc.array(
      fc.oneof(
        { weight: 10, arbitrary: fc.integer({ min: 1, max: 40 }) },
        { weight: 2, arbitrary: fc.integer({ min: 250, max: 3000 }) },
        { weight: 1, arbitrary: fc.integer({ min: 60_000, max: SPEC_MAX_PACKET_BYTES }) },
      ),
      { maxLength: 12 },
    );
    const cuts = fc.array(
      fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 100, max: 70_000 })),
      { minLength: 1, maxLength: 40 },
    );
    // For each push, whether the packets are asked for at once or left for later.
    const eager = fc.infiniteStream(fc.boolean());
    fc.assert(
      fc.property(packets, cuts, eager, (lengths, pieces, asks) => {
        const bodies = lengths.map((length, i) => new Uint8Array(length).fill(i + 1));
        const stream = new Uint8Array(lengths.reduce((sum, length) => sum + length + 2, 0));
        let at = 0;
        for (const body of bodies) {
          stream.set(recordHeader(body.length), at);
          stream.set(body, at + 2);
          at += body.length + 2;
        }
        const reader = new RecordReader();
        reader.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
        const found: Uint8Array[] = [];
        let pushed = 0;
        let taken = 0;
        const take = (): void => {
          for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
            found.push(packet);
            taken += packet.length + 2;
          }
        };
        for (let i = 0; pushed < stream.length; i++) {
          const size = i < pieces.length ? (pieces[i] ?? 0) : stream.length;
          const piece = stream.slice(pushed, pushed + size);
          reader.push(piece);
          pushed += piece.length;
          if (asks.next().value === true) take();
          expect(reader.bufferedBytes).toBe(pushed - taken);
        }
        take();
        expect(reader.failed).toBe(false);
        expect(reader.bufferedBytes).toBe(0);
        expect(found.length).toBe(bodies.length);
        found.forEach((packet, i) => {
          expect(packet.length).toBe(bodies[i]?.length);
          expect(packet.every((byte) => byte === i + 1)).toBe(true);
        });
      }),
      { numRuns: 200 },
    );
  });
});
