// The smallest whole: two ends in one process, joined by two carriers; one stream, a question and
// an answer. Over real sockets it would look the same.
//
//     node examples/hello-stream.mjs

import { connectInMemory } from 'roving';

const { client, server } = await connectInMemory({ carriers: 2 });

server.on('stream', (stream) => {
  stream.once('data', (question) => stream.end(`You said: ${question}`));
});

const stream = client.openStream();
stream.end('Hello!');
for await (const answer of stream) console.log(answer.toString());

await client.close();
