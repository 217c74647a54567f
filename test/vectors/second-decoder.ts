/**
 * A second decoder, written from docs/protocol.md alone and sharing nothing with the first: slow,
 * plain, BigInt for every integer. It checks that the vectors say what the document says. Results
 * have the form of the vectors: numbers, strings, and bytes in hexadecimal.
 */

type Fields = Record<string, unknown>;

const LARGEST = 2n ** 53n - 1n;

/** Bytes that are used up from the front. */
class Input {
  private bytes: number[];

  constructor(hex: string) {
    this.bytes = [];
    for (let i = 0; i < hex.length; i += 2) {
      this.bytes.push(Number.parseInt(hex.slice(i, i + 2), 16));
    }
  }

  left(): number {
    return this.bytes.length;
  }

  /** The next `count` bytes in hexadecimal. */
  take(count: number): string {
    if (count > this.bytes.length) throw new Error('not enough bytes');
    const taken = this.bytes.slice(0, count);
    this.bytes = this.bytes.slice(count);
    return taken.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  takeAll(): string {
    return this.take(this.left());
  }

  /** A big-endian integer of `bits` bits. */
  fixed(bits: number): number {
    return Number(BigInt(`0x${this.take(bits / 8)}`));
  }

  /** §2.1 */
  varint(): bigint {
    const first = BigInt(this.fixed(8));
    const length = 2 ** Number(first >> 6n);
    let value = first & 0x3fn;
    for (let i = 1; i < length; i++) value = value * 256n + BigInt(this.fixed(8));
    if (value > LARGEST) throw new Error('integer beyond 2^53-1');
    return value;
  }

  number(): number {
    return Number(this.varint());
  }

  /** §5 */
  pathId(): number {
    const pathId = this.varint();
    if (pathId >= 2n ** 32n) throw new Error('path id beyond 2^32-1');
    return Number(pathId);
  }
}

export function secondVarint(hex: string): number {
  const input = new Input(hex);
  const value = input.number();
  if (input.left() > 0) throw new Error('bytes after the varint');
  return value;
}

/** §7 */
export function secondFrames(hex: string): Fields[] {
  const input = new Input(hex);
  const frames: Fields[] = [];
  if (input.left() === 0) throw new Error('a packet holds one or more frames');
  while (input.left() > 0) {
    const before = input.left();
    const type = input.number();
    const frame = secondFrame(type, input);
    const last = frames.at(-1);
    if (frame['type'] !== 'padding') {
      frames.push(frame);
    } else if (last !== undefined && last['type'] === 'padding') {
      last['length'] = Number(last['length']) + before - input.left();
    } else {
      frames.push({ type: 'padding', length: before - input.left() });
    }
    if (frames.length > 4096) throw new Error('more than 4096 frames');
  }
  return frames;
}

function secondFrame(type: number, input: Input): Fields {
  if (type === 0x00) return { type: 'padding' };
  if (type === 0x01) return { type: 'ping' };
  if (type === 0x02) return secondAck(input);
  if (type === 0x04) {
    const streamId = input.number();
    const code = input.number();
    const finalSize = input.number();
    return { type: 'resetStream', streamId, code, finalSize };
  }
  if (type === 0x05) {
    const streamId = input.number();
    const code = input.number();
    return { type: 'stopSending', streamId, code };
  }
  if (type >= 0x08 && type <= 0x0f) return secondStream(type, input);
  if (type === 0x10) return { type: 'maxData', maximum: input.number() };
  if (type === 0x11) {
    const streamId = input.number();
    const maximum = input.number();
    return { type: 'maxStreamData', streamId, maximum };
  }
  if (type === 0x12 || type === 0x13) {
    const maximum = input.varint();
    if (maximum > 2n ** 51n) throw new Error('MAX_STREAMS beyond 2^51');
    return { type: 'maxStreams', bidirectional: type === 0x12, maximum: Number(maximum) };
  }
  if (type === 0x1a) return { type: 'pathChallenge', data: input.take(8) };
  if (type === 0x1b) return { type: 'pathResponse', data: input.take(8) };
  if (type === 0x1c || type === 0x1d) return secondClose(type, input);
  if (type === 0x20) {
    const pathId = input.pathId();
    const code = input.number();
    return { type: 'pathAbandon', pathId, code };
  }
  if (type === 0x22) return secondAddresses(input);
  if (type === 0x21) {
    const pathId = input.pathId();
    const sequence = input.number();
    const status = input.number();
    if (status !== 0 && status !== 1) throw new Error('status neither 0 nor 1');
    return { type: 'pathStatus', pathId, sequence, status: status === 0 ? 'available' : 'backup' };
  }
  throw new Error('unknown frame type');
}

/** §7.1 and RFC 9000 §19.3.1 */
function secondAck(input: Input): Fields {
  const pathId = input.pathId();
  const top = input.varint();
  const delayUs = input.number();
  const rangeCount = input.varint();
  if (rangeCount + 1n > 64n) throw new Error('more than 64 ranges');
  let largest = top;
  let smallest = largest - input.varint();
  const ranges: Fields[] = [];
  for (let i = 0n; ; i++) {
    if (largest < 0n || smallest < 0n) throw new Error('negative packet number');
    ranges.push({ smallest: Number(smallest), largest: Number(largest) });
    if (i === rangeCount) break;
    const gap = input.varint();
    const length = input.varint();
    largest = smallest - gap - 2n;
    smallest = largest - length;
  }
  return { type: 'ack', pathId, largest: Number(top), delayUs, ranges };
}

/** §7.2 */
function secondStream(type: number, input: Input): Fields {
  const streamId = input.number();
  const offset = (type & 0x04) !== 0 ? input.varint() : 0n;
  const data = (type & 0x02) !== 0 ? input.take(input.number()) : input.takeAll();
  if (offset + BigInt(data.length / 2) > LARGEST) throw new Error('data beyond 2^53-1');
  return { type: 'stream', streamId, offset: Number(offset), data, fin: (type & 0x01) !== 0 };
}

/** §7.9 */
function secondAddresses(input: Input): Fields {
  const sequence = input.number();
  const flags = input.number();
  if (flags !== 0 && flags !== 1) throw new Error('flags beyond 1');
  const count = input.number();
  if (count > 16) throw new Error('more than 16 addresses');
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  const addresses: string[] = [];
  let sum = 0;
  while (addresses.length < count) {
    const length = input.number();
    if (length < 1 || length > 255) throw new Error('address of a wrong length');
    sum += length;
    addresses.push(utf8.decode(Uint8Array.from(Buffer.from(input.take(length), 'hex'))));
  }
  if (sum > 1024) throw new Error('addresses of more than 1024 bytes');
  return { type: 'serverAddresses', sequence, avoidFirst: flags === 1, addresses };
}

/** §7.6 */
function secondClose(type: number, input: Input): Fields {
  const code = input.number();
  const frameType = type === 0x1c ? { frameType: input.number() } : {};
  const length = input.number();
  if (length > 256) throw new Error('reason of more than 256 bytes');
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  const reason = utf8.decode(Uint8Array.from(Buffer.from(input.take(length), 'hex')));
  return { type: 'close', application: type === 0x1d, code, ...frameType, reason };
}

/** §3; the AEADs of §6 have tags of 16 bytes. */
export function secondPacket(hex: string, carrier: string): Fields {
  if (hex.length / 2 > 65_535) throw new Error('packet too long');
  const input = new Input(hex);
  const firstByte = input.fixed(8);
  if (firstByte === 0x00 || firstByte === 0x01) {
    const connectionId = carrier === 'datagram' ? { connectionId: input.take(8) } : {};
    const sealed = secondSealed(hex, input);
    return { type: 'data', keyPhase: firstByte & 1, ...connectionId, ...sealed };
  }
  if (firstByte === 0x80) {
    const envelope = input.take(40);
    const cookieLength = input.fixed(8);
    if (cookieLength !== 0 && cookieLength !== 16) throw new Error('cookie of neither 0 nor 16');
    const cookie = cookieLength === 16 ? { cookie: input.take(16) } : {};
    return { type: 'hello', firstByte, envelope, ...cookie, noise: input.takeAll() };
  }
  if (firstByte === 0x90) {
    const echo = input.take(8);
    return { type: 'accept', echo, noise: input.takeAll() };
  }
  if (firstByte === 0xa0) {
    const echo = input.take(8);
    const nonce = input.take(12);
    const sealedCookie = input.take(32);
    if (input.left() > 0) throw new Error('RETRY too long');
    return { type: 'retry', echo, nonce, sealedCookie };
  }
  if (firstByte === 0xb0) {
    const echo = input.take(8);
    const token = input.take(16);
    if (input.left() > 0) throw new Error('GONE too long');
    return { type: 'gone', echo, token };
  }
  if (firstByte === 0xc0 || firstByte === 0xc1) {
    const envelope = input.take(40);
    const sealed = secondSealed(hex, input);
    return { type: 'join', firstByte, envelope, keyPhase: firstByte & 1, ...sealed };
  }
  throw new Error('unknown first byte');
}

/** Packet number and the rest; everything before `Sealed` is associated data. */
function secondSealed(hex: string, input: Input): Fields {
  const truncatedNumber = input.fixed(32);
  const sealed = input.takeAll();
  if (sealed.length / 2 < 16) throw new Error('no room for a tag');
  return { truncatedNumber, header: hex.slice(0, hex.length - sealed.length), sealed };
}

/** §3.1: the number with these low 32 bits that is nearest to one more than the largest. */
export function secondPacketNumber(truncated: number, largest: number): number {
  const expected = BigInt(largest) + 1n;
  const window = 2n ** 32n;
  let best = -1n;
  const around = expected / window;
  for (let high = around - 1n; high <= around + 1n; high++) {
    const candidate = high * window + BigInt(truncated);
    if (candidate < 0n || candidate > LARGEST) continue;
    const distance = candidate > expected ? candidate - expected : expected - candidate;
    const bestDistance = best > expected ? best - expected : expected - best;
    // RFC 9000 §A.3 takes the higher of two that are equally near.
    if (best === -1n || distance <= bestDistance) best = candidate;
  }
  return Number(best);
}

/** §2.2: the packets in order, and whether the carrier must be closed. */
export function secondRecords(
  hex: string,
  maxBytes: number,
): { packets: string[]; failed: boolean } {
  const input = new Input(hex);
  const packets: string[] = [];
  while (input.left() >= 2) {
    const length = input.fixed(16);
    if (length < 1 || length > maxBytes) return { packets, failed: true };
    if (input.left() < length) break;
    packets.push(input.take(length));
  }
  return { packets, failed: false };
}

/** §4.3 */
export function secondParameters(hex: string): Fields {
  const input = new Input(hex);
  const values = new Map<number, string>();
  while (input.left() > 0) {
    const id = input.number();
    const value = input.take(input.number());
    if (id < 1 || id > 11) continue;
    if (values.has(id)) throw new Error('parameter twice');
    values.set(id, value);
  }
  const ciphers: string[] = [];
  // Of a repeated code the first one counts.
  for (const code of new Set(values.get(1)?.match(/../g) ?? [])) {
    if (code === '01') ciphers.push('AES-256-GCM');
    if (code === '02') ciphers.push('ChaCha20-Poly1305');
  }
  if (!values.has(1)) throw new Error('ciphers are required');
  const integer = (id: number, otherwise: number): number => {
    const value = values.get(id);
    return value === undefined ? otherwise : secondVarint(value);
  };
  const streams = (id: number): number => {
    const value = integer(id, 0);
    if (BigInt(value) > 2n ** 51n) throw new Error('more than 2^51 streams');
    return value;
  };
  if (integer(6, 25) >= 2 ** 14) throw new Error('maxAckDelayMs is below 2^14');
  const token = values.get(8);
  if (token !== undefined && token.length !== 32) throw new Error('goneToken has 16 bytes');
  const instance = values.get(9);
  if (instance !== undefined && (instance.length < 2 || instance.length > 64)) {
    throw new Error('instance has 1 to 32 bytes');
  }
  const sessionId = values.get(11);
  if (sessionId !== undefined && sessionId.length !== 16) {
    throw new Error('sessionId has 8 bytes');
  }
  return {
    ciphers,
    maxData: integer(2, 0),
    maxStreamData: integer(3, 0),
    maxStreamsBidi: streams(4),
    maxStreamsUni: streams(5),
    maxAckDelayMs: integer(6, 25),
    maxPaths: integer(7, 8),
    ...(token === undefined ? {} : { goneToken: token }),
    ...(instance === undefined ? {} : { instance }),
    ...(values.has(10) ? { epoch: integer(10, 0) } : {}),
    ...(sessionId === undefined ? {} : { sessionId }),
  };
}
