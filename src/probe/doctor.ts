/**
 * What a network lets pass between here and the server of a ticket. Nobody else is asked.
 *
 * @module
 */

import { readFile } from 'node:fs/promises';
import { connect as connectTcp, isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ConnectOptions,
  connect,
  type LocalAddress,
  localAddresses,
  pathsOf,
  proxyFor,
  type RouteReport,
  type RovingSession,
  redactProxy,
  type Ticket,
} from '../node/index.js';
import { type NatReport, probeNat } from './nat.js';

/** What is tried at the server's hosts, beside its own ports: what networks usually let out. */
const USUAL_PORTS: readonly number[] = [443, 80, 22, 53];
/** More hosts than these are not asked for their ports. */
const MAX_PORT_HOSTS = 4;
const PORT_TIMEOUT_MS = 3_000;
/** How long the other paths of a session have to join. */
const JOIN_MS = 1_500;

export type DoctorCarrier = 'udp' | 'tcp' | 'ws';

export interface CarrierReport {
  readonly carrier: DoctorCarrier;
  /** `passes`, `blocked` (nobody answered), or `absent`: the ticket has no address for it. */
  readonly state: 'passes' | 'blocked' | 'absent';
  readonly connectMs?: number;
  readonly rttMs?: number;
  /** Largest datagram that went through, in bytes, as far as it is known. */
  readonly datagramBytes?: number;
  readonly error?: string;
}

export interface PortReport {
  readonly host: string;
  readonly port: number;
  /** `passes`: something answered, if only with a refusal. `silent`: nothing did. */
  readonly state: 'passes' | 'silent' | 'unreachable';
  readonly answer: string;
}

export interface RouteAdvice {
  readonly carrier: string;
  readonly local: string | null;
  readonly remote: string;
  readonly via: string | null;
  readonly state: RouteReport['state'];
  readonly isUsed: boolean;
  /** Why it is used, or not. */
  readonly why: string;
}

export interface DoctorReport {
  readonly localAddresses: readonly LocalAddress[];
  readonly proxies: readonly { readonly target: string; readonly proxy: string | null }[];
  readonly carriers: readonly CarrierReport[];
  readonly nat: NatReport;
  readonly tcpPorts: readonly PortReport[];
  readonly mptcp: { readonly kernel: string; readonly option: 'unknown'; readonly why: string };
  readonly routes: readonly RouteAdvice[];
}

export interface DoctorOptions {
  readonly connect?: Omit<ConnectOptions, 'carriers' | 'signal'>;
  readonly carriers?: readonly DoctorCarrier[];
  /** How long NATs are watched for forgetting, in ms; 0: not at all. */
  readonly natMs: number;
  readonly signal?: AbortSignal;
  /** What is being found out, for people. */
  readonly onStep?: (step: string) => void;
}

const CARRIERS: readonly DoctorCarrier[] = ['udp', 'tcp', 'ws'];

/** Examines the network. A carrier that does not pass is a finding, and no error. */
export async function examine(ticket: Ticket, options: DoctorOptions): Promise<DoctorReport> {
  const { carriers = CARRIERS, onStep = () => undefined, signal } = options;
  onStep(`trying ${carriers.join(', ')}, and the usual ports`);
  const [tried, tcpPorts, mptcp] = await Promise.all([
    Promise.all(carriers.map((carrier) => tryCarrier(ticket, carrier, options))),
    tryPorts(ticket),
    readMptcp(),
  ]);
  signal?.throwIfAborted();
  onStep('asking the server what it sees');
  const passing = tried.filter(({ state }) => state === 'passes').map(({ carrier }) => carrier);
  const [nat, routes] = await Promise.all([
    probeNat(ticket, { ...options, passing }),
    adviseRoutes(ticket, carriers, options, passing.length > 0),
  ]);
  return {
    localAddresses: localAddresses(),
    proxies: ticket.addresses.map((target) => {
      const proxy = options.connect?.via ?? proxyFor(target);
      return { target, proxy: proxy === undefined ? null : redactProxy(proxy) };
    }),
    carriers: tried,
    nat,
    tcpPorts,
    mptcp,
    routes,
  };
}

