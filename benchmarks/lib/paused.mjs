// One of the two processes of paused-reader.mjs: writes 10 GB, or reads none of it.

import { Readable } from 'node:stream';
import { dial, listen } from './ends.mjs';

const [role, kind, address] = process.argv.slice(2);
const TOTAL_BYTES = 10e9;
const CHUNK_BYTES = 64 * 1024;

let bytes = 0;
let rssBefore = 0;

process.on('message', (message) => {
  if (message === 'exit') process.exit();
  process.send({ bytes, rss: process.memoryUsage.rss(), rssBefore });
});

if (role === 'receive') {
  const where = await listen(kind, (stream) => {
    stream.on('error', () => undefined);
    // A program that asks once, and then for no more.
    stream.once('readable', () => stream.read(1));
  });
  rssBefore = process.memoryUsage.rss();
  process.send({ address: where });
} else {
  const stream = await dial(kind, JSON.parse(address));
  rssBefore = process.memoryUsage.rss();
  const source = new Readable({
    read() {
      bytes += CHUNK_BYTES;
      this.push(bytes > TOTAL_BYTES ? null : Buffer.alloc(CHUNK_BYTES, 1));
    },
  });
  source.pipe(stream);
  process.send({ ready: true });
}
