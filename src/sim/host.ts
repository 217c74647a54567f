/**
 * The simulated driver: runs an endpoint of the protocol on a machine in virtual time.
 *
 * @module
 */

import {
  type Address,
  type CarrierId,
  type CarrierInfo,
  type CarrierName,
  drain,
  type EndpointCore,
  type Host,
  type Instant,
  type Transmit,
} from '../core/contract.js';
import type { Machine } from './network.js';
import { UDP_HEADER_BYTES } from './packet.js';
import { connectTcp, type TcpConnection, TcpListener, type TcpOptions } from './tcp.js';
import { type UdpBinding, UdpSocket } from './udp.js';
import type { Driver, World } from './world.js';

const NEVER = Number.POSITIVE_INFINITY;
/** Free space is granted in steps of this much, so that not every ack wakes the core. */
const GRANT_STEP_BYTES = 16_384;
/** More drains at one instant are a core whose timeout never moves on; pipes need many. */
const MAX_DRAINS_PER_INSTANT = 1_000_000;
/** Without a MTU that says otherwise: Ethernet's. */
const DEFAULT_MAX_DATAGRAM_BYTES = 1500 - UDP_HEADER_BYTES;

/** Why a carrier closed, for whoever dials again. */
export interface CarrierClosure {
  readonly info: CarrierInfo;
  /** Absent: the peer or we have closed it in good order. */
  readonly cause: Error | undefined;
  /** Whether the core, or the test through {@link SimHost.closeCarrier}, wanted it. */
  readonly requested: boolean;
}

export interface SimHostOptions<E> {
  /** Hears the core's events, and may call `command` or use the core at once. */
  readonly onEvent?: (event: E, now: Instant) => void;
  /** Tells which carrier an event asks to close, if it does. */
  readonly carrierToClose?: (event: E) => CarrierId | undefined;
  /** The policy for dialling again. */
  readonly onCarrierClosed?: (carrierId: CarrierId, closure: CarrierClosure) => void;
}

export interface UdpCarrierOptions extends UdpBinding {
  /** What the core is told; 1472 (an MTU of 1500). */
  readonly maxDatagramBytes?: number;
}

export interface TcpDialOptions extends TcpOptions {
  /** The local address, which chooses the path; without it the first that leads there. */
  readonly host?: string;
  /** What the core is told that it is; `tcp`. */
  readonly name?: CarrierName;
  readonly onOpen?: (carrierId: CarrierId) => void;
  /** Connecting has failed; the core has heard nothing of it. */
  readonly onFailed?: (cause: Error | undefined) => void;
}

export interface TcpListenOptions extends TcpOptions {
  /** The local address; without it all of the machine's. */
  readonly host?: string;
  readonly name?: CarrierName;
  readonly onAccept?: (carrierId: CarrierId) => void;
}

/** A carrier as its host sees it. */
export interface SimCarrier {
  readonly info: CarrierInfo;
  send(transmit: Transmit): void;
  /** In good order. Must not call the host back. */
  close(): void;
  /** For TCP: the connection, for measurements. */
  readonly connection?: TcpConnection;
}

/**
 * Owns a core. Inputs are given to it when they happen; outputs are drained once per instant, when
 * all that happens at that instant has been given.
 */
export class SimHost<E, C extends EndpointCore<E> = EndpointCore<E>> implements Driver, Host<E> {
  readonly world: World;
  readonly machine: Machine;
  readonly core: C;
  readonly carriers = new Map<CarrierId, SimCarrier>();
  private readonly options: SimHostOptions<E>;
  private readonly sockets: { close(): void }[] = [];
  private readonly grants = new Map<CarrierId, number>();
  private readonly closing: CarrierId[] = [];
  private dead = false;
  private settling = false;
  private settledAt = 0;
  private settleCount = 0;
  private wantedAt = NEVER;
  private scheduledAt = NEVER;

  /** Registers itself in the world as the driver of that machine, for faults. */
  constructor(machine: Machine, core: C, options: SimHostOptions<E> = {}) {
    this.world = machine.world;
    this.machine = machine;
    this.core = core;
    this.options = options;
    this.world.drivers.set(machine.name, this);
  }

  get isAlive(): boolean {
    return !this.dead;
  }

