import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  RecordReader,
  recordHeader,
  SPEC_MAX_PACKET_BYTES,
  SPEC_MAX_UNATTACHED_RECORD_BYTES,
} from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

function records(...packets: Uint8Array[]): Uint8Array {
  return Uint8Array.from(packets.flatMap((p) => [p.length >> 8, p.length & 0xff, ...p]));
}

function drained(reader: RecordReader): string[] {
  const packets: string[] = [];
  for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
    packets.push(toHex(packet));
  }
  return packets;
}

const PACKETS = [fromHex('01'), fromHex('020304'), fromHex('0506070809'), fromHex('0a0b')];
const STREAM = records(...PACKETS);

/** Runs `body` and returns how many bytes it allocated as typed arrays of a given length. */
function allocatedBytes(body: () => void): number {
  let bytes = 0;
  const Plain = Uint8Array;
  const Counting = new Proxy(Plain, {
    construct(target, args, newTarget) {
      if (typeof args[0] === 'number') bytes += args[0];
      return Reflect.construct(target, args, newTarget) as object;
    },
  });
  vi.stubGlobal('Uint8Array', Counting);
  body();
  vi.unstubAllGlobals();
  return bytes;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('recordHeader', () => {
  it('is the length in 2 bytes', () => {
    expect(toHex(recordHeader(1))).toBe('0001');
    expect(toHex(recordHeader(0x1234))).toBe('1234');
    expect(toHex(recordHeader(SPEC_MAX_PACKET_BYTES))).toBe('ffff');
    for (const bad of [0, -1, 65_536, 1.5]) expect(() => recordHeader(bad)).toThrow(RangeError);
  });
});

describe('RecordReader', () => {
  it('T9: every way to cut a stream in three gives the same packets', () => {
    const expected = PACKETS.map(toHex);
    for (let a = 0; a <= STREAM.length; a++) {
      for (let b = a; b <= STREAM.length; b++) {
        const reader = new RecordReader();
        const packets: string[] = [];
        for (const part of [STREAM.slice(0, a), STREAM.slice(a, b), STREAM.slice(b)]) {
          reader.push(part);
          packets.push(...drained(reader));
        }
        expect(packets).toEqual(expected);
        expect(reader.bufferedBytes).toBe(0);
      }
    }
  });

  it('T9: pushes that are read late give the same packets', () => {
    const reader = new RecordReader();
    for (const byte of STREAM) reader.push(Uint8Array.of(byte));
    expect(reader.bufferedBytes).toBe(STREAM.length);
    expect(drained(reader)).toEqual(PACKETS.map(toHex));
    expect(reader.bufferedBytes).toBe(0);
    reader.push(STREAM);
    expect(drained(reader)).toEqual(PACKETS.map(toHex));
  });

  it('T9: byte by byte, a packet comes out with its last byte and not before', () => {
    const reader = new RecordReader();
    const after: number[] = [];
    STREAM.forEach((byte, i) => {
      reader.push(Uint8Array.of(byte));
      if (drained(reader).length > 0) after.push(i);
    });
    expect(after).toEqual([2, 7, 14, 18]);
  });

  it('gives a packet inside one push as a view, and a split one assembled', () => {
    const reader = new RecordReader();
    reader.push(STREAM.subarray(0, 5));
    expect(reader.next()?.buffer).toBe(STREAM.buffer);
    expect(reader.next()).toBeUndefined();
    expect(reader.bufferedBytes).toBe(2);
    reader.push(STREAM.subarray(5));
    const whole = reader.next();
    expect(whole?.buffer).toBe(STREAM.buffer);
    reader.push(records(new Uint8Array(5)).subarray(0, 3));
    drained(reader);
    reader.push(new Uint8Array(4));
    expect(reader.next()).toHaveLength(5);
  });

  it('T10, R-RECORD-1: length 0 fails, for good', () => {
    const reader = new RecordReader();
    reader.push(Uint8Array.of(0, 1, 7, 0, 0, 0, 1, 7));
    expect(reader.next()).toEqual(Uint8Array.of(7));
    expect(reader.failed).toBe(false);
    expect(reader.next()).toBeUndefined();
    expect(reader.failed).toBe(true);
    expect(reader.bufferedBytes).toBe(0);
    reader.push(STREAM);
    expect(reader.next()).toBeUndefined();
    expect(reader.bufferedBytes).toBe(0);
  });

  it('T10, R-RECORD-2: before attach 1500 bytes pass and 1501 fail without any allocation', () => {
    const most = new RecordReader();
    most.push(recordHeader(SPEC_MAX_UNATTACHED_RECORD_BYTES));
    most.push(new Uint8Array(SPEC_MAX_UNATTACHED_RECORD_BYTES));
    expect(most.next()).toHaveLength(SPEC_MAX_UNATTACHED_RECORD_BYTES);

    const reader = new RecordReader();
    const header = recordHeader(SPEC_MAX_UNATTACHED_RECORD_BYTES + 1);
    const body = new Uint8Array(10);
    const bytes = allocatedBytes(() => {
      reader.push(header);
      reader.next();
      reader.push(body);
      reader.next();
    });
    expect(reader.failed).toBe(true);
    expect(bytes).toBe(0);
  });

  it('T10: a declared length allocates nothing until bytes come, then in their proportion', () => {
    const reader = new RecordReader();
    reader.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
    const header = recordHeader(SPEC_MAX_PACKET_BYTES);
    const none = allocatedBytes(() => {
      reader.push(header);
      reader.next();
    });
    expect(none).toBe(0);
    const body = new Uint8Array(1000);
    const some = allocatedBytes(() => {
      reader.push(body);
      reader.next();
    });
    expect(some).toBeLessThanOrEqual(2 * body.length);
    expect(some).toBeGreaterThan(0);
  });

  it('T10: a long record fed byte by byte costs memory linear in its length', () => {
    const reader = new RecordReader();
    reader.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
    const parts = Array.from({ length: 40_000 }, (_, i) => Uint8Array.of(i & 0xff));
    const header = recordHeader(40_000);
    let packet: Uint8Array | undefined;
    const bytes = allocatedBytes(() => {
      reader.push(header);
      for (const part of parts) {
        reader.push(part);
        packet = reader.next();
      }
    });
    expect(packet).toHaveLength(40_000);
    expect(packet?.every((byte, i) => byte === (i & 0xff))).toBe(true);
    expect(packet?.buffer.byteLength).toBe(40_000);
    expect(bytes).toBeLessThan(4 * 40_000);
  });

  it('looks at the maximum when it comes to a header, so that attaching in time is enough', () => {
    const reader = new RecordReader();
    reader.push(records(PACKETS[0] ?? new Uint8Array(1), new Uint8Array(5000)));
    expect(reader.next()).toHaveLength(1);
    reader.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
    expect(reader.next()).toHaveLength(5000);
    expect(reader.failed).toBe(false);
  });

  it('ignores empty pushes', () => {
    const reader = new RecordReader();
    reader.push(new Uint8Array(0));
    expect(reader.next()).toBeUndefined();
    reader.push(STREAM);
    reader.push(new Uint8Array(0));
    expect(drained(reader)).toHaveLength(4);
  });
});

describe('records whose memory is used again', () => {
  it('come out whole one by one, also if each is split', () => {
    const reader = new RecordReader();
    reader.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
    reader.reusesMemory = true;
    const bodies = Array.from({ length: 40 }, (_, i) => new Uint8Array(1 + 997 * i).fill(i));
    const parts = bodies.flatMap((one) => [recordHeader(one.length), one]);
    const stream = new Uint8Array(Buffer.concat(parts));
    let count = 0;
    for (let at = 0; at < stream.length; at += 5_000) {
      reader.push(stream.slice(at, at + 5_000));
      for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
        expect(Buffer.compare(packet, bodies[count] ?? packet.subarray(1))).toBe(0);
        count += 1;
      }
    }
    expect(count).toBe(bodies.length);
    expect(reader.bufferedBytes).toBe(0);
  });
});
