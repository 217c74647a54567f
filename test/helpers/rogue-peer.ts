/**
 * Peers that do the real handshake with the crypto and wire layers and nothing of the core's, and
 * can then seal whatever they like, on any path: the malicious authenticated peers of the threat
 * tests, and a second use of the wire format.
 */
import type { CarrierId, Ticket } from '../../src/core/index.js';
import {
  AEAD_NONCE_BYTES,
  concatBytes,
  connectionId,
  EnvelopeKey,
  envelopeKey,
  NoiseHandshake,
  type NoiseRole,
  PacketOpener,
  PacketSealer,
  RetryKey,
  retryKey,
  sessionSecret,
  trafficSecret,
} from '../../src/crypto/index.js';
import {
  dataHeader,
  decodeFrames,
  decodeParameters,
  encodeAccept,
  encodeFrame,
  encodeHello,
  encodeParameters,
  expandPacketNumber,
  FIRST_HELLO,
  FIRST_JOIN,
  type Frame,
  type HelloPacket,
  joinHeader,
  type Packet,
  type Parameters,
  parsePacket,
  RecordReader,
  recordHeader,
  Writer,
} from '../../src/wire/index.js';
import { type AnyBench, type ClientBench, SERVER_ADDRESS, type ServerBench } from './bench.js';

const PROLOGUE_NAME = new TextEncoder().encode('roving/1');

export const GENEROUS: Parameters = {
  ciphers: ['AES-256-GCM'],
  maxData: 2 ** 40,
  maxStreamData: 2 ** 40,
  maxStreamsBidi: 100,
  maxStreamsUni: 100,
  maxAckDelayMs: 10,
  maxPaths: 64,
};

export interface RoguePath {
  readonly pathId: number;
  readonly carrierId: CarrierId;
  readonly remote: string | undefined;
  readonly sealer: PacketSealer;
  readonly opener: PacketOpener;
  readonly sendConnectionId: Uint8Array;
  readonly receiveConnectionId: Uint8Array;
  nextNumber: number;
  largest: number;
}

/** Frames that came back, and on which path. */
export interface Heard {
  readonly pathId: number;
  readonly number: number;
  readonly remote: string | undefined;
  readonly bytes: number;
  readonly frames: readonly Frame[];
}

export interface RogueOptions {
  readonly carrier: 'tcp' | 'udp';
  readonly remote?: string;
  readonly ticket?: Ticket;
  readonly parameters?: Partial<Parameters>;
}

/** One hello that can be sent, repeated and copied at will. */
export interface RogueHello {
  readonly nonce: Uint8Array;
  readonly envelope: Uint8Array;
  readonly noise: NoiseHandshake;
  readonly message: Uint8Array;
}

class RoguePeer {
  readonly bench: AnyBench;
  readonly paths = new Map<number, RoguePath>();
  readonly heard: Heard[] = [];
  secret: Uint8Array = new Uint8Array(0);
  sessionId: Uint8Array = new Uint8Array(0);
  /** What the endpoint under test said of itself. */
  peer: Parameters | undefined;
  readonly #isClient: boolean;
  readonly #readers = new Map<CarrierId, RecordReader>();
  #seen = 0;

  constructor(bench: AnyBench, role: NoiseRole) {
    this.bench = bench;
    this.#isClient = role === 'initiator';
    this.#seen = bench.sent.length;
  }

  /** One side of a handshake for an envelope. */
  protected noise(role: NoiseRole, psk: Uint8Array, envelope: Uint8Array): NoiseHandshake {
    const prologue = concatBytes(PROLOGUE_NAME, Uint8Array.of(FIRST_HELLO), envelope);
    const ephemeral = this.bench.prng.bytes(32);
    const { crypto } = this.bench;
    const [pattern, cipher] = ['NNpsk0', 'ChaCha20-Poly1305'] as const;
    return new NoiseHandshake({ crypto, role, pattern, cipher, psk, prologue, ephemeral });
  }

