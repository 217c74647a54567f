/**
 * What travels over simulated links.
 *
 * @module
 */

import type { Address, Instant } from '../core/contract.js';
import type { ByteStore } from './byte-store.js';
import { hashText } from './prng.js';

/** `up` is from the client of a path to its server. */
export type Direction = 'up' | 'down';

export const UDP_HEADER_BYTES = 28;
/** IPv4, TCP and the 12 bytes of the timestamp option. */
export const TCP_HEADER_BYTES = 52;

/** An address of a socket. A world holds each one once, so that they compare by identity. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
  /** `host:port`. */
  readonly text: Address;
  readonly hash: number;
}

/** The socket addresses of a world. */
export class AddressBook {
  private readonly byHost = new Map<string, Map<number, SocketAddress>>();
  private readonly byText = new Map<string, SocketAddress>();

  at(host: string, port: number): SocketAddress {
    let ports = this.byHost.get(host);
    if (ports === undefined) {
      ports = new Map();
      this.byHost.set(host, ports);
    }
    let address = ports.get(port);
    if (address === undefined) {
      const text = `${host}:${port}`;
      address = { host, port, text, hash: hashText(text, 0x811c9dc5) };
      ports.set(port, address);
      this.byText.set(text, address);
    }
    return address;
  }

  /** Reads `host:port`. @throws RangeError if it is not that. */
  parse(text: Address): SocketAddress {
    const known = this.byText.get(text);
    if (known !== undefined) return known;
    const colon = text.lastIndexOf(':');
    const port = Number(text.slice(colon + 1));
    if (colon < 1 || !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
      throw new RangeError(`not host:port: ${text}`);
    }
    return this.at(text.slice(0, colon), port);
  }
}

/** Where a packet passes: a link, or one side of a box. */
export interface Hop {
  submit(packet: Packet, now: Instant): void;
}

/** The hops from one address to another. */
export type Route = readonly Hop[];

/** A range of sequence numbers, `end` excluded. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * A TCP segment. Sequence numbers count the bytes of the stream from 0 and never wrap; FIN takes
 * the number after the last byte, SYN none.
 */
export interface Segment {
  readonly syn: boolean;
  readonly ack: boolean;
  readonly fin: boolean;
  readonly reset: boolean;
  readonly sequence: number;
  readonly length: number;
  readonly acknowledged: number;
  readonly windowBytes: number;
  readonly sacks: readonly Range[] | undefined;
  /** Where the bytes are, as long as {@link Packet.payload} does not replace them. */
  readonly source: ByteStore | undefined;
}

/** A packet on its way. Boxes may change its addresses and its payload. */
export class Packet {
  source: SocketAddress;
  destination: SocketAddress;
  /** Of the IP packet. */
  readonly sizeBytes: number;
  readonly segment: Segment | undefined;
  /** A datagram's bytes; for TCP only what a box put in place of the sender's. */
  payload: Uint8Array | undefined;
  route: Route | undefined = undefined;
  hopIndex = 0;
  /** The trace's checksum of the bytes; -1 if it is not known. */
  checksum = -1;

  constructor(
    source: SocketAddress,
    destination: SocketAddress,
    sizeBytes: number,
    segment: Segment | undefined,
    payload: Uint8Array | undefined,
  ) {
    this.source = source;
    this.destination = destination;
    this.sizeBytes = sizeBytes;
    this.segment = segment;
    this.payload = payload;
  }

  /** A copy at the same place of the same route, which shares nothing that can change. */
  clone(): Packet {
    const payload = this.payload?.slice();
    const copy = new Packet(this.source, this.destination, this.sizeBytes, this.segment, payload);
    copy.route = this.route;
    copy.hopIndex = this.hopIndex;
    copy.checksum = this.checksum;
    return copy;
  }

  /**
   * A copy of the bytes that it carries. Empty for a TCP segment whose bytes both ends are done
   * with.
   */
  bytes(): Uint8Array {
    if (this.payload !== undefined) return this.payload.slice();
    const { segment } = this;
    if (segment?.source === undefined) return new Uint8Array(0);
    return segment.source.copy(segment.sequence, segment.sequence + segment.length);
  }

  /** Replaces the bytes. @throws RangeError if a TCP segment's length would change. */
  replaceBytes(bytes: Uint8Array): void {
    if (this.segment !== undefined && bytes.length !== this.segment.length) {
      throw new RangeError('a TCP segment keeps its length');
    }
    this.payload = bytes;
    this.checksum = -1;
  }
}
