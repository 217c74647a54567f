// What a server holds for each idle session: 10,000 sessions over TCP on the loopback interface, one
// process for the server, others for the clients. Each session has exchanged some bytes on a stream
// that has ended, and then is idle.
//
//   npm run build && node benchmarks/idle-sessions.mjs [--sessions 10000] [--clients 2]
//
// Asked for: at most 64 KiB of memory for a session in the server. The sockets' own memory in the
// kernel is not in it; `net` beside it says what a bare socket costs in Node.

import { fileURLToPath } from 'node:url';
import { answer, start, stop } from './lib/run.mjs';
import { option, print } from './lib/table.mjs';

const sessions = Number(option('sessions', '10000'));
const clients = Number(option('clients', '2'));
const kinds = option('kinds', 'net,roving').split(',');
const worker = fileURLToPath(new URL('./lib/idle.mjs', import.meta.url));
const KIB = 1024;

const rows = [];
for (const kind of kinds) {
  const server = start(['serve', kind], ['--expose-gc'], worker);
  const { address } = await answer(server);
  const before = await answer(server, 'report');
  const each = Math.ceil(sessions / clients);
  const children = [];
  for (let i = 0; i < clients; i++) {
    children.push(start(['hold', kind, String(each), JSON.stringify(address)], [], worker));
  }
  await Promise.all(children.map((child) => answer(child)));
  const after = await answer(server, 'report');
  const per = (name) => ((after[name] - before[name]) / (each * clients) / KIB).toFixed(1);
  rows.push([kind, after.open, per('rss'), per('heap'), per('external')]);
  for (const child of children) await stop(child);
  await stop(server);
}
const head = ['over', 'sessions', 'RSS KiB each', 'JS heap KiB each', 'other buffers KiB each'];
print('idle sessions in one server', head, rows);
