/**
 * Writes the test vectors of the wire layer: test/vectors/{frames,packets,parameters}.json.
 *
 *     npx tsc -b src/wire && node scripts/make-vectors-wire.mjs
 *
 * Valid vectors are encoded by the codec from the fields given here; the others are given here in
 * hexadecimal. test/vectors/wire.test.ts checks them against the codec in both directions, and
 * against a second decoder that was written from docs/protocol.md.
 */
import { writeFileSync } from 'node:fs';
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
  joinHeader,
  parsePacket,
  Reader,
  RecordReader,
  Writer,
} from '../dist/wire/index.js';

const MAX = Number.MAX_SAFE_INTEGER;
const MAX_PATH_ID = 2 ** 32 - 1;

const toHex = (bytes) => Buffer.from(bytes).toString('hex');
const fromHex = (hex) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const run = (length, from = 0) => Uint8Array.from({ length }, (_, i) => from + i);

/** The same with bytes in hexadecimal. */
function plain(value) {
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function write(name, content) {
  const path = new URL(`../test/vectors/${name}.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
}

/** Stops the script unless the codec refuses the bytes. */
function refused(name, decode) {
  let result;
  try {
    result = decode();
  } catch (error) {
    if (error.code === 'ERR_WIRE') return error;
    throw error;
  }
  if (result !== undefined) throw new Error(`not refused: ${name}`);
  return undefined;
}

// Frames

const stream = (streamId, offset, data, fin = false) => ({
  type: 'stream',
  streamId,
  offset,
  data,
  fin,
});
const ack = (pathId, delayUs, ...pairs) => ({
  type: 'ack',
  pathId,
  largest: pairs[0][1],
  delayUs,
  ranges: pairs.map(([smallest, largest]) => ({ smallest, largest })),
});
const manyRanges = Array.from({ length: 64 }, (_, i) => [1000 - 10 * i, 1003 - 10 * i]);

const FRAMES = [
  ['one byte of padding', [{ type: 'padding', length: 1 }]],
  ['a run of padding', [{ type: 'padding', length: 20 }]],
  ['more padding than frames are allowed', [{ type: 'padding', length: 4200 }]],
  ['ping', [{ type: 'ping' }]],
  ['ack of packet 0', [ack(0, 0, [0, 0])]],
  ['ack of one range', [ack(3, 1500, [90, 100])]],
  ['ack with the least gap', [ack(0, 25_000, [10, 20], [5, 8])]],
  ['ack down to packet 0', [ack(1, 70, [100_000, 100_200], [500, 600], [0, 0])]],
  ['ack of 64 ranges', [ack(2, 16_384, ...manyRanges)]],
  ['ack of all numbers', [ack(MAX_PATH_ID, MAX, [0, MAX])]],
  ['ack of the first and the last number', [ack(0, 0, [MAX, MAX], [0, 0])]],
  ['reset stream', [{ type: 'resetStream', streamId: 5, code: 300, finalSize: 1_000_000 }]],
  [
    'reset stream, all at most',
    [{ type: 'resetStream', streamId: MAX, code: MAX, finalSize: MAX }],
  ],
  ['stop sending', [{ type: 'stopSending', streamId: 0, code: 0 }]],
  ['stop sending, all at most', [{ type: 'stopSending', streamId: MAX, code: MAX }]],
  ['stream at offset 0', [stream(0, 0, run(5, 1))]],
  ['stream at offset 0, fin', [stream(4, 0, run(5, 1), true)]],
  ['stream at an offset', [stream(2, 1_000_000, run(70))]],
  ['stream at an offset, fin', [stream(3, 16_384, run(1, 7), true)]],
  ['stream, nothing but fin', [stream(8, 64, run(0), true)]],
  ['stream, nothing at all', [stream(8, 0, run(0))]],
  ['stream up to 2^53-1', [stream(MAX, MAX - 3, run(3), true)]],
  ['max data 0', [{ type: 'maxData', maximum: 0 }]],
  ['max data at most', [{ type: 'maxData', maximum: MAX }]],
  ['max stream data', [{ type: 'maxStreamData', streamId: 12, maximum: 1_048_576 }]],
  ['max streams, bidirectional', [{ type: 'maxStreams', bidirectional: true, maximum: 100 }]],
  ['max streams, unidirectional', [{ type: 'maxStreams', bidirectional: false, maximum: 3 }]],
  ['max streams 2^51', [{ type: 'maxStreams', bidirectional: true, maximum: 2 ** 51 }]],
  ['max streams 2^51, uni', [{ type: 'maxStreams', bidirectional: false, maximum: 2 ** 51 }]],
  ['path challenge', [{ type: 'pathChallenge', data: run(8, 0xf0) }]],
  ['path response', [{ type: 'pathResponse', data: run(8, 0xf0) }]],
  ['close', [{ type: 'close', application: false, code: 6, frameType: 0x1a, reason: 'bad frame' }]],
  [
    'close without words',
    [{ type: 'close', application: false, code: 0, frameType: 0, reason: '' }],
  ],
  [
    'close with the longest reason',
    [{ type: 'close', application: false, code: 1, frameType: 0, reason: 'x'.repeat(256) }],
  ],
  ['application close', [{ type: 'close', application: true, code: 42, reason: 'Grüße 😀' }]],
  ['application close at most', [{ type: 'close', application: true, code: MAX, reason: '' }]],
  ['path abandon', [{ type: 'pathAbandon', pathId: 2, code: 1 }]],
  ['path abandon, all at most', [{ type: 'pathAbandon', pathId: MAX_PATH_ID, code: MAX }]],
  [
    'server addresses',
    [
      {
        type: 'serverAddresses',
        sequence: 3,
        avoidFirst: true,
        addresses: ['192.0.2.7:7600', '[2001:db8::7]:7600', 'wss://roving.example/päth'],
      },
    ],
  ],
  [
    'no server addresses',
    [{ type: 'serverAddresses', sequence: MAX, avoidFirst: false, addresses: [] }],
  ],
  [
    'server addresses at most',
    [
      {
        type: 'serverAddresses',
        sequence: 0,
        avoidFirst: false,
        addresses: [255, 255, 255, 247, ...Array(12).fill(1)].map((length) => 'a'.repeat(length)),
      },
    ],
  ],
  ['path status available', [{ type: 'pathStatus', pathId: 1, sequence: 0, status: 'available' }]],
  ['path status backup', [{ type: 'pathStatus', pathId: 70, sequence: 300, status: 'backup' }]],
  [
    'path status, all at most',
    [{ type: 'pathStatus', pathId: MAX_PATH_ID, sequence: MAX, status: 'backup' }],
  ],
  [
    'several frames',
    [
      ack(0, 12, [7, 9]),
      { type: 'maxData', maximum: 1 << 20 },
      stream(0, 0, run(3)),
      stream(4, 9, run(2), true),
      { type: 'ping' },
      { type: 'padding', length: 4 },
    ],
  ],
];

/** [name, hex, why an encoder would write it otherwise] */
const FRAMES_DECODE_ONLY = [
  ['stream to the end of the packet', '08 04 010203', 'no length'],
  ['stream to the end of the packet, fin', '09 04 010203', 'no length'],
  ['stream at an offset to the end of the packet', '0c 04 4400 010203', 'no length'],
  ['stream at an offset to the end of the packet, fin', '0d 04 4400', 'no length'],
  ['frame before a stream to the end of the packet', '01 08 00 00', 'no length'],
  ['offset that is 0', '0e 00 00 01 ff', 'an offset of 0 is left out'],
  ['type in 2 bytes', '4001', 'varint not minimal'],
  ['type in 8 bytes', 'c000000000000010 05', 'varint not minimal'],
  ['padding in 2 bytes', '4000 00', 'varint not minimal'],
  ['field in 4 bytes', '05 80000001 4002', 'varint not minimal'],
  ['reason that is no UTF-8', '1d 00 04 61ff80 62', 'each bad sequence becomes U+FFFD'],
];

/** [name, hex, reason, type of the frame at fault] */
const FRAMES_INVALID = [
  ['empty payload', '', 'a packet holds one or more frames', 0],
  ['type 0x03', '03', 'unknown type', 0x03],
  ['type 0x06', '06 00 00', 'unknown type', 0x06],
  ['type 0x14', '14 00', 'unknown type', 0x14],
  ['type 0x22 after a ping', '01 22', 'unknown type', 0x22],
  ['type in 2 bytes', '4abc', 'unknown type', 0xabc],
  ['type cut off', '80 00 00', 'truncated', 0],
  ['type beyond 2^53-1', 'c020000000000001', 'integer beyond 2^53-1', 0],
  ['ack cut off before the first range', '02 00 05 00 00', 'truncated', 0x02],
  ['ack cut off in a gap', '02 00 05 00 01 00', 'truncated', 0x02],
  ['ack, first range below 0', '02 00 05 00 00 06', 'packet number below 0', 0x02],
  ['ack, gap below 0', '02 00 05 00 01 00 04 00', 'packet number below 0', 0x02],
  ['ack, second range below 0', '02 00 09 00 01 00 04 04', 'packet number below 0', 0x02],
  ['ack of 65 ranges', `02 00 4fff 00 4040 00 ${'0000'.repeat(64)}`, 'more than 64 ranges', 0x02],
  ['ack of path 2^32', '02 c000000100000000 05 00 00 00', 'path id beyond 2^32-1', 0x02],
  ['reset stream cut off', '04 00 00', 'truncated', 0x04],
  ['stop sending cut off', '05 00', 'truncated', 0x05],
  ['stream without id', '08', 'truncated', 0x08],
  ['stream with more length than bytes', '0a 00 04 010203', 'truncated', 0x0a],
  ['stream beyond 2^53-1', '0e 00 c01fffffffffffff 01 00', 'data beyond 2^53-1', 0x0e],
  ['stream to the end beyond 2^53-1', '0d 00 c01ffffffffffffe 0000', 'data beyond 2^53-1', 0x0d],
  ['max data beyond 2^53-1', '10 c020000000000000', 'integer beyond 2^53-1', 0x10],
  ['max data of 2^62-1', '10 ffffffffffffffff', 'integer beyond 2^53-1', 0x10],
  ['max stream data cut off', '11 04', 'truncated', 0x11],
  ['max streams beyond 2^51', '12 c008000000000001', 'more than 2^51 streams', 0x12],
  ['max streams beyond 2^51, uni', '13 c008000000000001', 'more than 2^51 streams', 0x13],
  ['path challenge of 7 bytes', '1a 00010203040506', 'truncated', 0x1a],
  ['path response of 7 bytes', '1b 00010203040506', 'truncated', 0x1b],
  ['close with 257 bytes of reason', `1c 00 00 4101 ${'78'.repeat(257)}`, 'reason too long', 0x1c],
  ['application close, 257 bytes', `1d 00 4101 ${'78'.repeat(257)}`, 'reason too long', 0x1d],
  ['close with more reason than bytes', '1c 00 00 05 68656c6c', 'truncated', 0x1c],
  ['path abandon cut off', '20 00', 'truncated', 0x20],
  ['path abandon of path 2^32', '20 c000000100000000 00', 'path id beyond 2^32-1', 0x20],
  ['server addresses, flag 2', '22 00 02 00', 'unknown flag', 0x22],
  ['17 server addresses', `22 00 00 11 ${'0161'.repeat(17)}`, 'too many addresses', 0x22],
  ['server address of no bytes', '22 00 00 01 00', 'empty address', 0x22],
  ['server address of 256 bytes', `22 00 00 01 4100 ${'61'.repeat(256)}`, 'too long', 0x22],
  [
    'server addresses of 1025 bytes',
    `22 00 00 05 ${`40ff${'61'.repeat(255)}`.repeat(4)} 05 ${'61'.repeat(5)}`,
    'too long together',
    0x22,
  ],
  ['server address cut off', '22 00 00 01 05 616263', 'truncated', 0x22],
  ['path status 2', '21 00 00 02', 'status neither 0 nor 1', 0x21],
  ['path status of path 2^32', '21 c000000100000000 00 00', 'path id beyond 2^32-1', 0x21],
  ['4097 frames', '01'.repeat(4097), 'more than 4096 frames', 0],
];

const VARINTS = [
  ...[0, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, 2 ** 32 - 1, 2 ** 32, MAX].map((value) => {
    const writer = new Writer();
    writer.varint(value);
    return { hex: toHex(writer.take()), value };
  }),
  ...['4025', '80000025', 'c000000000000025'].map((hex) => ({
    hex,
    value: new Reader(fromHex(hex)).varint(),
    decodeOnly: 'not minimal',
  })),
];

const VARINTS_INVALID = [
  ['', 'truncated'],
  ['40', 'truncated'],
  ['bfffff', 'truncated'],
  ['c01fffffffffff', 'truncated'],
  ['c020000000000000', 'beyond 2^53-1'],
  ['ffffffffffffffff', 'beyond 2^53-1'],
];

function encodeFrames(frames) {
  const writer = new Writer();
  for (const frame of frames) encodeFrame(writer, frame);
  return writer.take();
}

write('frames', {
  about:
    'protocol.md sections 2.1 and 7. Bytes in hexadecimal. Entries with decodeOnly are valid, but not what this encoder writes. frameType: of the frame at fault, 0 if not in one.',
  varints: VARINTS,
  invalidVarints: VARINTS_INVALID.map(([hex, reason]) => {
    refused(hex, () => new Reader(fromHex(hex)).varint());
    return { hex, reason };
  }),
  valid: [
    ...FRAMES.map(([name, frames]) => {
      return { name, hex: toHex(encodeFrames(frames)), frames: plain(frames) };
    }),
    ...FRAMES_DECODE_ONLY.map(([name, spaced, decodeOnly]) => {
      const bytes = fromHex(spaced);
      return { name, hex: toHex(bytes), frames: plain(decodeFrames(bytes)), decodeOnly };
    }),
  ],
  invalid: FRAMES_INVALID.map(([name, spaced, reason, frameType]) => {
    const bytes = fromHex(spaced);
    const error = refused(name, () => decodeFrames(bytes));
    if (error?.frameType !== frameType) throw new Error(`other frame type: ${name}`);
    return { name, hex: toHex(bytes), reason, frameType };
  }),
});

// Packets

const BOTH = ['stream', 'datagram'];
const envelope = run(40, 0x10);
const connectionId = run(8, 0xc0);
const echo = run(8, 0x10);
const noise = run(48, 0x80);
const cookie = run(16, 0x50);
const sealed = run(20, 0x60);
const tagOnly = run(16, 0x60);
const joined = (header, body) => Uint8Array.from([...header, ...body]);

/** [name, carriers, bytes, whole packet number] */
const PACKETS = [
  ['data', ['stream'], joined(dataHeader({ keyPhase: 0, packetNumber: 0 }), sealed), 0],
  [
    'data, key phase 1',
    ['stream'],
    joined(dataHeader({ keyPhase: 1, packetNumber: 258 }), sealed),
    258,
  ],
  [
    'data, no frame inside',
    ['stream'],
    joined(dataHeader({ keyPhase: 0, packetNumber: 1 }), tagOnly),
    1,
  ],
  [
    'data with connection id',
    ['datagram'],
    joined(dataHeader({ keyPhase: 0, connectionId, packetNumber: 7 }), sealed),
    7,
  ],
  [
    'data with connection id, key phase 1, last packet number',
    ['datagram'],
    joined(dataHeader({ keyPhase: 1, connectionId, packetNumber: MAX }), sealed),
    MAX,
  ],
  [
    'data, number just over 32 bits',
    ['datagram'],
    joined(dataHeader({ keyPhase: 0, connectionId, packetNumber: 2 ** 32 + 1 }), sealed),
    2 ** 32 + 1,
  ],
  ['hello', BOTH, encodeHello({ envelope, noise })],
  ['hello with cookie', BOTH, encodeHello({ envelope, cookie, noise })],
  ['accept', BOTH, encodeAccept({ echo, noise })],
  ['retry', BOTH, encodeRetry({ echo, nonce: run(12, 0x30), sealedCookie: run(32, 0x40) })],
  ['gone', BOTH, encodeGone({ echo, token: run(16, 0x70) })],
  ['join', BOTH, joined(joinHeader({ keyPhase: 0, envelope, packetNumber: 0 }), sealed), 0],
  [
    'join, key phase 1',
    BOTH,
    joined(joinHeader({ keyPhase: 1, envelope, packetNumber: 2 ** 40 + 3 }), sealed),
    2 ** 40 + 3,
  ],
];

const z = (count) => '00'.repeat(count);

/** [name, carriers, hex, reason] */
const PACKETS_INVALID = [
  ['nothing', BOTH, '', 'no first byte'],
  ...['02', '40', '81', '8f', '91', 'a1', 'b1', 'c2', 'd0', 'ff'].map((first) => {
    return [`first byte ${first}`, BOTH, `${first}${z(80)}`, 'unknown first byte'];
  }),
  ['data, 15 bytes sealed', ['stream'], `00 00000000 ${z(15)}`, 'no room for a tag'],
  ['data, 15 bytes sealed', ['datagram'], `00 ${z(8)} 00000000 ${z(15)}`, 'no room for a tag'],
  ['data cut off in its connection id', ['datagram'], '00 c0c1c2', 'truncated'],
  ['data cut off in its packet number', ['stream'], '01 0000', 'truncated'],
  ['hello cut off in its envelope', BOTH, `80 ${z(39)}`, 'truncated'],
  ['hello without cookie length', BOTH, `80 ${z(40)}`, 'truncated'],
  ['hello with a cookie of 1', BOTH, `80 ${z(40)} 01 ${z(60)}`, 'cookie length neither 0 nor 16'],
  ['hello with a cookie of 17', BOTH, `80 ${z(40)} 11 ${z(60)}`, 'cookie length neither 0 nor 16'],
  ['hello cut off in its cookie', BOTH, `80 ${z(40)} 10 ${z(15)}`, 'truncated'],
  ['accept cut off in its echo', BOTH, `90 ${z(7)}`, 'truncated'],
  ['retry, one byte short', BOTH, `a0 ${z(51)}`, 'truncated'],
  ['retry, one byte long', BOTH, `a0 ${z(53)}`, 'trailing byte'],
  ['gone, one byte short', BOTH, `b0 ${z(23)}`, 'truncated'],
  ['gone, one byte long', BOTH, `b0 ${z(25)}`, 'trailing byte'],
  ['join cut off in its envelope', BOTH, `c0 ${z(39)}`, 'truncated'],
  ['join, 15 bytes sealed', BOTH, `c1 ${z(40)} 00000000 ${z(15)}`, 'no room for a tag'],
];

/** [truncated, largest received] */
const NUMBERS = [
  [0, -1],
  [9, -1],
  [0xffff_ffff, -1],
  [0, 0xffff_ffff],
  [0xffff_ffff, 2 ** 32 + 5],
  [0x8000_0000, 5 * 2 ** 32 - 1],
  [0x8000_0001, 5 * 2 ** 32 - 1],
  [0x9b32, 0xa82f30ea],
  [0xffff_ffff, MAX - 1],
  [0xffff_ffff, MAX],
  [0, MAX],
];

/** [name, most bytes, hex] */
const RECORDS = [
  ['no bytes', 1500, ''],
  ['three records', 1500, '0001 aa 0003 010203 0002 bbcc'],
  ['a record and the half of one', 1500, '0001 aa 0003 0102'],
  ['a record and half a length', 1500, '0001 aa 00'],
  ['length 0', 1500, '0001 aa 0000 0001 bb'],
  ['1500 bytes before attach', 1500, `05dc ${'11'.repeat(1500)}`],
  ['1501 bytes before attach', 1500, '05dd'],
  ['1501 bytes after attach', 65_535, `05dd ${'11'.repeat(1501)} 0001 22`],
];

write('packets', {
  about:
    'protocol.md sections 2.2 and 3. Bytes in hexadecimal. carriers: the kinds on which the bytes mean this. packetNumber: the whole number whose low 32 bits are in the packet.',
  valid: PACKETS.map(([name, carriers, bytes, packetNumber]) => ({
    name,
    carriers,
    hex: toHex(bytes),
    packet: plain(parsePacket(bytes, carriers[0])),
    ...(packetNumber === undefined ? {} : { packetNumber }),
  })),
  invalid: PACKETS_INVALID.map(([name, carriers, spaced, reason]) => {
    const bytes = fromHex(spaced);
    for (const carrier of carriers) refused(name, () => parsePacket(bytes, carrier));
    return { name, carriers, hex: toHex(bytes), reason };
  }),
  packetNumbers: NUMBERS.map(([truncated, largest]) => {
    return { truncated, largest, number: expandPacketNumber(truncated, largest) };
  }),
  records: RECORDS.map(([name, maxRecordBytes, spaced]) => {
    const reader = new RecordReader();
    reader.maxRecordBytes = maxRecordBytes;
    reader.push(fromHex(spaced));
    const packets = [];
    for (let packet = reader.next(); packet; packet = reader.next()) packets.push(toHex(packet));
    return {
      name,
      maxRecordBytes,
      hex: spaced.replaceAll(' ', ''),
      packets,
      failed: reader.failed,
    };
  }),
});

// Parameters

const SOME = {
  ciphers: ['AES-256-GCM', 'ChaCha20-Poly1305'],
  maxData: 16_777_216,
  maxStreamData: 1_048_576,
  maxStreamsBidi: 100,
  maxStreamsUni: 10,
  maxAckDelayMs: 25,
  maxPaths: 8,
};

const PARAMETERS = [
  ['a client', SOME],
  [
    'a server',
    {
      ...SOME,
      ciphers: ['ChaCha20-Poly1305'],
      goneToken: run(16, 0x70),
      sessionId: run(8, 0xf0),
    },
  ],
  ['a client with an instance', { ...SOME, instance: run(6, 0x61), epoch: 1_700_000_000_000 }],
  [
    'all at most',
    {
      ciphers: ['ChaCha20-Poly1305', 'AES-256-GCM'],
      maxData: MAX,
      maxStreamData: MAX,
      maxStreamsBidi: 2 ** 51,
      maxStreamsUni: 2 ** 51,
      maxAckDelayMs: MAX,
      maxPaths: MAX,
      goneToken: run(16),
      instance: run(32),
      epoch: MAX,
      sessionId: run(8),
    },
  ],
];

const PARAMETERS_DECODE_ONLY = [
  ['nothing but ciphers', '01 01 02', 'defaults are written out'],
  ['in another order', '07 01 05 02 01 09 01 01 01', 'ids rise'],
  ['unknown ones', '00 00 01 01 01 0c 03 010203 0c 00 7fff 01 ff', 'unknown'],
  ['unknown ciphers', '01 04 00 03 02 ff', 'unknown'],
  ['repeated ciphers', '01 04 02 01 02 01', 'repeated'],
  ['a session id and an empty list of ciphers', '0b 08 0001020304050607 01 00', 'ids rise'],
  ['none but unknown ciphers', '01 01 09', 'unknown'],
  ['integers not minimal', '4001 4001 01 02 04 80000005', 'not minimal'],
];

const PARAMETERS_INVALID = [
  ['no parameter', '', 'ciphers are required'],
  ['no ciphers', '02 01 00', 'ciphers are required'],
  ['ciphers twice', '01 01 01 01 01 01', 'twice'],
  ['maxPaths twice', '01 01 01 07 01 08 07 01 08', 'twice'],
  ['value cut off', '01 02 01', 'truncated'],
  ['length cut off', '01 01 01 02', 'truncated'],
  ['unknown one cut off', '01 01 01 3f 05 00', 'truncated'],
  ['integer of no bytes', '01 01 01 02 00', 'wrong form'],
  ['integer cut off', '01 01 01 02 01 40', 'wrong form'],
  ['integer and a byte', '01 01 01 02 02 00 00', 'wrong form'],
  ['integer beyond 2^53-1', '01 01 01 0a 08 c020000000000000', 'wrong form'],
  ['goneToken of 15 bytes', `01 01 01 08 0f ${z(15)}`, 'wrong form'],
  ['goneToken of 17 bytes', `01 01 01 08 11 ${z(17)}`, 'wrong form'],
  ['instance of no bytes', '01 01 01 09 00', 'wrong form'],
  ['sessionId of 7 bytes', `01 01 01 0b 07 ${z(7)}`, 'wrong form'],
  ['sessionId of 9 bytes', `01 01 01 0b 09 ${z(9)}`, 'wrong form'],
  ['sessionId twice', `01 01 01 ${`0b 08 ${z(8)}`.repeat(2)}`, 'twice'],
  ['maxStreamsBidi beyond 2^51', '01 01 01 04 08 c008000000000001', 'wrong form'],
  ['maxStreamsUni beyond 2^51', '01 01 01 05 08 c008000000000001', 'wrong form'],
  ['instance of 33 bytes', `01 01 01 09 21 ${z(33)}`, 'wrong form'],
];

write('parameters', {
  about:
    'protocol.md section 4.3. Bytes in hexadecimal. Entries with decodeOnly are valid, but not what this encoder writes.',
  valid: [
    ...PARAMETERS.map(([name, parameters]) => {
      return { name, hex: toHex(encodeParameters(parameters)), parameters: plain(parameters) };
    }),
    ...PARAMETERS_DECODE_ONLY.map(([name, spaced, decodeOnly]) => {
      const bytes = fromHex(spaced);
      return { name, hex: toHex(bytes), parameters: plain(decodeParameters(bytes)), decodeOnly };
    }),
  ],
  invalid: PARAMETERS_INVALID.map(([name, spaced, reason]) => {
    const bytes = fromHex(spaced);
    refused(name, () => decodeParameters(bytes));
    return { name, hex: toHex(bytes), reason };
  }),
});
