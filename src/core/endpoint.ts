/**
 * One end of any number of sessions: knows the carriers, tells whose packet has arrived, opens and
 * accepts sessions, and asks them in turn what they send. Drivers use it through
 * {@link EndpointCore} and `drain`.
 *
 * @module
 */

import type { CryptoProvider, RandomSource } from '../crypto/index.js';
import { type Packet, parsePacket } from '../wire/index.js';
import { Carrier } from './carrier.js';
import { ClientSide } from './client-side.js';
import type {
  Address,
  CarrierId,
  CarrierInfo,
  EndpointCore,
  Instant,
  PathId,
  Transmit,
} from './contract.js';
import { EndpointContext } from './endpoint-context.js';
import { UsageError } from './errors.js';
import type { SessionEvent } from './events.js';
import type { KeyRing } from './key-ring.js';
import {
  DEFAULT_ENDPOINT_LIMITS,
  DEFAULT_SESSION_OPTIONS,
  type EndpointLimits,
  type SessionOptions,
} from './options.js';
import { checkOptions } from './options-check.js';
import { TOO_MANY_FORGERIES } from './receiver.js';
import { ServerSide } from './server-side.js';
import type { Session } from './session.js';
import type { KeyEntry, Ticket } from './ticket.js';
import { TimerHeap } from './timer-heap.js';

export type EndpointEvent =
  /** Servers: a client has proved a key and is there. Its session's events follow. */
  | { readonly type: 'accepted'; readonly session: Session; readonly entry: KeyEntry }
  | { readonly type: 'session'; readonly session: Session; readonly event: SessionEvent }
  /** After its `closed`, when the peer knows or has had time to: nothing more is sent for it. */
  | { readonly type: 'over'; readonly session: Session }
  /** The driver shall close this carrier; nothing more is sent on it. */
  | { readonly type: 'closeCarrier'; readonly carrierId: CarrierId };

export interface EndpointConfig {
  readonly crypto: CryptoProvider;
  /** The system's generator, or a seeded one in simulations. */
  readonly random: RandomSource;
  /** Makes the endpoint a server: the keys it accepts. */
  readonly keyRing?: KeyRing;
  readonly limits?: Partial<EndpointLimits>;
  /** For all sessions of this endpoint; a client's `connect` may override them. */
  readonly session?: Partial<SessionOptions>;
}

/** What arrived and led nowhere; never an error, since anyone can send anything. */
export interface EndpointStatistics {
  readonly malformedPackets: number;
  readonly unroutablePackets: number;
  readonly sessions: number;
  readonly halfOpen: number;
  readonly unattachedCarriers: number;
}

/** A driver that is told an instant in the past would ask again at once, for ever. */
const MIN_WAIT_MS = 1;

export class Endpoint implements EndpointCore<EndpointEvent> {
  readonly #context: EndpointContext;
  readonly #client: ClientSide;
  readonly #server: ServerSide | undefined;
  readonly #timers = new TimerHeap<Session>();
  readonly #sessions = new Set<Session>();
  #nextCarrierId = 1;
  #nextEvent = 0;

