// One UDP path on loopback: the library, beside plain `dgram` that sends packets of the same size sealed
// by Node's crypto, with datagrams as an Ethernet takes them and as loopback does; and the stream of
// `udx-native` if it is installed (`npm i --no-save udx-native`).
//
//   npm run build && node benchmarks/udp-path.mjs [SECONDS] [ROUNDS]
//
// Sender and receiver are two processes. Rounds alternate, since the speed of a machine drifts; ratios
// within one run count, absolute figures are this machine's, at this moment.

import { fork } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { KeyRing } from '../dist/core/index.js';
import { createServer, Driver, openUdp, RovingSession } from '../dist/node/index.js';

const HOST = '127.0.0.1';
/** An Ethernet's MTU without the headers of IPv4 and UDP; and what is hoped for on loopback. */
const ETHERNET_BYTES = 1_472;
const LOOPBACK_BYTES = 16_384;
const TAG_BYTES = 16;
const HEADER_BYTES = 8;
/** Packets under way at a time, and how many are acknowledged at once. */
const WINDOW = 512;
const ACK_EVERY = 16;
const BUFFER_BYTES = 4 * 1024 * 1024;
const WARM_UP_SECONDS = 0.7;

const key = Buffer.alloc(32, 7);
const nonceOf = (number) => {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 6, 6);
  return nonce;
};

/** What an application's own transport would do at least, with the same cipher and packet size. */
const plain = (packetBytes) => ({
  async receive(count) {
    const socket = createSocket('udp4').bind(0, HOST);
    await once(socket, 'listening');
    socket.setRecvBufferSize(BUFFER_BYTES);
    let packets = 0;
    socket.on('message', (bytes, { port }) => {
      const header = bytes.subarray(0, HEADER_BYTES);
      const number = header.readUIntBE(2, 6);
      const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(number));
      decipher.setAAD(header);
      decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
      const payload = decipher.update(bytes.subarray(HEADER_BYTES, bytes.length - TAG_BYTES));
      decipher.final();
      count(payload.length);
      packets += 1;
      if (packets % ACK_EVERY === 0) socket.send(header, port, HOST);
    });
    return socket.address().port;
  },
  async send({ port }) {
    const socket = createSocket('udp4');
    socket.connect(port, HOST);
    await once(socket, 'connect');
    socket.setSendBufferSize(BUFFER_BYTES);
    const payload = randomBytes(packetBytes - TAG_BYTES - HEADER_BYTES);
    let next = 1;
    let acknowledged = 0;
    let heardAt = performance.now();
    socket.on('message', (header) => {
      acknowledged = Math.max(acknowledged, header.readUIntBE(2, 6));
      heardAt = performance.now();
    });
    const turn = () => {
      // What was lost is not sent again here, only forgotten.
      if (performance.now() - heardAt > 20) acknowledged = next;
      for (let i = 0; i < 64 && next - acknowledged < WINDOW; i++, next++) {
        const header = Buffer.alloc(HEADER_BYTES);
        header.writeUIntBE(next, 2, 6);
        const cipher = createCipheriv('aes-256-gcm', key, nonceOf(next));
        cipher.setAAD(header);
        const sealed = cipher.update(payload);
        cipher.final();
        socket.send([header, sealed, cipher.getAuthTag()]);
      }
      setImmediate(turn);
    };
    turn();
  },
});

const keyId = Buffer.alloc(8, 1);
const secret = Buffer.alloc(32, 2);
const roving = (maxDatagramBytes) => ({
  async receive(count) {
    const keys = new KeyRing(Buffer.alloc(32, 3), Buffer.alloc(32, 4));
    keys.add({ keyId, secret, name: 'bench', grants: [] });
    const server = createServer({ keys }, (session) => {
      session.on('stream', (stream) => stream.on('data', (bytes) => count(bytes.length)));
    });
    await server.listen({ host: HOST, port: 0, carriers: ['udp'] });
    return { address: server.addresses[0], doorKey: Buffer.from(keys.doorKey).toString('hex') };
  },
  async send({ address, doorKey }) {
    const ticket = { keyId, secret, doorKey: Buffer.from(doorKey, 'hex'), addresses: [address] };
    const driver = new Driver();
    const core = driver.command((endpoint, now) => endpoint.connect(ticket, {}, now));
    const session = new RovingSession(driver, core);
    session.addPath(await openUdp({ remote: address, maxDatagramBytes }), address);
    await once(session, 'established');
    pump(session.openStream({ unidirectional: true }));
    return () => {
      const [path] = session.paths;
      return JSON.stringify(path?.statistics);
    };
  },
});

