/**
 * A router that translates addresses and ports (RFC 4787, RFC 5382).
 *
 * @module
 */

import type { Instant } from '../core/contract.js';
import { type Box, type BoxAttachment, LAST_PORT, pathSubnet, type SimPath } from './network.js';
import type { Direction, Packet, SocketAddress } from './packet.js';
import type { Prng } from './prng.js';
import type { World } from './world.js';

export interface NatOptions {
  /**
   * `endpointIndependent`: one outside port for an inside socket, wherever it sends (RFC 4787
   * REQ-1). `symmetric`, the default, as Linux masquerades: one per destination.
   */
  readonly mapping?: 'endpointIndependent' | 'symmetric';
  /** Who may send to a mapping: whom the inside has sent to (the default), or everybody. */
  readonly filtering?: 'addressAndPort' | 'endpointIndependent';
  /** Silence after which a UDP mapping goes that has never seen an answer; 30 s (Linux). */
  readonly udpTimeoutMs?: number;
  /** The same once it has seen one; 120 s (Linux). */
  readonly udpStreamTimeoutMs?: number;
  /** Silence after which a TCP mapping goes; 7440 s (RFC 5382 REQ-5). */
  readonly tcpTimeoutMs?: number;
  /** Whether an outside port is the inside one where it is free, as Linux does; true. */
  readonly preservePorts?: boolean;
}

/** What a rebinding changes; at least one. */
export interface Rebinding {
  /** New outside ports for all mappings. */
  readonly port?: boolean;
  /** A new outside address. */
  readonly address?: boolean;
}

interface Mapping {
  readonly inside: SocketAddress;
  outside: SocketAddress;
  readonly protocol: 'udp' | 'tcp';
  /** Whom the inside has sent to. */
  readonly remotes: Set<SocketAddress>;
  answered: boolean;
  lastUsedAt: number;
}

/** Mappings that a NAT keeps; a packet that needs another one is dropped. */
export const NAT_MAX_MAPPINGS = 16_384;
/** Remote addresses per mapping; the oldest goes. */
const MAX_REMOTES = 4096;
const FIRST_PORT = 1024;
const PORT_TRIES = 64;

const DEFAULTS: Required<NatOptions> = {
  mapping: 'symmetric',
  filtering: 'addressAndPort',
  udpTimeoutMs: 30_000,
  udpStreamTimeoutMs: 120_000,
  tcpTimeoutMs: 7_440_000,
  preservePorts: true,
};

/**
 * A NAT for the `boxes` of one path. Only packets from inside make a mapping, and for TCP only a
 * SYN does: a rebinding leaves established connections dead, without a word to either end.
 */
export class Nat implements Box {
  droppedPackets = 0;
  private readonly options: Required<NatOptions>;
  private readonly byInside = new Map<SocketAddress, Map<SocketAddress | undefined, Mapping>>();
  private readonly byOutside = new Map<string, Mapping>();
  private readonly world: World;
  private prng: Prng;
  private path: SimPath | undefined;
  private subnet = '';
  private outsideHost = '';
  private rebindCount = 0;
  private avoidOldPorts = false;

  constructor(world: World, options: NatOptions = {}) {
    this.world = world;
    this.options = { ...DEFAULTS, ...options };
    this.prng = world.prng.fork('nat');
  }

  /** The address that the servers see; 10.78.i.2 on path i at first. */
  get outsideAddress(): string {
    return this.outsideHost;
  }

  get mappingCount(): number {
    return this.byOutside.size;
  }

  /** @throws RangeError if the NAT is on a path already. */
  attach({ path, boxIndex }: BoxAttachment): void {
    if (this.path !== undefined) throw new RangeError('a NAT belongs to one path');
    this.path = path;
    this.prng = this.world.prng.fork(`${path.name}/nat${boxIndex}`);
    this.subnet = pathSubnet(78 + boxIndex, path.index);
    this.outsideHost = `${this.subnet}.2`;
    path.announce(this.outsideHost);
  }

  process(packet: Packet, direction: Direction, now: Instant): boolean {
    const passed = direction === 'up' ? this.outward(packet, now) : this.inward(packet, now);
    if (!passed) this.droppedPackets++;
    return passed;
  }

  /** New ports, a new address, or both. Established TCP connections die silently. */
  rebind(change: Rebinding): void {
    this.rebindCount++;
    if (change.address === true) {
      this.path?.withdraw(this.outsideHost);
      this.outsideHost = `${this.subnet}.${2 + this.rebindCount}`;
      this.path?.announce(this.outsideHost);
    }
    const old = [...this.byOutside.values()];
    this.byOutside.clear();
    if (change.port === true) {
      this.byInside.clear();
      this.avoidOldPorts = true;
      return;
    }
    for (const mapping of old) {
      if (mapping.protocol === 'tcp') this.forget(mapping);
      else {
        mapping.outside = this.world.address(this.outsideHost, mapping.outside.port);
        this.byOutside.set(outsideKey(mapping.protocol, mapping.outside), mapping);
      }
    }
  }

