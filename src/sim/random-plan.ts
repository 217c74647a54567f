/**
 * What a random world consists of, as data drawn from one seed: paths, options, streams, faults.
 *
 * @module
 */

import { DEFAULT_SESSION_OPTIONS, type SchedulerName, type SessionOptions } from '../core/index.js';
import type { FaultAction } from './faults.js';
import type { LinkParams } from './link.js';
import { Prng } from './prng.js';
import type { Role, StreamPlan } from './random-apps.js';

export interface PlannedPath {
  readonly name: string;
  readonly carrier: 'tcp' | 'udp';
  readonly rateMbps: number;
  readonly rttMs: number;
  readonly up: Partial<LinkParams>;
  readonly down: Partial<LinkParams>;
  readonly nat?: { readonly mapping: 'endpointIndependent' | 'symmetric' };
  /** Absent: from the beginning. Else opened so long after the start of the session, in ms. */
  readonly opensAtMs?: number;
}

/** What happens at a time: the simulator's faults, and what only the session's owner can do. */
export type PlannedFault = { readonly at: number } & (
  | FaultAction
  /** The client's interface gets a new address; the old path is given up, its carrier is closed, or neither. */
  | { readonly type: 'move'; readonly path: string; readonly old: 'abandon' | 'close' | 'keep' }
  | { readonly type: 'open'; readonly path: string }
  /** The n-th open path of an end, counted round. */
  | { readonly type: 'abandon'; readonly role: Role; readonly n: number }
  | {
      readonly type: 'status';
      readonly role: Role;
      readonly n: number;
      readonly status: 'available' | 'backup';
    }
);

export interface WorldPlan {
  readonly seed: number;
  readonly paths: readonly PlannedPath[];
  readonly client: Partial<SessionOptions>;
  readonly server: Partial<SessionOptions>;
  readonly streams: readonly StreamPlan[];
  /** Times in ms from when the session is there, or from the first HELLO. */
  readonly faults: readonly PlannedFault[];
  readonly faultsFromStart: boolean;
  /** When everything is well again, counted like the faults. */
  readonly healAtMs: number;
  readonly closer: Role;
}

const SCHEDULERS: readonly SchedulerName[] = [
  'earliestArrival',
  'earliestArrival',
  'minRtt',
  'roundRobin',
  'redundant',
  'backup',
];
const MAX_PATHS = 5;
const MAX_STREAMS = 8;
const MAX_FAULTS = 12;
const MAX_STREAM_BYTES = 2_000_000;
/** All streams of a world together: worlds shall be cheap. */
const MAX_TOTAL_BYTES = 3_000_000;
/** A window that is used up once a round trip is not to make the world last longer than this. */
const MAX_WINDOW_MS = 60_000;
const MAX_CONNECT_MS = 200_000;

export function drawPlan(seed: number): WorldPlan {
  const prng = new Prng(`random world ${seed}`);
  const paths = drawPaths(prng.fork('paths'));
  const keepAliveMs = prng.pick([0, 400, 2_000, 15_000]);
  const client = { ...drawOptions(prng.fork('client')), keepAliveMs };
  const server = drawOptions(prng.fork('server'));
  const faultsFromStart = prng.chance(0.25);
  const healAtMs = prng.integer(200, prng.pick([2_000, 10_000, 30_000]));
  const slowestRttMs = Math.max(...paths.map((path) => path.rttMs + 40));
  const limits = [client, server].flatMap((end) => [end.maxStreamsBidi, end.maxStreamsUni]);
  const mayLinger = limits.every((limit) => limit === undefined || limit > MAX_STREAMS);
  const windowBytes = smallestWindow(client, server);
  const bounds = { windowBytes, slowestRttMs, healAtMs, mayLinger };
  return {
    seed,
    paths,
    client,
    server,
    streams: drawStreams(prng.fork('streams'), bounds),
    faults: drawFaults(prng.fork('faults'), paths, healAtMs),
    faultsFromStart,
    healAtMs,
    closer: prng.pick(['client', 'server']),
  };
}

/** Evenly over the orders of magnitude. */
function logarithmic(prng: Prng, from: number, to: number): number {
  return from * (to / from) ** prng.float();
}

