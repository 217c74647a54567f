/**
 * The sans-IO contract: what drives the protocol core, and what comes out of it.
 *
 * Time, randomness and bytes come in as arguments; transmits, events and the next timeout come
 * out. The real drivers (`src/node`) and the simulator (`src/sim`) use this file and nothing else
 * of the core's insides. Laws that hold for every implementation of {@link EndpointCore}:
 *
 * 1. Time never goes back: each `now` is at least the one before.
 * 2. Inputs may be batched; outputs are drained ({@link drain}) before the driver waits.
 * 3. An early or repeated `handleTimeout` is harmless.
 * 4. The core calls nobody, so it is never re-entered.
 * 5. A datagram given in belongs to the core, and what a stream carrier delivers is only looked at
 *    during the call; bytes given out are never touched again.
 * 6. Same inputs and same randomness, same outputs, byte for byte.
 *
 * @module
 */

/** Milliseconds on the driver's monotonic clock; only differences mean anything. */
export type Instant = number & { readonly __brand: 'Instant' };

/** One way to move bytes: a connected TCP socket, a bound UDP socket, an end of a memory pipe. */
export type CarrierId = number & { readonly __brand: 'CarrierId' };

/** One path of a session, in the order in which the client opened them; never used twice. */
export type PathId = number & { readonly __brand: 'PathId' };

/**
 * Where a datagram goes or came from, as `host:port` (`[host]:port` for IPv6). The core compares
 * addresses and never interprets them, apart from telling host and port at the last colon.
 */
export type Address = string;

/** What moves a path's bytes (`design.md`: carrier). */
export type CarrierName = 'tcp' | 'udp' | 'ws' | 'mptcp' | 'memory' | 'simulated';

/** What a driver tells the core of a carrier that it has just opened or accepted. */
export interface CarrierInfo {
  readonly name: CarrierName;
  /**
   * `stream`: delivers bytes in order until it dies. `datagram`: may lose, duplicate and reorder
   * whole datagrams, and can reach many remote addresses.
   */
  readonly kind: 'stream' | 'datagram';
  /** The local address or interface, for people to read and for path managers to compare. */
  readonly local: string;
  /** Stream carriers: the other end. Absent on an unconnected datagram socket. */
  readonly remote?: Address;
  /** Datagram carriers: the largest datagram, in bytes; 1200 where nothing better is known. */
  readonly maxDatagramBytes?: number;
}

/** Bytes to hand to a carrier. The chunks in order make one datagram, or the next bytes of a stream. */
export interface Transmit {
  readonly carrierId: CarrierId;
  /** Datagram carriers: where to. */
  readonly remote?: Address;
  readonly chunks: readonly Uint8Array[];
}

/** The part of an endpoint that a driver uses; see the laws above. */
export interface EndpointCore<Event> {
  // Inputs. They never throw because of what the peer or the network did.

  /** A carrier is there: opened by us, or accepted. A stream carrier may send nothing before a grant. */
  carrierOpened(info: CarrierInfo, now: Instant): CarrierId;
  /** A carrier is no more. Costs the paths that ran over it, never a session. */
  carrierClosed(carrierId: CarrierId, cause: Error | undefined, now: Instant): void;
  /** One datagram (with its source address), or the next bytes of a stream in any split. */
  receive(carrierId: CarrierId, bytes: Uint8Array, now: Instant, remote?: Address): void;
  /** Stream carriers: the core may hand out this many more bytes for the carrier. */
  grantSend(carrierId: CarrierId, bytes: number, now: Instant): void;
  handleTimeout(now: Instant): void;

  // Outputs. After any input or command, drain all three in this order.

  nextTransmit(now: Instant): Transmit | undefined;
  nextEvent(): Event | undefined;
  nextTimeout(): Instant | undefined;
}

/** What a driver offers to {@link drain}. */
export interface Host<Event> {
  send(transmit: Transmit): void;
  /** May issue commands to the core; whatever they make it send is drained too. */
  emit(event: Event): void;
  /** When to call `handleTimeout` next; `undefined`: not before another input. */
  wakeAt(at: Instant | undefined): void;
}

/** The only code that knows the drain order; every driver calls it after each batch of inputs. */
export function drain<Event>(core: EndpointCore<Event>, host: Host<Event>, now: Instant): void {
  for (;;) {
    const transmit = core.nextTransmit(now);
    if (transmit !== undefined) {
      host.send(transmit);
      continue;
    }
    const event = core.nextEvent();
    if (event === undefined) break;
    host.emit(event);
  }
  host.wakeAt(core.nextTimeout());
}