  private outward(packet: Packet, now: Instant): boolean {
    const { source, destination, segment } = packet;
    const key =
      this.options.mapping === 'symmetric' || segment !== undefined ? destination : undefined;
    let mapping = this.byInside.get(source)?.get(key);
    const protocol = segment === undefined ? 'udp' : 'tcp';
    if (mapping !== undefined && (mapping.protocol !== protocol || this.isOver(mapping, now))) {
      this.forget(mapping);
      mapping = undefined;
    }
    if (mapping === undefined) {
      if (segment !== undefined && !segment.syn) return false;
      mapping = this.open(source, key, protocol, now);
      if (mapping === undefined) return false;
    }
    mapping.lastUsedAt = now;
    mapping.remotes.add(destination);
    if (mapping.remotes.size > MAX_REMOTES) {
      for (const oldest of mapping.remotes) {
        mapping.remotes.delete(oldest);
        break;
      }
    }
    packet.source = mapping.outside;
    return true;
  }

  private inward(packet: Packet, now: Instant): boolean {
    const protocol = packet.segment === undefined ? 'udp' : 'tcp';
    const mapping = this.byOutside.get(outsideKey(protocol, packet.destination));
    if (mapping === undefined) return false;
    if (this.isOver(mapping, now)) {
      this.forget(mapping);
      return false;
    }
    const isOpen = this.options.filtering === 'endpointIndependent' && protocol === 'udp';
    if (!isOpen && !mapping.remotes.has(packet.source)) return false;
    mapping.lastUsedAt = now;
    mapping.answered = true;
    packet.destination = mapping.inside;
    return true;
  }

  private isOver(mapping: Mapping, now: Instant): boolean {
    const { udpTimeoutMs, udpStreamTimeoutMs, tcpTimeoutMs } = this.options;
    const forUdp = mapping.answered ? udpStreamTimeoutMs : udpTimeoutMs;
    return now - mapping.lastUsedAt > (mapping.protocol === 'tcp' ? tcpTimeoutMs : forUdp);
  }

  private open(
    inside: SocketAddress,
    key: SocketAddress | undefined,
    protocol: 'udp' | 'tcp',
    now: Instant,
  ): Mapping | undefined {
    if (this.byOutside.size >= NAT_MAX_MAPPINGS) this.sweep(now);
    const outside = this.freePort(inside.port, protocol);
    if (outside === undefined || this.byOutside.size >= NAT_MAX_MAPPINGS) return undefined;
    const remotes = new Set<SocketAddress>();
    const mapping: Mapping = {
      inside,
      outside,
      protocol,
      remotes,
      answered: false,
      lastUsedAt: now,
    };
    let byKey = this.byInside.get(inside);
    if (byKey === undefined) {
      byKey = new Map();
      this.byInside.set(inside, byKey);
    }
    byKey.set(key, mapping);
    this.byOutside.set(outsideKey(protocol, outside), mapping);
    return mapping;
  }

  private freePort(wanted: number, protocol: 'udp' | 'tcp'): SocketAddress | undefined {
    const { world, outsideHost } = this;
    let port = wanted;
    const keep = this.options.preservePorts && !this.avoidOldPorts;
    for (let i = 0; i < PORT_TRIES; i++) {
      if (i > 0 || !keep) port = this.prng.integer(FIRST_PORT, LAST_PORT);
      if (port === wanted && this.avoidOldPorts) continue;
      const outside = world.address(outsideHost, port);
      if (!this.byOutside.has(outsideKey(protocol, outside))) return outside;
    }
    return undefined;
  }

  private sweep(now: Instant): void {
    for (const mapping of [...this.byOutside.values()]) {
      if (this.isOver(mapping, now)) this.forget(mapping);
    }
  }

  private forget(mapping: Mapping): void {
    const key = outsideKey(mapping.protocol, mapping.outside);
    if (this.byOutside.get(key) === mapping) this.byOutside.delete(key);
    const byKey = this.byInside.get(mapping.inside);
    if (byKey === undefined) return;
    for (const [remote, other] of byKey) if (other === mapping) byKey.delete(remote);
    if (byKey.size === 0) this.byInside.delete(mapping.inside);
  }
}

function outsideKey(protocol: 'udp' | 'tcp', outside: SocketAddress): string {
  return protocol + outside.text;
}
