/**
 * Where a server can be reached: the addresses of a ticket, taken apart and resolved.
 *
 * @module
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { UsageError } from '../core/index.js';

/** Where a server listens if nothing else is said. */
export const DEFAULT_PORT = 7600;
/** Addresses of one name that are tried. */
export const MAX_RESOLVED_ADDRESSES = 16;
const MAX_PORT = 65_535;

/** `HOST:PORT` stands for TCP and UDP, a `ws:` or `wss:` URL for a WebSocket. */
export type ServerAddress =
  | { readonly kind: 'host'; readonly host: string; readonly port: number }
  | { readonly kind: 'url'; readonly host: string; readonly port: number; readonly url: string };

/** @throws UsageError that says what an address looks like. */
export function parseServerAddress(text: string): ServerAddress {
  if (/^wss?:\/\//i.test(text)) return parseUrl(text);
  const { host, port } = splitHostPort(text);
  return { kind: 'host', host, port: port ?? DEFAULT_PORT };
}

function parseUrl(text: string): ServerAddress {
  if (!URL.canParse(text)) throw new UsageError(`${shown(text)} is not a valid WebSocket address`);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    throw new UsageError('a WebSocket address of a server holds no user name or password');
  }
  const usual = url.protocol === 'wss:' ? 443 : 80;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { kind: 'url', host, port: url.port === '' ? usual : Number(url.port), url: url.href };
}

/**
 * Takes `host`, `host:port`, `[v6]:port`, `[v6]` or a bare `v6` apart.
 *
 * @throws UsageError if it is none of them, or the port is not from 0 to 65535.
 */
export function splitHostPort(text: string): { host: string; port: number | undefined } {
  if (isIP(text) === 6) return { host: text, port: undefined };
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const isBracketed = match?.[1] !== undefined;
  if (match === null || host === '' || (isBracketed && isIP(host) !== 6) || /[\s/]/.test(host)) {
    throw new UsageError(`${shown(text)} is no address: write HOST:PORT or [IPv6]:PORT`);
  }
  const port = match[3] === undefined ? undefined : Number(match[3]);
  if (port !== undefined && port > MAX_PORT) {
    throw new UsageError(`${shown(text)} has a port above ${MAX_PORT}`);
  }
  return { host, port };
}

const MAX_SHOWN_CHARACTERS = 80;

/** For messages: a ticket or a password may have been given by mistake. */
function shown(text: string): string {
  return /[#@]|:\/\//.test(text) ? 'this' : `\`${text.slice(0, MAX_SHOWN_CHARACTERS)}\``;
}

export interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** All addresses of a name, as the system resolves it; none if it does not. */
export async function resolveHost(host: string): Promise<ResolvedAddress[]> {
  const literal = isIP(host);
  if (literal !== 0) return [{ address: host, family: literal === 6 ? 6 : 4 }];
  try {
    const found = await lookup(host, { all: true, verbatim: true });
    return found
      .slice(0, MAX_RESOLVED_ADDRESSES)
      .map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
  } catch {
    return [];
  }
}
