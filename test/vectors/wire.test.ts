/**
 * The vectors of the wire layer against the codec, in both directions, and against the second
 * decoder. They are written by scripts/make-vectors-wire.mjs.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  dataHeader,
  decodeFrames,
  decodeParameters,
  encodeAccept,
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
  WireError,
  Writer,
} from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';
import {
  secondFrames,
  secondPacket,
  secondPacketNumber,
  secondParameters,
  secondRecords,
  secondVarint,
} from './second-decoder.js';

type Plain = Record<string, unknown>;
type Carrier = 'stream' | 'datagram';

interface Invalid {
  name: string;
  hex: string;
  reason: string;
}

interface FrameVectors {
  varints: { hex: string; value: number; decodeOnly?: string }[];
  invalidVarints: { hex: string; reason: string }[];
  valid: { name: string; hex: string; frames: Plain[]; decodeOnly?: string }[];
  invalid: (Invalid & { frameType: number })[];
}

interface PacketVectors {
  valid: { name: string; carriers: Carrier[]; hex: string; packet: Plain; packetNumber?: number }[];
  invalid: (Invalid & { carriers: Carrier[] })[];
  packetNumbers: { truncated: number; largest: number; number: number }[];
  records: {
    name: string;
    maxRecordBytes: number;
    hex: string;
    packets: string[];
    failed: boolean;
  }[];
}

interface ParameterVectors {
  valid: { name: string; hex: string; parameters: Plain; decodeOnly?: string }[];
  invalid: Invalid[];
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as T;
}

const FRAMES = read<FrameVectors>('./frames.json');
const PACKETS = read<PacketVectors>('./packets.json');
const PARAMETERS = read<ParameterVectors>('./parameters.json');

/** Which fields are bytes; in the vectors they are hexadecimal. */
const BYTE_FIELDS = new Set([
  ...['data', 'connectionId', 'header', 'sealed', 'envelope', 'cookie', 'noise', 'echo', 'nonce'],
  ...['sealedCookie', 'token', 'goneToken', 'instance', 'sessionId'],
]);

/** Values of the codec in the form of the vectors. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** Vectors in the form of the codec. */
function live<T>(fields: Plain): T {
  const entries = Object.entries(fields).map(([key, value]) => {
    return [key, BYTE_FIELDS.has(key) && typeof value === 'string' ? fromHex(value) : value];
  });
  return Object.fromEntries(entries) as T;
}

