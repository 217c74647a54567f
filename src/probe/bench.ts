/**
 * Measuring what a session can do, from the client's end.
 *
 * @module
 */

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { PathId, PathInfo, RovingSession, RovingStream } from '../node/index.js';
import { openService, readMessage } from '../service/index.js';
import type { SinkReport } from './bench-service.js';
import { GapMeter } from './gap-meter.js';
import { pump } from './pump.js';

/** Small writes, as a person's or a protocol's messages are. */
const SMALL_WRITE_BYTES = 64;
const SMALL_WRITE_INTERVAL_MS = 10;
/** How long answers to small writes are waited for after the last one. */
const LAST_ANSWERS_MS = 2_000;
/** Shown as `download` and so on, this often. */
const PROGRESS_INTERVAL_MS = 250;
/** A histogram counts whole numbers: microseconds are fine enough, and up to an hour. */
const US_PER_MS = 1_000;
const MAX_LATENCY_US = 3_600_000_000;

export interface BenchOptions {
  /** Of each of the two directions; half of it for the small writes without load. */
  readonly durationMs: number;
  readonly onProgress?: (progress: BenchProgress) => void;
  readonly signal?: AbortSignal;
}

export interface BenchProgress {
  readonly phase: 'latency' | 'download' | 'upload';
  readonly elapsedMs: number;
  readonly bytes: number;
}

export interface PathShare {
  readonly pathId: PathId;
  readonly carrier: PathInfo['carrier'];
  readonly local: string;
  readonly remote: string | undefined;
  /** Of the bytes that went in this direction, 0 to 1. */
  readonly share: number;
}

export interface DirectionResult {
  readonly bytes: number;
  readonly durationMs: number;
  /** What the reader got, in bytes per second. */
  readonly goodputBytesPerSecond: number;
  readonly longestGapMs: number;
  readonly shares: readonly PathShare[];
}

/** Of small writes, there and back, in ms. */
export interface LatencyResult {
  readonly sent: number;
  readonly answered: number;
  readonly p50Ms: number | undefined;
  readonly p90Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly maxMs: number | undefined;
}

export interface BenchResult {
  readonly download: DirectionResult;
  readonly upload: DirectionResult;
  readonly latency: {
    /** While nothing else was sent. */
    readonly idle: LatencyResult;
    /** Beside the download. */
    readonly loaded: LatencyResult;
  };
  readonly paths: readonly {
    readonly pathId: PathId;
    readonly carrier: PathInfo['carrier'];
    readonly local: string;
    readonly remote: string | undefined;
    readonly state: string;
    /** It carries data only while no better path does. */
    readonly isBackup: boolean;
    readonly smoothedRttMs: number;
    readonly minRttMs: number;
    readonly lostPackets: number;
    readonly sentPackets: number;
  }[];
}

/**
 * Measures small writes alone, then a download with small writes beside it, then an upload.
 *
 * @throws ServiceError if the server does not take part; what ended the session; the signal's reason.
 */
export async function measureSession(
  session: RovingSession,
  { durationMs, onProgress = () => undefined, signal }: BenchOptions,
): Promise<BenchResult> {
  const idle = await new SmallWrites(session).run(durationMs / 2, signal, (elapsedMs) =>
    onProgress({ phase: 'latency', elapsedMs, bytes: 0 }),
  );
  const [download, loaded] = await Promise.all([
    measureDownload(session, durationMs, signal, onProgress),
    new SmallWrites(session).run(durationMs, signal),
  ]);
  const upload = await measureUpload(session, durationMs, signal, onProgress);
  return { download, upload, latency: { idle, loaded }, paths: session.paths.map(describePath) };
}

function describePath({ statistics, ...path }: PathInfo) {
  const { pathId, carrier, local, remote, state, isBackup } = path;
  const { smoothedRttMs, minRttMs, lostPackets, sentPackets } = statistics;
  const figures = { smoothedRttMs, minRttMs, lostPackets, sentPackets };
  return { pathId, carrier, local, remote, state, isBackup, ...figures };
}

