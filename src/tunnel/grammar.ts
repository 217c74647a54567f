/**
 * What stands behind `-L`, `-R` and `-D`, in ssh's grammar (ssh(1), OpenSSH 9).
 *
 * @module
 */

import { UsageError } from '../node/index.js';
import { type HostPort, parseHost, parsePort, splitColons } from './address.js';

/** Where to listen. */
export interface Bind {
  /** An address or name; `*`: on all addresses; `undefined`: loopback only. */
  readonly host: string | undefined;
  /** 0: the system chooses. */
  readonly port: number;
}

/** A port to listen on, and where its connections go. */
export interface ForwardSpec {
  readonly bind: Bind;
  readonly target: HostPort;
}

const EXAMPLES = 'for instance 8080:localhost:80 or [::1]:8080:[2001:db8::1]:80';

/**
 * `[bind:]port:host:hostport`, as `-L` and `-R` take it. An empty bind address, and `*`, mean all
 * addresses; none means loopback.
 *
 * @throws UsageError that says what is wrong.
 */
export function parseForwardSpec(text: string): ForwardSpec {
  const parts = split(text);
  const [hostPort = '', host = '', ...rest] = [...parts].reverse();
  if (parts.length < 3 || parts.length > 4) {
    throw new UsageError(`'${text}' is not [BIND:]PORT:HOST:PORT, ${EXAMPLES}`);
  }
  const target = { host: parseHost(host), port: parsePort(hostPort, 1) };
  return { bind: toBind(rest.reverse()), target };
}

/**
 * `[bind:]port`, as `-D` takes it.
 *
 * @throws UsageError that says what is wrong.
 */
export function parseBind(text: string): Bind {
  const parts = split(text);
  if (parts.length > 2) {
    throw new UsageError(`'${text}' is not [BIND:]PORT, for instance 1080 or [::1]:1080`);
  }
  return toBind(parts);
}

function split(text: string): string[] {
  if (text.includes('/')) {
    throw new UsageError(`'${text}' names a file; sockets of the file system are not forwarded`);
  }
  const parts = splitColons(text);
  if (parts === undefined) {
    throw new UsageError(`'${text}': brackets belong around a whole IPv6 address, ${EXAMPLES}`);
  }
  return parts;
}

function toBind(parts: readonly string[]): Bind {
  const port = parsePort(parts.at(-1) ?? '', 0);
  const host = parts.length > 1 ? parts[0] : undefined;
  if (host === undefined) return { host, port };
  return { host: host === '' || host === '*' ? '*' : parseHost(host), port };
}
