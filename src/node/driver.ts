/**
 * Runs an endpoint on Node: the clock, the one timer, and the carriers. Everything goes in as it
 * happens; what comes out is drained once for all that happened in one turn of the event loop.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import {
  type Address,
  type CarrierId,
  drain,
  Endpoint,
  type EndpointConfig,
  type EndpointEvent,
  type Host,
  type Instant,
  type KeyEntry,
  type Session,
  type SessionEvent,
  type Transmit,
} from '../core/index.js';
import type { CryptoProvider } from '../crypto/index.js';
import type { Carrier } from './carriers/carrier.js';
import { bestCrypto } from './native-crypto.js';

const NEVER = Number.POSITIVE_INFINITY;
/** Longest time that `setTimeout` knows; it takes a longer one for 1 ms. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Who hears a session of the driver. */
export interface SessionSink {
  handle(event: SessionEvent): void;
  /** The last call: nothing more is sent for the session. */
  over(): void;
}

/** A carrier is no more: the other end, the network or this end has ended it. */
export type OnGone = (error: Error | undefined) => void;

export interface DriverOptions
  extends Omit<EndpointConfig, 'crypto' | 'random'>,
    Partial<Pick<EndpointConfig, 'crypto' | 'random'>> {
  /** Servers: a client is there. Attach a sink at once, or its events are lost. */
  readonly onAccepted?: (session: Session, entry: KeyEntry) => void;
}

/** Owns an {@link Endpoint} and the carriers that its sessions run over. */
export class Driver implements Host<EndpointEvent> {
  readonly endpoint: Endpoint;
  readonly #crypto: CryptoProvider;
  readonly #onAccepted: DriverOptions['onAccepted'];
  readonly #carriers = new Map<
    CarrierId,
    { readonly carrier: Carrier; readonly onGone?: OnGone }
  >();
  readonly #sinks = new Map<Session, SessionSink>();
  /** Those of them that do not keep the process alive. */
  readonly #unheld = new Set<Session>();
  readonly #over: Session[] = [];
  readonly #closing: CarrierId[] = [];
  #isScheduled = false;
  #isClosed = false;
  #wantedAt = NEVER;
  #timerAt = NEVER;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  /** For datagrams that have come in, after those that come with them. */
  #flushSoon: NodeJS.Immediate | undefined;

  constructor(options: DriverOptions = {}) {
    const { onAccepted, ...config } = options;
    this.#onAccepted = onAccepted;
    const { crypto = bestCrypto() } = config;
    this.#crypto = crypto;
    this.endpoint = new Endpoint({ random: systemRandom, ...config, crypto });
  }

  /** Milliseconds on the monotonic clock. */
  get now(): Instant {
    return performance.now() as Instant;
  }

  get carrierCount(): number {
    return this.#carriers.size;
  }

  carrier(carrierId: CarrierId): Carrier | undefined {
    return this.#carriers.get(carrierId)?.carrier;
  }

  /** Calls commands of the core. What they make it send goes out before the next turn. */
  command<T>(action: (endpoint: Endpoint, now: Instant) => T): T {
    this.#touch();
    return action(this.endpoint, this.now);
  }

