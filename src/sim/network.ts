/**
 * Machines, and the paths between them.
 *
 * @module
 */

import type { Instant } from '../core/contract.js';
import { Link, type LinkParams } from './link.js';
import {
  type Direction,
  type Hop,
  Packet,
  type Route,
  type SocketAddress,
  TCP_HEADER_BYTES,
} from './packet.js';
import type { LinkPair } from './presets.js';
import type { Prng } from './prng.js';
import type { World } from './world.js';

const NEVER = Number.POSITIVE_INFINITY;
/** RFC 6335 §6: the ports that sockets get when they do not ask for one. */
export const FIRST_EPHEMERAL_PORT = 49_152;
export const LAST_PORT = 65_535;

/** Something that takes packets addressed to it: a socket. */
export interface PacketSink {
  deliver(packet: Packet, now: Instant): void;
}

/** An end of a TCP connection, as its machine and the faults see it. */
export interface ConnectionSink extends PacketSink {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** Ends it with a reset to the peer. */
  abort(): void;
  /** The network swallows what it sends from now on. */
  sever(): void;
  /** Ends it as if the peer had reset it: its owner is told. */
  die(): void;
  /** It is no more, and nobody is told. */
  vanish(): void;
}

/** A link in a world: wakes itself when packets are due and hands them to their next hop. */
export class LinkHop implements Hop {
  readonly link: Link<Packet>;
  private readonly world: World;
  private scheduledAt = NEVER;

  constructor(world: World, params: Partial<LinkParams>, prng: Prng) {
    this.world = world;
    this.link = new Link<Packet>(params, prng, (packet) => packet.clone());
  }

  get stats(): Link<Packet>['stats'] {
    return this.link.stats;
  }

  submit(packet: Packet, now: Instant): void {
    if (this.link.submit(packet, packet.sizeBytes, now)) this.arm();
  }

  set(params: Partial<LinkParams>): void {
    this.link.set(params, this.world.now);
    this.arm();
  }

  wake(now: Instant): void {
    if (now < this.scheduledAt) return; // an earlier wake took this one's place
    this.scheduledAt = NEVER;
    for (let packet = this.link.take(now); packet !== undefined; packet = this.link.take(now)) {
      this.world.forward(packet);
    }
    this.arm();
  }

  private arm(): void {
    const at = this.link.nextAt;
    if (at >= this.scheduledAt) return;
    this.scheduledAt = at;
    this.world.wakeAt(at, this);
  }
}

/** Both directions of a link that several paths may run through. */
export interface LinkHops {
  readonly up: LinkHop;
  readonly down: LinkHop;
}

/** A router on a path that looks at packets: a NAT, a middlebox. */
export interface Box {
  /** Looks at a packet and may change it. False: it does not go on (now). */
  process(packet: Packet, direction: Direction, now: Instant): boolean;
  /** Tells the box that a path runs through it. */
  attach(attachment: BoxAttachment): void;
}

export interface BoxAttachment {
  readonly path: SimPath;
  /** Counted from the client. */
  readonly boxIndex: number;
  /** The routes through the box, and its place in them. */
  readonly route: Readonly<Record<Direction, Route>>;
  readonly hopIndex: Readonly<Record<Direction, number>>;
}

/** One side of a box, as a hop. */
export class BoxSide implements Hop {
  readonly box: Box;
  private readonly direction: Direction;
  private readonly world: World;

  constructor(world: World, box: Box, direction: Direction) {
    this.world = world;
    this.box = box;
    this.direction = direction;
  }

  submit(packet: Packet, now: Instant): void {
    if (this.box.process(packet, this.direction, now)) this.world.forward(packet);
  }
}

/** A computer: addresses and sockets. It may sleep or lose power. */
export class Machine {
  readonly name: string;
  readonly world: World;
  /** The machine's own address, then those of its interfaces in the order of its paths. */
  readonly addresses: string[];
  /** Whether it hears and sends anything. */
  isOn = true;
  /** While it sleeps: when it wakes up. */
  asleepUntil = 0;
  droppedPackets = 0;
  private readonly bound = new Map<SocketAddress, PacketSink>();
  private readonly wildcards = new Map<number, PacketSink>();
  private readonly listeners = new Map<string, PacketSink>();
  private readonly connections = new Map<SocketAddress, Map<SocketAddress, ConnectionSink>>();
  private nextPort = FIRST_EPHEMERAL_PORT;

  constructor(world: World, name: string, address: string) {
    this.world = world;
    this.name = name;
    this.addresses = [address];
  }

