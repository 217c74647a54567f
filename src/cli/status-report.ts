/** What `roving status` shows of a running verb. @module */

import type { Logger } from '@logtape/logtape';
import type { RovingSession } from '../node/index.js';
import { type ControlServer, openControlServer } from './control/control-server.js';
import { PathMeter, type PathRow } from './meter.js';

export const STATUS_VERSION = 1;
/** Sessions that are told of; the rest is only counted. */
const MAX_SESSIONS_TOLD = 256;
/** Rates are means over this time. */
const RATE_WINDOW_MS = 300;

export interface SessionReport {
  readonly role: 'client' | 'server';
  /** Of the key with which the client came, at a server. */
  readonly key: string | null;
  /** In ms since 1970. */
  readonly startedAtMs: number;
  readonly streams: number;
  readonly bufferedBytes: number;
  readonly paths: readonly PathRow[];
}

export interface StatusReport {
  readonly version: typeof STATUS_VERSION;
  readonly pid: number;
  readonly verb: string;
  readonly startedAtMs: number;
  /** Where a server listens. */
  readonly listening: readonly string[];
  readonly sessionCount: number;
  readonly sessions: readonly SessionReport[];
  /** Forwards and the connections through them, as far as the verb has any. */
  readonly forwards: readonly string[];
  readonly connections: readonly object[];
}

export interface StatusSource {
  readonly verb: string;
  readonly sessions: () => Iterable<RovingSession>;
  readonly listening?: () => readonly string[];
  readonly forwards?: () => readonly string[];
  readonly connections?: () => readonly object[];
}

const sessionStarts = new WeakMap<RovingSession, number>();

/** Notes when a session began, for the reports. */
export function noteSession(session: RovingSession): void {
  sessionStarts.set(session, Date.now());
}

/**
 * Lets `roving status` see this process. A failure is told in the log and costs nothing else.
 *
 * @returns closes the socket.
 */
export async function offerStatus(source: StatusSource, log: Logger): Promise<() => void> {
  const startedAtMs = Date.now();
  let control: ControlServer | undefined;
  try {
    control = await openControlServer(source.verb, () => describe(source, startedAtMs));
  } catch (error) {
    log.warning('`roving status` will not see this process: {reason}', {
      reason: (error as Error).message,
    });
  }
  return () => control?.close();
}

async function describe(source: StatusSource, startedAtMs: number): Promise<StatusReport> {
  const all = [...source.sessions()];
  const told = all.slice(0, MAX_SESSIONS_TOLD);
  const meters = told.map((session) => new PathMeter(session));
  // Nobody measures while nobody asks.
  if (told.length > 0) await new Promise((resolve) => setTimeout(resolve, RATE_WINDOW_MS));
  return {
    version: STATUS_VERSION,
    pid: process.pid,
    verb: source.verb,
    startedAtMs,
    listening: source.listening?.() ?? [],
    sessionCount: all.length,
    sessions: told.map((session, index) => ({
      role: session.role,
      key: session.key?.name ?? null,
      startedAtMs: sessionStarts.get(session) ?? startedAtMs,
      streams: session.statistics.streamCount,
      bufferedBytes: session.bufferedBytes,
      paths: meters[index]?.look() ?? [],
    })),
    forwards: source.forwards?.() ?? [],
    connections: source.connections?.() ?? [],
  };
}
