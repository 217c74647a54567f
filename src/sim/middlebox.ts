/**
 * Routers that meddle, by accident or with intent: policies, taps, and the attacker's hand.
 *
 * @module
 */

import type { Address, Instant } from '../core/contract.js';
import { type Box, type BoxAttachment, resetSegment } from './network.js';
import {
  type Direction,
  Packet,
  type Segment,
  TCP_HEADER_BYTES,
  UDP_HEADER_BYTES,
} from './packet.js';
import type { World } from './world.js';

/** `drop` also means: the policy has kept the packet and may let it go on later. */
export type Verdict = 'pass' | 'drop';

/** Looks at a packet; may alter it before it passes. */
export type Policy = (
  packet: Packet,
  direction: Direction,
  now: Instant,
  box: Middlebox,
) => Verdict;

/** Which packets a policy is about; absent parts do not matter. */
export interface PacketFilter {
  readonly protocol?: 'udp' | 'tcp';
  readonly direction?: Direction;
  /** True: only packets with a payload; false: only those without. */
  readonly payload?: boolean;
  readonly where?: (packet: Packet) => boolean;
}

/** A packet that a tap saw, with a copy of what it carried. */
export interface TapRecord {
  readonly at: Instant;
  readonly direction: Direction;
  readonly protocol: 'udp' | 'tcp';
  readonly source: Address;
  readonly destination: Address;
  /** The datagram, or the segment's bytes. */
  readonly bytes: Uint8Array;
  readonly segment: Segment | undefined;
  /** The packet itself, frozen as it was: see {@link Middlebox.replay}. */
  readonly packet: Packet;
}

/** Records that a tap keeps at most. */
export const TAP_MAX_RECORDS = 1_000_000;

/** A box that asks its policies in turn; the first that drops decides. It may be on many paths. */
export class Middlebox implements Box {
  readonly policies: Policy[];
  passedPackets = 0;
  droppedPackets = 0;
  private readonly world: World;
  private readonly attachments: BoxAttachment[] = [];

  constructor(world: World, ...policies: Policy[]) {
    this.world = world;
    this.policies = policies;
  }

  attach(attachment: BoxAttachment): void {
    this.attachments.push(attachment);
  }

  process(packet: Packet, direction: Direction, now: Instant): boolean {
    for (const policy of this.policies) {
      if (policy(packet, direction, now, this) === 'drop') {
        this.droppedPackets++;
        return false;
      }
    }
    this.passedPackets++;
    return true;
  }

  /** Replaces all policies. */
  setPolicies(...policies: Policy[]): void {
    this.policies.length = 0;
    this.policies.push(...policies);
  }

  /** Lets a packet go on that a policy has kept, `delayMs` from now. */
  release(packet: Packet, delayMs = 0): void {
    if (delayMs <= 0) this.world.forward(packet);
    else this.world.schedule(this.world.now + delayMs, () => this.world.forward(packet));
  }

  /** Sends a recorded packet once more from here; with another source, if one is given. */
  replay(record: TapRecord, source: Address = record.source): void {
    const copy = record.packet.clone();
    copy.source = this.world.parseAddress(source);
    this.world.forward(copy);
  }

  /**
   * Sends a datagram with any source address, as if it had come by here. Without `path` it takes
   * the first path that the box is on.
   *
   * @throws RangeError if the box is not on (that) path, or an address is not `host:port`.
   */
  injectDatagram(forged: {
    readonly direction: Direction;
    readonly source: Address;
    readonly destination: Address;
    readonly bytes: Uint8Array;
    readonly path?: string;
  }): void {
    const { direction, bytes } = forged;
    const size = bytes.length + UDP_HEADER_BYTES;
    const source = this.world.parseAddress(forged.source);
    const destination = this.world.parseAddress(forged.destination);
    const packet = new Packet(source, destination, size, undefined, bytes.slice());
    this.launch(packet, direction, forged.path);
  }

  /**
   * Sends bytes into a TCP connection that the box has seen a segment of. Without `sequence` they
   * come where that segment's bytes ended.
   */
  injectBytes(like: TapRecord, bytes: Uint8Array, sequence?: number): void {
    if (like.segment === undefined) throw new RangeError('not a TCP segment');
    const at = sequence ?? like.segment.sequence + like.segment.length;
    const segment: Segment = {
      ...like.segment,
      syn: false,
      fin: false,
      sequence: at,
      length: bytes.length,
      source: undefined,
    };
    this.forge(like, segment, bytes.slice());
  }

  /** Resets the connection of a segment that the box has seen, at the end that it was sent to. */
  injectReset(like: TapRecord): void {
    if (like.segment === undefined) throw new RangeError('not a TCP segment');
    const { sequence, length, acknowledged } = like.segment;
    this.forge(like, resetSegment(sequence + length, acknowledged), undefined);
  }

