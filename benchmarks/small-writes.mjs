// How late small writes arrive: 100 a second of 100 bytes, each with its time, over one TCP path on
// the loopback interface; two processes of one machine share the clock.
//
//   npm run build && node benchmarks/small-writes.mjs [--seconds 5] [--runs 3] [--kinds net,tls,roving]
//
// Runs are interleaved. Asked for: p99 within 1 ms of a plain socket's.

import { fileURLToPath } from 'node:url';
import { answer, sleep, start, stop } from './lib/run.mjs';
import { median, option, print, quantile } from './lib/table.mjs';

const seconds = Number(option('seconds', '5'));
const runs = Number(option('runs', '3'));
const kinds = option('kinds', 'net,tls,roving').split(',');
const worker = fileURLToPath(new URL('./lib/small-writer.mjs', import.meta.url));

async function runOnce(kind) {
  const receiver = start(['receive', kind], [], worker);
  const { address } = await answer(receiver);
  const sender = start(['send', kind, JSON.stringify(address)], [], worker);
  await answer(sender);
  await sleep(1_000);
  await answer(receiver, 'reset');
  await sleep(seconds * 1_000);
  const { delays } = await answer(receiver, 'report');
  await stop(sender);
  await stop(receiver);
  return { p50: quantile(delays, 0.5), p99: quantile(delays, 0.99), count: delays.length };
}

const results = new Map(kinds.map((kind) => [kind, []]));
for (let run = 0; run < runs; run++) {
  for (const kind of kinds) results.get(kind).push(await runOnce(kind));
}
const rows = kinds.map((kind) => {
  const own = results.get(kind);
  const later = own.map((one, i) => one.p99 - (results.get('net')?.[i].p99 ?? Number.NaN));
  const pick = (name) => median(own.map((one) => one[name]));
  const count = own.reduce((sum, one) => sum + one.count, 0);
  const row = [kind, pick('p50'), pick('p99'), median(later)].map((value) =>
    typeof value === 'number' ? value.toFixed(2) : value,
  );
  return [...row, count];
});
const head = ['over', 'p50 ms', 'p99 ms', 'p99 later than net, ms', 'writes'];
print(`100 writes a second of 100 bytes, ${runs} runs of ${seconds} s`, head, rows);