  protected agreed(noise: NoiseHandshake, peer: Parameters): void {
    const { k1, k2 } = noise.split();
    this.peer = peer;
    this.secret = sessionSecret(this.bench.crypto, k1, k2, noise.handshakeHash).slice();
    this.#seen = this.bench.sent.length;
  }

  addPath(pathId: number, carrierId: CarrierId, remote: string | undefined): RoguePath {
    const { crypto } = this.bench;
    const [ours, theirs] = this.#isClient ? (['c2s', 's2c'] as const) : (['s2c', 'c2s'] as const);
    const cipher = this.peer?.ciphers[0] ?? 'AES-256-GCM';
    const path: RoguePath = {
      pathId,
      carrierId,
      remote,
      sealer: new PacketSealer(crypto, cipher, trafficSecret(crypto, this.secret, pathId, ours)),
      opener: new PacketOpener(crypto, cipher, trafficSecret(crypto, this.secret, pathId, theirs)),
      sendConnectionId: connectionId(crypto, this.secret, pathId, ours),
      receiveConnectionId: connectionId(crypto, this.secret, pathId, theirs),
      nextNumber: 0,
      largest: -1,
    };
    this.paths.set(pathId, path);
    return path;
  }

  path(pathId: number): RoguePath {
    const path = this.paths.get(pathId);
    if (path === undefined) throw new Error(`no path ${pathId}`);
    return path;
  }

  seal(pathId: number, frames: readonly Frame[]): Uint8Array {
    return this.sealPayload(pathId, encoded(frames));
  }

  /** A DATA packet with any payload, valid or not. */
  sealPayload(pathId: number, payload: Uint8Array): Uint8Array {
    const path = this.path(pathId);
    const packetNumber = path.nextNumber++;
    const id = path.remote === undefined ? undefined : path.sendConnectionId;
    const header = dataHeader({ keyPhase: path.sealer.keyPhase, connectionId: id, packetNumber });
    return concatBytes(header, ...path.sealer.seal(packetNumber, header, [payload]));
  }

  /** Seals frames and delivers the packet, from another address if one is given. */
  send(pathId: number, frames: readonly Frame[], remote = this.path(pathId).remote): void {
    this.raw(this.path(pathId).carrierId, this.seal(pathId, frames), remote);
  }

  raw(carrierId: CarrierId, packet: Uint8Array, remote: string | undefined): void {
    const bytes = remote === undefined ? concatBytes(recordHeader(packet.length), packet) : packet;
    this.bench.deliver(carrierId, bytes, remote);
  }

  /** Opens all that came since the last call. Packets that do not open are an error. */
  listen(): Heard[] {
    const fresh: Heard[] = [];
    const news = this.bench.sent.slice(this.#seen);
    this.#seen = this.bench.sent.length;
    for (const { carrierId, remote, bytes } of news) {
      for (const packet of this.#packets(carrierId, remote, bytes)) {
        const path = this.#pathOf(carrierId, packet);
        if (packet.type !== 'data' || path === undefined) continue;
        const number = expandPacketNumber(packet.truncatedNumber, path.largest);
        const payload = path.opener.open(packet.keyPhase, number, packet.header, packet.sealed);
        if (payload === undefined) throw new Error('a packet of the endpoint does not open');
        path.largest = Math.max(path.largest, number);
        const frames = decodeFrames(payload);
        fresh.push({ pathId: path.pathId, number, remote, bytes: bytes.length, frames });
      }
    }
    this.heard.push(...fresh);
    return fresh;
  }

  #packets(carrierId: CarrierId, remote: string | undefined, bytes: Uint8Array): Packet[] {
    if (remote !== undefined) {
      const packet = parsePacket(bytes, 'datagram');
      return packet === undefined ? [] : [packet];
    }
    let reader = this.#readers.get(carrierId);
    if (reader === undefined) {
      reader = new RecordReader();
      reader.maxRecordBytes = 65_535;
      this.#readers.set(carrierId, reader);
    }
    reader.push(bytes);
    const packets: Packet[] = [];
    for (let one = reader.next(); one !== undefined; one = reader.next()) {
      const packet = parsePacket(one, 'stream');
      if (packet !== undefined) packets.push(packet);
    }
    return packets;
  }

