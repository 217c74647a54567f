/**
 * Addresses as the core knows them (`host:port`, `[v6]:port`), and as sockets want them.
 *
 * @module
 */

import { isIPv4 } from 'node:net';
import type { Address } from '../core/index.js';

const MAPPED_PREFIX = '::ffff:';
const MAX_PORT = 65_535;

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  /** 1 to 65,535; 0 only where a socket may choose. */
  readonly port: number;
}

/** IPv4 addresses that a dual-stack socket shows as `::ffff:1.2.3.4` become plain ones. */
export function plainHost(host: string): string {
  const isMapped = host.slice(0, MAPPED_PREFIX.length).toLowerCase() === MAPPED_PREFIX;
  if (!isMapped) return host;
  const inner = host.slice(MAPPED_PREFIX.length);
  return isIPv4(inner) ? inner : host;
}

/** `host:port`, with brackets around IPv6; one text for one address, however it was met. */
export function formatAddress(host: string, port: number): Address {
  const plain = plainHost(host);
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** The parts of `host:port` or `[v6]:port`; `undefined` if the text is neither. */
export function parseAddress(address: Address): HostPort | undefined {
  const colon = address.lastIndexOf(':');
  const digits = address.slice(colon + 1);
  const port = Number(digits);
  if (colon <= 0 || !/^\d{1,5}$/.test(digits) || port > MAX_PORT) return undefined;
  const host = address.slice(0, colon);
  if (host.startsWith('[') && host.endsWith(']')) {
    const inner = host.slice(1, -1);
    return inner.includes(':') ? { host: inner, port } : undefined;
  }
  return host.includes(':') || host.includes('[') ? undefined : { host, port };
}