function drawPaths(prng: Prng): PlannedPath[] {
  const count = prng.pick([1, 1, 2, 2, 2, 3, 3, 4, MAX_PATHS]);
  const paths: PlannedPath[] = [];
  for (let i = 0; i < count; i++) {
    const rateMbps = logarithmic(prng, 1, 100);
    const rttMs = logarithmic(prng, 1, prng.pick([50, 200, 700]));
    const nat = prng.chance(0.4)
      ? { mapping: prng.pick(['endpointIndependent', 'symmetric'] as const) }
      : undefined;
    const opensAtMs = i > 0 && prng.chance(0.3) ? prng.integer(0, 8_000) : undefined;
    paths.push({
      name: `p${i}`,
      carrier: prng.chance(0.5) ? 'udp' : 'tcp',
      rateMbps,
      rttMs,
      up: drawLink(prng, rateMbps * (prng.chance(0.3) ? 0.2 : 1), rttMs),
      down: drawLink(prng, rateMbps, rttMs),
      ...(nat === undefined ? {} : { nat }),
      ...(opensAtMs === undefined ? {} : { opensAtMs }),
    });
  }
  return paths;
}

function drawLink(prng: Prng, rateMbps: number, rttMs: number): Partial<LinkParams> {
  const isBursty = prng.chance(0.15);
  return {
    rateBitsPerSec: Math.max(0.5, rateMbps) * 1e6,
    delayMs: rttMs / 2,
    loss: prng.pick([0, 0, 0.001, 0.01, 0.05]),
    jitterMs: prng.pick([0, 0, rttMs / 10, rttMs / 2]),
    reorder: prng.chance(0.3),
    duplicate: prng.pick([0, 0, 0, 0.02]),
    queueMs: prng.pick([10, 50, 50, 300]),
    ...(isBursty
      ? { burstLoss: { goodToBad: 0.01, badToGood: 0.2, lossWhenBad: 0.5, lossWhenGood: 0 } }
      : {}),
  };
}

function drawOptions(prng: Prng): Partial<SessionOptions> {
  const isTight = prng.chance(0.3);
  const windowBytes = prng.pick([512, 4_096, 30_000, 200_000]);
  const streamWindowBytes = Math.min(windowBytes, prng.pick([256, 2_048, 20_000, 200_000]));
  const maxStreams = prng.pick([1, 2, 16, 16, 256]);
  return {
    scheduler: prng.pick(SCHEDULERS),
    congestionControl: prng.pick(['bbr', 'cubic']),
    keepAliveMs: 0,
    connectTimeoutMs: MAX_CONNECT_MS,
    maxStreamsBidi: maxStreams,
    maxStreamsUni: prng.pick([1, 3, 256, 256]),
    maxPaths: prng.pick([2, 3, 16, 16]),
    maxAckDelayMs: prng.pick([0, 5, 10, 25]),
    ...(isTight
      ? {
          receiveWindowBytes: windowBytes,
          maxReceiveWindowBytes: windowBytes * prng.pick([1, 4, 100]),
          streamReceiveWindowBytes: streamWindowBytes,
          maxStreamReceiveWindowBytes: streamWindowBytes * prng.pick([1, 4, 100]),
        }
      : {}),
    ...(prng.chance(0.3)
      ? {
          sendBufferBytes: prng.integer(2_000, 100_000),
          streamSendBufferBytes: prng.integer(1_000, 60_000),
        }
      : {}),
    ...(prng.chance(0.4) ? { keyUpdatePackets: prng.integer(1, 60) } : {}),
    ...(prng.chance(0.2) ? { maxPacketBytes: prng.integer(1_500, 65_535) } : {}),
  };
}

/** The largest that the narrowest window of either end may become. */
function smallestWindow(...ends: readonly Partial<SessionOptions>[]): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (const end of ends) {
    const options = { ...DEFAULT_SESSION_OPTIONS, ...end };
    smallest = Math.min(
      smallest,
      options.maxReceiveWindowBytes,
      options.maxStreamReceiveWindowBytes,
      options.sendBufferBytes,
      options.streamSendBufferBytes,
    );
  }
  return smallest;
}

interface StreamBounds {
  readonly windowBytes: number;
  readonly slowestRttMs: number;
  readonly healAtMs: number;
  /** Streams that stay open must not keep others from being opened. */
  readonly mayLinger: boolean;
}