  #pathOf(carrierId: CarrierId, packet: Packet): RoguePath | undefined {
    if (packet.type !== 'data') return undefined;
    const id = packet.connectionId;
    return [...this.paths.values()].find((path) =>
      id === undefined
        ? path.carrierId === carrierId
        : Buffer.compare(path.receiveConnectionId, id) === 0,
    );
  }

  /** Acknowledges everything that came on a path. */
  acknowledge(pathId: number, on = pathId): void {
    const { largest } = this.path(pathId);
    if (largest < 0) return;
    const ranges = [{ smallest: 0, largest }];
    this.send(on, [{ type: 'ack', pathId, largest, delayUs: 0, ranges }]);
  }
}

export class RogueClient extends RoguePeer {
  readonly ticket: Ticket;
  readonly carrierId: CarrierId;
  readonly remote: string | undefined;
  readonly #parameters: Partial<Parameters>;

  constructor(bench: ServerBench, options: RogueOptions) {
    super(bench, 'initiator');
    this.ticket = options.ticket ?? bench.ticket;
    this.carrierId = options.carrier === 'tcp' ? bench.tcp() : bench.udp;
    this.remote = options.carrier === 'tcp' ? undefined : (options.remote ?? '10.0.0.9:9');
    this.#parameters = options.parameters ?? {};
  }

  /** Handshake and first packet: the session exists. */
  static connected(bench: ServerBench, options: RogueOptions): RogueClient {
    const client = new RogueClient(bench, options);
    if (client.handshake() !== 'accepted') throw new Error('no ACCEPT');
    client.send(0, [{ type: 'ping' }]);
    return client;
  }

  makeHello(payload = encodeParameters({ ...GENEROUS, ...this.#parameters })): RogueHello {
    const nonce = this.bench.prng.bytes(AEAD_NONCE_BYTES);
    const envelope = this.#envelope(FIRST_HELLO, nonce, this.ticket.keyId, 1);
    const noise = this.noise('initiator', this.ticket.secret, envelope);
    return { nonce, envelope, noise, message: noise.writeMessage(payload) };
  }

  #envelope(firstByte: number, nonce: Uint8Array, id: Uint8Array, detail: number): Uint8Array {
    const { crypto } = this.bench;
    const key = new EnvelopeKey(crypto, envelopeKey(crypto, this.ticket.doorKey));
    return key.seal({ firstByte, nonce, id, detail });
  }

  helloBytes(hello: RogueHello, cookie?: Uint8Array): Uint8Array {
    return encodeHello({ envelope: hello.envelope, cookie, noise: hello.message });
  }

  /** Sends a hello and reads what came back; `undefined` if nothing did. */
  handshake(
    hello = this.makeHello(),
    cookie?: Uint8Array,
  ): 'accepted' | Packet['type'] | undefined {
    const before = this.bench.sent.length;
    this.raw(this.carrierId, this.helloBytes(hello, cookie), this.remote);
    const answer = this.answers(before)[0];
    if (answer?.type !== 'accept') return answer?.type;
    this.accept(hello, answer.noise);
    return 'accepted';
  }

  /** Packets that the bench has sent to this client since. */
  answers(since: number): Packet[] {
    const packets: Packet[] = [];
    for (const one of this.bench.sent.slice(since)) {
      if (one.carrierId !== this.carrierId || one.remote !== this.remote) continue;
      const kind = this.remote === undefined ? 'stream' : 'datagram';
      const packet = parsePacket(kind === 'stream' ? one.bytes.slice(2) : one.bytes, kind);
      if (packet !== undefined) packets.push(packet);
    }
    return packets;
  }

  /** The cookie of a RETRY that answered a hello. */
  cookieOf(hello: RogueHello, retry: Packet): Uint8Array | undefined {
    if (retry.type !== 'retry') return undefined;
    const { crypto } = this.bench;
    const key = new RetryKey(crypto, retryKey(crypto, this.ticket.doorKey));
    return key.open(retry.nonce, hello.nonce, retry.sealedCookie);
  }

  accept(hello: RogueHello, message: Uint8Array): void {
    const payload = hello.noise.readMessage(message);
    if (payload === undefined) throw new Error('the ACCEPT is not authentic');
    this.agreed(hello.noise, decodeParameters(payload));
    this.sessionId = this.peer?.sessionId?.slice() ?? new Uint8Array(0);
    this.addPath(0, this.carrierId, this.remote);
  }

  /** Opens a path with a JOIN, by UDP from an address, or over a TCP carrier of its own. */
  join(pathId: number, via: string, frames: readonly Frame[] = [{ type: 'ping' }]): RoguePath {
    const isTcp = via === 'tcp';
    const carrierId = isTcp ? this.bench.tcp() : this.bench.udp;
    const path = this.addPath(pathId, carrierId, isTcp ? undefined : via);
    this.raw(path.carrierId, this.sealJoin(pathId, frames), path.remote);
    return path;
  }

  sealJoin(pathId: number, frames: readonly Frame[], sessionId = this.sessionId): Uint8Array {
    const path = this.path(pathId);
    const packetNumber = path.nextNumber++;
    const nonce = this.bench.prng.bytes(AEAD_NONCE_BYTES);
    const envelope = this.#envelope(FIRST_JOIN, nonce, sessionId, pathId);
    const header = joinHeader({ keyPhase: path.sealer.keyPhase, envelope, packetNumber });
    return concatBytes(header, ...path.sealer.seal(packetNumber, header, [encoded(frames)]));
  }
}

/** Answers a client on a bench. */
export class RogueServer extends RoguePeer {
  readonly client: ClientBench;

