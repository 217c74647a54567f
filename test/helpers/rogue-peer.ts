/**
 * A server endpoint driven by hand, and a client that does the real handshake with the crypto and
 * wire layers and nothing of the core's: it can then seal whatever it likes, on any path. It is the
 * malicious authenticated peer of the threat tests, and a second use of the wire format.
 */
import {
  type CarrierId,
  drain,
  Endpoint,
  type EndpointEvent,
  type EndpointLimits,
  type Instant,
  KeyRing,
  type Session,
  type SessionEvent,
  type SessionOptions,
  type Ticket,
} from '../../src/core/index.js';
import {
  AEAD_NONCE_BYTES,
  type CryptoProvider,
  concatBytes,
  connectionId,
  EnvelopeKey,
  envelopeKey,
  NoiseHandshake,
  PacketOpener,
  PacketSealer,
  RetryKey,
  retryKey,
  sessionSecret,
  trafficSecret,
} from '../../src/crypto/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import {
  dataHeader,
  decodeFrames,
  decodeParameters,
  encodeFrame,
  encodeHello,
  encodeParameters,
  expandPacketNumber,
  FIRST_HELLO,
  FIRST_JOIN,
  type Frame,
  joinHeader,
  type Packet,
  type Parameters,
  parsePacket,
  RecordReader,
  recordHeader,
  Writer,
} from '../../src/wire/index.js';
import { TestPrng } from './prng.js';

const PROLOGUE_NAME = new TextEncoder().encode('roving/1');
const GRANT_BYTES = 2 ** 40;

export const GENEROUS: Parameters = {
  ciphers: ['AES-256-GCM'],
  maxData: 2 ** 40,
  maxStreamData: 2 ** 40,
  maxStreamsBidi: 100,
  maxStreamsUni: 100,
  maxAckDelayMs: 10,
  maxPaths: 64,
};

/** What the endpoint has handed out for one carrier and address. */
export interface Outgoing {
  readonly carrierId: CarrierId;
  readonly remote: string | undefined;
  readonly bytes: Uint8Array;
  readonly at: number;
}

export interface BenchOptions {
  readonly session?: Partial<SessionOptions>;
  readonly limits?: Partial<EndpointLimits>;
  readonly crypto?: CryptoProvider;
  readonly seed?: number;
}

/** A server endpoint with one datagram carrier, its clock, and all that it said. */
export class ServerBench {
  readonly endpoint: Endpoint;
  readonly keyRing: KeyRing;
  readonly ticket: Ticket;
  readonly crypto: CryptoProvider;
  readonly prng: TestPrng;
  readonly sent: Outgoing[] = [];
  readonly events: EndpointEvent[] = [];
  readonly sessions: Session[] = [];
  readonly closedCarriers = new Map<CarrierId, number>();
  readonly udp: CarrierId;
  now = 1_000 as Instant;
  #wakeAt: Instant | undefined;

  constructor(options: BenchOptions = {}) {
    this.prng = new TestPrng(options.seed ?? 1);
    this.crypto = options.crypto ?? nodeCrypto;
    const random = (length: number) => this.prng.bytes(length);
    this.keyRing = new KeyRing(random(32), random(32));
    this.ticket = this.issue('first');
    this.endpoint = new Endpoint({
      crypto: this.crypto,
      random,
      keyRing: this.keyRing,
      limits: options.limits ?? {},
      session: options.session ?? {},
    });
    const info = {
      name: 'udp',
      kind: 'datagram',
      local: '*:7600',
      maxDatagramBytes: 1472,
    } as const;
    this.udp = this.endpoint.carrierOpened(info, this.now);
    this.drain();
  }

  issue(name: string): Ticket {
    const [keyId, secret] = [this.prng.bytes(8), this.prng.bytes(32)];
    this.keyRing.add({ keyId, secret, name, grants: [] });
    return { keyId, secret, doorKey: this.keyRing.doorKey, addresses: [] };
  }

