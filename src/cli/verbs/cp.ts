/** `roving cp`: files and folders, to the server or from it. @module */

import {
  CopyError,
  type CopyOptions,
  type CopyProgress,
  type CopyResult,
  copyFromRemote,
  copyToRemote,
} from '../../copy/index.js';
import type { RovingSession } from '../../node/index.js';
import { isFinal, pause, untilDone } from '../attempts.js';
import { type Client, withClient } from '../client.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { CliError, failUsage } from '../failure.js';
import { formatBytes, formatCount, formatDuration, formatRate, printable } from '../format.js';
import { LiveLines, pathLines, progressBar, wantsLive } from '../live.js';
import { PathMeter } from '../meter.js';
import { note, printJson } from '../output.js';
import type { ClientOptionValues } from '../program-options.js';
import { offerStatus } from '../status-report.js';

const LIVE_INTERVAL_MS = 250;
const REMOTE = /^remote:/;

export interface CopyValues extends ClientOptionValues {
  readonly update?: boolean;
}

/** A copy as the arguments ask for it. */
interface Order {
  readonly direction: 'to' | 'from';
  readonly sources: readonly string[];
  readonly destination: string;
}

export async function copyVerb(paths: readonly string[], values: CopyValues): Promise<void> {
  const order = readOrder(paths);
  await withClient('cp', values, async (client) => {
    const progress = new Progress(values, order);
    const stopStatus = await offerStatus(
      { verb: 'cp', sessions: () => client.sessions, forwards: () => [progress.line()] },
      client.log,
    );
    let result: CopyResult;
    try {
      result = await copyUntilDone(client, order, values, progress);
    } finally {
      progress.close();
      stopStatus();
    }
    tell(result, values, progress);
  });
}

/** @throws CliError if the far side is named nowhere, on both sides, or by some sources only. */
function readOrder(paths: readonly string[]): Order {
  const sources = paths.slice(0, -1);
  const destination = paths.at(-1) ?? '';
  if (sources.length === 0) return failUsage('cp wants SRC... DST; the far side is remote:PATH');
  const isRemote = (path: string): boolean => REMOTE.test(path);
  const remoteCount = sources.filter(isRemote).length;
  const strip = (path: string): string => path.replace(REMOTE, '');
  if (isRemote(destination)) {
    if (remoteCount > 0) return failUsage('cp copies between here and the server, not within it');
    return { direction: 'to', sources, destination: strip(destination) };
  }
  if (remoteCount === sources.length) {
    return { direction: 'from', sources: sources.map(strip), destination };
  }
  return failUsage(
    remoteCount === 0
      ? 'cp copies to or from the server: write remote:PATH for what is there'
      : 'cp wants all sources on one side: all of them remote:PATH, or none',
  );
}

/** A new session goes on where the last one has broken off. */
function copyUntilDone(
  client: Client,
  order: Order,
  values: CopyValues,
  progress: Progress,
): Promise<CopyResult> {
  const { log, signal } = client;
  return untilDone({
    connect: () => {
      progress.begin();
      return client.connect();
    },
    run(session, isRepeated) {
      progress.follow(session);
      return copyOnce(session, order, {
        ...{ signal, onProgress: (now: CopyProgress) => progress.at(now) },
        // What this run has finished is not sent again; what was there before is replaced as ever.
        update: values.update === true || isRepeated,
        ...(values.update === true ? {} : { updateWithinMs: progress.elapsedMs }),
      });
    },
    async judge(session, error) {
      if (!(error instanceof CopyError) || error.code !== 'ERR_COPY_INTERRUPTED') return 'final';
      const ending = await client.endOf(session);
      if (ending !== undefined) return isFinal(ending) ? 'final' : 'lost';
      client.drop(session);
      return 'brokenOff';
    },
    hasMoved: () => progress.hasMoved,
    async pause(delayMs, error) {
      const reason = (error as Error).cause ?? error;
      log.warning('the copy has broken off, a new session goes on: {reason}', { reason });
      await pause(delayMs, signal);
    },
    now: () => progress.elapsedMs,
  });
}

function copyOnce(
  session: RovingSession,
  { direction, sources, destination }: Order,
  options: CopyOptions,
): Promise<CopyResult> {
  return direction === 'to'
    ? copyToRemote(session, sources, destination, options)
    : copyFromRemote(session, sources, destination, options);
}

