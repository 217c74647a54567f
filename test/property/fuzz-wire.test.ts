/**
 * Seeded fuzzing of every decoder of the wire layer. `FUZZ_CASES` sets the number of cases,
 * `SEED` replays one seed. Each case has a generator of its own, made from seed and case number, so
 * that a failure, which names both, is replayed alone: `SEED=1 FUZZ_CASE=123 npx vitest run ...`.
 */
import { describe, expect, it } from 'vitest';
import {
  type CloseFrame,
  dataHeader,
  decodeFrames,
  decodeParameters,
  encodeAccept,
  encodeFrame,
  encodeGone,
  encodeHello,
  encodeParameters,
  encodeRetry,
  type Frame,
  joinHeader,
  parsePacket,
  Reader,
  RecordReader,
  recordHeader,
  SPEC_MAX_ACK_RANGES,
  SPEC_MAX_FRAMES_PER_PACKET,
  SPEC_MAX_INTEGER,
  SPEC_MAX_PATH_ID,
  SPEC_MAX_STREAMS,
  WireError,
  Writer,
} from '../../src/wire/index.js';
import { toHex } from '../helpers/hex.js';
import { TestPrng } from '../helpers/prng.js';

const SEED = Number(process.env['SEED'] ?? 1);
const CASES = Number(process.env['FUZZ_CASES'] ?? 20_000);
const ONLY = process.env['FUZZ_CASE'];

type Target = (prng: TestPrng) => void;

/** Decodes; a WireError is an answer as good as any, everything else is a failure. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

function must(condition: boolean, what: string, bytes: Uint8Array): void {
  if (!condition) throw new Error(`${what}: ${toHex(bytes)}`);
}

/** Flips, overwrites, cuts, repeats, drops and inserts, a few times. */
function mutate(prng: TestPrng, valid: Uint8Array): Uint8Array {
  let bytes = valid.slice();
  const rounds = prng.below(5);
  for (let i = 0; i < rounds; i++) {
    const at = prng.below(bytes.length + 1);
    const to = at + prng.below(Math.min(bytes.length - at, 16) + 1);
    switch (prng.below(6)) {
      case 0:
        if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << prng.below(8));
        break;
      case 1:
        if (at < bytes.length) bytes[at] = prng.pick([0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff]);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = Uint8Array.from([...bytes.slice(0, to), ...bytes.slice(at)]);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(to)]);
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.slice(0, at),
          ...prng.bytes(prng.below(9)),
          ...bytes.slice(at),
        ]);
    }
  }
  return bytes;
}

function someBytes(prng: TestPrng, valid: (prng: TestPrng) => Uint8Array): Uint8Array {
  if (prng.chance(0.2)) return prng.bytes(prng.below(prng.chance(0.1) ? 2000 : 60));
  return mutate(prng, valid(prng));
}

function randomAck(prng: TestPrng): Frame {
  const ranges = [];
  let largest = prng.integer();
  for (let i = prng.below(prng.chance(0.1) ? SPEC_MAX_ACK_RANGES : 4); i >= 0; i--) {
    const smallest = largest - prng.integer(largest);
    ranges.push({ smallest, largest });
    if (smallest < 2) break;
    largest = smallest - 2 - prng.integer(smallest - 2);
  }
  const top = ranges[0]?.largest ?? 0;
  return {
    type: 'ack',
    pathId: prng.integer(SPEC_MAX_PATH_ID),
    largest: top,
    delayUs: prng.integer(),
    ranges,
  };
}

function randomClose(prng: TestPrng): CloseFrame {
  const code = prng.integer();
  const reason = prng.pick(['', 'going away', 'Grüße', '😀'.repeat(prng.below(65))]);
  if (prng.chance(0.5)) return { type: 'close', application: true, code, reason };
  return { type: 'close', application: false, code, frameType: prng.integer(), reason };
}

function randomFrame(prng: TestPrng): Frame {
  const id = prng.integer();
  const pathId = Math.min(id, SPEC_MAX_PATH_ID);
  switch (prng.below(12)) {
    case 0:
      return { type: 'padding', length: 1 + prng.below(30) };
    case 1:
      return { type: 'ping' };
    case 2:
      return randomAck(prng);
    case 3:
      return { type: 'resetStream', streamId: id, code: prng.integer(), finalSize: prng.integer() };
    case 4:
      return { type: 'stopSending', streamId: id, code: prng.integer() };
    case 5:
      return { type: 'maxData', maximum: id };
    case 6:
      return { type: 'maxStreamData', streamId: id, maximum: prng.integer() };
    case 7: {
      const maximum = prng.integer(SPEC_MAX_STREAMS);
      return { type: 'maxStreams', bidirectional: prng.chance(0.5), maximum };
    }
    case 8: {
      const type = prng.pick(['pathChallenge', 'pathResponse'] as const);
      return { type, data: prng.bytes(8) };
    }
    case 9:
      return randomClose(prng);
    case 10:
      if (prng.chance(0.5)) return { type: 'pathAbandon', pathId, code: prng.integer() };
      return {
        type: 'pathStatus',
        pathId,
        sequence: prng.integer(),
        status: prng.pick(['available', 'backup'] as const),
      };
    default: {
      const data = prng.bytes(prng.below(40));
      const offset = prng.integer(SPEC_MAX_INTEGER - data.length);
      return { type: 'stream', streamId: id, offset, data, fin: prng.chance(0.3) };
    }
  }
}