  /** A port that no socket of this machine uses. */
  ephemeralPort(): number {
    const port = this.nextPort;
    this.nextPort = port === LAST_PORT ? FIRST_EPHEMERAL_PORT : port + 1;
    return port;
  }

  /** The address from which a packet to `destination` leaves if the socket has not chosen one. */
  sourceFor(destination: string): string | undefined {
    return this.addresses.find((address) => this.world.hasRoute(address, destination));
  }

  /** @throws RangeError if the address is in use. */
  bindUdp(host: string | undefined, port: number, sink: PacketSink): void {
    if (host === undefined) {
      if (this.wildcards.has(port)) throw new RangeError(`UDP port ${port} is in use`);
      this.wildcards.set(port, sink);
      return;
    }
    const address = this.world.address(host, port);
    if (this.bound.has(address)) throw new RangeError(`UDP ${address.text} is in use`);
    this.bound.set(address, sink);
  }

  unbindUdp(host: string | undefined, port: number): void {
    if (host === undefined) this.wildcards.delete(port);
    else this.bound.delete(this.world.address(host, port));
  }

  /** @throws RangeError if the address is in use. */
  bindListener(host: string | undefined, port: number, sink: PacketSink): void {
    const key = `${host ?? '*'}:${port}`;
    if (this.listeners.has(key)) throw new RangeError(`TCP ${key} is in use`);
    this.listeners.set(key, sink);
  }

  unbindListener(host: string | undefined, port: number): void {
    this.listeners.delete(`${host ?? '*'}:${port}`);
  }

  addConnection(local: SocketAddress, remote: SocketAddress, sink: ConnectionSink): void {
    let remotes = this.connections.get(local);
    if (remotes === undefined) {
      remotes = new Map();
      this.connections.set(local, remotes);
    }
    remotes.set(remote, sink);
  }

  removeConnection(local: SocketAddress, remote: SocketAddress): void {
    const remotes = this.connections.get(local);
    remotes?.delete(remote);
    if (remotes?.size === 0) this.connections.delete(local);
  }

  /** All TCP connections, in the order of their making by local address. */
  tcpConnections(): ConnectionSink[] {
    return [...this.connections.values()].flatMap((remotes) => [...remotes.values()]);
  }

  /** Forgets all sockets, as when the power goes. */
  dropSockets(): void {
    for (const connection of this.tcpConnections()) connection.vanish();
    this.bound.clear();
    this.wildcards.clear();
    this.listeners.clear();
    this.connections.clear();
  }

  /** Gives a packet to its socket. */
  receive(packet: Packet, now: Instant): void {
    const { destination, segment } = packet;
    if (!this.isOn) {
      this.droppedPackets++;
      return;
    }
    this.world.trace.delivered(packet, now);
    if (segment === undefined) {
      const sink = this.bound.get(destination) ?? this.wildcards.get(destination.port);
      if (sink === undefined) this.droppedPackets++;
      else sink.deliver(packet, now);
      return;
    }
    const connection = this.connections.get(destination)?.get(packet.source);
    if (connection !== undefined) connection.deliver(packet, now);
    else this.receiveStray(packet, now);
  }

  /** A segment that belongs to no connection: for a listener, or answered by a reset. */
  private receiveStray(packet: Packet, now: Instant): void {
    const { destination, segment } = packet;
    if (segment === undefined || segment.reset) return;
    if (segment.syn && !segment.ack) {
      const listener =
        this.listeners.get(destination.text) ?? this.listeners.get(`*:${destination.port}`);
      if (listener !== undefined) {
        listener.deliver(packet, now);
        return;
      }
    }
    this.droppedPackets++;
    // RFC 9293 §3.5.2: the reset takes its sequence number from what it answers.
    const reset = resetSegment(segment.acknowledged, segment.sequence + segment.length);
    const answer = new Packet(destination, packet.source, TCP_HEADER_BYTES, reset, undefined);
    this.world.send(answer);
  }
}

/** A segment that ends a connection. */
export function resetSegment(
  sequence: number,
  acknowledged: number,
): NonNullable<Packet['segment']> {
  return {
    syn: false,
    ack: true,
    fin: false,
    reset: true,
    sequence,
    length: 0,
    acknowledged,
    windowBytes: 0,
    sacks: undefined,
    source: undefined,
  };
}

/** What a path between a client's interface and its servers consists of. */
export interface PathSpec extends LinkPair {
  readonly name: string;
  readonly client: Machine;
  /** One server, or several that are all reached over this path. */
  readonly server: Machine | readonly Machine[];
  /** Where the servers are reached; their own addresses. A new one makes a server multi-homed. */
  readonly serverAddress?: string;
  /** Routers behind the access link, the one nearest to the client first. */
  readonly boxes?: readonly Box[];
  /** Links behind the boxes, shared with other paths, the one nearest to the client first. */
  readonly shared?: readonly LinkHops[];
}