/** What was copied, and an exit code for what was not. */
function tell(result: CopyResult, values: CopyValues, progress: Progress): void {
  const { failed, failedCount, skipped, skippedCount } = result;
  if (values.json === true) printJson({ ...result, durationMs: progress.elapsedMs });
  for (const { path, message } of skipped) {
    note(`${printable(path)} was left out: ${printable(message)}`);
  }
  if (values.json !== true) {
    for (const { path, message } of failed) {
      process.stderr.write(`roving: ${printable(`${path} was not copied: ${message}`)}\n`);
    }
  }
  const there = result.resumedBytes === 0 ? '' : `, ${formatBytes(result.resumedBytes)} were there`;
  const rest = skippedCount === 0 ? '' : `, ${skippedCount} left out`;
  const files = formatCount(result.files, 'file');
  note(`${files}, ${formatBytes(result.bytes)} in ${progress.time()}${there}${rest}`);
  if (failedCount === 0) return;
  const what = formatCount(failedCount, 'file or folder was', 'files and folders were');
  throw new CliError(exitCodeOf(result), `${what} not copied`, 'ERR_COPY');
}

/** If nothing was copied, and all for one reason: that is another thing than a copy with holes. */
const NOTHING_COPIED: Readonly<Record<string, ExitCode>> = {
  ENOENT: EXIT.NO_INPUT,
  ERR_COPY_SPECIAL: EXIT.NO_INPUT,
  ERR_COPY_OUTSIDE: EXIT.NO_PERMISSION,
  ERR_COPY_DESTINATION: EXIT.CANNOT_CREATE,
};

/** @internal Of a copy in which something has failed. */
export function exitCodeOf({ files, failed }: Pick<CopyResult, 'files' | 'failed'>): ExitCode {
  const [exitCode = EXIT.IO, ...others] = new Set(
    failed.map(({ code }) => NOTHING_COPIED[code] ?? EXIT.IO),
  );
  return files === 0 && others.length === 0 ? exitCode : EXIT.IO;
}

/** Where the copy is, for a terminal and for `roving status`. */
class Progress {
  readonly #startedAt = performance.now();
  readonly #live: LiveLines | undefined;
  readonly #order: Order;
  #meter: PathMeter | undefined;
  #now: CopyProgress | undefined;
  /** Bytes that have come over: in the attempts before, and in this one. */
  #movedBefore = 0;
  #moved = 0;
  #refresh: NodeJS.Timeout | undefined;

  constructor(values: CopyValues, order: Order) {
    this.#order = order;
    if (!wantsLive(values)) return;
    this.#live = new LiveLines();
    this.#refresh = setInterval(() => this.#show(), LIVE_INTERVAL_MS);
  }

  at(progress: CopyProgress): void {
    this.#now = progress;
    const { bytes, resumedBytes, unchangedBytes } = progress;
    this.#moved = Math.max(this.#moved, bytes - resumedBytes - unchangedBytes);
  }

  /** An attempt begins. */
  begin(): void {
    this.#movedBefore += this.#moved;
    this.#moved = 0;
  }

  follow(session: RovingSession): void {
    this.#meter = new PathMeter(session);
  }

  /** Whether content has come over in this attempt; what was there already does not count. */
  get hasMoved(): boolean {
    return this.#moved > 0;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  time(): string {
    const { elapsedMs } = this;
    const took =
      elapsedMs < 10_000 ? `${(elapsedMs / 1000).toFixed(1)} s` : formatDuration(elapsedMs);
    const moved = this.#movedBefore + this.#moved;
    return `${took} (${formatRate((moved / Math.max(1, elapsedMs)) * 1000)})`;
  }

  /** Without colours. */
  line(): string {
    const { direction, sources, destination } = this.#order;
    const what = sources.length === 1 ? printable(sources[0] ?? '') : `${sources.length} sources`;
    const where =
      direction === 'to' ? `to remote:${destination}` : `from the server to ${destination}`;
    const { bytes = 0, totalBytes = 0 } = this.#now ?? {};
    return `${what} ${printable(where)}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  }

  #show(): void {
    const { bytes = 0, totalBytes = 0, files = 0, totalFiles = 0, current = '' } = this.#now ?? {};
    const counts = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${files}/${totalFiles} files`;
    const bar = `${progressBar(bytes, totalBytes)}  ${counts}  ${this.time()}  ${printable(current)}`;
    this.#live?.show([bar, ...pathLines(this.#meter?.look() ?? [])]);
  }

  close(): void {
    clearInterval(this.#refresh);
    this.#live?.close();
  }
}