type OnProgress = (progress: BenchProgress) => void;

async function measureDownload(
  session: RovingSession,
  durationMs: number,
  signal: AbortSignal | undefined,
  onProgress: OnProgress,
): Promise<DirectionResult> {
  // The source is stopped from here, so that what is under way at the end need not be waited for.
  // Much may have arrived by the time that the answer is read.
  const shares = new Shares(session, 'receivedBytes');
  const { stream } = await openService(session, { service: 'bench', mode: 'source' });
  const meter = new GapMeter();
  const startedAt = performance.now();
  const stop = reportProgress('download', () => meter.bytes, onProgress);
  try {
    await withStream(stream, signal, (finish) => {
      let timer: NodeJS.Timeout | undefined;
      stream.on('data', (chunk: Buffer) => {
        timer ??= setTimeout(finish, durationMs);
        meter.add(chunk.length, performance.now());
      });
      stream.once('end', finish);
      stream.once('close', () => clearTimeout(timer));
    });
  } finally {
    stop();
  }
  const limitMs = Math.min(durationMs, performance.now() - startedAt);
  return toResult(meter.report(performance.now(), limitMs), shares.taken());
}

async function measureUpload(
  session: RovingSession,
  durationMs: number,
  signal: AbortSignal | undefined,
  onProgress: OnProgress,
): Promise<DirectionResult> {
  const request = { service: 'bench', mode: 'sink', durationMs };
  const shares = new Shares(session, 'sentBytes');
  const { stream } = await openService(session, request);
  const stop = reportProgress('upload', () => shares.bytes, onProgress);
  let report: SinkReport | undefined;
  try {
    await withStream(stream, signal, (finish, fail) => {
      const stopPump = pump(stream, () => true);
      stream.once('close', stopPump);
      readMessage(stream).then((message) => {
        report = readReport(message);
        finish();
      }, fail);
    });
  } finally {
    stop();
  }
  return toResult(report ?? { bytes: 0, durationMs: 0, longestGapMs: 0 }, shares.taken());
}

function readReport(message: Readonly<Record<string, unknown>>): SinkReport {
  const number = (field: string): number => {
    const value = message[field];
    return typeof value === 'number' && Number.isFinite(value) ? value : 0;
  };
  return {
    bytes: number('bytes'),
    durationMs: number('durationMs'),
    longestGapMs: number('longestGapMs'),
  };
}

function toResult(report: SinkReport, shares: readonly PathShare[]): DirectionResult {
  const { bytes, durationMs, longestGapMs } = report;
  const goodputBytesPerSecond = durationMs > 0 ? (bytes / durationMs) * 1000 : 0;
  return { bytes, durationMs, goodputBytesPerSecond, longestGapMs, shares };
}

/** Until `finish` is called or the stream fails; then the stream is given up. */
async function withStream(
  stream: RovingStream,
  signal: AbortSignal | undefined,
  start: (finish: () => void, fail: (error: unknown) => void) => void,
): Promise<void> {
  let abort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      abort = () => reject(signal?.reason as Error);
      signal?.throwIfAborted();
      signal?.addEventListener('abort', abort, { once: true });
      stream.on('error', reject);
      start(resolve, reject);
    });
  } finally {
    if (abort !== undefined) signal?.removeEventListener('abort', abort);
    stream.removeAllListeners('data');
    stream.on('error', () => undefined);
    stream.destroy();
  }
}

function reportProgress(
  phase: BenchProgress['phase'],
  bytes: () => number,
  onProgress: OnProgress,
): () => void {
  const startedAt = performance.now();
  const timer = setInterval(
    () => onProgress({ phase, elapsedMs: performance.now() - startedAt, bytes: bytes() }),
    PROGRESS_INTERVAL_MS,
  );
  return () => clearInterval(timer);
}

