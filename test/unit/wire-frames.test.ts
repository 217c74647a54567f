import { describe, expect, it } from 'vitest';
import {
  type AckRange,
  decodeFrames,
  encodedLength,
  encodeFrame,
  type Frame,
  isAckEliciting,
  SPEC_MAX_ACK_RANGES,
  SPEC_MAX_FRAMES_PER_PACKET,
  SPEC_MAX_INTEGER,
  SPEC_MAX_STREAMS,
  streamHeaderLength,
  WireError,
  Writer,
  writeStreamHeader,
} from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

function encoded(...frames: Frame[]): Uint8Array {
  const writer = new Writer();
  for (const frame of frames) encodeFrame(writer, frame);
  return writer.take();
}

function failure(payload: Uint8Array): WireError {
  try {
    decodeFrames(payload);
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
  return expect.fail('was decoded');
}

function ack(ranges: readonly AckRange[]): Frame {
  return { type: 'ack', pathId: 0, largest: ranges[0]?.largest ?? 0, delayUs: 0, ranges };
}

describe('frames', () => {
  it('come out of a packet in the order in which they went in', () => {
    const frames: Frame[] = [
      { type: 'ping' },
      ack([
        { smallest: 7, largest: 9 },
        { smallest: 0, largest: 5 },
      ]),
      { type: 'padding', length: 3 },
      { type: 'stream', streamId: 4, offset: 0, data: fromHex('010203'), fin: false },
      { type: 'stream', streamId: 4, offset: 3, data: new Uint8Array(0), fin: true },
      { type: 'close', application: true, code: 9, reason: 'so long' },
    ];
    const payload = encoded(...frames);
    expect(decodeFrames(payload)).toEqual(frames);
    expect(payload).toHaveLength(frames.reduce((sum, frame) => sum + encodedLength(frame), 0));
  });

  it('give stream data and challenges as views of the payload', () => {
    const payload = encoded(
      { type: 'pathChallenge', data: new Uint8Array(8) },
      { type: 'stream', streamId: 0, offset: 0, data: fromHex('0102'), fin: false },
    );
    for (const frame of decodeFrames(payload)) {
      if ('data' in frame) expect(frame.data.buffer).toBe(payload.buffer);
    }
  });

  it('tells which are ack-eliciting', () => {
    expect(isAckEliciting({ type: 'padding', length: 1 })).toBe(false);
    expect(isAckEliciting(ack([{ smallest: 0, largest: 0 }]))).toBe(false);
    expect(isAckEliciting({ type: 'ping' })).toBe(true);
    expect(isAckEliciting({ type: 'maxData', maximum: 1 })).toBe(true);
    expect(isAckEliciting({ type: 'close', application: true, code: 0, reason: '' })).toBe(true);
  });

  it('R-FRAMES-1 an empty payload is an error of no frame', () => {
    expect(failure(new Uint8Array(0))).toMatchObject({ code: 'ERR_WIRE', frameType: 0 });
  });

  it('R-FRAMES-1 have a bounded number per packet, a run of padding counted once (T52)', () => {
    const pings = new Uint8Array(SPEC_MAX_FRAMES_PER_PACKET).fill(1);
    expect(decodeFrames(pings)).toHaveLength(SPEC_MAX_FRAMES_PER_PACKET);
    expect(failure(new Uint8Array(SPEC_MAX_FRAMES_PER_PACKET + 1).fill(1)).frameType).toBe(0);
    const padding = new Uint8Array(65_000);
    expect(decodeFrames(padding)).toEqual([{ type: 'padding', length: 65_000 }]);
  });

  it('of a type that is not minimal are known all the same', () => {
    expect(decodeFrames(fromHex('4001 80000010 05'))).toEqual([
      { type: 'ping' },
      { type: 'maxData', maximum: 5 },
    ]);
    expect(decodeFrames(fromHex('4000 00 01'))).toEqual([
      { type: 'padding', length: 3 },
      { type: 'ping' },
    ]);
  });
});

describe('R-FRAMES-1 frames that are refused', () => {
  it.each([
    ['unknown type', '03', 0x03],
    ['unknown long type', '4abc', 0xabc],
    ['unknown type after a good frame', '0122', 0x22],
    ['type cut off', '0140', 0],
    ['ACK cut off', '02000a00', 0x02],
    ['ACK with a first range below 0', '0200 05 00 00 06', 0x02],
    ['ACK with a gap below 0', '0200 05 00 01 02 02 00', 0x02],
    ['ACK with a second range below 0', '0200 0a 00 01 00 06 03', 0x02],
    ['ACK of 65 ranges', `0200 4fff 00 4040 00 ${'0000'.repeat(64)}`, 0x02],
    ['ACK of 2^53-1 more ranges', '0200 05 00 c01fffffffffffff 00', 0x02],
    ['RESET_STREAM cut off', '040001', 0x04],
    ['STOP_SENDING cut off', '0500', 0x05],
    ['STREAM with more length than bytes', '0a00 03 0102', 0x0a],
    ['STREAM beyond 2^53-1', '0e00 c01fffffffffffff 01 00', 0x0e],
    ['STREAM to the end of the packet beyond 2^53-1', '0c00 c01ffffffffffffe 0000', 0x0c],
    ['MAX_DATA beyond 2^53-1', '10 c020000000000000', 0x10],
    ['MAX_STREAMS beyond 2^51', '12 c008000000000001', 0x12],
    ['MAX_STREAMS beyond 2^51, unidirectional', '13 c008000000000001', 0x13],
    ['PATH_CHALLENGE of 7 bytes', '1a 01020304050607', 0x1a],
    ['PATH_RESPONSE of 7 bytes', '1b 01020304050607', 0x1b],
    ['CLOSE with 257 bytes of reason', `1c 00 00 4101 ${'61'.repeat(257)}`, 0x1c],
    ['APPLICATION_CLOSE with 257 bytes of reason', `1d 00 4101 ${'61'.repeat(257)}`, 0x1d],
    ['CLOSE with more reason than bytes', '1c 00 00 02 61', 0x1c],
    ['PATH_ABANDON cut off', '20 01', 0x20],
    ['PATH_STATUS of status 2', '21 01 01 02', 0x21],
    ['ACK of path 2^32', '02 c000000100000000 05 00 00 00', 0x02],
    ['PATH_ABANDON of path 2^32', '20 c000000100000000 00', 0x20],
    ['PATH_STATUS of path 2^32', '21 c000000100000000 00 00', 0x21],
  ])('%s', (_name, hex, frameType) => {
    expect(failure(fromHex(hex)).frameType).toBe(frameType);
  });

  it('whatever the cut, a frame that is cut off is refused or ends in other frames', () => {
    const close: Frame = {
      type: 'close',
      application: false,
      code: 300,
      frameType: 8,
      reason: 'x',
    };
    const whole = encoded(close);
    for (let end = 1; end < whole.length; end++) {
      expect(failure(whole.subarray(0, end)).frameType).toBe(0x1c);
    }
  });
});

describe('ACK', () => {
  it('carries up to 64 ranges', () => {
    const ranges: AckRange[] = [];
    for (let i = SPEC_MAX_ACK_RANGES - 1; i >= 0; i--) {
      ranges.push({ smallest: 100 * i, largest: 100 * i + i });
    }
    expect(decodeFrames(encoded(ack(ranges)))).toEqual([ack(ranges)]);
    const tooMany = [{ smallest: 10_000, largest: 10_000 }, ...ranges];
    expect(() => encoded(ack(tooMany))).toThrow(RangeError);
  });

  it('reaches from 0 to 2^53-1', () => {
    const frame = ack([{ smallest: 0, largest: SPEC_MAX_INTEGER }]);
    expect(decodeFrames(encoded(frame))).toEqual([frame]);
    const split = ack([
      { smallest: SPEC_MAX_INTEGER, largest: SPEC_MAX_INTEGER },
      { smallest: 0, largest: 0 },
    ]);
    expect(decodeFrames(encoded(split))).toEqual([split]);
    expect(encodedLength(split)).toBe(encoded(split).length);
  });

  it.each<[string, readonly AckRange[]]>([
    ['no range', []],
    ['a range upside down', [{ smallest: 2, largest: 1 }]],
    ['a negative range', [{ smallest: -1, largest: 1 }]],
    [
      'ranges that touch',
      [
        { smallest: 5, largest: 6 },
        { smallest: 0, largest: 4 },
      ],
    ],
    [
      'ranges that rise',
      [
        { smallest: 0, largest: 1 },
        { smallest: 5, largest: 6 },
      ],
    ],
  ])('is not encoded with %s', (_name, ranges) => {
    expect(() => encoded(ack(ranges))).toThrow(RangeError);
  });

  it('is not encoded with another largest than that of its first range', () => {
    const ranges = [{ smallest: 5, largest: 6 }];
    expect(() => encoded({ type: 'ack', pathId: 0, largest: 7, delayUs: 0, ranges })).toThrow(
      RangeError,
    );
  });
});

describe('STREAM', () => {
  it.each([
    [0, 0, undefined, false, '08 00'],
    [0, 0, undefined, true, '09 00'],
    [1, 0, 5, false, '0a 01 05'],
    [2, 64, undefined, false, '0c 02 4040'],
    [3, 64, 0, true, '0f 03 4040 00'],
    [4, SPEC_MAX_INTEGER - 5, 5, false, '0e 04 c01ffffffffffffa 05'],
  ])('header of stream %d, offset %d, length %s, fin %s', (id, offset, length, fin, hex) => {
    const writer = new Writer();
    writeStreamHeader(writer, id, offset, length, fin);
    expect(writer.length).toBe(streamHeaderLength(id, offset, length));
    expect(toHex(writer.take())).toBe(hex.replaceAll(' ', ''));
  });

  it('without a length runs to the end of the packet', () => {
    expect(decodeFrames(fromHex('0908 010203'))).toEqual([
      { type: 'stream', streamId: 8, offset: 0, data: fromHex('010203'), fin: true },
    ]);
  });

  it('ends at 2^53-1', () => {
    const writer = new Writer();
    expect(() => writeStreamHeader(writer, 0, SPEC_MAX_INTEGER, 1, false)).toThrow(RangeError);
    expect(decodeFrames(fromHex('0e00 c01ffffffffffffe 01 00'))).toHaveLength(1);
  });
});

describe('frames that can not be', () => {
  it.each<[string, Frame]>([
    ['padding of 0', { type: 'padding', length: 0 }],
    ['padding of NaN', { type: 'padding', length: Number.NaN }],
    ['a negative code', { type: 'stopSending', streamId: 0, code: -1 }],
    [
      '2^51 + 1 streams',
      { type: 'maxStreams', bidirectional: true, maximum: SPEC_MAX_STREAMS + 1 },
    ],
    ['an abandoned path 2^32', { type: 'pathAbandon', pathId: 2 ** 32, code: 0 }],
    [
      'the status of path 2^32',
      { type: 'pathStatus', pathId: 2 ** 32, sequence: 0, status: 'backup' },
    ],
    [
      'an ACK of path 2^32',
      {
        type: 'ack',
        pathId: 2 ** 32,
        largest: 0,
        delayUs: 0,
        ranges: [{ smallest: 0, largest: 0 }],
      },
    ],
    ['a challenge of 9 bytes', { type: 'pathChallenge', data: new Uint8Array(9) }],
    ['a long reason', { type: 'close', application: true, code: 0, reason: '€'.repeat(86) }],
    [
      'an application close with a frame type',
      { type: 'close', application: true, code: 0, frameType: 1, reason: '' },
    ],
  ])('%s throws RangeError', (_name, frame) => {
    expect(() => encoded(frame)).toThrow(RangeError);
  });
});

describe('CLOSE', () => {
  it('has frame type 0 where none is given', () => {
    const [frame] = decodeFrames(
      encoded({ type: 'close', application: false, code: 1, reason: '' }),
    );
    expect(frame).toMatchObject({ frameType: 0 });
  });

  it('R-CLOSE-1 replaces what is no UTF-8 in its reason', () => {
    expect(decodeFrames(fromHex('1d 00 03 41ff42'))).toEqual([
      { type: 'close', application: true, code: 0, reason: 'A\ufffdB' },
    ]);
  });
});
