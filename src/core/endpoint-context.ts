/**
 * What the two sides of an endpoint share: routes to sessions and paths, and a way out for packets
 * that belong to no session yet.
 *
 * @module
 */

import type { CryptoProvider, RandomSource } from '../crypto/index.js';
import { connectionIdKey, RECORD_HEADER_BYTES, recordHeader } from '../wire/index.js';
import type { Carrier } from './carrier.js';
import type { Address, CarrierId, Instant, PathId, Transmit } from './contract.js';
import type { EndpointEvent } from './endpoint.js';
import type { EndpointLimits, SessionOptions } from './options.js';
import type { Path } from './path.js';
import type { Session } from './session.js';
import { BlockPool } from './streams/send-buffer.js';

/** Packets of the handshake that were made and not yet asked for; more are dropped. */
const MAX_READY_PACKETS = 4_096;

/** Whose packets arrive on a carrier, or with a connection id. */
export interface PathRoute {
  readonly session: Session;
  readonly path: Path;
}

/** Who has to know when a carrier is no more. */
export interface CarrierListener {
  carrierClosed(carrier: Carrier): void;
}

export class EndpointContext {
  readonly crypto: CryptoProvider;
  readonly random: RandomSource;
  readonly limits: EndpointLimits;
  readonly options: SessionOptions;
  readonly blocks = new BlockPool();
  readonly carriers = new Map<CarrierId, Carrier>();
  readonly events: EndpointEvent[] = [];
  /** Sessions that may have something to send or to tell. */
  readonly dirty = new Set<Session>();
  readonly #byConnectionId = new Map<string, PathRoute>();
  readonly #byCarrier = new Map<CarrierId, PathRoute>();
  /** The keys of each session in `#byConnectionId`: its end must not cost a look at all others. */
  readonly #keysOf = new Map<Session, Map<PathId, string>>();
  /** The sides of the endpoint. */
  readonly listeners: CarrierListener[] = [];
  /** What nothing holds up. */
  #ready: Transmit[] = [];
  /** One packet at most for each stream carrier whose grant is too small for it. */
  readonly #waiting = new Map<Carrier, { readonly transmit: Transmit; readonly bytes: number }>();
  readonly counters = { malformed: 0, unroutable: 0 };

  constructor(
    crypto: CryptoProvider,
    random: RandomSource,
    limits: EndpointLimits,
    options: SessionOptions,
  ) {
    this.crypto = crypto;
    this.random = random;
    this.limits = limits;
    this.options = options;
  }

  readonly touch = (session: Session): void => {
    this.dirty.add(session);
  };

  // Routes.

  routeOfConnectionId(connectionId: Uint8Array): PathRoute | undefined {
    return this.#byConnectionId.get(connectionIdKey(connectionId));
  }

  routeOfCarrier(carrierId: CarrierId): PathRoute | undefined {
    return this.#byCarrier.get(carrierId);
  }

  /** @returns `false` if the connection id is taken: the path can't be had under it. */
  attach(session: Session, path: Path): boolean {
    if (path.carrier.isStream) {
      this.#byCarrier.set(path.carrier.id, { session, path });
      // From here on a packet is opened, or dropped, before the next one is looked at.
      if (path.carrier.records !== undefined) path.carrier.records.reusesMemory = true;
      return true;
    }
    const key = connectionIdKey(path.receiveConnectionId);
    if (this.#byConnectionId.has(key)) return false;
    this.#byConnectionId.set(key, { session, path });
    const keys = this.#keysOf.get(session) ?? new Map<PathId, string>();
    this.#keysOf.set(session, keys.set(path.id, key));
    return true;
  }

  detach(path: Path): void {
    if (path.carrier.isStream) {
      this.#byCarrier.delete(path.carrier.id);
      return;
    }
    const route = this.routeOfConnectionId(path.receiveConnectionId);
    if (route?.path === path) this.pathClosed(route.session, path.id);
  }

  /** Forgets the route of a path on a datagram carrier. */
  pathClosed(session: Session, pathId: PathId): void {
    const keys = this.#keysOf.get(session);
    const key = keys?.get(pathId);
    if (keys === undefined || key === undefined) return;
    this.#byConnectionId.delete(key);
    keys.delete(pathId);
    if (keys.size === 0) this.#keysOf.delete(session);
  }

  /** Forgets the routes of all of its paths on datagram carriers. */
  sessionEnded(session: Session): void {
    for (const key of this.#keysOf.get(session)?.values() ?? []) this.#byConnectionId.delete(key);
    this.#keysOf.delete(session);
  }

  *#pathsOn(carrier: Carrier): Generator<PathRoute> {
    const attached = this.#byCarrier.get(carrier.id);
    if (attached !== undefined) yield attached;
    if (carrier.isStream) return;
    for (const route of this.#byConnectionId.values()) {
      if (route.path.carrier === carrier) yield route;
    }
  }

  // Packets outside of sessions.

  /**
   * Sends a packet of the handshake. On a stream carrier it waits for a grant; while one waits,
   * more are dropped: who doesn't read must not make us remember.
   */
  send(carrier: Carrier, remote: Address | undefined, packet: Uint8Array): void {
    if (this.#waiting.has(carrier) || this.#ready.length >= MAX_READY_PACKETS) return;
    const chunks = carrier.isStream ? [recordHeader(packet.length), packet] : [packet];
    const bytes = packet.length + (carrier.isStream ? RECORD_HEADER_BYTES : 0);
    const transmit: Transmit = {
      carrierId: carrier.id,
      chunks,
      ...(carrier.isStream || remote === undefined ? {} : { remote }),
    };
    if (!carrier.isStream) this.#ready.push(transmit);
    else {
      this.#waiting.set(carrier, { transmit, bytes });
      this.granted(carrier, 0);
    }
  }

  /** A stream carrier may send so many bytes more. */
  granted(carrier: Carrier, bytes: number): void {
    carrier.grantBytes += bytes;
    const waiting = this.#waiting.get(carrier);
    if (waiting === undefined || carrier.grantBytes < waiting.bytes) return;
    carrier.grantBytes -= waiting.bytes;
    this.#waiting.delete(carrier);
    this.#ready.push(waiting.transmit);
  }

  nextReady(): Transmit | undefined {
    return this.#ready.shift();
  }

  // The end of carriers.

  /** The only end that a carrier has, whoever wanted it: its paths and both sides are told. */
  carrierOver(carrier: Carrier, reason: string): void {
    if (carrier.isClosed) return;
    carrier.isClosed = true;
    for (const { session, path } of [...this.#pathsOn(carrier)]) {
      this.detach(path);
      session.carrierClosed(path, reason);
    }
    for (const listener of this.listeners) listener.carrierClosed(carrier);
    this.carriers.delete(carrier.id);
    this.#waiting.delete(carrier);
    this.#ready = this.#ready.filter((transmit) => transmit.carrierId !== carrier.id);
  }

  /** Has the driver close a carrier. */
  closeCarrier(carrier: Carrier, reason = 'its carrier was closed'): void {
    if (carrier.isClosed) return;
    this.carrierOver(carrier, reason);
    this.events.push({ type: 'closeCarrier', carrierId: carrier.id });
  }

  /** For the deadline of a driver that is told an instant in the past. */
  lastNow = 0 as Instant;
}
