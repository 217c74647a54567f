// Sends a file with pipeline: reading waits while the network is slow, and nothing piles up in
// memory. Without an argument it sends itself.
//
//     node examples/pipe-file.mjs [FILE]

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { connectInMemory } from 'roving';

const file = process.argv[2] ?? fileURLToPath(import.meta.url);
const { client, server } = await connectInMemory({ carriers: 2 });

const received = new Promise((resolve, reject) => {
  server.on('stream', (stream) => {
    const hash = createHash('sha256');
    pipeline(stream, hash).then(() => resolve(hash.digest('hex')), reject);
  });
});

const sent = createHash('sha256');
const reader = createReadStream(file).on('data', (chunk) => sent.update(chunk));
await pipeline(reader, client.openStream({ unidirectional: true }));

const isSame = (await received) === sent.digest('hex');
console.log(`${reader.bytesRead} bytes: ${isSame ? 'arrived as they were' : 'DAMAGED'}`);
await client.close();
if (!isSame) process.exitCode = 1;
