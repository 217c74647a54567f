/**
 * The server's half of a measurement: a source of bytes, a sink for them, and an echo.
 *
 * @module
 */

import type { RovingSession, RovingStream } from '../node/index.js';
import { encodeMessage, type Service, ServiceError } from '../service/index.js';
import { GapMeter } from './gap-meter.js';
import { pump } from './pump.js';

/** Longest time that a source sends and a sink counts. */
export const MAX_BENCH_MS = 10 * 60_000;
/** Measurements at a time in a session: one each way, and echoes beside them. */
export const MAX_BENCH_STREAMS = 4;
export type BenchMode = 'source' | 'sink' | 'echo';

/** What a sink says at its end. */
export interface SinkReport {
  readonly bytes: number;
  /** From the first byte to the last one that was counted. */
  readonly durationMs: number;
  /** Longest time between two reads. */
  readonly longestGapMs: number;
}

/**
 * Needs no grant: who has a ticket can make a server send and receive in other ways too, and a
 * measurement reads nothing and writes nothing (docs/decisions). It is bounded in time and number.
 */
export function benchService(): Service {
  const running = new WeakMap<RovingSession, number>();
  return {
    name: 'bench',
    async handle({ request, session, accept }) {
      const mode = readMode(request['mode']);
      const durationMs = readDuration(request['durationMs']);
      const count = running.get(session) ?? 0;
      if (count >= MAX_BENCH_STREAMS) {
        throw new ServiceError(
          'ERR_SERVICE_FAILED',
          `${MAX_BENCH_STREAMS} measurements are running in this session already`,
        );
      }
      running.set(session, count + 1);
      const stream = accept();
      stream.once('close', () => running.set(session, (running.get(session) ?? 1) - 1));
      if (mode === 'source') send(stream, durationMs);
      else if (mode === 'sink') countBytes(stream, durationMs);
      else stream.pipe(stream);
    },
  };
}

function readMode(value: unknown): BenchMode {
  if (value === 'source' || value === 'sink' || value === 'echo') return value;
  throw new ServiceError('ERR_SERVICE_FAILED', 'a measurement is a source, a sink or an echo');
}

function readDuration(value: unknown): number {
  if (value === undefined) return MAX_BENCH_MS;
  if (typeof value === 'number' && value > 0 && value <= MAX_BENCH_MS) return value;
  throw new ServiceError(
    'ERR_SERVICE_FAILED',
    `a measurement lasts more than 0 and at most ${MAX_BENCH_MS} ms`,
  );
}

/** Sends as fast as the stream takes it, until the time is over or the reader has had enough. */
function send(stream: RovingStream, durationMs: number): void {
  const endAt = performance.now() + durationMs;
  const stop = pump(stream, () => performance.now() < endAt);
  const late = setTimeout(() => stream.destroy(), durationMs + MAX_BENCH_MS);
  late.unref();
  stream.once('close', () => {
    clearTimeout(late);
    stop();
  });
  stream.resume();
}

/** Counts from the first byte on, for the given time or until the end, and then says what it saw. */
function countBytes(stream: RovingStream, durationMs: number): void {
  const meter = new GapMeter();
  let timer: NodeJS.Timeout | undefined;
  const report = (): void => {
    clearTimeout(timer);
    stream.off('data', onData);
    stream.resume();
    if (stream.destroyed || stream.writableEnded) return;
    stream.end(encodeMessage(meter.report(performance.now(), durationMs) satisfies SinkReport));
  };
  const onData = (chunk: Buffer): void => {
    timer ??= setTimeout(report, durationMs);
    meter.add(chunk.length, performance.now());
  };
  stream.on('data', onData);
  stream.once('end', report);
  stream.once('close', () => clearTimeout(timer));
}
