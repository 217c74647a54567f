/** `roving bench`: what a session to the server can do. @module */

import { type BenchProgress, type BenchResult, measureSession } from '../../probe/index.js';
import { parseDuration } from '../arguments.js';
import { withClient } from '../client.js';
import { formatBytes, formatMs, formatRate, formatTable } from '../format.js';
import { LiveLines, pathLines, wantsLive } from '../live.js';
import { PathMeter } from '../meter.js';
import { print, printJson } from '../output.js';
import type { ClientOptionValues } from '../program-options.js';
import { offerStatus } from '../status-report.js';

const LIVE_INTERVAL_MS = 500;

export interface BenchValues extends ClientOptionValues {
  readonly seconds: string;
}

export async function benchVerb(values: BenchValues): Promise<void> {
  const durationMs = parseDuration(values.seconds, '--seconds');
  await withClient('bench', values, async (client) => {
    const session = await client.connect();
    const stopStatus = await offerStatus(
      { verb: 'bench', sessions: () => client.sessions },
      client.log,
    );
    const meter = new PathMeter(session);
    const live = wantsLive(values) ? new LiveLines() : undefined;
    let phase = 'latency';
    const refresh = setInterval(
      () => live?.show([phase, ...pathLines(meter.look())]),
      LIVE_INTERVAL_MS,
    );
    try {
      const result = await measureSession(session, {
        durationMs,
        signal: client.signal,
        onProgress: (progress) => {
          phase = describeProgress(progress);
        },
      });
      live?.close();
      if (values.json === true) printJson(result);
      else print(describe(result));
    } finally {
      clearInterval(refresh);
      live?.close();
      stopStatus();
    }
  });
}

function describeProgress({ phase, elapsedMs, bytes }: BenchProgress): string {
  const seconds = `${(elapsedMs / 1000).toFixed(1)} s`;
  return phase === 'latency'
    ? `small writes, ${seconds}`
    : `${phase}, ${seconds}, ${formatBytes(bytes)}`;
}

function describe({ download, upload, latency, paths }: BenchResult): string {
  const rates = (
    [
      ['download', download],
      ['upload', upload],
    ] as const
  ).map(([name, one]) => [
    name,
    formatRate(one.goodputBytesPerSecond),
    formatBytes(one.bytes),
    formatMs(one.longestGapMs),
  ]);
  const latencies = (
    [
      ['idle', latency.idle],
      ['during the download', latency.loaded],
    ] as const
  ).map(([name, one]) => [
    name,
    ...[one.p50Ms, one.p90Ms, one.p99Ms, one.maxMs].map((ms) => formatMs(ms)),
    `${one.answered}/${one.sent}`,
  ]);
  const percent = (share: number | undefined) => `${((share ?? 0) * 100).toFixed(0)} %`;
  const shares = paths.map((path) => [
    `${path.carrier.padEnd(3)} ${path.local} > ${path.remote ?? '?'}`,
    formatMs(path.smoothedRttMs),
    formatMs(path.minRttMs),
    percent(download.shares.find((one) => one.pathId === path.pathId)?.share),
    percent(upload.shares.find((one) => one.pathId === path.pathId)?.share),
    path.isBackup && path.state === 'active' ? 'backup' : path.state,
  ]);
  return [
    formatTable([['', 'GOODPUT', 'BYTES', 'LONGEST GAP'], ...rates]),
    formatTable([['SMALL WRITES', 'P50', 'P90', 'P99', 'MAX', 'ANSWERED'], ...latencies]),
    formatTable([['PATH', 'ROUND TRIP', 'LEAST', 'DOWN', 'UP', 'STATE'], ...shares]),
  ].join('\n');
}
