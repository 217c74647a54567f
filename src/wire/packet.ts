/**
 * Packets: the sealed unit on one path, and those of the handshake (protocol.md#packet). This
 * file knows where their parts lie; what is sealed stays sealed.
 *
 * @module
 */

/** First byte of DATA in key phase 0 (protocol.md#packet). */
export const FIRST_DATA = 0x00;
export const FIRST_HELLO = 0x80;
export const FIRST_ACCEPT = 0x90;
export const FIRST_RETRY = 0xa0;
export const FIRST_GONE = 0xb0;
/** First byte of JOIN in key phase 0. */
export const FIRST_JOIN = 0xc0;
/** The bit `K` of the first byte of DATA and JOIN (protocol.md#key-update). */
export const KEY_PHASE_BIT = 0x01;

/** The longest packet, from first byte to tag (protocol.md#data). */
export const SPEC_MAX_PACKET_BYTES = 65_535;
/** The longest record before a path is attached to its carrier (protocol.md#record). */
export const SPEC_MAX_UNATTACHED_RECORD_BYTES = 1500;

export const CONNECTION_ID_BYTES = 8;
export const PACKET_NUMBER_BYTES = 4;
/** The nonce at the beginning of an envelope and of RETRY's cookie. */
export const ENVELOPE_NONCE_BYTES = 12;
/** Nonce (12) and sealed route (12 + 16) (protocol.md#envelope). */
export const ENVELOPE_BYTES = 40;
export const ECHO_BYTES = 8;
export const COOKIE_BYTES = 16;
export const SEALED_COOKIE_BYTES = 32;
export const GONE_TOKEN_BYTES = 16;
/** The tag of either AEAD; what is sealed is never shorter. */
const TAG_BYTES = 16;

/** DATA up to what is sealed, on stream and on datagram carriers, and JOIN. */
export const STREAM_DATA_HEADER_BYTES = 1 + PACKET_NUMBER_BYTES;
export const DATAGRAM_DATA_HEADER_BYTES = 1 + CONNECTION_ID_BYTES + PACKET_NUMBER_BYTES;
export const JOIN_HEADER_BYTES = 1 + ENVELOPE_BYTES + PACKET_NUMBER_BYTES;
const ECHO_END = 1 + ECHO_BYTES;

const PACKET_NUMBER_WINDOW = 2 ** 32;
const MAX_PACKET_NUMBER = Number.MAX_SAFE_INTEGER;

export type KeyPhase = 0 | 1;

/** protocol.md#data. `header` is the associated data of `sealed`. */
export interface DataPacket {
  readonly type: 'data';
  readonly keyPhase: KeyPhase;
  /** On datagram carriers, and only there. */
  readonly connectionId?: Uint8Array;
  /** The low 32 bits of the packet number; see {@link expandPacketNumber}. */
  readonly truncatedNumber: number;
  readonly header: Uint8Array;
  readonly sealed: Uint8Array;
}

/** protocol.md#hello */
export interface HelloPacket {
  readonly type: 'hello';
  readonly firstByte: number;
  readonly envelope: Uint8Array;
  /** 16 bytes, after a RETRY. */
  readonly cookie?: Uint8Array;
  readonly noise: Uint8Array;
}

/** protocol.md#accept */
export interface AcceptPacket {
  readonly type: 'accept';
  readonly echo: Uint8Array;
  readonly noise: Uint8Array;
}

/** protocol.md#retry */
export interface RetryPacket {
  readonly type: 'retry';
  readonly echo: Uint8Array;
  readonly nonce: Uint8Array;
  readonly sealedCookie: Uint8Array;
}

/** protocol.md#gone */
export interface GonePacket {
  readonly type: 'gone';
  readonly echo: Uint8Array;
  readonly token: Uint8Array;
}

/** protocol.md#join. `header` is the associated data of `sealed`. */
export interface JoinPacket {
  readonly type: 'join';
  /** As received; the envelope's associated data has the key phase cleared. */
  readonly firstByte: number;
  readonly envelope: Uint8Array;
  readonly keyPhase: KeyPhase;
  readonly truncatedNumber: number;
  readonly header: Uint8Array;
  readonly sealed: Uint8Array;
}

