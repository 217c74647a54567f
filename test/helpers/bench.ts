/** An endpoint driven by hand: its clock, all that it sent, and all that it told. */
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
  type Transmit,
} from '../../src/core/index.js';
import { type CryptoProvider, concatBytes } from '../../src/crypto/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { TestPrng } from './prng.js';

const GRANT_BYTES = 2 ** 40;
/** Where the server is, for a client on a bench. */
export const SERVER_ADDRESS = '10.0.0.1:7600';

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

/** With one datagram carrier, and stream carriers at will. */
class Bench {
  readonly endpoint: Endpoint;
  readonly keyRing: KeyRing;
  readonly ticket: Ticket;
  readonly crypto: CryptoProvider;
  readonly prng: TestPrng;
  readonly sent: Outgoing[] = [];
  readonly events: EndpointEvent[] = [];
  readonly closedCarriers = new Map<CarrierId, number>();
  readonly udp: CarrierId;
  now = 1_000 as Instant;
  #wakeAt: Instant | undefined;

  constructor(options: BenchOptions, isServer: boolean) {
    this.prng = new TestPrng(options.seed ?? 1);
    this.crypto = options.crypto ?? nodeCrypto;
    const random = (length: number) => this.prng.bytes(length);
    this.keyRing = new KeyRing(random(32), random(32));
    this.ticket = this.issue('first');
    this.endpoint = new Endpoint({
      crypto: this.crypto,
      random,
      ...(isServer ? { keyRing: this.keyRing } : {}),
      limits: options.limits ?? {},
      session: options.session ?? {},
    });
    const name = 'udp';
    const info = { name, kind: 'datagram', local: '*:7600', maxDatagramBytes: 1472 } as const;
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
      send: ({ carrierId, remote, chunks }: Transmit) => {
        this.sent.push({ carrierId, remote, bytes: concatBytes(...chunks), at: this.now });
      },
      emit: (event: EndpointEvent) => {
        this.events.push(event);
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

export type AnyBench = Bench;

export class ServerBench extends Bench {
  constructor(options: BenchOptions = {}) {
    super(options, true);
  }

  get sessions(): Session[] {
    return this.events.flatMap((event) => (event.type === 'accepted' ? [event.session] : []));
  }

  /** The session that was accepted last. */
  get session(): Session {
    const session = this.sessions.at(-1);
    if (session === undefined) throw new Error('no session was accepted');
    return session;
  }
}

/** A client that has begun a session over its datagram carrier, or over a stream carrier. */
export class ClientBench extends Bench {
  readonly session: Session;
  readonly carrierId: CarrierId;

  constructor(carrier: 'tcp' | 'udp', options: BenchOptions = {}) {
    super(options, false);
    this.session = this.endpoint.connect(this.ticket, {}, this.now);
    this.carrierId = carrier === 'tcp' ? this.tcp() : this.udp;
    const remote = carrier === 'tcp' ? undefined : SERVER_ADDRESS;
    this.endpoint.openPath(this.session, this.carrierId, remote, this.now);
    this.drain();
  }
}