const udx = {
  async receive(count) {
    const { default: UDX } = await import('udx-native');
    const one = new UDX();
    const socket = one.createSocket();
    socket.bind(0, HOST);
    const stream = one.createStream(1);
    stream.on('data', (bytes) => count(bytes.length));
    process.on('message', ({ peer }) => {
      if (peer !== undefined) stream.connect(socket, 2, peer, HOST);
    });
    return socket.address().port;
  },
  async send({ port }, child) {
    const { default: UDX } = await import('udx-native');
    const one = new UDX();
    const socket = one.createSocket();
    socket.bind(0, HOST);
    const stream = one.createStream(2);
    child.send({ peer: socket.address().port });
    stream.connect(socket, 1, port, HOST);
    pump(stream);
  },
};

const ways = {
  'plain-ethernet': plain(ETHERNET_BYTES),
  'roving-ethernet': roving(ETHERNET_BYTES),
  'plain-loopback': plain(LOOPBACK_BYTES),
  'roving-loopback': roving(LOOPBACK_BYTES),
  udx,
};
const TITLES = {
  'plain-ethernet': `plain dgram, ${ETHERNET_BYTES} bytes sealed by node:crypto`,
  'roving-ethernet': `Roving, datagrams of ${ETHERNET_BYTES} bytes`,
  'plain-loopback': `plain dgram, ${LOOPBACK_BYTES} bytes sealed by node:crypto`,
  'roving-loopback': `Roving, datagrams of ${LOOPBACK_BYTES} bytes`,
  udx: 'udx-native, one stream, not encrypted',
};
/** What each is compared with. */
const peerOf = (name) => (name.endsWith('-loopback') ? 'plain-loopback' : 'plain-ethernet');

/** Writes for ever, as the stream allows. */
function pump(stream) {
  stream.on('error', () => undefined);
  const chunk = randomBytes(64 * 1024);
  let written = 0;
  const write = () => {
    for (; stream.write(chunk); written++) {
      // Never a whole turn of the event loop without end.
      if (written % 16 < 15) continue;
      written += 1;
      setImmediate(write);
      return;
    }
    stream.once('drain', write);
  };
  write();
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** In the child: receives, and tells how much and at what cost when it is asked. */
async function receiver(way) {
  let bytes = 0;
  const address = await ways[way].receive((count) => {
    bytes += count;
  });
  process.on('message', (message) => {
    if (message === 'figures') process.send({ bytes, cpu: cpuSeconds(), at: performance.now() });
  });
  process.send(typeof address === 'number' ? { port: address } : address);
}

/** In another child: sends. */
async function sender(way, seconds) {
  const child = fork(fileURLToPath(import.meta.url), ['receive', way]);
  const [address] = await once(child, 'message');
  const figures = async () => {
    child.send('figures');
    const [there] = await once(child, 'message');
    return { ...there, sendCpu: cpuSeconds() };
  };
  const tell = await ways[way].send(address, child);
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_SECONDS * 1_000));
  const before = await figures();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const after = await figures();
  if (process.env.VERBOSE !== undefined) console.error(way, tell?.());
  const gigabytes = (after.bytes - before.bytes) / 1e9;
  process.send({
    rate: (1e3 * gigabytes * 1e3) / (after.at - before.at),
    send: (after.sendCpu - before.sendCpu) / gigabytes,
    receive: (after.cpu - before.cpu) / gigabytes,
  });
  child.kill();
  process.exit();
}

async function measure(way, seconds) {
  const child = fork(fileURLToPath(import.meta.url), ['send', way, String(seconds)]);
  const [result] = await once(child, 'message');
  await once(child, 'exit');
  return result;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

async function main(seconds, rounds) {
  const names = Object.keys(ways);
  const hasUdx = await import('udx-native').then(
    () => true,
    () => false,
  );
  if (!hasUdx) names.pop();
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) results[name].push(await measure(name, seconds));
  }
  console.log('way | MB/s | CPU s/GB, sender | CPU s/GB, receiver | MB/s against plain, pairwise');
  for (const name of names) {
    const rows = results[name];
    const ratios = rows.map((row, i) => row.rate / results[peerOf(name)][i].rate);
    const of = (field) => median(rows.map((row) => row[field]));
    console.log(
      [
        TITLES[name],
        of('rate').toFixed(0),
        of('send').toFixed(2),
        of('receive').toFixed(2),
        `${(100 * median(ratios)).toFixed(0)} %`,
      ].join(' | '),
    );
  }
  if (!hasUdx) console.log('udx-native is not installed: npm i --no-save udx-native');
}

const [mode = '1.5', argument = '5', third = '1'] = process.argv.slice(2);
if (mode === 'receive') await receiver(argument);
else if (mode === 'send') await sender(argument, Number(third));
else await main(Number(mode), Number(argument));
