/**
 * A plain Node socket that writes as fast as `drain` lets it: `node pump.mjs HOST PORT SECONDS`.
 */

import { connect } from 'node:net';

const [host, port, seconds] = process.argv.slice(2);
const chunk = Buffer.alloc(16 * 1024, 7);
const socket = connect({ host: host ?? '', port: Number(port), noDelay: true });
let endMs = 0;

function pump() {
  while (performance.now() < endMs) if (!socket.write(chunk)) return;
  socket.end();
}

socket.on('connect', () => {
  endMs = performance.now() + Number(seconds) * 1000;
  pump();
});
socket.on('drain', pump);
socket.on('data', () => {});