  tcp(grantBytes = GRANT_BYTES): CarrierId {
    const info = { name: 'tcp', kind: 'stream', local: '*:7600', remote: '10.0.0.9:1' } as const;
    const id = this.endpoint.carrierOpened(info, this.now);
    this.endpoint.grantSend(id, grantBytes, this.now);
    this.drain();
    return id;
  }

  deliver(carrierId: CarrierId, bytes: Uint8Array, remote?: string): void {
    this.endpoint.receive(carrierId, bytes.slice(), this.now, remote);
    this.drain();
  }

  close(carrierId: CarrierId, cause?: Error): void {
    this.endpoint.carrierClosed(carrierId, cause, this.now);
    this.drain();
  }

  drain(): void {
    const closing: CarrierId[] = [];
    const host = {
      send: ({
        carrierId,
        remote,
        chunks,
      }: {
        carrierId: CarrierId;
        remote?: string;
        chunks: readonly Uint8Array[];
      }) => {
        this.sent.push({ carrierId, remote, bytes: concatBytes(...chunks), at: this.now });
      },
      emit: (event: EndpointEvent) => {
        this.events.push(event);
        if (event.type === 'accepted') this.sessions.push(event.session);
        if (event.type === 'closeCarrier') closing.push(event.carrierId);
      },
      wakeAt: (at: Instant | undefined) => {
        this.#wakeAt = at;
      },
    };
    drain(this.endpoint, host, this.now);
    for (const id of closing) {
      this.closedCarriers.set(id, this.now);
      this.endpoint.carrierClosed(id, undefined, this.now);
    }
    if (closing.length > 0) this.drain();
  }

  /** Lets time pass, with all the wakes that the core asks for. Returns how many there were. */
  advance(ms: number): number {
    const end = this.now + ms;
    let wakes = 0;
    while (this.#wakeAt !== undefined && this.#wakeAt <= end) {
      this.now = Math.max(this.now, this.#wakeAt) as Instant;
      wakes += 1;
      this.endpoint.handleTimeout(this.now);
      this.drain();
    }
    this.now = end as Instant;
    return wakes;
  }

  /** The session that was accepted last. */
  get session(): Session {
    const session = this.sessions[this.sessions.length - 1];
    if (session === undefined) throw new Error('no session was accepted');
    return session;
  }

  eventsOf(session: Session): SessionEvent[] {
    return this.events.flatMap((event) =>
      event.type === 'session' && event.session === session ? [event.event] : [],
    );
  }

  /** The error of the session's end; `undefined` while it goes on. */
  errorOf(session: Session): Error | undefined {
    const closed = this.eventsOf(session).find((event) => event.type === 'closed');
    return closed?.type === 'closed' ? closed.error : undefined;
  }

  bytesTo(remote: string): number {
    return this.sent.reduce((sum, one) => sum + (one.remote === remote ? one.bytes.length : 0), 0);
  }
}

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

export class RogueClient {
  readonly bench: ServerBench;
  readonly ticket: Ticket;
  readonly carrierId: CarrierId;
  readonly remote: string | undefined;
  readonly paths = new Map<number, RoguePath>();
  readonly heard: Heard[] = [];
  secret = new Uint8Array(0);
  sessionId = new Uint8Array(0);
  peer: Parameters | undefined;
  readonly #parameters: Partial<Parameters>;
  readonly #readers = new Map<CarrierId, RecordReader>();
  #seen = 0;

  constructor(bench: ServerBench, options: RogueOptions) {
    this.bench = bench;
    this.ticket = options.ticket ?? bench.ticket;
    this.carrierId = options.carrier === 'tcp' ? bench.tcp() : bench.udp;
    this.remote = options.carrier === 'tcp' ? undefined : (options.remote ?? '10.0.0.9:9');
    this.#parameters = options.parameters ?? {};
    this.#seen = bench.sent.length;
  }

