/**
 * Simulated UDP sockets.
 *
 * @module
 */

import type { Address, Instant } from '../core/contract.js';
import { SlabCopier } from './byte-store.js';
import type { Machine, PacketSink } from './network.js';
import { Packet, type SocketAddress, UDP_HEADER_BYTES } from './packet.js';

export interface UdpBinding {
  /** The local address; without it the socket has all of the machine's. */
  readonly host?: string | undefined;
  /** 0 or absent: any free port. */
  readonly port?: number | undefined;
}

/** A bound socket. It copies what it sends, and what it receives belongs to the receiver. */
export class UdpSocket implements PacketSink {
  readonly machine: Machine;
  readonly host: string | undefined;
  readonly port: number;
  private readonly local: SocketAddress | undefined;
  private readonly onDatagram: (bytes: Uint8Array, from: Address, now: Instant) => void;
  private readonly copier = new SlabCopier();
  private closed = false;

  /** @throws RangeError if the address is in use. */
  constructor(
    machine: Machine,
    binding: UdpBinding,
    onDatagram: (bytes: Uint8Array, from: Address, now: Instant) => void,
  ) {
    this.machine = machine;
    this.host = binding.host;
    this.port = binding.port || machine.ephemeralPort();
    this.onDatagram = onDatagram;
    const { world } = machine;
    this.local = this.host === undefined ? undefined : world.address(this.host, this.port);
    machine.bindUdp(this.host, this.port, this);
  }

  /** `host:port`, with `*` for all addresses. */
  get localText(): string {
    return `${this.host ?? '*'}:${this.port}`;
  }

  /**
   * Sends the chunks as one datagram. Without a way to `remote` nothing happens.
   *
   * @throws RangeError if `remote` is not `host:port`.
   */
  send(chunks: readonly Uint8Array[], remote: Address): void {
    if (this.closed) return;
    const { world } = this.machine;
    const to = world.parseAddress(remote);
    const from = this.local ?? this.sourceFor(to.host);
    if (from === undefined) {
      world.unroutablePackets++;
      return;
    }
    const payload = this.copier.concat(chunks);
    world.send(new Packet(from, to, payload.length + UDP_HEADER_BYTES, undefined, payload));
  }

  deliver(packet: Packet, now: Instant): void {
    if (this.closed || packet.payload === undefined) return;
    this.onDatagram(packet.payload, packet.source.text, now);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.machine.unbindUdp(this.host, this.port);
  }

  private sourceFor(destination: string): SocketAddress | undefined {
    const host = this.machine.sourceFor(destination);
    return host === undefined ? undefined : this.machine.world.address(host, this.port);
  }
}