  /** Calls a command of the core now and drains at the end of this instant. */
  command<T>(action: (core: C, now: Instant) => T): T {
    const result = action(this.core, this.world.now);
    this.touch();
    return result;
  }

  /** Says that somebody has used the core: it is drained at the end of this instant. */
  touch(): void {
    if (this.settling || this.dead) return;
    this.settling = true;
    this.world.settleLater(this);
  }

  /** Opens a datagram carrier. @throws RangeError if the address is in use. */
  udp(options: UdpCarrierOptions = {}): CarrierId {
    const socket = new UdpSocket(this.machine, options, (bytes, from) => {
      if (this.carriers.has(id)) this.receive(id, bytes, from);
    });
    const info: CarrierInfo = {
      name: 'udp',
      kind: 'datagram',
      local: socket.localText,
      maxDatagramBytes: options.maxDatagramBytes ?? DEFAULT_MAX_DATAGRAM_BYTES,
    };
    const id = this.open({
      info,
      send: ({ chunks, remote }) => {
        if (remote !== undefined) socket.send(chunks, remote);
      },
      close: () => socket.close(),
    });
    return id;
  }

  /**
   * Dials. The core hears of the carrier when the connection is open.
   *
   * @throws RangeError if no address of the machine leads to `to`.
   */
  connectTcp(to: Address, options: TcpDialOptions = {}): TcpConnection {
    const { onOpen, onFailed } = options;
    const owner = this.tcpOwner(options.name ?? 'tcp', onOpen, onFailed);
    return connectTcp(this.machine, to, owner, options);
  }

  /** Accepts TCP connections as carriers. @throws RangeError if the port is in use. */
  listenTcp(port: number, options: TcpListenOptions = {}): TcpListener {
    const newOwner = () => this.tcpOwner(options.name ?? 'tcp', options.onAccept, undefined);
    const binding = { host: options.host, port };
    const listener = new TcpListener(this.machine, binding, newOwner, options);
    this.sockets.push(listener);
    return listener;
  }

  /** Adds a carrier of another kind, such as one end of a pipe. */
  open(carrier: SimCarrier): CarrierId {
    const id = this.core.carrierOpened(carrier.info, this.world.now);
    this.carriers.set(id, carrier);
    this.touch();
    return id;
  }

  receive(id: CarrierId, bytes: Uint8Array, from?: Address): void {
    if (this.dead) return;
    this.core.receive(id, bytes, this.world.now, from);
    this.touch();
  }

  /** Tells the core at the end of this instant that it may send so much more. */
  grant(id: CarrierId, bytes: number): void {
    const granted = (this.grants.get(id) ?? 0) + bytes;
    this.grants.set(id, granted);
    const connection = this.carriers.get(id)?.connection;
    const busy = connection !== undefined && connection.unackedBytes + connection.unsentBytes > 0;
    if (granted >= GRANT_STEP_BYTES || !busy) this.touch();
  }

  /** The carrier is no more: tells the core and the policy. */
  carrierClosed(id: CarrierId, cause: Error | undefined, requested = false): void {
    const carrier = this.carriers.get(id);
    if (carrier === undefined || this.dead) return;
    this.carriers.delete(id);
    this.grants.delete(id);
    this.core.carrierClosed(id, cause, this.world.now);
    this.options.onCarrierClosed?.(id, { info: carrier.info, cause, requested });
    this.touch();
  }

  /** Closes a carrier in good order, as the core's own wish does. */
  closeCarrier(id: CarrierId): void {
    this.carriers.get(id)?.close();
    this.carrierClosed(id, undefined, true);
  }

  /** The connection below a TCP carrier, for measurements. */
  connectionOf(id: CarrierId): TcpConnection | undefined {
    return this.carriers.get(id)?.connection;
  }

