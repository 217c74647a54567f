// The server of idle-sessions.mjs, or one of its clients, which opens sessions one after the other.

import { dial, dialSession, listen } from './ends.mjs';

const [role, kind, count, address] = process.argv.slice(2);
const WORDS = Buffer.alloc(3_000, 'idle ');
/** Handshakes at a time: the server takes so many at once, and not all. */
const AT_ONCE = 32;

let open = 0;

process.on('message', (message) => {
  if (message === 'exit') process.exit();
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  process.send({ open, rss, heap: heapUsed, external });
});

async function exchange(stream) {
  const echoed = new Promise((resolve) => {
    let bytes = 0;
    stream.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes === WORDS.length) resolve();
    });
  });
  stream.write(WORDS);
  await echoed;
}

async function one(target) {
  if (kind === 'net') return exchange(await dial(kind, target));
  const session = await dialSession(kind, target);
  const stream = session.openStream();
  await exchange(stream);
  stream.end();
  await new Promise((resolve) => stream.once('close', resolve));
}

if (role === 'serve') {
  const where = await listen(kind, (stream) => {
    open += 1;
    stream.on('error', () => undefined);
    stream.pipe(stream);
  });
  process.send({ address: where });
} else {
  const target = JSON.parse(address);
  let left = Number(count);
  const lane = async () => {
    while (left-- > 0) await one(target);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  process.send({ ready: true });
}
