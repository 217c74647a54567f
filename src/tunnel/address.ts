/** Addresses of hosts: text to values and back, and what kind of address one is. @module */

import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { UsageError } from '../node/index.js';

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** A host by name or address, and one of its ports. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Longest name that DNS knows (RFC 1035 §2.3.4), and longest that SOCKS5 can say. */
export const MAX_HOST_LENGTH = 255;
const MAX_PORT = 65_535;

/** `HOST:PORT`, with brackets around an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Reads `HOST:PORT`; IPv6 addresses stand in brackets.
 *
 * @throws UsageError if it is something else.
 */
export function parseHostPort(text: string): HostPort {
  const parts = splitColons(text);
  const [host, port] = parts ?? [];
  if (parts?.length !== 2 || host === undefined || port === undefined) {
    throw new UsageError(`'${text}' is not HOST:PORT; IPv6 addresses stand in brackets`);
  }
  return { host: parseHost(host), port: parsePort(port, 1) };
}

/** The parts between colons; those within brackets do not count. `undefined`: misplaced brackets. */
export function splitColons(text: string): string[] | undefined {
  const parts = text.match(/\[[^[\]]*\]|[^:[\]]+|:/g) ?? [];
  if (parts.join('') !== text) return undefined;
  const found = [''];
  let isOpen = true;
  for (const part of parts) {
    if (part === ':') found.push('');
    else if (!isOpen) return undefined;
    else found[found.length - 1] = part;
    isOpen = part === ':';
  }
  return found;
}

/** @throws UsageError if it is no name or address of a host. */
export function parseHost(text: string): string {
  const isBracketed = text.startsWith('[') && text.endsWith(']');
  const host = isBracketed ? text.slice(1, -1) : text;
  if (!isHost(host) || (isBracketed && isIP(host) !== 6)) {
    throw new UsageError(`'${text}' is no name or address of a host`);
  }
  return host;
}

/** @throws UsageError if it is no port from `least` to 65535. */
export function parsePort(text: string, least: number): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < least || port > MAX_PORT) {
    throw new UsageError(`'${text}' is no port: those go from ${least} to ${MAX_PORT}`);
  }
  return port;
}

/** Whether a resolver may be asked for this at all: not empty, not too long, no spaces or controls. */
export function isHost(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.length > MAX_HOST_LENGTH) return false;
  // What a URL gives a meaning to is no part of a name, and would confuse whoever reads a log.
  return !/[\s\p{Cc}\p{Cf}/\\@?#[\]]/u.test(value) && (!value.includes(':') || isIP(value) === 6);
}

export function isPort(value: unknown, least = 1): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= MAX_PORT;
}

/** @returns the address, IPv4 also where it is written as IPv6; `undefined` if it is a name. */
export function parseIp(text: string): IpAddress | undefined {
  // The library reads more than addresses have as a form, such as `0x7f.1`.
  return isIP(text) === 0 ? undefined : ipaddr.process(text);
}

export function isLoopback(address: string): boolean {
  return parseIp(address)?.range() === 'loopback';
}

/** Whether this machine itself answers at an address. */
export function isOwnAddress(address: string): boolean {
  const wanted = parseIp(address)?.toNormalizedString();
  if (wanted === undefined) return false;
  if (isLoopback(address)) return true;
  const own = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return own.some((entry) => parseIp(entry.address)?.toNormalizedString() === wanted);
}

/** Reached by IPv6 addresses that hold an IPv4 one: NAT64 (RFC 6052) and 6to4 (RFC 3056). */
const NAT64 = ipaddr.parseCIDR('64:ff9b::/96');
const SIX_TO_FOUR = ipaddr.parseCIDR('2002::/16');

/** An address, and the IPv4 address that a translator on the way would make of it. */
export function meaningsOf(address: IpAddress): IpAddress[] {
  if (address.kind() === 'ipv4') return [address];
  const bytes = address.toByteArray();
  if (address.match(NAT64)) return [address, new ipaddr.IPv4(bytes.slice(12, 16))];
  if (address.match(SIX_TO_FOUR)) return [address, new ipaddr.IPv4(bytes.slice(2, 6))];
  return [address];
}
