// One of the two processes of small-writes.mjs: sends, or receives, short writes with their time.

import { dial, listen } from './ends.mjs';

const [role, kind, address] = process.argv.slice(2);
const MESSAGE_BYTES = 100;
const INTERVAL_MS = 10;

/** Milliseconds on the system's clock, which both processes read. */
const clock = () => performance.timeOrigin + performance.now();
let delays = [];

process.on('message', (message) => {
  if (message === 'exit') process.exit();
  process.send({ delays });
  delays = [];
});

if (role === 'receive') {
  const where = await listen(kind, (stream) => {
    let rest = Buffer.alloc(0);
    stream.on('data', (chunk) => {
      const now = clock();
      rest = Buffer.concat([rest, chunk]);
      for (; rest.length >= MESSAGE_BYTES; rest = rest.subarray(MESSAGE_BYTES)) {
        delays.push(now - rest.readDoubleBE(0));
      }
    });
  });
  process.send({ address: where });
} else {
  const stream = await dial(kind, JSON.parse(address));
  setInterval(() => {
    const message = Buffer.alloc(MESSAGE_BYTES);
    message.writeDoubleBE(clock(), 0);
    stream.write(message);
  }, INTERVAL_MS);
  process.send({ ready: true });
}
