/**
 * What the paths of a session do now: rates and shares between two looks.
 *
 * @module
 */

import type { PathId, PathInfo, RovingSession } from '../node/index.js';

export interface PathRow {
  readonly pathId: number;
  readonly carrier: string;
  readonly local: string;
  readonly remote: string | null;
  readonly state: string;
  readonly isBackup: boolean;
  /** `null` before the first measurement. */
  readonly rttMs: number | null;
  readonly sentBytesPerSecond: number;
  readonly receivedBytesPerSecond: number;
  /** Of all that went over the session since the last look, both ways, 0 to 1. */
  readonly share: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly lostPackets: number;
}

interface Counted {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

const NOTHING: Counted = { sentBytes: 0, receivedBytes: 0 };

/** Compares the paths' counters with those of the last look. */
export class PathMeter {
  readonly #session: RovingSession;
  #before = new Map<PathId, Counted>();
  #at: number;

  constructor(session: RovingSession, now = performance.now()) {
    this.#session = session;
    this.#at = now;
    this.#remember(session.paths);
  }

  /** Rows of the open paths; rates are means since the last look. */
  look(now = performance.now()): PathRow[] {
    const { paths } = this.#session;
    const seconds = Math.max(0.001, (now - this.#at) / 1000);
    const moved = paths.map(({ pathId, statistics }) => {
      const before = this.#before.get(pathId) ?? NOTHING;
      return {
        sent: statistics.sentBytes - before.sentBytes,
        received: statistics.receivedBytes - before.receivedBytes,
      };
    });
    const total = moved.reduce((sum, { sent, received }) => sum + sent + received, 0);
    this.#at = now;
    this.#remember(paths);
    return paths.map((path, index) => {
      const { sent = 0, received = 0 } = moved[index] ?? {};
      return {
        ...describePath(path),
        sentBytesPerSecond: sent / seconds,
        receivedBytesPerSecond: received / seconds,
        share: total === 0 ? 0 : (sent + received) / total,
      };
    });
  }

  #remember(paths: readonly PathInfo[]): void {
    this.#before = new Map(paths.map(({ pathId, statistics }) => [pathId, statistics]));
  }
}

type Description = Omit<PathRow, 'sentBytesPerSecond' | 'receivedBytesPerSecond' | 'share'>;

function describePath(path: PathInfo): Description {
  const { pathId, carrier, local, remote, state, isBackup, statistics } = path;
  const { smoothedRttMs, sentBytes, receivedBytes, lostPackets } = statistics;
  return {
    pathId,
    carrier,
    local,
    remote: remote ?? null,
    state,
    isBackup,
    rttMs: state === 'joining' || !Number.isFinite(smoothedRttMs) ? null : smoothedRttMs,
    sentBytes,
    receivedBytes,
    lostPackets,
  };
}