  /** Handshake and first packet: the session exists. */
  static connected(bench: ServerBench, options: RogueOptions): RogueClient {
    const client = new RogueClient(bench, options);
    client.handshake();
    client.send(0, [{ type: 'ping' }]);
    return client;
  }

  makeHello(cipherPayload = encodeParameters({ ...GENEROUS, ...this.#parameters })): RogueHello {
    const { crypto, prng } = this.bench;
    const nonce = prng.bytes(AEAD_NONCE_BYTES);
    const envelope = this.#envelope(FIRST_HELLO, nonce, this.ticket.keyId, 1);
    const noise = new NoiseHandshake({
      crypto,
      role: 'initiator',
      pattern: 'NNpsk0',
      cipher: 'ChaCha20-Poly1305',
      psk: this.ticket.secret,
      prologue: concatBytes(PROLOGUE_NAME, Uint8Array.of(FIRST_HELLO), envelope),
      ephemeral: prng.bytes(32),
    });
    return { nonce, envelope, noise, message: noise.writeMessage(cipherPayload) };
  }

  #envelope(firstByte: number, nonce: Uint8Array, id: Uint8Array, detail: number): Uint8Array {
    const key = new EnvelopeKey(
      this.bench.crypto,
      envelopeKey(this.bench.crypto, this.ticket.doorKey),
    );
    return key.seal({ firstByte, nonce, id, detail });
  }

  helloBytes(hello: RogueHello, cookie?: Uint8Array): Uint8Array {
    return encodeHello({ envelope: hello.envelope, cookie, noise: hello.message });
  }

  /** Sends a hello and reads what came back; `undefined` if it was no ACCEPT. */
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
    this.peer = decodeParameters(payload);
    const { k1, k2 } = hello.noise.split();
    this.secret = sessionSecret(this.bench.crypto, k1, k2, hello.noise.handshakeHash).slice();
    this.sessionId = this.peer.sessionId?.slice() ?? new Uint8Array(0);
    this.addPath(0, this.carrierId, this.remote);
    this.#seen = this.bench.sent.length;
  }

  addPath(pathId: number, carrierId: CarrierId, remote: string | undefined): RoguePath {
    const { crypto } = this.bench;
    const cipher = this.peer?.ciphers[0] ?? 'AES-256-GCM';
    const path: RoguePath = {
      pathId,
      carrierId,
      remote,
      sealer: new PacketSealer(crypto, cipher, trafficSecret(crypto, this.secret, pathId, 'c2s')),
      opener: new PacketOpener(crypto, cipher, trafficSecret(crypto, this.secret, pathId, 's2c')),
      sendConnectionId: connectionId(crypto, this.secret, pathId, 'c2s'),
      receiveConnectionId: connectionId(crypto, this.secret, pathId, 's2c'),
      nextNumber: 0,
      largest: -1,
    };
    this.paths.set(pathId, path);
    return path;
  }

  /** Opens a path with a JOIN, by UDP from an address, or over a TCP carrier of its own. */
  join(
    pathId: number,
    via: 'tcp' | string,
    frames: readonly Frame[] = [{ type: 'ping' }],
  ): RoguePath {
    const isTcp = via === 'tcp';
    const path = this.addPath(
      pathId,
      isTcp ? this.bench.tcp() : this.bench.udp,
      isTcp ? undefined : via,
    );
    this.raw(path.carrierId, this.sealJoin(pathId, frames), path.remote);
    return path;
  }

  sealJoin(pathId: number, frames: readonly Frame[]): Uint8Array {
    const path = this.path(pathId);
    const packetNumber = path.nextNumber++;
    const nonce = this.bench.prng.bytes(AEAD_NONCE_BYTES);
    const envelope = this.#envelope(FIRST_JOIN, nonce, this.sessionId, pathId);
    const header = joinHeader({ keyPhase: path.sealer.keyPhase, envelope, packetNumber });
    return concatBytes(header, ...path.sealer.seal(packetNumber, header, [encoded(frames)]));
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
        if (payload === undefined) throw new Error('a packet of the server does not open');
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
