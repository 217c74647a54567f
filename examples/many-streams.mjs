// A hundred streams over three carriers at once. One of the carriers is cut in the middle: no
// stream notices. Streams wait for each other only in the network, never in the protocol.
//
//     node examples/many-streams.mjs

import { once } from 'node:events';
import { connectInMemory } from 'roving';

const STREAMS = 100;
const { client, server, carriers } = await connectInMemory({ carriers: 3 });

server.on('stream', (stream) => stream.pipe(stream)); // an echo

const death = new Promise((resolve) => {
  client.on('path', ({ pathId, state, reason }) => {
    if (state === 'closed') resolve(`path ${pathId} closed: ${reason}`);
  });
});

const echoes = Array.from({ length: STREAMS }, async (_, i) => {
  const stream = client.openStream();
  const message = `stream ${i} `.repeat(5_000);
  stream.end(message);
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
  });
  await once(stream, 'end');
  if (i === 0) carriers[0]?.cut(new Error('somebody pulled the plug'));
  return text === message;
});

console.log(await death);
const whole = (await Promise.all(echoes)).filter((isWhole) => isWhole).length;
console.log(`${whole} of ${STREAMS} streams came back whole, over ${client.paths.length} paths`);
await client.close();
