import { describe, expect, it } from 'vitest';
import {
  decodeParameters,
  encodeParameters,
  type Parameters,
  SPEC_MAX_INTEGER,
  SPEC_MAX_STREAMS,
  WireError,
} from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

const FULL: Parameters = {
  ciphers: ['ChaCha20-Poly1305', 'AES-256-GCM'],
  maxData: SPEC_MAX_INTEGER,
  maxStreamData: 65_536,
  maxStreamsBidi: 100,
  maxStreamsUni: 3,
  maxAckDelayMs: 0,
  maxPaths: 16,
  goneToken: fromHex('000102030405060708090a0b0c0d0e0f'),
  instance: fromHex('6c6170746f70'),
  epoch: 1_700_000_000_000,
  sessionId: fromHex('f0f1f2f3f4f5f6f7'),
};

describe('parameters', () => {
  it('go both ways', () => {
    expect(decodeParameters(encodeParameters(FULL))).toEqual(FULL);
    const { goneToken: _g, instance: _i, epoch: _e, sessionId: _s, ...few } = FULL;
    expect(decodeParameters(encodeParameters(few))).toEqual(few);
  });

  it('are laid out by id, length and value', () => {
    const hex = toHex(
      encodeParameters({
        ciphers: ['AES-256-GCM', 'ChaCha20-Poly1305'],
        maxData: 0,
        maxStreamData: 64,
        maxStreamsBidi: 0,
        maxStreamsUni: 0,
        maxAckDelayMs: 25,
        maxPaths: 8,
        epoch: 1,
      }),
    );
    expect(hex).toBe(
      '01020102 020100 03024040 040100 050100 060119 070108 0a0101'.replaceAll(' ', ''),
    );
  });

  it('have defaults', () => {
    expect(decodeParameters(fromHex('010101'))).toEqual({
      ciphers: ['AES-256-GCM'],
      maxData: 0,
      maxStreamData: 0,
      maxStreamsBidi: 0,
      maxStreamsUni: 0,
      maxAckDelayMs: 25,
      maxPaths: 8,
    });
  });

  it('R-PARAMETERS-2, R-PARAMETERS-3: that are unknown are ignored, also unknown ciphers', () => {
    const bytes = fromHex('7fff 00 010400030201 0c 01ff 0c 01ff c01fffffffffffff 00 00 0101');
    expect(decodeParameters(bytes).ciphers).toEqual(['ChaCha20-Poly1305', 'AES-256-GCM']);
    expect(decodeParameters(fromHex('0101ff')).ciphers).toEqual([]);
    expect(decodeParameters(fromHex('0103020202')).ciphers).toEqual(['ChaCha20-Poly1305']);
  });

  it('that are bytes are copies', () => {
    const bytes = encodeParameters(FULL);
    const decoded = decodeParameters(bytes);
    bytes.fill(0xff);
    expect(decoded).toEqual(FULL);
  });

  it('T52: a list of a thousand unknown ones, or ciphers, stays small', () => {
    const many = fromHex(`010101${'4fff00'.repeat(1000)}`);
    expect(decodeParameters(many).ciphers).toHaveLength(1);
    const ciphers = fromHex(`0143e8${'0102'.repeat(500)}`);
    expect(decodeParameters(ciphers).ciphers).toHaveLength(2);
  });

  it.each([
    ['nothing at all', ''],
    ['no ciphers', '020100'],
    ['ciphers twice', '010101 010102'],
    ['maxData twice, the same', '010101 020100 020100'],
    ['a value cut off', '010101 08 10 0001'],
    ['a length cut off', '010101 02'],
    ['an integer of no bytes', '010101 0200'],
    ['an integer cut off', '010101 020140'],
    ['an integer and more', '010101 02020000'],
    ['an integer beyond 2^53-1', '010101 0208c020000000000000'],
    ['a gone token of 15 bytes', `010101 080f${'00'.repeat(15)}`],
    ['a gone token of 17 bytes', `010101 0811${'00'.repeat(17)}`],
    ['an instance of no bytes', '010101 0900'],
    ['an instance of 33 bytes', `010101 0921${'61'.repeat(33)}`],
    ['an epoch and more', '010101 0a020000'],
    ['a session id of 7 bytes', `010101 0b07${'00'.repeat(7)}`],
    ['a session id of 9 bytes', `010101 0b09${'00'.repeat(9)}`],
    ['a delay of 2^14 ms for acknowledgements', '010101 060480004000'],
    ['more than 2^51 bidirectional streams', '010101 0408c008000000000001'],
    ['more than 2^51 unidirectional streams', '010101 0508c008000000000001'],
  ])('R-PARAMETERS-1 are refused with %s', (_name, hex) => {
    expect(() => decodeParameters(fromHex(hex))).toThrow(WireError);
  });

  it('are not encoded with values that can not be', () => {
    expect(() => encodeParameters({ ...FULL, maxAckDelayMs: 2 ** 14 })).toThrow(RangeError);
    expect(() => encodeParameters({ ...FULL, maxPaths: -1 })).toThrow(RangeError);
    expect(() => encodeParameters({ ...FULL, epoch: 2 ** 53 })).toThrow(RangeError);
    expect(() => encodeParameters({ ...FULL, goneToken: new Uint8Array(8) })).toThrow(RangeError);
    expect(() => encodeParameters({ ...FULL, instance: new Uint8Array(33) })).toThrow(RangeError);
    expect(() => encodeParameters({ ...FULL, instance: new Uint8Array(0) })).toThrow(RangeError);
    expect(() => encodeParameters({ ...FULL, sessionId: new Uint8Array(9) })).toThrow(RangeError);
    for (const name of ['maxStreamsBidi', 'maxStreamsUni'] as const) {
      const most = { ...FULL, [name]: SPEC_MAX_STREAMS };
      expect(decodeParameters(encodeParameters(most))).toEqual(most);
      const more = { ...FULL, [name]: SPEC_MAX_STREAMS + 1 };
      expect(() => encodeParameters(more)).toThrow(RangeError);
    }
  });
});