  /** @throws UsageError if an option is out of its range. */
  constructor(config: EndpointConfig) {
    this.#context = new EndpointContext(
      config.crypto,
      config.random,
      { ...DEFAULT_ENDPOINT_LIMITS, ...config.limits },
      { ...DEFAULT_SESSION_OPTIONS, ...config.session },
    );
    checkOptions(this.#context.options);
    this.#client = new ClientSide(this.#context);
    this.#context.listeners.push(this.#client);
    const { keyRing } = config;
    this.#server = keyRing === undefined ? undefined : new ServerSide(this.#context, keyRing);
    if (this.#server !== undefined) this.#context.listeners.push(this.#server);
  }

  statistics(): EndpointStatistics {
    const { malformed, unroutable } = this.#context.counters;
    return {
      malformedPackets: malformed,
      unroutablePackets: unroutable,
      sessions: this.#sessions.size,
      halfOpen: this.#server?.halfOpenCount ?? 0,
      unattachedCarriers: this.#server?.unattachedCount ?? 0,
    };
  }

  // Commands.

  /** Servers: takes no more sessions, and answers nobody who wants one. What is there goes on. */
  stopAccepting(): void {
    this.#server?.stopAccepting();
  }

  /** Closes the oldest carrier for which nobody vouches yet, if there is one. */
  evictUnattached(): void {
    this.#server?.evictUnattached();
  }

  /**
   * Begins a session with the holder of the other half of a ticket. Give it carriers with
   * {@link openPath}; the first that is answered establishes it, the others join.
   *
   * @throws UsageError if an option is out of its range.
   */
  connect(ticket: Ticket, options: Partial<SessionOptions>, now: Instant): Session {
    const all = { ...this.#context.options, ...options };
    checkOptions(all);
    const session = this.#client.connect(ticket, all, now);
    this.#sessions.add(session);
    return session;
  }

  /**
   * Lets a session that was opened here use a carrier.
   *
   * @param remote datagram carriers: where the server is.
   * @returns the id of the new path; `undefined` while the session is being established, or if it
   *   has as many paths as it may have.
   * @throws UsageError if the carrier or the session is unknown.
   */
  openPath(
    session: Session,
    carrierId: CarrierId,
    remote: Address | undefined,
    now: Instant,
  ): PathId | undefined {
    const carrier = this.#context.carriers.get(carrierId);
    if (carrier === undefined) throw new UsageError(`there is no open carrier ${carrierId}`);
    const pathId = this.#client.openPath(session, carrier, remote, now);
    this.#server?.carrierIsOurs(carrier);
    return pathId;
  }

  /**
   * Servers: takes a key away. New sessions with it are not accepted.
   *
   * @param endSessions whether those that run are closed, with REVOKED.
   * @returns whether there was such a key.
   */
  revoke(keyId: Uint8Array, endSessions: boolean, now: Instant): boolean {
    return this.#server?.revoke(keyId, endSessions, now) ?? false;
  }

  // Inputs.

  carrierOpened(info: CarrierInfo, now: Instant): CarrierId {
    const id = this.#nextCarrierId as CarrierId;
    this.#nextCarrierId += 1;
    const carrier = new Carrier(id, info, now);
    this.#context.carriers.set(id, carrier);
    if (carrier.isStream) this.#server?.carrierAccepted(carrier);
    return id;
  }

  carrierClosed(carrierId: CarrierId, cause: Error | undefined, _now: Instant): void {
    const carrier = this.#context.carriers.get(carrierId);
    if (carrier === undefined) return;
    const reason =
      cause === undefined ? 'its carrier closed' : `its carrier failed: ${cause.message}`;
    this.#context.carrierOver(carrier, reason);
  }

  grantSend(carrierId: CarrierId, bytes: number, _now: Instant): void {
    const carrier = this.#context.carriers.get(carrierId);
    if (carrier === undefined) return;
    this.#context.granted(carrier, bytes);
    const route = this.#context.routeOfCarrier(carrierId);
    if (route !== undefined) this.#context.touch(route.session);
    // Before a path is attached, a HELLO may be waiting for this grant.
    else this.#client.granted(carrier);
  }

  receive(carrierId: CarrierId, bytes: Uint8Array, now: Instant, remote?: Address): void {
    const carrier = this.#context.carriers.get(carrierId);
    if (carrier === undefined) return;
    if (carrier.isDeaf) return;
    const { records } = carrier;
    if (records === undefined) {
      this.#receivePacket(carrier, bytes, remote, now);
      return;
    }
    // What a stranger said may have to be kept for a while; what a path brings is opened at once.
    records.push(records.reusesMemory ? bytes : new Uint8Array(bytes));
    for (;;) {
      const packet = records.next();
      if (packet === undefined) break;
      this.#receivePacket(carrier, packet, undefined, now);
      if (carrier.isClosed || carrier.isDeaf) return;
    }
    if (records.failed) this.#closeBroken(carrier);
  }

  #receivePacket(
    carrier: Carrier,
    bytes: Uint8Array,
    remote: Address | undefined,
    now: Instant,
  ): void {
    const packet = parsePacket(bytes, carrier.info.kind);
    if (packet === undefined) {
      this.#context.counters.malformed += 1;
      // What is attached never sends such a thing: it was tampered with. Strangers get silence.
      if (this.#context.routeOfCarrier(carrier.id) !== undefined) this.#closeBroken(carrier);
      return;
    }
    this.#dispatch(packet, bytes.length, carrier, remote, now);
  }

  #dispatch(
    packet: Packet,
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): void {
    switch (packet.type) {
      case 'data':
        return this.#data(packet, bytes, carrier, remote, now);
      case 'hello':
        // What is attached has no more handshakes to do.
        if (this.#context.routeOfCarrier(carrier.id) !== undefined) {
          return this.#closeBroken(carrier);
        }
        return this.#server?.hello(packet, bytes, carrier, remote, now);
      case 'join':
        return this.#join(packet, bytes, carrier, remote, now);
      case 'accept':
        return this.#client.accept(carrier, packet, now);
      case 'retry':
        return this.#client.retry(carrier, packet, now);
      case 'gone':
        return this.#client.gone(packet);
    }
  }

  #data(
    packet: Packet & { type: 'data' },
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): void {
    const route =
      packet.connectionId === undefined
        ? this.#context.routeOfCarrier(carrier.id)
        : this.#context.routeOfConnectionId(packet.connectionId);
    if (route === undefined) {
      if (this.#server?.firstData(packet, bytes, carrier, remote, now) === true) return;
      this.#context.counters.unroutable += 1;
      return;
    }
    if (route.path.carrier !== carrier) return;
    const { session, path } = route;
    if (session.receive(path, packet, bytes, remote, now) !== 'fatal') return;
    if (carrier.isStream) this.#closeBroken(carrier);
    else session.carrierClosed(path, TOO_MANY_FORGERIES);
  }

  #join(
    packet: Packet & { type: 'join' },
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): void {
    if (this.#context.routeOfCarrier(carrier.id) === undefined) {
      this.#server?.join(packet, bytes, carrier, remote, now);
    } else {
      this.#closeBroken(carrier);
    }
  }