  private forge(like: TapRecord, segment: Segment, payload: Uint8Array | undefined): void {
    const { source, destination, route, hopIndex } = like.packet;
    const size = TCP_HEADER_BYTES + segment.length;
    const packet = new Packet(source, destination, size, segment, payload);
    packet.route = route;
    packet.hopIndex = hopIndex;
    this.world.forward(packet);
  }

  private launch(packet: Packet, direction: Direction, path: string | undefined): void {
    const attachment = this.attachments.find((a) => path === undefined || a.path.name === path);
    if (attachment === undefined) throw new RangeError('the box is not on such a path');
    packet.route = attachment.route[direction];
    packet.hopIndex = attachment.hopIndex[direction];
    this.world.forward(packet);
  }
}

/** Nothing passes but TCP. */
export function noUdp(): Policy {
  return (packet) => (packet.segment === undefined ? 'drop' : 'pass');
}

/** Nothing passes but TCP to (and from) one port of the servers. */
export function tcpPortOnly(port: number): Policy {
  return (packet, direction) => {
    if (packet.segment === undefined) return 'drop';
    const end = direction === 'up' ? packet.destination : packet.source;
    return end.port === port ? 'pass' : 'drop';
  };
}

/** Drops the nth packet (from 1) that the filter lets in; with `repeat` every nth. */
export function dropNth(n: number, filter: PacketFilter = {}, repeat = false): Policy {
  let count = 0;
  return (packet, direction) => {
    if (!matches(packet, direction, filter)) return 'pass';
    count++;
    return count === n || (repeat && count % n === 0) ? 'drop' : 'pass';
  };
}

/** Drops everything that the filter lets in. */
export function dropAll(filter: PacketFilter = {}): Policy {
  return (packet, direction) => (matches(packet, direction, filter) ? 'drop' : 'pass');
}

/** Lets `edit` change the bytes of a packet; TCP segments keep their length. */
export function alter(
  edit: (bytes: Uint8Array, packet: Packet) => Uint8Array,
  filter: PacketFilter = {},
): Policy {
  return (packet, direction) => {
    if (hasPayload(packet) && matches(packet, direction, filter)) {
      packet.replaceBytes(edit(packet.bytes(), packet));
    }
    return 'pass';
  };
}

/**
 * Flips one bit of each packet that the filter lets in, as somebody does who mends the checksum.
 * Bits count from the first byte's lowest; a negative `bit` counts from the end.
 */
export function tamper(bit: number, filter: PacketFilter = {}): Policy {
  return alter((bytes) => {
    const total = bytes.length * 8;
    const at = (((bit % total) + total) % total) | 0;
    bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (1 << (at & 7));
    return bytes;
  }, filter);
}

/**
 * Copies what passes into `records`. A TCP segment that comes again after its bytes were delivered
 * may show them as the receiver left them, since both ends share one copy.
 */
export function tap(records: TapRecord[], filter: PacketFilter = {}): Policy {
  return (packet, direction, now) => {
    if (records.length >= TAP_MAX_RECORDS || !matches(packet, direction, filter)) return 'pass';
    const bytes = packet.bytes();
    const copy = packet.clone();
    if (bytes.length > 0) copy.payload = bytes;
    records.push({
      at: now,
      direction,
      protocol: packet.segment === undefined ? 'udp' : 'tcp',
      source: packet.source.text,
      destination: packet.destination.text,
      bytes,
      segment: packet.segment,
      packet: copy,
    });
    return 'pass';
  };
}

/** Makes what the filter lets in wait, so that it may come after what was sent later. */
export function delay(ms: number, filter: PacketFilter = {}): Policy {
  return (packet, direction, _now, box) => {
    if (!matches(packet, direction, filter)) return 'pass';
    box.release(packet, ms);
    return 'drop';
  };
}

/** Keeps what the filter lets in, in `kept`, until somebody calls {@link Middlebox.release}. */
export function hold(kept: Packet[], filter: PacketFilter = {}): Policy {
  return (packet, direction) => {
    if (!matches(packet, direction, filter)) return 'pass';
    if (kept.length < TAP_MAX_RECORDS) kept.push(packet);
    return 'drop';
  };
}

function hasPayload(packet: Packet): boolean {
  return (packet.payload?.length ?? packet.segment?.length ?? 0) > 0;
}

function matches(packet: Packet, direction: Direction, filter: PacketFilter): boolean {
  const protocol = packet.segment === undefined ? 'udp' : 'tcp';
  if (filter.protocol !== undefined && filter.protocol !== protocol) return false;
  if (filter.direction !== undefined && filter.direction !== direction) return false;
  if (filter.payload !== undefined && filter.payload !== hasPayload(packet)) return false;
  return filter.where?.(packet) ?? true;
}