function drawStreams(prng: Prng, bounds: StreamBounds): StreamPlan[] {
  const count = prng.integer(1, MAX_STREAMS);
  const affordable = (bounds.windowBytes * MAX_WINDOW_MS) / bounds.slowestRttMs;
  const most = Math.min(MAX_STREAM_BYTES, affordable / count);
  let left = Math.min(MAX_TOTAL_BYTES, affordable);
  const streams: StreamPlan[] = [];
  for (let i = 0; i < count; i++) {
    const size = (): number => {
      const bytes = Math.floor(Math.min(left, prng.chance(0.1) ? 0 : drawSize(prng, most)));
      left -= bytes;
      return bytes;
    };
    const bytes = size();
    const isEarly = prng.chance(0.25);
    streams.push({
      opener: prng.pick(['client', 'server']),
      atMs: prng.integer(0, prng.pick([0, 1_000, bounds.healAtMs, bounds.healAtMs])),
      bytes,
      ...(prng.chance(0.5) ? { replyBytes: size() } : {}),
      priority: prng.pick([0, 0, 0, 1, -1, 7]),
      ...(isEarly
        ? { early: { type: prng.pick(['reset', 'stop']), afterMs: prng.integer(0, 3_000) } }
        : {}),
      ...(prng.chance(0.2)
        ? { pause: { afterMs: prng.integer(0, 1_000), forMs: prng.integer(1, 8_000) } }
        : {}),
      ...(!isEarly && bytes > 0 && bounds.mayLinger && prng.chance(0.3) ? { lingers: true } : {}),
      // Not so small that a world consists of nothing else.
      writeBytes: Math.max(Math.ceil(bytes / 2_000), prng.pick([1, 100, 1_200, 10_000, 65_000])),
      readBytes: Math.max(Math.ceil(bytes / 2_000), prng.pick([10, 1_000, 1_000_000])),
    });
  }
  return streams;
}

function drawSize(prng: Prng, most: number): number {
  return logarithmic(prng, Math.min(most, prng.pick([1, 1_000, 50_000])), most);
}

function drawFaults(prng: Prng, paths: readonly PlannedPath[], healAtMs: number): PlannedFault[] {
  const faults: PlannedFault[] = [];
  const count = prng.integer(0, MAX_FAULTS);
  for (let i = 0; i < count; i++) {
    const at = prng.integer(0, healAtMs);
    for (const fault of drawFault(prng, paths, at, healAtMs)) faults.push(fault);
  }
  return faults.filter((fault) => fault.at < healAtMs).sort((a, b) => a.at - b.at);
}

function drawFault(
  prng: Prng,
  paths: readonly PlannedPath[],
  at: number,
  healAtMs: number,
): PlannedFault[] {
  const path = prng.pick(paths).name;
  const role = prng.pick(['client', 'server'] as const);
  const n = prng.integer(0, MAX_PATHS);
  switch (prng.integer(0, 10)) {
    case 0:
    case 1: {
      const direction = prng.pick(['up', 'down', undefined] as const);
      const until = at + Math.round(logarithmic(prng, 10, healAtMs + 10));
      const way = direction === undefined ? {} : { direction };
      return [
        { at, type: 'black', path, on: true, ...way },
        { at: until, type: 'black', path, on: false, ...way },
      ];
    }
    case 2:
      return drawFlaps(prng, path, at);
    case 3:
      return [{ at, type: 'rebind', path, port: true }];
    case 4:
      return [{ at, type: 'rebind', path, address: true, port: prng.chance(0.5) }];
    case 5:
      return [{ at, type: 'move', path, old: prng.pick(['abandon', 'close', 'keep']) }];
    case 6:
      return [{ at, type: 'killTcp', path, how: prng.pick(['reset', 'silent']) }];
    case 7:
      return [{ at, type: 'abandon', role, n }];
    case 8:
      return [
        { at, type: 'status', role, n, status: prng.pick(['available', 'backup', 'backup']) },
      ];
    case 9:
      return [
        { at, type: 'suspend', machine: role, ms: Math.round(logarithmic(prng, 50, 60_000)) },
      ];
    default:
      return drawChange(prng, path, at);
  }
}

function drawFlaps(prng: Prng, path: string, at: number): PlannedFault[] {
  const faults: PlannedFault[] = [];
  let time = at;
  for (let i = prng.integer(2, 6); i > 0; i--) {
    faults.push({ at: time, type: 'black', path, on: true });
    time += prng.integer(20, 800);
    faults.push({ at: time, type: 'black', path, on: false });
    time += prng.integer(20, 800);
  }
  return faults;
}

function drawChange(prng: Prng, path: string, at: number): PlannedFault[] {
  if (prng.chance(0.3)) return [{ at, type: 'open', path }];
  const rttMs = logarithmic(prng, 1, 700);
  const rateMbps = logarithmic(prng, 0.3, 100);
  const params = drawLink(prng, rateMbps, rttMs);
  return [{ at, type: 'set', path, params }];
}
