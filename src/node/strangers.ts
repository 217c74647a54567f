/**
 * The places of connections that have not shown yet what they speak.
 *
 * @module
 */

import { readFileSync } from 'node:fs';
import { isIPv4, type Socket } from 'node:net';

/** Descriptors that strangers leave free, for clients and for what sessions open. */
const MAX_RESERVED_DESCRIPTORS = 64;
/** The part of all descriptors that is reserved where there are few. */
const RESERVED_PART = 1 / 4;
/** What one customer of a provider has at least of IPv6, in bits and in groups of 16 (RFC 6177). */
const IPV6_PREFIX_GROUPS = 4;
const IPV6_GROUPS = 8;
const IPV6_PREFIX_MASK = 0xff00;

/**
 * Who comes from there is taken for one: the /24 of an IPv4 address, the /56 of one of IPv6.
 *
 * @param address as the system shows it; without one, all such are one.
 */
export function prefixOf(address: string | undefined): string {
  const plain = (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (isIPv4(plain)) return plain.slice(0, plain.lastIndexOf('.'));
  const [before = '', after] = plain.split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const gap = after === undefined ? 0 : Math.max(0, IPV6_GROUPS - head.length - tail.length);
  const groups = [...head, ...Array<string>(gap).fill('0'), ...tail].slice(0, IPV6_PREFIX_GROUPS);
  const numbers = groups.map((group) => Number.parseInt(group, 16));
  const last = IPV6_PREFIX_GROUPS - 1;
  return numbers
    .map((number, index) => (index === last ? number & IPV6_PREFIX_MASK : number).toString(16))
    .join(':');
}

/** Strangers by the prefix from which they came, with their deadlines. */
export class Strangers {
  readonly #timers = new Map<Socket, NodeJS.Timeout>();
  readonly #prefixes = new Map<Socket, string>();
  /** In the order in which they came; no prefix is empty. */
  readonly #byPrefix = new Map<string, Set<Socket>>();

  get size(): number {
    return this.#timers.size;
  }

  all(): Socket[] {
    return [...this.#timers.keys()];
  }

  /** @param timer its deadline, which ends with its place. */
  add(socket: Socket, timer: NodeJS.Timeout): void {
    const prefix = prefixOf(socket.remoteAddress);
    this.#timers.set(socket, timer);
    this.#prefixes.set(socket, prefix);
    const near = this.#byPrefix.get(prefix);
    if (near === undefined) this.#byPrefix.set(prefix, new Set([socket]));
    else near.add(socket);
  }

  delete(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
    const prefix = this.#prefixes.get(socket);
    if (prefix === undefined) return;
    this.#prefixes.delete(socket);
    const near = this.#byPrefix.get(prefix);
    near?.delete(socket);
    if (near?.size === 0) this.#byPrefix.delete(prefix);
  }

  /** Who makes room: the oldest of the prefix that has most places; of equal ones, the older. */
  next(): Socket | undefined {
    let largest: ReadonlySet<Socket> = new Set();
    for (const near of this.#byPrefix.values()) if (near.size > largest.size) largest = near;
    const [oldest] = largest;
    return oldest;
  }
}

/**
 * Tells from a connection's own descriptor how many are missing: the system gives the lowest that is
 * free (POSIX, 2.6). Where there are none, or no limit is known, there are always enough.
 *
 * When they are all used, Node closes what waits to be accepted, and tells nobody.
 */
export class Descriptors {
  readonly #firstReserved: number;

  /** @param limit how many this process may have. */
  constructor(limit = descriptorLimit()) {
    this.#firstReserved = limit - Math.min(MAX_RESERVED_DESCRIPTORS, limit * RESERVED_PART);
  }

  /**
   * How many have to be freed when this connection has come, so that the reserve is whole. One for
   * each would not do: those that come next take the places that were freed, and show no shortage.
   */
  missing(socket: Socket): number {
    const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
    return Math.max(0, (handle?.fd ?? -1) + 1 - this.#firstReserved);
  }
}

function descriptorLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const [, limit] = /^Max open files\s+(\d+)/m.exec(limits) ?? [];
    return limit === undefined ? Number.MAX_SAFE_INTEGER : Number(limit);
  } catch {
    return Number.MAX_SAFE_INTEGER;
  }
}
