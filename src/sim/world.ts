/**
 * A world: one virtual clock, one seed, machines, links and what is going to happen.
 *
 * @module
 */

import type { Address, Instant } from '../core/contract.js';
import { EventQueue, type Wakeable } from './event-queue.js';
import { LinkHop, type LinkHops, Machine, type PathSpec, SimPath } from './network.js';
import { AddressBook, type Packet, type Route, type SocketAddress } from './packet.js';
import type { LinkPair } from './presets.js';
import { Prng } from './prng.js';
import { Trace, type TraceOptions } from './trace.js';

/** Something that has work to do when all that happens at the present instant has happened. */
export interface Settler {
  settle(now: Instant): void;
}

/** What faults may do to a driver; `SimHost` is one. */
export interface Driver {
  crash(how?: 'silent' | 'reset'): void;
  suspend(ms: number): void;
}

export interface WorldOptions {
  /** Decides every random thing in the world. */
  readonly seed: number | string;
  readonly trace?: TraceOptions;
}

export interface RunLimits {
  /** Stop when this holds; looked at after each instant at which something happened. */
  readonly until?: () => boolean;
  /** Stop at this time at the latest, and leave the clock there, also when the world is idle. */
  readonly untilMs?: number;
  /** Stop after this many more ms at the latest; `untilMs` wins. */
  readonly forMs?: number;
  /** Stop after so many events: a guard against a world that spins. */
  readonly maxEvents?: number;
}

/** `done`: `until` holds. `idle`: nothing will ever happen again. */
export type RunResult = 'done' | 'time' | 'idle' | 'events';

const DEFAULT_MAX_EVENTS = 500_000_000;
/** A world starts at a time that is not 0, so that nobody takes a time for a duration. */
const START_MS = 1000;

/** See the module's text. Nothing in a world depends on real time. */
export class World {
  readonly prng: Prng;
  readonly trace: Trace;
  readonly machines = new Map<string, Machine>();
  readonly paths = new Map<string, SimPath>();
  /** The drivers by their machine's name, for faults. */
  readonly drivers = new Map<string, Driver>();
  /** Packets for which there was no way. */
  unroutablePackets = 0;
  /** Events so far. */
  eventCount = 0;
  private readonly queue = new EventQueue();
  private readonly addresses = new AddressBook();
  private readonly owners = new Map<string, Machine>();
  private readonly routes = new Map<string, Map<string, Route>>();
  private settlers: Settler[] = [];
  private spareSettlers: Settler[] = [];
  private pipeCount = 0;
  private clock = START_MS as Instant;

  constructor(options: WorldOptions) {
    this.prng = new Prng(options.seed);
    this.trace = new Trace(options.trace);
  }

  get now(): Instant {
    return this.clock;
  }

  /** Equal for two runs of the same world, see {@link Trace}. */
  traceHash(): string {
    return this.trace.hash();
  }

  /** Calls `action` at the given time, or as soon as possible if that is past. */
  schedule(atMs: number, action: () => void): void {
    this.wakeAt(atMs, { wake: action });
  }

  wakeAt(atMs: number, target: Wakeable): void {
    this.queue.push(Math.max(atMs, this.clock), target);
  }

  /** Calls `settle` when all else that happens at this instant has happened. */
  settleLater(settler: Settler): void {
    this.settlers.push(settler);
  }

  run(limits: RunLimits = {}): RunResult {
    const forMs = limits.forMs ?? Number.POSITIVE_INFINITY;
    const endMs = limits.untilMs ?? this.clock + forMs;
    const { queue } = this;
    let eventsLeft = limits.maxEvents ?? DEFAULT_MAX_EVENTS;
    for (;;) {
      if (eventsLeft-- <= 0) return 'events';
      if (queue.nextAt <= this.clock) {
        this.eventCount++;
        queue.pop()?.wake(this.clock);
        continue;
      }
      if (this.settlers.length > 0) {
        this.settleAll();
        continue;
      }
      if (limits.until?.() === true) return 'done';
      if (this.settlers.length > 0 || queue.nextAt <= this.clock) continue;
      if (queue.size === 0 || queue.nextAt > endMs) {
        if (endMs > this.clock && endMs !== Number.POSITIVE_INFINITY) this.clock = endMs as Instant;
        return queue.size === 0 ? 'idle' : 'time';
      }
      this.clock = queue.nextAt as Instant;
    }
  }

  /** The machine of that name; made on the first call. Machine j has the address 10.77.0.j. */
  machine(name: string): Machine {
    let machine = this.machines.get(name);
    if (machine === undefined) {
      const number = this.machines.size + 1;
      const address = `10.${77 + (number >> 8) * 16}.0.${number & 255}`;
      machine = new Machine(this, name, address);
      this.machines.set(name, machine);
      this.owners.set(address, machine);
    }
    return machine;
  }

  /** Joins a client to one or more servers. @throws RangeError if the name is taken. */
  path(spec: PathSpec): SimPath {
    if (this.paths.has(spec.name)) throw new RangeError(`there is a path ${spec.name}`);
    const path = new SimPath(this, spec, this.paths.size + 1);
    this.paths.set(spec.name, path);
    return path;
  }

  /** A link for the `shared` of several paths. The name seeds its randomness. */
  sharedLink(name: string, pair: LinkPair): LinkHops {
    return {
      up: new LinkHop(this, pair.up, this.prng.fork(`${name}/up`)),
      down: new LinkHop(this, pair.down, this.prng.fork(`${name}/down`)),
    };
  }

  /** Numbers that tell pipes apart. */
  nextPipeNumber(): number {
    return ++this.pipeCount;
  }

  address(host: string, port: number): SocketAddress {
    return this.addresses.at(host, port);
  }

  /** @throws RangeError if `text` is not `host:port`. */
  parseAddress(text: Address): SocketAddress {
    return this.addresses.parse(text);
  }

  /** Sends a packet off from the machine that has its source address. */
  send(packet: Packet): void {
    const { source, destination } = packet;
    const sender = this.owners.get(source.host);
    const route = this.routes.get(source.host)?.get(destination.host);
    if (sender === undefined || !sender.isOn || route === undefined) {
      this.unroutablePackets++;
      return;
    }
    this.trace.sent(packet, this.clock);
    packet.route = route;
    packet.hopIndex = -1;
    this.forward(packet);
  }

  /** Takes a packet from the hop where it is to the next one, or to its machine. */
  forward(packet: Packet): void {
    const hop = packet.route?.[++packet.hopIndex];
    if (hop !== undefined) {
      hop.submit(packet, this.clock);
      return;
    }
    const owner = this.owners.get(packet.destination.host);
    if (owner === undefined) this.unroutablePackets++;
    else owner.receive(packet, this.clock);
  }

  hasRoute(from: string, to: string): boolean {
    return this.routes.get(from)?.has(to) === true;
  }

  setRoute(from: string, to: string, route: Route): void {
    let routes = this.routes.get(from);
    if (routes === undefined) {
      routes = new Map();
      this.routes.set(from, routes);
    }
    routes.set(to, route);
  }

  removeRoute(from: string, to: string): void {
    this.routes.get(from)?.delete(to);
  }

  removeRoutesFrom(from: string): void {
    this.routes.delete(from);
  }

  setOwner(address: string, machine: Machine): void {
    this.owners.set(address, machine);
  }

  removeOwner(address: string): void {
    this.owners.delete(address);
  }

  private settleAll(): void {
    const settlers = this.settlers;
    this.settlers = this.spareSettlers;
    for (const settler of settlers) settler.settle(this.clock);
    settlers.length = 0;
    this.spareSettlers = settlers;
  }
}
