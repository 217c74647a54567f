/**
 * UDP: datagrams from one local port to any number of remote addresses.
 *
 * Sockets are never connected, at a client neither (docs/decisions/0010-udp-sockets.md): a server that
 * answers from another address is heard, and ICMP, which anyone can forge, is not.
 *
 * @module
 */

import { type Address, assert, CarrierError } from '../../core/index.js';
import { parseAddress } from '../addresses.js';
import { isLoopback } from '../interfaces.js';
import type { Carrier, CarrierSink } from './carrier.js';
import {
  bindDatagramSocket,
  type DatagramSocket,
  type DatagramStatistics,
} from './datagram-socket.js';

/**
 * The largest datagrams that are tried, in bytes (protocol.md#packet-size): what fits into a packet
 * of Ethernet, and on loopback, where each one costs the same whatever its size, much more.
 */
export const MAX_DATAGRAM_BYTES_IPV4 = 1_472;
export const MAX_DATAGRAM_BYTES_IPV6 = 1_452;
export const MAX_DATAGRAM_BYTES_LOOPBACK = 16_384;

export interface UdpOptions {
  /** The largest datagram that is sent, in bytes; what the kind of address lets hope for. */
  readonly maxDatagramBytes?: number;
}

export interface BindUdpOptions extends UdpOptions {
  /** A local IP address; all of them, IPv6 and IPv4, if absent. */
  readonly host?: string;
  /** 0, or absent: any free one. */
  readonly port?: number;
  /** A socket that is bound already, as a service manager hands it on, instead. */
  readonly inherited?: { readonly fd: number; readonly family: 4 | 6 };
}

export interface OpenUdpOptions extends UdpOptions {
  /** Where datagrams leave from, an IP address; the system chooses if absent. */
  readonly localAddress?: string | undefined;
  /** Where the server is, `host:port` with a literal IP address: decides between IPv4 and IPv6. */
  readonly remote: Address;
}

/** @throws CarrierError if the port cannot be bound; its `cause` is Node's error with its `code`. */
export async function bindUdp(options: BindUdpOptions = {}): Promise<UdpCarrier> {
  const { host, port, inherited } = options;
  if (inherited !== undefined) {
    const { fd, family } = inherited;
    const type = family === 6 ? 'udp6' : 'udp4';
    return new UdpCarrier(await bindDatagramSocket({ fd, type }), options);
  }
  if (host !== undefined) {
    const type = host.includes(':') ? 'udp6' : 'udp4';
    const maxDatagramBytes = hopedBytes(host);
    const socket = await bindDatagramSocket({ host, port, type });
    return new UdpCarrier(socket, { maxDatagramBytes, ...options });
  }
  try {
    return new UdpCarrier(await bindDatagramSocket({ port, type: 'udp6' }), options);
  } catch (error) {
    if (!isWithoutV6(error)) throw error;
    return new UdpCarrier(await bindDatagramSocket({ port, type: 'udp4' }), options);
  }
}

/**
 * A client's socket, at a port of its own.
 *
 * @throws CarrierError if `localAddress` is not this machine's, or `remote` is no literal address.
 */
export async function openUdp(options: OpenUdpOptions): Promise<UdpCarrier> {
  const { localAddress: host, remote } = options;
  const parsed = parseAddress(remote);
  if (parsed === undefined) throw new CarrierError(`not an address for UDP: ${remote}`);
  const type = parsed.host.includes(':') ? 'udp6' : 'udp4';
  const maxDatagramBytes = hopedBytes(parsed.host);
  return new UdpCarrier(await bindDatagramSocket({ host, type }), { maxDatagramBytes, ...options });
}

function hopedBytes(host: string): number {
  if (isLoopback(host)) return MAX_DATAGRAM_BYTES_LOOPBACK;
  return host.includes(':') ? MAX_DATAGRAM_BYTES_IPV6 : MAX_DATAGRAM_BYTES_IPV4;
}

/** The system has no IPv6, or it is switched off. */
function isWithoutV6(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL';
}

/** A datagram carrier over a UDP socket. */
export class UdpCarrier implements Carrier {
  readonly name = 'udp';
  readonly kind = 'datagram';
  readonly local: Address;
  readonly maxDatagramBytes: number;
  readonly #socket: DatagramSocket;

  constructor(socket: DatagramSocket, options: UdpOptions = {}) {
    this.#socket = socket;
    this.local = socket.local;
    this.maxDatagramBytes = options.maxDatagramBytes ?? MAX_DATAGRAM_BYTES_IPV6;
  }

  get statistics(): DatagramStatistics {
    return this.#socket.statistics;
  }

  open(sink: CarrierSink): void {
    this.#socket.open({
      onDatagram: (bytes, remote) => sink.onReceive(bytes, remote),
      onFailed: (error) => sink.onClosed(error),
    });
  }

  send(chunks: readonly Uint8Array[], remote?: Address): void {
    assert(remote !== undefined, 'a datagram goes to an address');
    this.#socket.send(chunks, remote);
  }

  /** The socket keeps the process alive; it does until {@link unref}. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  unref(): this {
    this.#socket.unref();
    return this;
  }

  close(): void {
    this.#socket.close();
  }
}