  constructor(client: ClientBench) {
    super(client, 'responder');
    this.client = client;
  }

  /** A server whose ACCEPT the client has got. */
  static accepted(client: ClientBench, parameters: Partial<Parameters> = {}): RogueServer {
    const server = new RogueServer(client);
    server.answer(server.accept(parameters));
    return server;
  }

  get remote(): string | undefined {
    return this.client.carrierId === this.client.udp ? SERVER_ADDRESS : undefined;
  }

  /** The HELLO that the client sent last. */
  get hello(): HelloPacket {
    const kind = this.remote === undefined ? 'stream' : 'datagram';
    const packets = this.client.sent.map(({ bytes }) =>
      parsePacket(kind === 'stream' ? bytes.slice(2) : bytes, kind),
    );
    const hello = packets.filter((packet) => packet?.type === 'hello').at(-1);
    if (hello?.type !== 'hello') throw new Error('the client has sent no HELLO');
    return hello;
  }

  /** An ACCEPT for that HELLO, with any parameters. */
  accept(parameters: Partial<Parameters> = {}): Uint8Array {
    const { envelope, noise: message } = this.hello;
    const noise = this.noise('responder', this.client.ticket.secret, envelope);
    const payload = noise.readMessage(message);
    if (payload === undefined) throw new Error('the HELLO is not authentic');
    const sessionId = this.bench.prng.bytes(8);
    const goneToken = this.bench.prng.bytes(16);
    const answer = encodeParameters({ ...GENEROUS, goneToken, sessionId, ...parameters });
    const echo = envelope.slice(0, 8);
    const accept = encodeAccept({ echo, noise: noise.writeMessage(answer) });
    this.agreed(noise, { ...decodeParameters(payload), ciphers: ['AES-256-GCM'] });
    this.sessionId = sessionId;
    return accept;
  }

  answer(packet: Uint8Array): void {
    this.raw(this.client.carrierId, packet, this.remote);
    if (this.client.session.lifecycle === 'handshaking') return;
    this.addPath(0, this.client.carrierId, this.remote);
  }
}

export function encoded(frames: readonly Frame[]): Uint8Array {
  const writer = new Writer();
  for (const frame of frames) encodeFrame(writer, frame);
  return writer.take();
}

/** A STREAM frame of the client's nth stream. */
export function streamFrame(
  streamId: number,
  offset: number,
  data: Uint8Array,
  fin = false,
): Frame {
  return { type: 'stream', streamId, offset, data, fin };
}
