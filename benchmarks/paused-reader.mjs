// What two processes hold while one wants to write 10 GB and the other does not read.
//
//   npm run build && node benchmarks/paused-reader.mjs [--seconds 10] [--kinds net,roving]
//
// The writer is a pipe from a source of 10 GB. Asked for: neither process grows by more than its
// windows and 64 MB.

import { fileURLToPath } from 'node:url';
import { DEFAULT_SESSION_OPTIONS } from 'roving';
import { answer, sleep, start, stop } from './lib/run.mjs';
import { option, print } from './lib/table.mjs';

const seconds = Number(option('seconds', '10'));
const kinds = option('kinds', 'net,roving').split(',');
const worker = fileURLToPath(new URL('./lib/paused.mjs', import.meta.url));
const MIB = 2 ** 20;

const rows = [];
for (const kind of kinds) {
  const receiver = start(['receive', kind], [], worker);
  const { address } = await answer(receiver);
  const sender = start(['send', kind, JSON.stringify(address)], [], worker);
  await answer(sender);
  let most = [0, 0];
  let last;
  for (let second = 0; second < seconds; second++) {
    await sleep(1_000);
    last = await Promise.all([answer(sender, 'report'), answer(receiver, 'report')]);
    most = most.map((value, i) => Math.max(value, last[i].rss - last[i].rssBefore));
  }
  const grown = most.map((bytes) => (bytes / MIB).toFixed(0));
  rows.push([kind, (last[0].bytes / MIB).toFixed(0), ...grown]);
  await stop(sender);
  await stop(receiver);
}
const { streamSendBufferBytes, maxStreamReceiveWindowBytes } = DEFAULT_SESSION_OPTIONS;
const windows = `send buffer ${streamSendBufferBytes / MIB}, receive window at most ${
  maxStreamReceiveWindowBytes / MIB
} MiB`;
const head = ['over', 'written MiB', 'writer grew, MiB', 'reader grew, MiB'];
print(`10 GB to a paused reader, ${seconds} s (${windows})`, head, rows);
