/**
 * The demonstration's server: a process of its own, which writes what it receives to a file. Talks
 * to its parent by messages, since a ticket has no place among arguments.
 *
 * @module
 */

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { createKeyRing, createServer, Ticket } from 'roving';

const MAX_GAP_CHECKED_MS = 60_000;

/** Hashes and counts what passes, and notes the longest time without a byte. */
function watch(stream) {
  const seen = { bytes: 0, longestGapMs: 0, hash: createHash('sha256') };
  let lastAt;
  stream.on('data', (chunk) => {
    const now = performance.now();
    const gapMs = lastAt === undefined ? 0 : now - lastAt;
    if (gapMs < MAX_GAP_CHECKED_MS) seen.longestGapMs = Math.max(seen.longestGapMs, gapMs);
    lastAt = now;
    seen.bytes += chunk.length;
    seen.hash.update(chunk);
  });
  return seen;
}

function receive(session, target) {
  session.on('stream', (stream) => {
    const seen = watch(stream);
    const report = setInterval(() => process.send({ type: 'progress', bytes: seen.bytes }), 100);
    const file = createWriteStream(target);
    stream.pipe(file);
    file.on('finish', () => {
      clearInterval(report);
      const { bytes, longestGapMs, hash } = seen;
      stream.end('written');
      process.send({ type: 'done', bytes, longestGapMs, sha256: hash.digest('hex') });
    });
  });
}

process.once('message', async ({ target, ports }) => {
  const keys = createKeyRing();
  const server = createServer({ keys }, (session) => receive(session, target));
  for (let i = 0; i < ports; i++) await server.listen({ host: '127.0.0.1', port: 0 });
  const { addresses } = server;
  const ticket = Ticket.issue(keys, { name: 'demonstration', addresses });
  process.send({ type: 'ready', ticket: Ticket.format(ticket), addresses });
  process.once('disconnect', () => server.close());
});
