/**
 * Messages both ways over one TCP connection, on command; it knows nothing of Roving.
 *
 *     node chat.mjs listen PORT [echo]
 *     node chat.mjs connect HOST PORT
 *
 * Lines on standard input: `say` sends one message, `talk MS` one every so many ms, `hush` stops
 * that, `end` ends. Prints `listening`, `connected`, and `heard WRITTEN ARRIVED` for each message, in
 * ms of the machine's clock. With `echo` each message that is no answer is answered at once.
 */

import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const MESSAGE_BYTES = 100;
const ANSWER = 1;

const now = () => performance.timeOrigin + performance.now();

const [verb, ...args] = process.argv.slice(2);

/** @param {import('node:net').Socket} socket */
function talk(socket) {
  socket.setNoDelay(true);
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  let rest = Buffer.alloc(0);
  const say = (kind = 0) => {
    const message = Buffer.alloc(MESSAGE_BYTES, kind);
    message.writeDoubleBE(now(), 0);
    socket.write(message);
  };
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= MESSAGE_BYTES) {
      console.log(`heard ${rest.readDoubleBE(0)} ${now()}`);
      if (args[1] === 'echo' && rest[MESSAGE_BYTES - 1] !== ANSWER) say(ANSWER);
      rest = rest.subarray(MESSAGE_BYTES);
    }
  });
  socket.on('error', (error) => console.log(`error ${error.message}`));
  socket.on('close', () => {
    console.log('closed');
    process.exit(0);
  });
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [word, ms] = line.split(' ');
    if (word === 'say') say();
    if (word === 'talk' || word === 'hush') clearInterval(timer);
    if (word === 'talk') timer = setInterval(() => say(ANSWER), Number(ms));
    if (word === 'end') socket.end();
  });
  console.log('connected');
}

if (verb === 'listen') {
  const server = createServer((socket) => {
    server.close();
    talk(socket);
  });
  server.listen(Number(args[0]), '0.0.0.0', () => console.log('listening'));
} else {
  const socket = connect({ host: args[0] ?? '', port: Number(args[1]) });
  socket.once('connect', () => talk(socket));
  socket.once('error', (error) => console.log(`error ${error.message}`));
}
