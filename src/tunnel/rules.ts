/**
 * What a key allows: where its sessions may have connections made to, and where they may listen
 * (docs/decisions, "what a forward may reach").
 *
 * @module
 */

import ipaddr from 'ipaddr.js';
import { SessionError, UsageError } from '../node/index.js';
import { grantArguments, ServiceError } from '../service/index.js';
import {
  formatHostPort,
  type HostPort,
  type IpAddress,
  isLoopback,
  isOwnAddress,
  meaningsOf,
  parseIp,
} from './address.js';
import type { Bind } from './grammar.js';
import {
  type HostPattern,
  matchesAddress,
  matchesName,
  matchesPort,
  parseHostPattern,
  parsePorts,
} from './patterns.js';

/** Ports below can be listened on only if a grant names them, as sshd leaves them to root. */
const FIRST_UNPRIVILEGED_PORT = 1024;

/** Kinds of addresses that no forward reaches unless a grant names the very address. */
const DENIED_RANGES: readonly string[] = ['linkLocal', 'unspecified', 'multicast', 'broadcast'];

/**
 * Where clouds answer their machines without asking who they are, beyond the link-local
 * 169.254.169.254: AWS over IPv6, Alibaba, Oracle, Azure.
 */
const METADATA_ADDRESSES: readonly string[] = [
  'fd00:ec2::254',
  '100.100.100.200',
  '192.0.0.192',
  '168.63.129.16',
].map((address) => ipaddr.parse(address).toNormalizedString());

interface ListenPattern {
  /** `undefined`: loopback. `*`: any. */
  readonly host: string | undefined;
  readonly firstPort: number;
  readonly lastPort: number;
}

/** The rules of one key; see {@link ForwardRules.of}. */
export class ForwardRules {
  readonly #forward: readonly HostPattern[];
  readonly #isUnrestricted: boolean;
  readonly #listen: readonly ListenPattern[];

  private constructor(grants: readonly string[]) {
    this.#isUnrestricted = grants.includes('forward');
    const forward = this.#isUnrestricted ? ['*:*'] : [];
    forward.push(...(grantArguments(grants, 'forward') ?? []));
    this.#forward = forward.flatMap((text) => tolerant(text, parseHostPattern));
    const listen = grantArguments(grants, 'listen') ?? [];
    this.#listen = listen.flatMap((text) => tolerant(text, parseListenPattern));
  }

  /** Patterns that are none match nothing; {@link checkForwardGrant} tells of them in time. */
  static of(grants: readonly string[]): ForwardRules {
    return new ForwardRules(grants);
  }

  /**
   * Before a name is resolved: whether any pattern could allow this, so that what is denied anyway
   * does not even reach a resolver.
   *
   * @throws ServiceError `ERR_SERVICE_DENIED`.
   */
  checkTarget(target: HostPort): void {
    const { host, port } = target;
    const isPossible = this.#forward.some(
      (pattern) =>
        matchesPort(pattern, port) &&
        (matchesName(pattern, host) || ['address', 'networks'].includes(pattern.match.kind)),
    );
    if (!isPossible) throw denied(target);
  }

  /**
   * Whether an address to which the target's name has resolved may be dialled. This is asked of the
   * address that is then dialled, and not of the name, whose meaning can change in between.
   *
   * @param ownPorts those on which this end itself listens.
   */
  mayDial(target: HostPort, address: string, ownPorts: readonly number[]): boolean {
    const { host, port } = target;
    const ip = parseIp(address);
    if (ip === undefined) return false;
    if (ownPorts.includes(port) && isOwnAddress(address)) return false;
    const patterns = this.#forward.filter((pattern) => matchesPort(pattern, port));
    if (isDeniedByDefault(ip)) {
      return patterns.some(
        (pattern) => pattern.match.kind === 'address' && matchesAddress(pattern, ip),
      );
    }
    return patterns.some((pattern) => matchesName(pattern, host) || matchesAddress(pattern, ip));
  }

  /**
   * Whether the other end may have this end listen somewhere.
   *
   * @param bind its host is an address, `*` or `undefined`.
   * @throws ServiceError `ERR_SERVICE_DENIED`, saying which grant would allow it.
   */
  checkListen({ host, port }: Bind): void {
    const isLocal = host === undefined || isLoopback(host);
    const isPrivileged = port > 0 && port < FIRST_UNPRIVILEGED_PORT;
    if (this.#isUnrestricted && isLocal && !isPrivileged) return;
    const isGranted = this.#listen.some(
      (pattern) =>
        port >= pattern.firstPort &&
        port <= pattern.lastPort &&
        (pattern.host === '*' || (isLocal ? pattern.host === undefined : pattern.host === host)),
    );
    if (isGranted) return;
    const needed = isLocal ? `listen:${port}` : `listen:${formatHostPort({ host, port })}`;
    throw new ServiceError(
      'ERR_SERVICE_DENIED',
      `the key does not allow to listen there: it would need \`--allow ${needed}\``,
    );
  }
}

/** The refusal of a target; it does not tell what a name has resolved to. */
export function denied(target: HostPort): ServiceError {
  const text = `the key does not allow connections to ${formatHostPort(target)}`;
  return new ServiceError('ERR_SERVICE_DENIED', text);
}

/**
 * Checks a grant as it is given to `--allow`: `forward`, `forward:HOST:PORT`, `listen`,
 * `listen:PORT`, `listen:ADDRESS:PORT`. Others are none of its business.
 *
 * @throws UsageError telling what is wrong with its pattern.
 */
export function checkForwardGrant(grant: string): void {
  for (const text of grantArguments([grant], 'forward') ?? []) {
    if (text !== '' || grant.endsWith(':')) parseHostPattern(text);
  }
  for (const text of grantArguments([grant], 'listen') ?? []) parseListenPattern(text);
}

/** ``: any port of loopback; `PORT`: that one; `ADDRESS:PORT`; each part may be `*`. */
function parseListenPattern(text: string): ListenPattern {
  if (text === '') return { host: undefined, ...parsePorts('*') };
  if (/^[\d*-]+$/.test(text)) return { host: undefined, ...parsePorts(text) };
  const { match, ...ports } = parseHostPattern(text);
  if (match.kind === 'any') return { host: '*', ...ports };
  if (match.kind === 'address') return { host: toHost(match.address), ...ports };
  if (/^localhost:/i.test(text)) return { host: undefined, ...ports };
  throw new UsageError(`'${text}' is no place to listen: PORT, ADDRESS:PORT, or * for either`);
}

function toHost(address: IpAddress): string | undefined {
  const text = address.toString();
  return isLoopback(text) ? undefined : text;
}

function tolerant<T>(text: string, parse: (text: string) => T): T[] {
  try {
    return [parse(text)];
  } catch (error) {
    if (error instanceof SessionError) return [];
    throw error;
  }
}

function isDeniedByDefault(address: IpAddress): boolean {
  return meaningsOf(address).some(
    (meaning) =>
      DENIED_RANGES.includes(meaning.range()) ||
      METADATA_ADDRESSES.includes(meaning.toNormalizedString()),
  );
}
