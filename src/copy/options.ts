/** What a copy can be told, and what it tells. @module */

import { UsageError } from '../node/index.js';

export interface CopyOptions {
  /** Times of files and folders are kept; `true`. */
  readonly preserveTimes?: boolean;
  /** Permissions are kept, without set-uid, set-gid and sticky; otherwise the umask applies; `true`. */
  readonly preserveModes?: boolean;
  /** Files that are there with the same size and time are left alone; `false`. */
  readonly update?: boolean;
  /**
   * With `update`: only files that came there, or were changed there, so lately, in milliseconds before
   * the call; `Infinity`. An end that does not know of it leaves all alone that `update` does.
   */
  readonly updateWithinMs?: number;
  /** A file's content is on the disk before it gets its name; `true`. See docs/copying.md. */
  readonly sync?: boolean;
  /** Files that are opened ahead, and written at a time; 1 to 64; 8. */
  readonly concurrency?: number;
  /** Entries that are announced and not finished; 1 to {@link MAX_WAITING_ENTRIES}; 1,024. */
  readonly maxWaiting?: number;
  /** Folders within folders; 1 to {@link MAX_DEPTH}; 256. */
  readonly maxDepth?: number;
  /** Ends the copy; what is unfinished is kept to be resumed. */
  readonly signal?: AbortSignal;
  /** Called after each step, which may be thousands of times a second. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

/** Protocol: a peer that announces more is refused. */
export const MAX_WAITING_ENTRIES = 4_096;
/** Protocol: deeper folders are refused. */
export const MAX_DEPTH = 1_024;
/** Of the problems that a result lists; more are only counted. */
export const MAX_LISTED_PROBLEMS = 10_000;

const MAX_CONCURRENCY = 64;

/** Where a copy is; the totals grow until {@link isTotalFinal}. */
export interface CopyProgress {
  /** Content that is at the destination, in bytes, with what was there before. */
  readonly bytes: number;
  readonly totalBytes: number;
  /** Files that are whole at the destination. */
  readonly files: number;
  readonly totalFiles: number;
  /** Part of `bytes`: was there from an earlier attempt. */
  readonly resumedBytes: number;
  /** Part of `bytes`: in files that were left alone. */
  readonly unchangedBytes: number;
  /** Whether all sources have been looked through. */
  readonly isTotalFinal: boolean;
  /** The file that moved last, as its source is called. */
  readonly current: string;
}

/** An entry that was not copied. */
export interface CopyProblem {
  /** As the source is called; bytes that are not UTF-8 are replaced. May hold any other character. */
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

export interface CopyResult {
  /** Files that are whole at the destination, with those that were left alone. */
  readonly files: number;
  readonly folders: number;
  /** Their content, in bytes. */
  readonly bytes: number;
  readonly resumedBytes: number;
  /** Files that were left alone, as `update` asks. */
  readonly unchanged: number;
  /** The first {@link MAX_LISTED_PROBLEMS}; a folder that failed stands for all that is in it. */
  readonly failed: readonly CopyProblem[];
  readonly failedCount: number;
  /** Left out on purpose: links, devices and the like. */
  readonly skipped: readonly CopyProblem[];
  readonly skippedCount: number;
}

/** Options of which none is absent. */
export type Settings = Required<Omit<CopyOptions, 'signal' | 'onProgress'>>;

const DEFAULT_SETTINGS: Settings = {
  preserveTimes: true,
  preserveModes: true,
  update: false,
  updateWithinMs: Number.POSITIVE_INFINITY,
  sync: true,
  concurrency: 8,
  maxWaiting: 1_024,
  maxDepth: 256,
};

/** @throws UsageError for numbers out of range. */
export function settingsOf(options: CopyOptions): Settings {
  const settings: Settings = {
    preserveTimes: options.preserveTimes ?? DEFAULT_SETTINGS.preserveTimes,
    preserveModes: options.preserveModes ?? DEFAULT_SETTINGS.preserveModes,
    update: options.update ?? DEFAULT_SETTINGS.update,
    updateWithinMs: options.updateWithinMs ?? DEFAULT_SETTINGS.updateWithinMs,
    sync: options.sync ?? DEFAULT_SETTINGS.sync,
    concurrency: options.concurrency ?? DEFAULT_SETTINGS.concurrency,
    maxWaiting: options.maxWaiting ?? DEFAULT_SETTINGS.maxWaiting,
    maxDepth: options.maxDepth ?? DEFAULT_SETTINGS.maxDepth,
  };
  inRange('concurrency', settings.concurrency, MAX_CONCURRENCY);
  inRange('maxWaiting', settings.maxWaiting, MAX_WAITING_ENTRIES);
  inRange('maxDepth', settings.maxDepth, MAX_DEPTH);
  if (!(settings.updateWithinMs >= 0)) {
    throw new UsageError(`updateWithinMs must be 0 or more, not ${settings.updateWithinMs}`);
  }
  return settings;
}

function inRange(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return;
  throw new UsageError(`${name} must be a whole number from 1 to ${max}, not ${value}`);
}

/**
 * The settings that a peer asks for, each within its range: what is missing or wrong is as if it had
 * not been asked for.
 */
export function settingsFromPeer(value: unknown): Settings {
  const asked = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const flag = (name: keyof Settings & string): boolean =>
    typeof asked[name] === 'boolean' ? asked[name] : DEFAULT_SETTINGS[name] === true;
  const number = (name: 'concurrency' | 'maxWaiting' | 'maxDepth', max: number): number => {
    const wanted = asked[name];
    const isFine = typeof wanted === 'number' && Number.isSafeInteger(wanted) && wanted >= 1;
    return isFine ? Math.min(wanted, max) : DEFAULT_SETTINGS[name];
  };
  return {
    preserveTimes: flag('preserveTimes'),
    preserveModes: flag('preserveModes'),
    update: flag('update'),
    updateWithinMs: duration(asked['updateWithinMs']),
    sync: flag('sync'),
    concurrency: number('concurrency', MAX_CONCURRENCY),
    maxWaiting: number('maxWaiting', MAX_WAITING_ENTRIES),
    maxDepth: number('maxDepth', MAX_DEPTH),
  };
}

/** JSON has no `Infinity`: it comes as `null`. */
function duration(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? value : DEFAULT_SETTINGS.updateWithinMs;
}
