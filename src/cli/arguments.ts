/** Reading what stands in arguments; each parser throws a {@link CliError} that says what is right. @module */

import { isIPv6 } from 'node:net';
import { failUsage } from './failure.js';

/** Where `roving serve` listens unless it is told otherwise. */
export const DEFAULT_PORT = 7600;
const MAX_PORT = 65_535;

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface HostPortRule {
  /** For the message. */
  readonly option: string;
  /** Used if none is given; without it, one has to be. */
  readonly defaultPort?: number;
  /** Port 0: any that is free. */
  readonly allowZero?: boolean;
}

/**
 * `HOST:PORT`, `[IPV6]:PORT`; also `IPV6:PORT` without brackets, as ssh writes `%h:%p`: there the
 * port is what follows the last colon.
 */
export function parseHostPort(text: string, rule: HostPortRule): HostPort {
  const { option, defaultPort, allowZero = false } = rule;
  const wanted = `${option} wants HOST:PORT, with an IPv6 address in brackets: [2001:db8::1]:22`;
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  if (bracketed !== null) {
    const [, host = '', port] = bracketed;
    if (!isIPv6(host.replace(/%.*$/, ''))) return failUsage(wanted);
    return { host, port: parsePort(port, rule, wanted, allowZero) };
  }
  // A whole IPv6 address may end as one with a port would: without a default, it has one.
  if (defaultPort !== undefined && isIPv6(text)) return { host: text, port: defaultPort };
  const colon = text.lastIndexOf(':');
  const host = colon < 0 ? text : text.slice(0, colon);
  const isHost = isIPv6(host.replace(/%.*$/, '')) || /^[^\s:[\]/@#]+$/.test(host);
  if (!isHost) return failUsage(wanted);
  return {
    host,
    port: parsePort(colon < 0 ? undefined : text.slice(colon + 1), rule, wanted, allowZero),
  };
}

function parsePort(
  text: string | undefined,
  { option, defaultPort }: HostPortRule,
  wanted: string,
  allowZero: boolean,
): number {
  if (text === undefined) return defaultPort ?? failUsage(wanted);
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  const first = allowZero ? 0 : 1;
  if (port >= first && port <= MAX_PORT) return port;
  return failUsage(`${option}: a port is a number from ${first} to ${MAX_PORT}`);
}

/** `host:port`, with brackets around IPv6. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * An address of a ticket: `HOST[:PORT]`, or `ws://` or `wss://` and what follows.
 *
 * @param option for messages: where it was given.
 */
export function parseTicketAddress(text: string, option = '--address'): string {
  if (!text.includes('://')) {
    return formatHostPort(parseHostPort(text, { option, defaultPort: DEFAULT_PORT }));
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWebSocket = url?.protocol === 'ws:' || url?.protocol === 'wss:';
  if (url === undefined || !isWebSocket || url.username !== '' || url.password !== '') {
    return failUsage(`${option} wants HOST[:PORT], or ws://HOST/PATH, or wss://HOST/PATH`);
  }
  return text;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** `90` and `90s`, `10m`, `12h`, `30d`, `2w`; in ms. */
export function parseDuration(text: string, option: string): number {
  const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)([smhdw])?$/.exec(text) ?? [];
  const durationMs = Number(digits) * (UNIT_MS[unit] ?? Number.NaN);
  if (Number.isFinite(durationMs) && durationMs > 0) return durationMs;
  return failUsage(`${option} wants a time such as 90s, 10m, 12h, 30d or 2w`);
}

/** A duration from now on, or a date such as `2030-01-31`. */
export function parseExpiry(text: string, now = Date.now()): Date {
  const isDate = /^\d{4}-\d{2}-\d{2}/.test(text);
  const date = isDate ? new Date(text) : new Date(now + parseDuration(text, '--expires'));
  if (Number.isNaN(date.getTime())) return failUsage('--expires: there is no such date');
  if (date.getTime() <= now) return failUsage('--expires lies in the past');
  return date;
}