/** A path: an interface of the client, its access link, boxes, shared links, servers. */
export class SimPath {
  readonly name: string;
  /** Counted from 1; path i has the client's address 10.77.i.2. */
  readonly index: number;
  readonly client: Machine;
  readonly servers: readonly Machine[];
  readonly up: LinkHop;
  readonly down: LinkHop;
  readonly boxes: readonly Box[];
  private readonly world: World;
  private readonly upRoute: Route;
  private readonly downRoute: Route;
  private readonly subnet: string;
  private readonly serverAddresses: readonly string[];
  private readonly announced = new Set<string>();
  private address: string;
  private readdressCount = 0;

  constructor(world: World, spec: PathSpec, index: number) {
    this.world = world;
    this.name = spec.name;
    this.index = index;
    this.client = spec.client;
    this.servers = 'world' in spec.server ? [spec.server] : spec.server;
    this.boxes = spec.boxes ?? [];
    this.subnet = pathSubnet(77, index);
    this.address = `${this.subnet}.2`;
    this.serverAddresses = this.claimServerAddresses(spec.serverAddress);
    this.up = new LinkHop(world, spec.up, world.prng.fork(`${spec.name}/up`));
    this.down = new LinkHop(world, spec.down, world.prng.fork(`${spec.name}/down`));
    const shared = spec.shared ?? [];
    const sides = (direction: Direction): Hop[] =>
      this.boxes.map((box) => new BoxSide(world, box, direction));
    this.upRoute = [this.up, ...sides('up'), ...shared.map((hops) => hops.up)];
    this.downRoute = [this.down, ...sides('down'), ...shared.map((hops) => hops.down)].reverse();
    this.client.addresses.push(this.address);
    world.setOwner(this.address, this.client);
    this.connect();
    this.announce(this.address);
    for (const [boxIndex, box] of this.boxes.entries()) this.attachBox(box, boxIndex);
  }

  /** The address of the client's interface. */
  get clientAddress(): string {
    return this.address;
  }

  /** The address of the (first) server. */
  get serverAddress(): string {
    return this.serverAddresses[0] ?? '';
  }

  /** Every address under which the client has been seen from the servers over this path. */
  get publicAddresses(): ReadonlySet<string> {
    return this.announced;
  }

  /** Changes link parameters of the path's own link; both directions if none is named. */
  set(params: Partial<LinkParams>, direction?: Direction): void {
    if (direction !== 'down') this.up.set(params);
    if (direction !== 'up') this.down.set(params);
  }

  /** Makes packets that the servers send to `address` take this path. For boxes. */
  announce(address: string): void {
    this.announced.add(address);
    for (const from of this.serverAddresses) this.world.setRoute(from, address, this.downRoute);
  }

  /** Packets to `address` find no way any more. For boxes. */
  withdraw(address: string): void {
    for (const from of this.serverAddresses) this.world.removeRoute(from, address);
  }

  /**
   * Gives the client's interface a new address. Sockets bound to the old one stay, but nothing
   * that they send goes out and nothing reaches them.
   */
  readdress(): string {
    const old = this.address;
    this.withdraw(old);
    this.world.removeOwner(old);
    this.world.removeRoutesFrom(old);
    this.readdressCount++;
    this.address = `${this.subnet}.${2 + this.readdressCount}`;
    const at = this.client.addresses.indexOf(old);
    this.client.addresses.splice(at, 1, this.address);
    this.world.setOwner(this.address, this.client);
    this.connect();
    this.announce(this.address);
    return this.address;
  }

  private connect(): void {
    for (const to of this.serverAddresses) this.world.setRoute(this.address, to, this.upRoute);
  }

  private claimServerAddresses(address: string | undefined): string[] {
    if (address === undefined) return this.servers.map((server) => server.addresses[0] ?? '');
    const server = this.servers[0];
    if (server !== undefined && !server.addresses.includes(address)) {
      server.addresses.push(address);
      this.world.setOwner(address, server);
    }
    return [address];
  }

  private attachBox(box: Box, boxIndex: number): void {
    box.attach({
      path: this,
      boxIndex,
      route: { up: this.upRoute, down: this.downRoute },
      hopIndex: { up: 1 + boxIndex, down: this.downRoute.length - 2 - boxIndex },
    });
  }
}

/** The first three numbers of a path's addresses: 10.77.i, and further on for i above 255. */
export function pathSubnet(second: number, index: number): string {
  return `10.${second + (index >> 8) * 16}.${index & 255}`;
}
