// Starts the two processes of a run, and measures between two marks.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('./worker.mjs', import.meta.url));
const WARM_UP_MS = 500;
/**
 * So much is sent before anything counts, or so long. After 300 MB, which are some 5000 packets, V8
 * still spends a fifth of the processor time on compiling; after 2 GB, a few hundredths.
 */
const WARM_UP_BYTES = 2e9;
const MAX_WARM_UP_MS = 10_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function start(args, execArgv = [], worker = WORKER) {
  const child = fork(worker, args, { execArgv });
  child.on('exit', (code) => {
    if (code) throw new Error(`a process of the benchmark ended with ${code}: ${args.join(' ')}`);
  });
  return child;
}

export function answer(child, message) {
  const answered = new Promise((resolve) => child.once('message', resolve));
  if (message !== undefined) child.send(message);
  return answered;
}

export async function stop(child) {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.send('exit');
  await gone;
}

async function warmUp(receiver) {
  const until = performance.now() + MAX_WARM_UP_MS;
  do {
    await sleep(WARM_UP_MS);
  } while ((await answer(receiver, 'mark')).bytes < WARM_UP_BYTES && performance.now() < until);
}

/** @returns MB/s at the receiver, and CPU seconds per GB of both. */
export async function runOnce({ kind, chunkBytes, seconds, profile }) {
  const execArgv = (role) => (profile === role ? ['--cpu-prof'] : []);
  const receiver = start(['receive', kind], execArgv('receiver'));
  const { address } = await answer(receiver);
  const args = ['send', kind, String(chunkBytes), JSON.stringify(address)];
  const sender = start(args, execArgv('sender'));
  await answer(sender);
  await warmUp(receiver);
  const before = await Promise.all([answer(sender, 'mark'), answer(receiver, 'mark')]);
  await sleep(seconds * 1000);
  const after = await Promise.all([answer(sender, 'mark'), answer(receiver, 'mark')]);
  await stop(sender);
  await stop(receiver);
  const bytes = after[1].bytes - before[1].bytes;
  const cpu = (end) => ((after[end].cpuSeconds - before[end].cpuSeconds) * 1e9) / bytes;
  const rate = bytes / 1e3 / (after[1].at - before[1].at);
  return { rate, sendCpu: cpu(0), receiveCpu: cpu(1) };
}
