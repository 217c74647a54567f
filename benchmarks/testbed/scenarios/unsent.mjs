/**
 * What a sender leaves in the kernel: bytes that the socket has taken and the network has not seen.
 *
 * @module
 */

import { cpuTimes, idleShare, inBed } from '../bed.mjs';
import { Program, sleep, wallMs } from '../processes.mjs';
import { lastLine, mbpsBetween, SERVER, tool } from '../programs.mjs';
import { PYTHON } from '../requirements.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { eachRoving, MACHINE, numbers, percent, spreadColumn } from '../scenario.mjs';
import { median, percentile } from '../statistics.mjs';

/** @typedef {import('../programs.mjs').Received} Received */

const PATHS = ['rate=20M,rtt=40,queue=50ms'];
const SAMPLE_MS = 50;
const SETTLE_MS = 1_000;

/**
 * Samples `ss -tin` of the client's connections to a port of the server while a transfer runs.
 *
 * @param {import('../bed.mjs').Bed} bed
 * @param {number} port
 * @param {number} omitMs
 * @param {() => boolean} isOver
 */
async function sample(bed, port, omitMs, isOver) {
  const enter = ['nsenter', `--net=${bed.netns('client')}`, '--'];
  const ss = [...enter, 'ss', '-HOtin', 'state', 'established', 'dst', `${SERVER}:${port}`];
  /** @type {number[]} */
  const unsent = [];
  /** @type {number[]} */
  const queued = [];
  const startMs = wallMs();
  while (!isOver()) {
    const text = await new Program(ss).done(10_000);
    for (const line of wallMs() - startMs < omitMs ? [] : text.split('\n')) {
      const queue = /^\s*\d+\s+(\d+)\s/.exec(line);
      if (queue === null) continue;
      queued.push(Number(queue[1]));
      unsent.push(Number(/notsent:(\d+)/.exec(line)?.[1] ?? 0));
    }
    await sleep(SAMPLE_MS);
  }
  return {
    unsentKb: median(unsent) / 1000,
    unsentP95Kb: percentile(unsent, 0.95) / 1000,
    unsentMaxKb: Math.max(...unsent) / 1000,
    queuedKb: median(queued) / 1000,
    samples: unsent.length,
  };
}

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {import('../scenario.mjs').Options} options
 * @param {{ host: string, port: number, watched: number }} to
 */
async function pumped(bed, { seconds, omit }, { host, port, watched }) {
  const receiver = bed.spawn('server', [PYTHON, tool('stream.py'), 'receive', port, 'bulk']);
  await receiver.line(/listening/);
  const cpu = cpuTimes();
  const sinceMs = wallMs();
  const pump = [process.execPath, tool('pump.mjs'), host, port, seconds + omit];
  const sender = bed.spawn('client', pump);
  const counts = await sample(bed, watched, omit * 1000, () => sender.ended !== undefined);
  const received = /** @type {Received} */ (lastLine(await receiver.done(30_000)));
  const endMs = received.firstMs + (seconds + omit) * 1000 - 200;
  const mbps = mbpsBetween(received, received.firstMs + omit * 1000, endMs);
  return { mbps, ...counts, idle: idleShare(cpu), lateMs: bed.lateMs(sinceMs) };
}

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const { options, cc } = context;
  if (options.peers) {
    await context.subject('node socket', () =>
      inBed(PATHS, { cc }, (bed) =>
        pumped(bed, options, { host: SERVER, port: 9000, watched: 9000 }),
      ),
    );
  }
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed(PATHS, { cc }, async (bed) => {
        const roving = await Roving.serve(bed, carriersOf(carriers));
        await roving.forward(['9000:127.0.0.1:9000']);
        await sleep(SETTLE_MS);
        return pumped(bed, options, { host: '127.0.0.1', port: 9000, watched: 7600 });
      }),
    ),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const unsent = {
  name: 'unsent',
  title: 'Unsent bytes in the kernel',
  words:
    'One path of 20 Mbit/s and 40 ms; `notsent` and Send-Q (unsent and unacknowledged) of `ss -tin`, sampled 20 times a ' +
    'second at the sender. Asked for: at most 1.5 bandwidth-delay products + 32 KB, that is 182 KB, at no more than ' +
    '3 % of throughput.',
  needs: ['ss'],
  cases: ['20/40'],
  carriers: ['tcp'],
  seconds: 10,
  omit: 3,
  ccs: ['cubic', 'bbr'],
  measure,
  columns: [
    spreadColumn('unsent KB, median', 'unsentKb', 0),
    spreadColumn('95 %', 'unsentP95Kb', 0),
    spreadColumn('most', 'unsentMaxKb', 0),
    spreadColumn('Send-Q KB', 'queuedKb', 0),
    spreadColumn('Mbit/s', 'mbps', 2),
    {
      head: 'of a node socket',
      of: (rows, all) => {
        const plain = all.filter((row) => row.subject === 'node socket');
        return percent(median(numbers(rows, 'mbps')) / median(numbers(plain, 'mbps')));
      },
    },
    ...MACHINE,
  ],
};
