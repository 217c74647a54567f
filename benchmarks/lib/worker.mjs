// One of the two processes of a benchmark. The parent tells it by IPC what to do; `mark` is answered
// with what it has done so far, and its CPU time.
//
//   node worker.mjs receive KIND | send KIND CHUNK_BYTES ADDRESS_JSON

import { dial, listen } from './ends.mjs';

const [role, kind, chunkBytes, address] = process.argv.slice(2);
/** Written and not called back yet. */
const OUTSTANDING_BYTES = 512 * 1024;

let bytes = 0;

process.on('message', (message) => {
  if (message === 'exit') process.exit();
  const { user, system } = process.cpuUsage();
  process.send({ bytes, cpuSeconds: (user + system) / 1e6, at: performance.now() });
});

if (role === 'receive') {
  const where = await listen(kind, (stream) => {
    stream.on('data', (chunk) => {
      bytes += chunk.length;
    });
  });
  process.send({ address: where });
} else {
  const stream = await dial(kind, JSON.parse(address));
  const chunk = Buffer.alloc(Number(chunkBytes), 'roving ');
  const atOnce = Math.max(1, Math.floor(OUTSTANDING_BYTES / chunk.length));
  let outstanding = 0;
  let isScheduled = false;
  const fill = () => {
    isScheduled = false;
    for (; outstanding < atOnce; outstanding++) stream.write(chunk, written);
  };
  // Callbacks of writes that succeed at once come before timers and sockets: no loop of theirs.
  const written = () => {
    bytes += chunk.length;
    outstanding -= 1;
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(fill);
  };
  fill();
  process.send({ ready: true });
}