describe('frames.json', () => {
  it.each(FRAMES.varints)('varint $hex', ({ hex, value, decodeOnly }) => {
    expect(new Reader(fromHex(hex)).varint()).toBe(value);
    expect(secondVarint(hex)).toBe(value);
    if (decodeOnly !== undefined) return;
    const writer = new Writer();
    writer.varint(value);
    expect(toHex(writer.take())).toBe(hex);
  });

  it.each(FRAMES.invalidVarints)('invalid varint $hex: $reason', ({ hex }) => {
    expect(() => new Reader(fromHex(hex)).varint()).toThrow(WireError);
    expect(() => secondVarint(hex)).toThrow();
  });

  it.each(FRAMES.valid)('$name', ({ hex, frames, decodeOnly }) => {
    expect(plain(decodeFrames(fromHex(hex)))).toEqual(frames);
    expect(secondFrames(hex)).toEqual(frames);
    const writer = new Writer();
    for (const frame of frames) encodeFrame(writer, live<Frame>(frame));
    const encoded = toHex(writer.take());
    if (decodeOnly === undefined) expect(encoded).toBe(hex);
    else expect(encoded).not.toBe(hex);
  });

  it.each(FRAMES.invalid)('invalid: $name', ({ hex, frameType }) => {
    let error: unknown;
    try {
      decodeFrames(fromHex(hex));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(WireError);
    expect(error).toMatchObject({ frameType });
    expect(() => secondFrames(hex)).toThrow();
  });

  it('has every type of the table in protocol.md, valid, and invalid where it can be', () => {
    const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
    const section = text.slice(text.indexOf('<a id="frames">'), text.indexOf('<a id="ack">'));
    const types: number[] = [];
    for (const [, cell = ''] of section.matchAll(/^\| (0x[^|]*) \|/gm)) {
      const numbers = cell.split(/[-,] ?/).map(Number);
      const [first = 0, last = first] = numbers;
      for (let type = first; type <= last; type++) types.push(type);
    }
    expect(types.length).toBeGreaterThanOrEqual(23);
    const alone = FRAMES.valid.filter(({ frames }) => frames.length === 1);
    const valid = new Set(alone.map(({ hex }) => fromHex(hex)[0]));
    expect(types.filter((type) => !valid.has(type))).toEqual([]);
    // PADDING and PING are nothing but their type; what is wrong in one STREAM is in all.
    const fallible = types.filter((type) => type > 0x01 && (type < 0x08 || type > 0x0f));
    const invalid = new Set(FRAMES.invalid.map(({ frameType }) => frameType));
    expect(fallible.filter((type) => !invalid.has(type))).toEqual([]);
  });
});

/** Encodes what the vector says; DATA and JOIN from the whole packet number. */
function encodePacket(fields: Plain, packetNumber = 0): string {
  const packet = live<Packet>(fields);
  switch (packet.type) {
    case 'data':
      return toHex(dataHeader({ ...packet, packetNumber })) + toHex(packet.sealed);
    case 'join':
      return toHex(joinHeader({ ...packet, packetNumber })) + toHex(packet.sealed);
    case 'hello':
      return toHex(encodeHello(packet));
    case 'accept':
      return toHex(encodeAccept(packet));
    case 'retry':
      return toHex(encodeRetry(packet));
    case 'gone':
      return toHex(encodeGone(packet));
  }
}

describe('packets.json', () => {
  it.each(PACKETS.valid)('$name', ({ carriers, hex, packet, packetNumber }) => {
    for (const carrier of carriers) {
      expect(plain(parsePacket(fromHex(hex), carrier))).toEqual(packet);
      expect(secondPacket(hex, carrier)).toEqual(packet);
    }
    expect(encodePacket(packet, packetNumber)).toBe(hex);
  });

  it.each(PACKETS.invalid)('invalid: $name', ({ carriers, hex }) => {
    for (const carrier of carriers) {
      expect(parsePacket(fromHex(hex), carrier)).toBeUndefined();
      expect(() => secondPacket(hex, carrier)).toThrow();
    }
  });

  it('has every type of packet', () => {
    const types = new Set(PACKETS.valid.map(({ packet }) => packet['type']));
    expect([...types]).toEqual(['data', 'hello', 'accept', 'retry', 'gone', 'join']);
  });

  it.each(PACKETS.packetNumbers)(
    'number $truncated after $largest',
    ({ truncated, largest, number }) => {
      expect(expandPacketNumber(truncated, largest)).toBe(number);
      expect(secondPacketNumber(truncated, largest)).toBe(number);
    },
  );

  it.each(PACKETS.records)('records: $name', ({ maxRecordBytes, hex, packets, failed }) => {
    const reader = new RecordReader();
    reader.maxRecordBytes = maxRecordBytes;
    reader.push(fromHex(hex));
    const found: string[] = [];
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
      found.push(toHex(packet));
    }
    expect({ packets: found, failed: reader.failed }).toEqual({ packets, failed });
    expect(secondRecords(hex, maxRecordBytes)).toEqual({ packets, failed });
    const again = packets.map((packet) => toHex(recordHeader(packet.length / 2)) + packet).join('');
    expect(hex.startsWith(again)).toBe(true);
  });
});

describe('parameters.json', () => {
  it.each(PARAMETERS.valid)('$name', ({ hex, parameters, decodeOnly }) => {
    expect(plain(decodeParameters(fromHex(hex)))).toEqual(parameters);
    expect(secondParameters(hex)).toEqual(parameters);
    const encoded = toHex(encodeParameters(live<Parameters>(parameters)));
    if (decodeOnly === undefined) expect(encoded).toBe(hex);
    else expect(encoded).not.toBe(hex);
  });

  it.each(PARAMETERS.invalid)('invalid: $name, $reason', ({ hex }) => {
    expect(() => decodeParameters(fromHex(hex))).toThrow(WireError);
    expect(() => secondParameters(hex)).toThrow();
  });
});
