/** Patterns of grants: `HOST:PORT` with wildcards, networks and ranges of ports. @module */

import ipaddr from 'ipaddr.js';
import { UsageError } from '../node/index.js';
import { type IpAddress, parseHost, parseIp, parsePort, splitColons } from './address.js';

type Network = readonly [IpAddress, number];

export interface HostPattern {
  /** In lower case. `suffix` begins with the dot. */
  readonly match:
    | { readonly kind: 'any' }
    | { readonly kind: 'name' | 'suffix'; readonly text: string }
    | { readonly kind: 'address'; readonly address: IpAddress }
    | { readonly kind: 'networks'; readonly networks: readonly Network[] };
  readonly firstPort: number;
  readonly lastPort: number;
}

/** Names under which a machine means itself (RFC 6761 §6.3) and the addresses they stand for. */
const LOCALHOST: readonly Network[] = [
  ipaddr.parseCIDR('127.0.0.0/8'),
  ipaddr.parseCIDR('::1/128'),
];

const FORM =
  'HOST:PORT, such as *.example.org:443, 10.0.0.0/8:22, [fd00::/8]:* or localhost:8000-8999';

/**
 * `HOST:PORT`. HOST is a name, `*.NAME` (all names below it), an address, a network, `localhost`
 * (all loopback addresses) or `*`; PORT is a port, `FROM-TO` or `*`.
 *
 * @throws UsageError if it is none of these.
 */
export function parseHostPattern(text: string): HostPattern {
  const [host, ports, ...rest] = splitColons(text) ?? [];
  if (host === undefined || ports === undefined || rest.length > 0) {
    throw new UsageError(`'${text}' is no pattern: it must be ${FORM}`);
  }
  return { match: parseMatch(host, text), ...parsePorts(ports) };
}

/** A port, `FROM-TO` or `*`. */
export function parsePorts(text: string): {
  readonly firstPort: number;
  readonly lastPort: number;
} {
  if (text === '*') return { firstPort: 0, lastPort: 65_535 };
  const [first = '', last = first, ...rest] = text.split('-');
  const firstPort = parsePort(first, 1);
  const lastPort = parsePort(last, 1);
  if (rest.length > 0 || lastPort < firstPort) {
    throw new UsageError(`'${text}' is no range of ports`);
  }
  return { firstPort, lastPort };
}

function parseMatch(host: string, whole: string): HostPattern['match'] {
  if (host === '*') return { kind: 'any' };
  const text = (host.startsWith('[') ? host.slice(1, -1) : host).toLowerCase();
  if (text === 'localhost') return { kind: 'networks', networks: LOCALHOST };
  if (text.includes('/')) return { kind: 'networks', networks: [parseNetwork(text, whole)] };
  const address = parseIp(text);
  if (address !== undefined) return { kind: 'address', address };
  const isSuffix = text.startsWith('*.');
  const name = withoutDot(parseHost(isSuffix ? text.slice(2) : host).toLowerCase());
  if (name.includes('*')) {
    throw new UsageError(`'${whole}': the only wildcard in a name is *. at its beginning`);
  }
  return isSuffix ? { kind: 'suffix', text: `.${name}` } : { kind: 'name', text: name };
}

function parseNetwork(text: string, whole: string): Network {
  const [address = '', bits = '', ...rest] = text.split('/');
  const parsed = parseIp(address);
  const most = parsed?.kind() === 'ipv4' ? 32 : 128;
  if (parsed === undefined || rest.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > most) {
    throw new UsageError(`'${whole}': '${text}' is no network such as 10.0.0.0/8 or [fd00::/8]`);
  }
  return [parsed, Number(bits)];
}

/** `host.` is `host` told to be complete. */
export function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

export function matchesPort(pattern: HostPattern, port: number): boolean {
  return port >= pattern.firstPort && port <= pattern.lastPort;
}

/** Whether a pattern allows a name, whatever it resolves to. */
export function matchesName({ match }: HostPattern, host: string): boolean {
  if (match.kind === 'any') return true;
  if (parseIp(host) !== undefined) return false;
  const name = withoutDot(host.toLowerCase());
  if (match.kind === 'name') return name === match.text;
  return match.kind === 'suffix' && name.endsWith(match.text) && name.length > match.text.length;
}

/** Whether a pattern allows an address, whatever name has led to it. */
export function matchesAddress({ match }: HostPattern, address: IpAddress): boolean {
  if (match.kind === 'any') return true;
  if (match.kind === 'address') {
    return match.address.toNormalizedString() === address.toNormalizedString();
  }
  if (match.kind !== 'networks') return false;
  return match.networks.some(
    ([network, bits]) => network.kind() === address.kind() && address.match(network, bits),
  );
}