function validPayload(prng: TestPrng): Uint8Array {
  const writer = new Writer(256);
  for (let i = prng.below(6); i >= 0; i--) encodeFrame(writer, randomFrame(prng));
  return writer.take();
}

/** Bytes that the frame refers to, and the numbers that it needs to be kept. */
function weight(frame: Frame): { bytes: number; items: number } {
  if (frame.type === 'ack') return { bytes: 0, items: 1 + frame.ranges.length };
  if (frame.type === 'close') return { bytes: frame.reason.length, items: 1 };
  if ('data' in frame) return { bytes: frame.data.length, items: 1 };
  return { bytes: 0, items: 1 };
}

const fuzzFrames: Target = (prng) => {
  const payload = someBytes(prng, validPayload);
  const frames = attempt(() => decodeFrames(payload));
  if (frames === undefined) return;
  let bytes = 0;
  let items = 0;
  for (const frame of frames) {
    const w = weight(frame);
    bytes += w.bytes;
    items += w.items;
    if (frame.type === 'ack') {
      must(frame.ranges.length <= SPEC_MAX_ACK_RANGES, 'too many ranges', payload);
      must(frame.pathId <= SPEC_MAX_PATH_ID, 'path id out of range', payload);
      for (const { smallest, largest } of frame.ranges) {
        must(smallest >= 0 && smallest <= largest, 'bad range', payload);
      }
    }
  }
  must(frames.length >= 1 && frames.length <= SPEC_MAX_FRAMES_PER_PACKET, 'frame count', payload);
  must(bytes <= payload.length, 'more bytes out than in', payload);
  must(items <= payload.length, 'more items out than bytes in', payload);
  reencodes(frames, payload);
};

/** What was decoded can be encoded, and then decodes to the same. */
function reencodes(frames: readonly Frame[], payload: Uint8Array): void {
  const writer = new Writer(256);
  for (const frame of frames) {
    // A reason that held bad UTF-8 may have become longer than the bound.
    if (frame.type === 'close' && frame.reason.includes('\ufffd')) return;
    encodeFrame(writer, frame);
  }
  const again = new Writer(256);
  for (const frame of decodeFrames(writer.take())) encodeFrame(again, frame);
  const first = new Writer(256);
  for (const frame of frames) encodeFrame(first, frame);
  must(toHex(again.take()) === toHex(first.take()), 'does not encode to the same', payload);
}

function validPacket(prng: TestPrng): Uint8Array {
  const keyPhase = prng.pick([0, 1] as const);
  const packetNumber = prng.integer();
  const body = prng.bytes(16 + prng.below(40));
  const joined = (header: Uint8Array): Uint8Array => Uint8Array.from([...header, ...body]);
  switch (prng.below(7)) {
    case 0:
      return joined(dataHeader({ keyPhase, packetNumber }));
    case 1:
      return joined(dataHeader({ keyPhase, connectionId: prng.bytes(8), packetNumber }));
    case 2:
      return joined(joinHeader({ keyPhase, envelope: prng.bytes(40), packetNumber }));
    case 3:
      return encodeHello({
        envelope: prng.bytes(40),
        cookie: prng.chance(0.5) ? prng.bytes(16) : undefined,
        noise: body,
      });
    case 4:
      return encodeAccept({ echo: prng.bytes(8), noise: body });
    case 5:
      return encodeRetry({
        echo: prng.bytes(8),
        nonce: prng.bytes(12),
        sealedCookie: prng.bytes(32),
      });
    default:
      return encodeGone({ echo: prng.bytes(8), token: prng.bytes(16) });
  }
}

const fuzzPacket: Target = (prng) => {
  const bytes = someBytes(prng, validPacket);
  for (const kind of ['stream', 'datagram'] as const) {
    const packet = parsePacket(bytes, kind);
    if (packet === undefined) continue;
    for (const part of Object.values(packet) as unknown[]) {
      if (part instanceof Uint8Array) must(part.buffer === bytes.buffer, 'copied', bytes);
    }
    if (packet.type === 'data' || packet.type === 'join') {
      must(packet.header.length + packet.sealed.length === bytes.length, 'lost bytes', bytes);
    }
  }
};