  /**
   * The end of this host; nothing more comes out of the core. `silent`: the machine loses power,
   * and is deaf until {@link powerOn}. `reset`: the process dies and the kernel resets its
   * connections; the machine stays on. Either way a new SimHost may take over the machine.
   */
  crash(how: 'silent' | 'reset' = 'silent'): void {
    if (this.dead) return;
    this.dead = true;
    for (const carrier of this.carriers.values()) {
      if (carrier.connection === undefined) carrier.close();
    }
    for (const socket of this.sockets) socket.close();
    if (how === 'silent') {
      this.machine.dropSockets();
      this.machine.isOn = false;
    } else {
      for (const connection of this.machine.tcpConnections()) connection.abort();
    }
    this.carriers.clear();
    if (this.world.drivers.get(this.machine.name) === this) {
      this.world.drivers.delete(this.machine.name);
    }
  }

  /** The machine sleeps: it hears nothing, its timers stand still, then it goes on as it was. */
  suspend(ms: number): void {
    const { machine, world } = this;
    const until = world.now + ms;
    if (until <= machine.asleepUntil) return;
    machine.asleepUntil = until;
    machine.isOn = false;
    world.schedule(until, () => {
      if (machine.asleepUntil !== until) return;
      if (!this.dead) machine.isOn = true;
      this.touch();
    });
  }

  // What drain() calls.

  send(transmit: Transmit): void {
    this.carriers.get(transmit.carrierId)?.send(transmit);
  }

  emit(event: E): void {
    const toClose = this.options.carrierToClose?.(event);
    if (toClose !== undefined) this.closing.push(toClose);
    this.options.onEvent?.(event, this.world.now);
  }

  wakeAt(at: Instant | undefined): void {
    this.wantedAt = at ?? NEVER;
    if (this.wantedAt >= this.scheduledAt) return;
    this.scheduledAt = this.wantedAt;
    this.world.wakeAt(this.wantedAt, this);
  }

  // What the world calls.

  wake(now: Instant): void {
    if (now < this.scheduledAt || this.dead) return; // an earlier wake took this one's place
    this.scheduledAt = NEVER;
    if (now < this.machine.asleepUntil) return; // touched when the sleep is over
    if (now < this.wantedAt) {
      this.wakeAt(this.wantedAt as Instant);
      return;
    }
    this.touch();
  }

  settle(now: Instant): void {
    this.settling = false;
    if (this.dead || now < this.machine.asleepUntil) return;
    this.countSettle(now);
    // After the inputs of this instant: an ack that arrives just in time still counts.
    if (now >= this.wantedAt) {
      this.wantedAt = NEVER;
      this.core.handleTimeout(now);
    }
    for (const [id, bytes] of this.grants) {
      this.grants.delete(id);
      if (this.carriers.has(id)) this.core.grantSend(id, bytes, now);
    }
    drain(this.core, this, now);
    for (let id = this.closing.pop(); id !== undefined; id = this.closing.pop()) {
      this.closeCarrier(id);
    }
  }

  private countSettle(now: Instant): void {
    if (now !== this.settledAt) {
      this.settledAt = now;
      this.settleCount = 0;
    }
    if (++this.settleCount > MAX_DRAINS_PER_INSTANT) {
      throw new Error(`${this.machine.name} does not come to rest at ${now} ms`);
    }
  }

  private tcpOwner(
    name: CarrierName,
    onOpen: ((carrierId: CarrierId) => void) | undefined,
    onFailed: ((cause: Error | undefined) => void) | undefined,
  ) {
    let id: CarrierId | undefined;
    return {
      onOpen: (connection: TcpConnection): void => {
        if (this.dead) return;
        const { local, remote } = connection;
        const info: CarrierInfo = { name, kind: 'stream', local: local.text, remote: remote.text };
        id = this.open({
          info,
          send: ({ chunks }) => connection.send(chunks),
          close: () => connection.close(),
          connection,
        });
        this.grant(id, connection.sendSpace);
        onOpen?.(id);
      },
      onData: (bytes: Uint8Array): void => {
        if (id !== undefined && this.carriers.has(id)) this.receive(id, bytes);
      },
      onSpace: (bytes: number): void => {
        if (id !== undefined && this.carriers.has(id)) this.grant(id, bytes);
      },
      onClosed: (cause: Error | undefined): void => {
        if (id === undefined) onFailed?.(cause);
        else this.carrierClosed(id, cause);
      },
    };
  }
}

/** Turns a machine on again after a silent crash; its addresses and paths are as before. */
export function powerOn(machine: Machine): void {
  machine.asleepUntil = 0;
  machine.isOn = true;
}
