/**
 * NATs on the way: found by comparing where this end sends from with where the server sees it.
 *
 * @module
 */

import { setTimeout as delay } from 'node:timers/promises';
import {
  type ConnectOptions,
  connect,
  localAddresses,
  type RovingSession,
  type Ticket,
} from '../node/index.js';
import { observe } from './observe.js';

/** A NAT that forgets sooner than after this is noticed; later ones show as `holds`. */
const IDLE_STEPS: readonly number[] = [0.25, 0.5, 1];

export interface NatMapping {
  readonly carrier: string;
  readonly local: string;
  /** As the server sees it. */
  readonly seen: string;
  readonly isTranslated: boolean;
  readonly isPortKept: boolean;
}

export interface NatReport {
  /**
   * - `none`: the server sees this machine's own addresses.
   * - `endpoint-independent`, `endpoint-dependent`: one socket has one outside address for all
   *   servers, or another for each (RFC 4787 §4.1).
   * - `present`: there is one, of a kind that this ticket's addresses cannot tell.
   */
  readonly kind: 'none' | 'present' | 'endpoint-independent' | 'endpoint-dependent' | 'unknown';
  readonly mappings: readonly NatMapping[];
  /** UDP, without traffic. */
  readonly timeout: {
    readonly state: 'not measured' | 'holds' | 'forgets';
    /** It held for this long. */
    readonly holdsMs?: number;
    /** It had forgotten after this. */
    readonly forgottenMs?: number;
    readonly why?: string;
  };
}

export interface NatOptions {
  readonly connect?: Omit<ConnectOptions, 'carriers' | 'signal'>;
  readonly natMs: number;
  readonly signal?: AbortSignal;
  readonly passing: readonly ('udp' | 'tcp' | 'ws')[];
}

export async function probeNat(ticket: Ticket, options: NatOptions): Promise<NatReport> {
  const { passing } = options;
  if (passing.length === 0) {
    const timeout = { state: 'not measured', why: 'nothing passes' } as const;
    return { kind: 'unknown', mappings: [], timeout };
  }
  const mappings = await withSession(ticket, options, [...passing], findMappings);
  const kind = kindOf(mappings);
  if (kind === 'none') {
    return { kind, mappings, timeout: { state: 'not measured', why: 'there is no NAT' } };
  }
  return { kind, mappings, timeout: await probeTimeout(ticket, options) };
}

async function withSession<T>(
  ticket: Ticket,
  { connect: settings, signal }: NatOptions,
  carriers: ('udp' | 'tcp' | 'ws')[],
  action: (session: RovingSession) => Promise<T>,
): Promise<T> {
  const session = await connect(ticket, {
    ...settings,
    carriers,
    keepAliveMs: 0,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    return await action(session);
  } finally {
    await session.close().catch(() => undefined);
  }
}

async function findMappings(session: RovingSession): Promise<NatMapping[]> {
  const seen = await observe(session);
  const ownHosts = new Set(localAddresses().map(({ address }) => address));
  return session.paths.flatMap(({ pathId, carrier, local }) => {
    const remote = seen.find((one) => one.pathId === pathId)?.remote;
    if (remote === undefined) return [];
    const [own, outside] = [split(local), split(remote)];
    const isPortKept = own.port === outside.port;
    // A socket for all addresses may come from any of them.
    const isTranslated = !ownHosts.has(outside.host) || !isPortKept;
    return [{ carrier, local, seen: remote, isTranslated, isPortKept }];
  });
}

function split(address: string): { host: string; port: string } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host: host.replace(/^::ffff:(?=\d+\.)/i, ''), port: address.slice(colon + 1) };
}

/** Sockets that reach several addresses of the server show whether the outside address depends on it. */
function kindOf(mappings: readonly NatMapping[]): NatReport['kind'] {
  const translated = mappings.filter(({ isTranslated }) => isTranslated);
  if (mappings.length === 0) return 'unknown';
  if (translated.length === 0) return 'none';
  const bySocket = new Map<string, Set<string>>();
  let isShared = false;
  for (const { carrier, local, seen } of translated.filter((one) => one.carrier === 'udp')) {
    const outside = bySocket.get(`${carrier} ${local}`) ?? new Set();
    if (outside.size > 0) isShared = true;
    bySocket.set(`${carrier} ${local}`, outside.add(seen));
  }
  if (!isShared) return 'present';
  const isDependent = [...bySocket.values()].some((outside) => outside.size > 1);
  return isDependent ? 'endpoint-dependent' : 'endpoint-independent';
}

/** One session is silent for each step; whoever comes from elsewhere afterwards was forgotten. */
async function probeTimeout(ticket: Ticket, options: NatOptions): Promise<NatReport['timeout']> {
  const { natMs, passing } = options;
  if (natMs <= 0) return { state: 'not measured', why: 'it was not asked for' };
  if (!passing.includes('udp')) return { state: 'not measured', why: 'UDP does not pass' };
  const steps = IDLE_STEPS.map((part) => part * natMs);
  const kept = await Promise.all(steps.map((idleMs) => keepsMapping(ticket, options, idleMs)));
  const firstLost = kept.indexOf(false);
  const lastKept = firstLost < 0 ? steps.length - 1 : firstLost - 1;
  const holdsMs = steps[lastKept];
  const forgottenMs = firstLost < 0 ? undefined : steps[firstLost];
  return {
    state: firstLost < 0 ? 'holds' : 'forgets',
    ...(holdsMs === undefined ? {} : { holdsMs }),
    ...(forgottenMs === undefined ? {} : { forgottenMs }),
  };
}

function keepsMapping(ticket: Ticket, options: NatOptions, idleMs: number): Promise<boolean> {
  const { signal } = options;
  return withSession(ticket, options, ['udp'], async (session) => {
    const before = await observe(session);
    await delay(idleMs, undefined, signal === undefined ? {} : { signal });
    const [path] = before;
    const after = await observe(session);
    return after.find(({ pathId }) => pathId === path?.pathId)?.remote === path?.remote;
  });
}