  /**
   * Takes a carrier that is connected, bound or accepted; it is the driver's from now on.
   *
   * @param onGone called once, when it is no more; not by {@link close}.
   */
  addCarrier(carrier: Carrier, onGone?: OnGone): CarrierId {
    const id = this.command((endpoint, now) => endpoint.carrierOpened(carrier, now));
    this.#carriers.set(id, { carrier, ...(onGone === undefined ? {} : { onGone }) });
    carrier.unref?.();
    carrier.open({
      borrows: carrier.kind === 'stream',
      onSent: (chunks) => this.#crypto.recycle?.(chunks),
      onReceive: (bytes, remote) => {
        if (carrier.kind === 'datagram') this.#datagram(id, bytes, remote);
        else this.#input((now) => this.endpoint.receive(id, bytes, now, remote));
      },
      onWritable: (bytes) => {
        this.#input((now) => this.endpoint.grantSend(id, bytes, now));
      },
      onClosed: (error) => {
        if (!this.#carriers.delete(id)) return;
        this.#input((now) => this.endpoint.carrierClosed(id, error, now));
        onGone?.(error);
      },
    });
    return id;
  }

  /** Closes a carrier in good order; the paths over it end. */
  closeCarrier(carrierId: CarrierId): void {
    const known = this.#carriers.get(carrierId);
    if (known === undefined) return;
    this.#carriers.delete(carrierId);
    known.carrier.close();
    this.#input((now) => this.endpoint.carrierClosed(carrierId, undefined, now));
    known.onGone?.(undefined);
  }

  /**
   * Sends the session's events to `sink`. The process stays alive while a session is attached that
   * is not exempt by {@link hold}. Only the driver's timer does that: carriers are unref'ed.
   */
  attach(session: Session, sink: SessionSink): void {
    this.#sinks.set(session, sink);
    this.#timer?.ref();
  }

  /** Whether an attached session keeps the process alive; it does until it is told not to. */
  hold(session: Session, isHeld: boolean): void {
    if (isHeld || !this.#sinks.has(session)) this.#unheld.delete(session);
    else this.#unheld.add(session);
    if (this.#isHeld) this.#timer?.ref();
    else this.#timer?.unref();
  }

  get #isHeld(): boolean {
    return this.#sinks.size > this.#unheld.size;
  }

  detach(session: Session): void {
    this.#sinks.delete(session);
    this.#unheld.delete(session);
    if (!this.#isHeld) this.#timer?.unref();
  }

  /** Closes all carriers and stops; close the sessions before. */
  close(): void {
    this.#isClosed = true;
    for (const { carrier } of this.#carriers.values()) carrier.close();
    this.#carriers.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    clearImmediate(this.#flushSoon);
    this.#flushSoon = undefined;
  }

  #input(action: (now: Instant) => void): void {
    if (this.#isClosed) return;
    action(this.now);
    this.#touch();
  }

  /**
   * Node calls back for each datagram of those that it reads in a row, and microtasks run in between.
   * What comes out is drained once for all of them: one acknowledgement for many, and many
   * packets sent at a time.
   */
  #datagram(id: CarrierId, bytes: Uint8Array, remote: Address | undefined): void {
    if (this.#isClosed) return;
    this.endpoint.receive(id, bytes, this.now, remote);
    this.#flushSoon ??= setImmediate(() => {
      this.#flushSoon = undefined;
      this.#flush();
    });
  }

  #touch(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    drain(this.endpoint, this, this.now);
    for (const carrierId of this.#closing.splice(0)) this.closeCarrier(carrierId);
    for (const session of this.#over.splice(0)) this.#sinks.get(session)?.over();
  }

  // What drain() calls.

  send(transmit: Transmit): void {
    this.#carriers.get(transmit.carrierId)?.carrier.send(transmit.chunks, transmit.remote);
  }

  emit(event: EndpointEvent): void {
    if (event.type === 'closeCarrier') {
      this.#closing.push(event.carrierId);
      return;
    }
    try {
      if (event.type === 'over') this.#over.push(event.session);
      else if (event.type === 'accepted') this.#onAccepted?.(event.session, event.entry);
      else this.#sinks.get(event.session)?.handle(event.event);
    } catch (error) {
      // A listener's fault: it is uncaught, as in Node's own emitters, but the drain goes on.
      process.nextTick(() => {
        throw error;
      });
    }
  }

  wakeAt(at: Instant | undefined): void {
    this.#wantedAt = at ?? NEVER;
    this.#arm();
  }

  /** One timer. If it goes off too early, it is set again; so it is hardly ever set anew. */
  #arm(): void {
    if (this.#wantedAt === NEVER) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return;
    }
    if (this.#timer !== undefined && this.#timerAt <= this.#wantedAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = this.#wantedAt;
    const delayMs = Math.min(MAX_TIMEOUT_MS, Math.max(1, Math.ceil(this.#wantedAt - this.now)));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.now < this.#wantedAt) this.#arm();
      else this.#immediate ??= setImmediate(() => this.#timedOut());
    }, delayMs);
    if (!this.#isHeld) this.#timer.unref();
  }

  /**
   * Timers come first in a turn of the event loop, sockets after them. A process that was busy for a
   * while would take its own absence for the network's silence, so it reads first what has arrived.
   */
  #timedOut(): void {
    this.#immediate = undefined;
    this.#wantedAt = NEVER;
    this.#input((now) => this.endpoint.handleTimeout(now));
  }
}

function systemRandom(length: number): Uint8Array {
  // Not from Node's pool: what the core gets is its own.
  const bytes = new Uint8Array(length);
  bytes.set(randomBytes(length));
  return bytes;
}
