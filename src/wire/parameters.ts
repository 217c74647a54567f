/**
 * The parameters that both ends exchange in the handshake (protocol.md#parameters).
 *
 * @module
 */

import { SPEC_MAX_STREAMS } from './frames/types.js';
import { GONE_TOKEN_BYTES } from './packet.js';
import { Reader } from './reader.js';
import { SPEC_MAX_INTEGER, varintLength } from './varint.js';
import { Writer } from './writer.js';

/** The ciphers that have a code on the wire; the same names as those of `src/crypto`. */
export type ParameterCipher = 'AES-256-GCM' | 'ChaCha20-Poly1305';

/** What one end tells the other in its half of the handshake. */
export interface Parameters {
  /** Client: what it offers, best first. Server: the one chosen. Empty if none is known to us. */
  readonly ciphers: readonly ParameterCipher[];
  /** The limits that the peer starts with, in bytes. */
  readonly maxData: number;
  readonly maxStreamData: number;
  /** How many streams the peer may open, at most 2^51 of each kind. */
  readonly maxStreamsBidi: number;
  readonly maxStreamsUni: number;
  readonly maxAckDelayMs: number;
  /** Paths open at a time. */
  readonly maxPaths: number;
  /** Server, always: what makes a GONE credible, 16 bytes. */
  readonly goneToken?: Uint8Array;
  /** Server, always: what JOIN envelopes name the session by, 8 bytes. */
  readonly sessionId?: Uint8Array;
  /** Client: a name of 1 to 32 bytes, of which the key may have one session at a time. */
  readonly instance?: Uint8Array;
  /** Client, with `instance`: the higher one is the newer. */
  readonly epoch?: number;
}

const ID_CIPHERS = 1;
const ID_MAX_DATA = 2;
const ID_MAX_STREAM_DATA = 3;
const ID_MAX_STREAMS_BIDI = 4;
const ID_MAX_STREAMS_UNI = 5;
const ID_MAX_ACK_DELAY_MS = 6;
const ID_MAX_PATHS = 7;
const ID_GONE_TOKEN = 8;
const ID_INSTANCE = 9;
const ID_EPOCH = 10;
const ID_SESSION_ID = 11;

const SESSION_ID_BYTES = 8;
/** The longest `instance` (protocol.md#parameters). */
export const SPEC_MAX_INSTANCE_BYTES = 32;

/** RFC 9000 §18.2; more would make loss detection wait for no good reason. */
export const SPEC_MAX_ACK_DELAY_MS = 2 ** 14 - 1;

/** What a parameter that is absent means (protocol.md#parameters). */
export const SPEC_DEFAULT_PARAMETERS = {
  maxData: 0,
  maxStreamData: 0,
  maxStreamsBidi: 0,
  maxStreamsUni: 0,
  maxAckDelayMs: 25,
  maxPaths: 8,
} as const;

const CIPHER_CODES: Readonly<Record<ParameterCipher, number>> = {
  'AES-256-GCM': 1,
  'ChaCha20-Poly1305': 2,
};

function cipherOf(code: number): ParameterCipher | undefined {
  if (code === CIPHER_CODES['AES-256-GCM']) return 'AES-256-GCM';
  return code === CIPHER_CODES['ChaCha20-Poly1305'] ? 'ChaCha20-Poly1305' : undefined;
}

/**
 * The parameters in wire form, in the order of their ids.
 *
 * @throws RangeError if a value can't be expressed.
 */
export function encodeParameters(parameters: Parameters): Uint8Array {
  const writer = new Writer(256);
  const bytes = (id: number, value: Uint8Array): void => {
    writer.varint(id);
    writer.varint(value.length);
    writer.bytes(value);
  };
  const integer = (id: number, value: number): void => {
    writer.varint(id);
    writer.varint(varintLength(value));
    writer.varint(value);
  };
  const streams = (id: number, value: number): void => {
    if (value > SPEC_MAX_STREAMS) throw new RangeError('more than 2^51 streams');
    integer(id, value);
  };
  bytes(
    ID_CIPHERS,
    Uint8Array.from(parameters.ciphers, (name) => CIPHER_CODES[name]),
  );
  integer(ID_MAX_DATA, parameters.maxData);
  integer(ID_MAX_STREAM_DATA, parameters.maxStreamData);
  streams(ID_MAX_STREAMS_BIDI, parameters.maxStreamsBidi);
  streams(ID_MAX_STREAMS_UNI, parameters.maxStreamsUni);
  if (parameters.maxAckDelayMs > SPEC_MAX_ACK_DELAY_MS) throw new RangeError('maxAckDelayMs');
  integer(ID_MAX_ACK_DELAY_MS, parameters.maxAckDelayMs);
  integer(ID_MAX_PATHS, parameters.maxPaths);
  const { goneToken, instance, epoch, sessionId } = parameters;
  if (goneToken !== undefined) {
    if (goneToken.length !== GONE_TOKEN_BYTES) throw new RangeError('gone token length');
    bytes(ID_GONE_TOKEN, goneToken);
  }
  if (instance !== undefined) {
    if (instance.length < 1 || instance.length > SPEC_MAX_INSTANCE_BYTES) {
      throw new RangeError('instance length');
    }
    bytes(ID_INSTANCE, instance);
  }
  if (epoch !== undefined) integer(ID_EPOCH, epoch);
  if (sessionId !== undefined) {
    if (sessionId.length !== SESSION_ID_BYTES) throw new RangeError('session id length');
    bytes(ID_SESSION_ID, sessionId);
  }
  return writer.take();
}