export type Packet =
  | DataPacket
  | HelloPacket
  | AcceptPacket
  | RetryPacket
  | GonePacket
  | JoinPacket;

/**
 * Takes one packet apart; every part is a view of `bytes`. `kind` is that of the carrier: it tells
 * whether DATA has a connection id.
 *
 * @returns `undefined` for what is no packet at all: drop and count it. Never throws.
 */
export function parsePacket(bytes: Uint8Array, kind: 'stream' | 'datagram'): Packet | undefined {
  if (bytes.length > SPEC_MAX_PACKET_BYTES) return undefined;
  switch (bytes[0]) {
    case FIRST_DATA:
    case FIRST_DATA | KEY_PHASE_BIT:
      return kind === 'datagram' ? parseDatagramData(bytes) : parseStreamData(bytes);
    case FIRST_HELLO:
      return parseHello(bytes);
    case FIRST_ACCEPT:
      return parseAccept(bytes);
    case FIRST_RETRY:
      return parseRetry(bytes);
    case FIRST_GONE:
      return parseGone(bytes);
    case FIRST_JOIN:
    case FIRST_JOIN | KEY_PHASE_BIT:
      return parseJoin(bytes);
    default:
      return undefined;
  }
}

function keyPhaseOf(bytes: Uint8Array): KeyPhase {
  return ((bytes[0] as number) & KEY_PHASE_BIT) as KeyPhase;
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function parseStreamData(bytes: Uint8Array): DataPacket | undefined {
  if (bytes.length < STREAM_DATA_HEADER_BYTES + TAG_BYTES) return undefined;
  return {
    type: 'data',
    keyPhase: keyPhaseOf(bytes),
    truncatedNumber: word(bytes, 1),
    header: bytes.subarray(0, STREAM_DATA_HEADER_BYTES),
    sealed: bytes.subarray(STREAM_DATA_HEADER_BYTES),
  };
}

function parseDatagramData(bytes: Uint8Array): DataPacket | undefined {
  if (bytes.length < DATAGRAM_DATA_HEADER_BYTES + TAG_BYTES) return undefined;
  return {
    type: 'data',
    keyPhase: keyPhaseOf(bytes),
    connectionId: bytes.subarray(1, 1 + CONNECTION_ID_BYTES),
    truncatedNumber: word(bytes, 1 + CONNECTION_ID_BYTES),
    header: bytes.subarray(0, DATAGRAM_DATA_HEADER_BYTES),
    sealed: bytes.subarray(DATAGRAM_DATA_HEADER_BYTES),
  };
}

function parseHello(bytes: Uint8Array): HelloPacket | undefined {
  const lengthAt = 1 + ENVELOPE_BYTES;
  const cookieLength = bytes[lengthAt];
  if (cookieLength !== 0 && cookieLength !== COOKIE_BYTES) return undefined;
  const noiseAt = lengthAt + 1 + cookieLength;
  if (bytes.length < noiseAt) return undefined;
  const envelope = bytes.subarray(1, lengthAt);
  const noise = bytes.subarray(noiseAt);
  if (cookieLength === 0) return { type: 'hello', firstByte: FIRST_HELLO, envelope, noise };
  const cookie = bytes.subarray(lengthAt + 1, noiseAt);
  return { type: 'hello', firstByte: FIRST_HELLO, envelope, cookie, noise };
}

function parseAccept(bytes: Uint8Array): AcceptPacket | undefined {
  if (bytes.length < ECHO_END) return undefined;
  return { type: 'accept', echo: bytes.subarray(1, ECHO_END), noise: bytes.subarray(ECHO_END) };
}

function parseRetry(bytes: Uint8Array): RetryPacket | undefined {
  const nonceEnd = ECHO_END + ENVELOPE_NONCE_BYTES;
  if (bytes.length !== nonceEnd + SEALED_COOKIE_BYTES) return undefined;
  return {
    type: 'retry',
    echo: bytes.subarray(1, ECHO_END),
    nonce: bytes.subarray(ECHO_END, nonceEnd),
    sealedCookie: bytes.subarray(nonceEnd),
  };
}

function parseGone(bytes: Uint8Array): GonePacket | undefined {
  if (bytes.length !== ECHO_END + GONE_TOKEN_BYTES) return undefined;
  return { type: 'gone', echo: bytes.subarray(1, ECHO_END), token: bytes.subarray(ECHO_END) };
}

function parseJoin(bytes: Uint8Array): JoinPacket | undefined {
  if (bytes.length < JOIN_HEADER_BYTES + TAG_BYTES) return undefined;
  return {
    type: 'join',
    firstByte: bytes[0] as number,
    envelope: bytes.subarray(1, 1 + ENVELOPE_BYTES),
    keyPhase: keyPhaseOf(bytes),
    truncatedNumber: word(bytes, 1 + ENVELOPE_BYTES),
    header: bytes.subarray(0, JOIN_HEADER_BYTES),
    sealed: bytes.subarray(JOIN_HEADER_BYTES),
  };
}

/** What {@link dataHeader} puts before what is sealed. */
export interface DataHeaderFields {
  readonly keyPhase: KeyPhase;
  /** Give it on datagram carriers, and only there. */
  readonly connectionId?: Uint8Array | undefined;
  /** The whole packet number, 0 to 2^53-1. */
  readonly packetNumber: number;
}

/**
 * A DATA packet up to what is sealed, in fresh memory: 5 bytes, or 13 with a connection id.
 *
 * @throws RangeError if the connection id has not 8 bytes or the number is out of range.
 */
export function dataHeader(fields: DataHeaderFields): Uint8Array {
  const id = fields.connectionId;
  const first = FIRST_DATA | fields.keyPhase;
  if (id === undefined) return numbered(first, undefined, 0, fields.packetNumber);
  return numbered(first, id, CONNECTION_ID_BYTES, fields.packetNumber);
}

/** What {@link joinHeader} puts before what is sealed. */
export interface JoinHeaderFields {
  readonly keyPhase: KeyPhase;
  readonly envelope: Uint8Array;
  /** The whole packet number, 0 to 2^53-1. */
  readonly packetNumber: number;
}

/**
 * A JOIN packet up to what is sealed, 45 bytes in fresh memory.
 *
 * @throws RangeError if the envelope has not 40 bytes or the number is out of range.
 */
export function joinHeader(fields: JoinHeaderFields): Uint8Array {
  const first = FIRST_JOIN | fields.keyPhase;
  return numbered(first, fields.envelope, ENVELOPE_BYTES, fields.packetNumber);
}

function numbered(
  first: number,
  route: Uint8Array | undefined,
  routeBytes: number,
  packetNumber: number,
): Uint8Array {
  if (!Number.isInteger(packetNumber) || packetNumber < 0 || packetNumber > MAX_PACKET_NUMBER) {
    throw new RangeError(`not a packet number: ${packetNumber}`);
  }
  const header = new Uint8Array(1 + routeBytes + PACKET_NUMBER_BYTES);
  header[0] = first;
  if (route !== undefined) {
    expectLength(route, routeBytes, routeBytes === ENVELOPE_BYTES ? 'envelope' : 'connection id');
    header.set(route, 1);
  }
  const low = packetNumber >>> 0;
  const at = 1 + routeBytes;
  header[at] = low >>> 24;
  header[at + 1] = low >>> 16;
  header[at + 2] = low >>> 8;
  header[at + 3] = low;
  return header;
}

function expectLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} of ${bytes.length} bytes`);
}

function joined(first: number, parts: readonly Uint8Array[]): Uint8Array {
  let length = 1;
  for (const part of parts) length += part.length;
  if (length > SPEC_MAX_PACKET_BYTES) throw new RangeError(`packet of ${length} bytes`);
  const packet = new Uint8Array(length);
  packet[0] = first;
  let at = 1;
  for (const part of parts) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

/**
 * A whole HELLO.
 *
 * @throws RangeError if the envelope has not 40, or a cookie not 16 bytes.
 */
export function encodeHello(fields: {
  readonly envelope: Uint8Array;
  readonly cookie?: Uint8Array | undefined;
  readonly noise: Uint8Array;
}): Uint8Array {
  const { envelope, cookie, noise } = fields;
  expectLength(envelope, ENVELOPE_BYTES, 'envelope');
  if (cookie === undefined) return joined(FIRST_HELLO, [envelope, Uint8Array.of(0), noise]);
  expectLength(cookie, COOKIE_BYTES, 'cookie');
  return joined(FIRST_HELLO, [envelope, Uint8Array.of(COOKIE_BYTES), cookie, noise]);
}

/**
 * A whole ACCEPT.
 *
 * @throws RangeError if the echo has not 8 bytes.
 */
export function encodeAccept(fields: {
  readonly echo: Uint8Array;
  readonly noise: Uint8Array;
}): Uint8Array {
  expectLength(fields.echo, ECHO_BYTES, 'echo');
  return joined(FIRST_ACCEPT, [fields.echo, fields.noise]);
}

/**
 * A whole RETRY.
 *
 * @throws RangeError if a part has not its length: echo 8, nonce 12, sealed cookie 32.
 */
export function encodeRetry(fields: {
  readonly echo: Uint8Array;
  readonly nonce: Uint8Array;
  readonly sealedCookie: Uint8Array;
}): Uint8Array {
  expectLength(fields.echo, ECHO_BYTES, 'echo');
  expectLength(fields.nonce, ENVELOPE_NONCE_BYTES, 'nonce');
  expectLength(fields.sealedCookie, SEALED_COOKIE_BYTES, 'sealed cookie');
  return joined(FIRST_RETRY, [fields.echo, fields.nonce, fields.sealedCookie]);
}

/**
 * A whole GONE.
 *
 * @throws RangeError if the echo has not 8, or the token not 16 bytes.
 */
export function encodeGone(fields: {
  readonly echo: Uint8Array;
  readonly token: Uint8Array;
}): Uint8Array {
  expectLength(fields.echo, ECHO_BYTES, 'echo');
  expectLength(fields.token, GONE_TOKEN_BYTES, 'token');
  return joined(FIRST_GONE, [fields.echo, fields.token]);
}

/**
 * The packet number whose low 32 bits are `truncated` and which is nearest to one more than
 * `largest`, the largest received on the path (-1 if none); RFC 9000 §A.3. From 0 to 2^53-1.
 */
export function expandPacketNumber(truncated: number, largest: number): number {
  const expected = largest + 1;
  const half = PACKET_NUMBER_WINDOW / 2;
  const base = expected - (expected % PACKET_NUMBER_WINDOW);
  // After the very last number `expected` is 2^53: one window too far, and no longer exact.
  if (base > MAX_PACKET_NUMBER) return base - PACKET_NUMBER_WINDOW + truncated;
  const candidate = base + truncated;
  if (candidate <= expected - half && candidate <= MAX_PACKET_NUMBER - PACKET_NUMBER_WINDOW) {
    return candidate + PACKET_NUMBER_WINDOW;
  }
  if (candidate > expected + half && candidate >= PACKET_NUMBER_WINDOW) {
    return candidate - PACKET_NUMBER_WINDOW;
  }
  return candidate;
}

/**
 * A string that is the same for the same connection id and for no other: a cheap key for a Map.
 *
 * @throws RangeError if `id` has not 8 bytes.
 */
export function connectionIdKey(id: Uint8Array): string {
  expectLength(id, CONNECTION_ID_BYTES, 'connection id');
  return String.fromCharCode(
    id[0] as number,
    id[1] as number,
    id[2] as number,
    id[3] as number,
    id[4] as number,
    id[5] as number,
    id[6] as number,
    id[7] as number,
  );
}