function validParameters(prng: TestPrng): Uint8Array {
  return encodeParameters({
    ciphers: prng.pick([['AES-256-GCM'], ['ChaCha20-Poly1305', 'AES-256-GCM'], []] as const),
    maxData: prng.integer(),
    maxStreamData: prng.integer(),
    maxStreamsBidi: prng.integer(SPEC_MAX_STREAMS),
    maxStreamsUni: prng.integer(SPEC_MAX_STREAMS),
    maxAckDelayMs: prng.below(2 ** 14),
    maxPaths: prng.integer(),
    ...(prng.chance(0.5) ? { goneToken: prng.bytes(16) } : {}),
    ...(prng.chance(0.5) ? { instance: prng.bytes(1 + prng.below(32)) } : {}),
    ...(prng.chance(0.5) ? { epoch: prng.integer() } : {}),
    ...(prng.chance(0.5) ? { sessionId: prng.bytes(8) } : {}),
  });
}

const fuzzParameters: Target = (prng) => {
  const bytes = someBytes(prng, validParameters);
  const parameters = attempt(() => decodeParameters(bytes));
  if (parameters === undefined) return;
  must(parameters.ciphers.length <= 2, 'too many ciphers', bytes);
  must((parameters.instance?.length ?? 1) <= 32, 'instance too long', bytes);
  must(Number.isSafeInteger(parameters.maxData), 'not an integer', bytes);
  const encoded = encodeParameters(parameters);
  const again = encodeParameters(decodeParameters(encoded));
  must(toHex(again) === toHex(encoded), 'does not encode to the same', bytes);
};

function validRecords(prng: TestPrng): Uint8Array {
  const bytes: number[] = [];
  for (let i = prng.below(6); i >= 0; i--) {
    const body = prng.bytes(1 + prng.below(prng.chance(0.1) ? 1600 : 30));
    bytes.push(...recordHeader(body.length), ...body);
  }
  return Uint8Array.from(bytes);
}

/** What a reader makes of `stream`, cut where `size` says. */
function readRecords(stream: Uint8Array, maxBytes: number, size: () => number): string {
  const reader = new RecordReader();
  reader.maxRecordBytes = maxBytes;
  const found: string[] = [];
  for (let at = 0; at < stream.length; ) {
    const piece = stream.slice(at, at + size());
    at += piece.length;
    reader.push(piece);
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
      must(packet.length >= 1 && packet.length <= maxBytes, 'packet out of bounds', stream);
      found.push(toHex(packet));
    }
    must(reader.bufferedBytes <= maxBytes + 1, 'holds too much', stream);
  }
  return `${found.join(' ')} ${reader.failed ? 'failed' : reader.bufferedBytes}`;
}

const fuzzRecords: Target = (prng) => {
  const stream = someBytes(prng, validRecords);
  const maxBytes = prng.pick([1, 20, 1500, 65_535]);
  const whole = readRecords(stream, maxBytes, () => Math.max(stream.length, 1));
  const cut = readRecords(stream, maxBytes, () => 1 + prng.below(prng.chance(0.5) ? 4 : 400));
  must(whole === cut, 'T9: differs by how it is cut', stream);
};

const fuzzVarint: Target = (prng) => {
  const bytes = prng.bytes(prng.below(10));
  const reader = new Reader(bytes);
  const value = attempt(() => reader.varint());
  if (value === undefined) return;
  must(Number.isSafeInteger(value) && value >= 0, 'not an integer', bytes);
  must(reader.remaining < bytes.length, 'read nothing', bytes);
};

/** With the share of the cases that each gets. */
const TARGETS: readonly (readonly [string, Target, number])[] = [
  ['decodeFrames', fuzzFrames, 0.5],
  ['parsePacket', fuzzPacket, 0.15],
  ['decodeParameters', fuzzParameters, 0.15],
  ['RecordReader', fuzzRecords, 0.15],
  ['varint', fuzzVarint, 0.05],
];

describe(`T52: decoders survive any bytes, seed ${SEED}, ${CASES} cases`, () => {
  it.each(TARGETS)(
    '%s',
    (name, target, share) => {
      const count = Math.ceil(CASES * share);
      const from = ONLY === undefined ? 0 : Number(ONLY);
      const to = ONLY === undefined ? count : from + 1;
      for (let i = from; i < to; i++) {
        try {
          target(new TestPrng(Math.imul(SEED, 0x9e3779b1) ^ Math.imul(i, 0x85ebca6b)));
        } catch (error) {
          const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
          expect.fail(`${name}: replay with SEED=${SEED} FUZZ_CASE=${i}\n${cause}`);
        }
      }
    },
    // Generous: a million cases on a slow machine. Nothing here depends on the clock otherwise.
    1_800_000,
  );
});