/** How much of what went over the paths went over each, from its making on. */
class Shares {
  readonly #session: RovingSession;
  readonly #counter: 'sentBytes' | 'receivedBytes';
  readonly #before = new Map<PathId, number>();

  constructor(session: RovingSession, counter: 'sentBytes' | 'receivedBytes') {
    this.#session = session;
    this.#counter = counter;
    for (const { pathId, statistics } of session.paths) {
      this.#before.set(pathId, statistics[counter]);
    }
  }

  /** In packets, with what was sent again. */
  get bytes(): number {
    return this.#rows().reduce((sum, { bytes }) => sum + bytes, 0);
  }

  taken(): PathShare[] {
    const rows = this.#rows();
    const total = rows.reduce((sum, { bytes }) => sum + bytes, 0);
    return rows.map(({ bytes, ...row }) => ({ ...row, share: total === 0 ? 0 : bytes / total }));
  }

  #rows() {
    return this.#session.paths.map(({ pathId, carrier, local, remote, statistics }) => {
      const bytes = statistics[this.#counter] - (this.#before.get(pathId) ?? 0);
      return { pathId, carrier, local, remote, bytes };
    });
  }
}

/** Writes a little at fixed times, and takes the time until each has come back. */
class SmallWrites {
  readonly #session: RovingSession;
  readonly #histogram: RecordableHistogram = createHistogram({ highest: MAX_LATENCY_US });
  #sent = 0;
  #answered = 0;

  constructor(session: RovingSession) {
    this.#session = session;
  }

  async run(
    durationMs: number,
    signal?: AbortSignal,
    onProgress: (elapsedMs: number) => void = () => undefined,
  ): Promise<LatencyResult> {
    const { stream } = await openService(
      this.#session,
      { service: 'bench', mode: 'echo' },
      // As whoever cares about latency would: before bulk.
      { priority: 1 },
    );
    stream.on('error', () => undefined);
    const sentAt: number[] = [];
    let received = 0;
    stream.on('data', (chunk: Buffer) => {
      received += chunk.length;
      while (received >= (this.#answered + 1) * SMALL_WRITE_BYTES) this.#record(sentAt);
    });
    const bytes = Buffer.alloc(SMALL_WRITE_BYTES, 'roving');
    const startedAt = performance.now();
    try {
      while (performance.now() - startedAt < durationMs && !stream.destroyed) {
        sentAt[this.#sent] = performance.now();
        this.#sent += 1;
        stream.write(bytes);
        onProgress(performance.now() - startedAt);
        await delay(SMALL_WRITE_INTERVAL_MS, undefined, signal === undefined ? {} : { signal });
      }
      await this.#lastAnswers(stream);
    } finally {
      stream.destroy();
    }
    return this.#result();
  }

  #record(sentAt: readonly number[]): void {
    const at = sentAt[this.#answered];
    this.#answered += 1;
    if (at === undefined) return;
    const us = Math.round((performance.now() - at) * US_PER_MS);
    this.#histogram.record(Math.min(MAX_LATENCY_US, Math.max(1, us)));
  }

  async #lastAnswers(stream: RovingStream): Promise<void> {
    stream.end();
    const over = new Promise<void>((resolve) => {
      stream.once('end', resolve);
      stream.once('close', resolve);
    });
    const controller = new AbortController();
    const late = delay(LAST_ANSWERS_MS, undefined, { signal: controller.signal });
    late.catch(() => undefined);
    await Promise.race([over, late]);
    controller.abort();
  }

  #result(): LatencyResult {
    const at = (percentile: number): number | undefined =>
      this.#answered === 0 ? undefined : this.#histogram.percentile(percentile) / US_PER_MS;
    return {
      sent: this.#sent,
      answered: this.#answered,
      p50Ms: at(50),
      p90Ms: at(90),
      p99Ms: at(99),
      maxMs: this.#answered === 0 ? undefined : this.#histogram.max / US_PER_MS,
    };
  }
}
