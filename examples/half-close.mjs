// Half-close: `end` says that nothing more will be written, and the other direction goes on. Here
// the server can answer only when it knows that the list of numbers is complete.
//
//     node examples/half-close.mjs

import { connectInMemory } from 'roving';

const { client, server } = await connectInMemory();

server.on('stream', (stream) => {
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
  });
  stream.on('end', () => {
    const sum = text.split(' ').reduce((total, number) => total + Number(number), 0);
    stream.end(`the sum is ${sum}`);
  });
});

const stream = client.openStream();
stream.write('1 2 3 4 ');
stream.write('5 6 7 8 9 ');
stream.end('10'); // our direction is closed, the answer can still come

for await (const chunk of stream) console.log(chunk.toString());
await client.close();