type Draft = { -readonly [Name in keyof Parameters]: Parameters[Name] };

/**
 * Parameters from wire form, with the defaults of those that are absent. Byte values are copies.
 * Which end must send which parameter is for the core to check, except for `ciphers`. Unknown
 * cipher codes and repeated ones are left out, so `ciphers` may come out empty.
 *
 * @throws WireError if a known parameter comes twice or has the wrong form, `ciphers` is missing,
 * or the bytes are cut off. A repeated unknown parameter is ignored like any unknown one.
 */
export function decodeParameters(bytes: Uint8Array): Parameters {
  const reader = new Reader(bytes);
  const draft: Draft = { ciphers: [], ...SPEC_DEFAULT_PARAMETERS };
  let seen = 0;
  while (reader.remaining > 0) {
    const id = reader.varint();
    const value = reader.bytes(reader.varint());
    if (id < ID_CIPHERS || id > ID_SESSION_ID) continue;
    const bit = 1 << id;
    if ((seen & bit) !== 0) throw reader.error(`parameter ${id} twice`);
    seen |= bit;
    decodeParameter(draft, id, value);
  }
  if ((seen & (1 << ID_CIPHERS)) === 0) throw reader.error('no ciphers');
  return draft;
}

function decodeParameter(draft: Draft, id: number, value: Uint8Array): void {
  switch (id) {
    case ID_CIPHERS:
      draft.ciphers = decodeCiphers(value);
      break;
    case ID_MAX_DATA:
      draft.maxData = decodeInteger(value);
      break;
    case ID_MAX_STREAM_DATA:
      draft.maxStreamData = decodeInteger(value);
      break;
    case ID_MAX_STREAMS_BIDI:
      draft.maxStreamsBidi = decodeInteger(value, SPEC_MAX_STREAMS);
      break;
    case ID_MAX_STREAMS_UNI:
      draft.maxStreamsUni = decodeInteger(value, SPEC_MAX_STREAMS);
      break;
    case ID_MAX_ACK_DELAY_MS:
      draft.maxAckDelayMs = decodeInteger(value, SPEC_MAX_ACK_DELAY_MS);
      break;
    case ID_MAX_PATHS:
      draft.maxPaths = decodeInteger(value);
      break;
    case ID_GONE_TOKEN:
      draft.goneToken = decodeBytes(value, GONE_TOKEN_BYTES, GONE_TOKEN_BYTES);
      break;
    case ID_INSTANCE:
      draft.instance = decodeBytes(value, 1, SPEC_MAX_INSTANCE_BYTES);
      break;
    case ID_EPOCH:
      draft.epoch = decodeInteger(value);
      break;
    case ID_SESSION_ID:
      draft.sessionId = decodeBytes(value, SESSION_ID_BYTES, SESSION_ID_BYTES);
      break;
  }
}

function decodeCiphers(value: Uint8Array): ParameterCipher[] {
  const ciphers: ParameterCipher[] = [];
  for (const code of value) {
    const cipher = cipherOf(code);
    if (cipher !== undefined && !ciphers.includes(cipher)) ciphers.push(cipher);
  }
  return ciphers;
}

function decodeInteger(value: Uint8Array, max: number = SPEC_MAX_INTEGER): number {
  const reader = new Reader(value);
  const integer = reader.varint();
  if (integer > max) throw reader.error(`parameter ${integer} beyond ${max}`);
  if (reader.remaining > 0) throw reader.error('parameter longer than its integer');
  return integer;
}

function decodeBytes(value: Uint8Array, min: number, max: number): Uint8Array {
  if (value.length < min || value.length > max) {
    throw new Reader(value).error(`parameter of ${value.length} bytes`);
  }
  return value.slice();
}