async function tryCarrier(
  ticket: Ticket,
  carrier: DoctorCarrier,
  { connect: settings, signal }: DoctorOptions,
): Promise<CarrierReport> {
  const isWebSocket = (address: string): boolean => /^wss?:/.test(address);
  if (!ticket.addresses.some((address) => isWebSocket(address) === (carrier === 'ws'))) {
    return { carrier, state: 'absent' };
  }
  const startedAt = performance.now();
  let session: RovingSession | undefined;
  try {
    session = await connect(ticket, {
      ...settings,
      carriers: [carrier],
      ...(signal === undefined ? {} : { signal }),
    });
    const connectMs = performance.now() - startedAt;
    // The search for the path's MTU takes some round trips.
    if (carrier === 'udp') await delay(JOIN_MS, undefined, signal === undefined ? {} : { signal });
    const { statistics } = session.bestPath ?? {};
    return {
      carrier,
      state: 'passes',
      connectMs,
      ...(statistics === undefined ? {} : { rttMs: statistics.smoothedRttMs }),
      ...(carrier === 'udp' && statistics !== undefined
        ? { datagramBytes: statistics.packetBytes }
        : {}),
    };
  } catch (error) {
    signal?.throwIfAborted();
    return { carrier, state: 'blocked', error: (error as Error).message };
  } finally {
    await session?.close().catch(() => undefined);
  }
}

/** A refusal has come back all the way: the port passes, although nobody listens there. */
async function tryPorts(ticket: Ticket): Promise<PortReport[]> {
  const wanted = new Map<string, { host: string; port: number }>();
  const hosts = new Set<string>();
  for (const address of ticket.addresses) {
    const { host, port } = hostPortOf(address);
    if (hosts.size >= MAX_PORT_HOSTS && !hosts.has(host)) continue;
    hosts.add(host);
    for (const one of [port, ...USUAL_PORTS]) wanted.set(`${host} ${one}`, { host, port: one });
  }
  return Promise.all([...wanted.values()].map(tryPort));
}

function hostPortOf(address: string): { host: string; port: number } {
  const isUrl = /^wss?:/.test(address);
  const url = new URL(isUrl ? address : `tcp://${isIP(address) === 6 ? `[${address}]` : address}`);
  const usual = url.protocol === 'wss:' ? 443 : url.protocol === 'ws:' ? 80 : 7600;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? usual : Number(url.port),
  };
}

function tryPort({ host, port }: { host: string; port: number }): Promise<PortReport> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port });
    const settle = (state: PortReport['state'], answer: string): void => {
      socket.destroy();
      resolve({ host, port, state, answer });
    };
    socket.setTimeout(PORT_TIMEOUT_MS, () => settle('silent', 'no answer'));
    socket.once('connect', () => settle('passes', 'connected'));
    socket.once('error', ({ code = 'failed' }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED') settle('passes', 'refused: nobody listens there');
      else settle(code === 'ETIMEDOUT' ? 'silent' : 'unreachable', code);
    });
  });
}

/** Whether the option survives can only be seen on a socket that Node does not open. */
async function readMptcp(): Promise<DoctorReport['mptcp']> {
  const enabled = await readFile('/proc/sys/net/mptcp/enabled', 'utf8').catch(() => undefined);
  const kernel = enabled === undefined ? 'unknown' : enabled.trim() === '1' ? 'on' : 'off';
  const why = 'Node opens no MPTCP sockets, so it cannot be seen whether the option is stripped';
  return { kernel, option: 'unknown', why };
}

/** The routes as a client with these options would have them. */
async function adviseRoutes(
  ticket: Ticket,
  carriers: readonly DoctorCarrier[],
  { connect: settings, signal }: DoctorOptions,
  isHopeful: boolean,
): Promise<RouteAdvice[]> {
  if (!isHopeful) return [];
  const session = await connect(ticket, {
    ...settings,
    carriers,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    await delay(JOIN_MS, undefined, signal === undefined ? {} : { signal });
    const backups = new Set(
      session.paths.filter(({ isBackup }) => isBackup).map(({ carrier }) => carrier),
    );
    return (pathsOf(session)?.routes() ?? []).map((report) => advise(report, backups));
  } finally {
    await session.close().catch(() => undefined);
  }
}

function advise(
  { route, state, lastError }: RouteReport,
  backups: ReadonlySet<string>,
): RouteAdvice {
  const { carrier, local, near, host, port, url, via } = route;
  const isUsed = state === 'active';
  return {
    carrier,
    local: local ?? near ?? null,
    remote: url ?? (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`),
    via: via === undefined ? null : redactProxy(via),
    state,
    isUsed,
    why: reasonOf(report(state, lastError), isUsed, via !== undefined, backups.has(carrier)),
  };
}

function report(state: RouteReport['state'], lastError: string | undefined): string {
  if (lastError !== undefined) return lastError;
  return state === 'suspect' ? 'it answered, and is silent now' : 'no answer';
}

function reasonOf(failure: string, isUsed: boolean, isProxied: boolean, isBackup: boolean): string {
  if (!isUsed) return failure;
  if (isProxied) return 'it answers, through a proxy: the last resort';
  if (isBackup) return 'it answers, and stands by while a better one of the same ends carries data';
  return 'it answers: it carries data as its rate and round trip deserve';
}