  /** The carrier delivers what its other end can't have sent: it costs the path. */
  #closeBroken(carrier: Carrier): void {
    if (!carrier.isStream) return;
    this.#context.closeCarrier(carrier, 'what it delivered was not authentic');
  }

  handleTimeout(now: Instant): void {
    this.#context.lastNow = now;
    this.#server?.handleTimeout(now);
    for (;;) {
      const session = this.#timers.takeDue(now);
      if (session === undefined) break;
      this.#client.handleTimeout(session, now);
      session.handleTimeout(now);
      this.#context.touch(session);
    }
  }

  // Outputs.

  nextTransmit(now: Instant): Transmit | undefined {
    this.#context.lastNow = now;
    const ready = this.#context.nextReady();
    if (ready !== undefined) return ready;
    for (const session of this.#context.dirty) {
      const transmit = this.#client.nextHello(session, now) ?? session.nextTransmit(now);
      if (transmit !== undefined) {
        // Sessions take turns, packet by packet.
        if (this.#context.dirty.size > 1) {
          this.#context.dirty.delete(session);
          this.#context.dirty.add(session);
        }
        return transmit;
      }
      this.#context.dirty.delete(session);
      this.#settle(session);
    }
    return undefined;
  }

  /** A session has nothing more to send now: takes its news and its next deadline. */
  #settle(session: Session): void {
    this.#sessions.add(session);
    for (const event of session.takeEvents()) {
      this.#context.events.push({ type: 'session', session, event });
      if (event.type === 'path' && event.state === 'closed') {
        this.#context.pathClosed(session, event.pathId);
      }
    }
    for (const carrierId of session.takeCarriersToClose()) this.#closeCarrierOf(carrierId);
    if (session.isOpen) {
      this.#timers.set(
        session,
        earliest(session.nextTimeout(), this.#client.handshakeTimeout(session)),
      );
    } else {
      this.#end(session);
    }
  }

  #closeCarrierOf(carrierId: CarrierId): void {
    const carrier = this.#context.carriers.get(carrierId);
    if (carrier !== undefined) this.#context.closeCarrier(carrier);
  }

  #end(session: Session): void {
    this.#timers.set(session, undefined);
    this.#sessions.delete(session);
    this.#client.sessionEnded(session);
    this.#server?.sessionEnded(session);
    for (const { pathId, carrierId } of session.paths()) {
      const path = session.pathById(pathId);
      if (path === undefined) continue;
      this.#context.detach(path);
      if (path.carrier.isStream) this.#closeCarrierOf(carrierId);
    }
    this.#context.sessionEnded(session);
    this.#context.events.push({ type: 'over', session });
  }

  nextEvent(): EndpointEvent | undefined {
    const { events } = this.#context;
    const event = events[this.#nextEvent];
    if (event === undefined) {
      events.length = 0;
      this.#nextEvent = 0;
      return undefined;
    }
    this.#nextEvent += 1;
    return event;
  }

  nextTimeout(): Instant | undefined {
    const sessions = this.#timers.earliest ?? Number.POSITIVE_INFINITY;
    const next = Math.min(sessions, this.#server?.nextTimeout ?? Number.POSITIVE_INFINITY);
    if (!Number.isFinite(next)) return undefined;
    const { lastNow } = this.#context;
    return (next <= lastNow ? lastNow + MIN_WAIT_MS : next) as Instant;
  }
}

function earliest(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined) return b;
  return b === undefined || a < b ? a : b;
}
