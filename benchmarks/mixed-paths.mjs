// What more paths cost where the machine is the limit: one TCP path on loopback against two to six,
// UDP and TCP mixed, through the library.
//
//   npm run build && node benchmarks/mixed-paths.mjs [SECONDS] [ROUNDS]
//
// Sender and receiver are two processes; ratios within one run count.

import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { KeyRing } from '../dist/core/index.js';
import { connect, createServer } from '../dist/node/index.js';

const HOST = '127.0.0.1';
const WARM_UP_SECONDS = 1;
const keyId = Buffer.alloc(8, 1);
const secret = Buffer.alloc(32, 2);
const LOCALS = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

/** Carriers, each from so many local addresses. */
const CASES = {
  'one TCP path': { carriers: ['tcp'], locals: 1 },
  'one UDP path': { carriers: ['udp'], locals: 1 },
  'TCP + UDP': { carriers: ['tcp', 'udp'], locals: 1 },
  '2 TCP + 2 UDP': { carriers: ['tcp', 'udp'], locals: 2 },
  '3 TCP + 3 UDP': { carriers: ['tcp', 'udp'], locals: 3 },
};

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function receiver() {
  const keys = new KeyRing(Buffer.alloc(32, 3), Buffer.alloc(32, 4));
  keys.add({ keyId, secret, name: 'bench', grants: [] });
  let bytes = 0;
  const server = createServer({ keys }, (session) => {
    session.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.on('data', (chunk) => {
        bytes += chunk.length;
      });
    });
  });
  await server.listen({ host: HOST, port: 0 });
  process.on('message', () => {
    process.send({ bytes, cpu: cpuSeconds(), at: performance.now() });
  });
  const doorKey = Buffer.from(keys.doorKey).toString('hex');
  process.send({ address: server.addresses[0], doorKey });
}

async function sender(name, seconds) {
  const child = fork(fileURLToPath(import.meta.url), ['receive']);
  const [{ address, doorKey }] = await once(child, 'message');
  const { carriers, locals } = CASES[name];
  const ticket = { keyId, secret, doorKey: Buffer.from(doorKey, 'hex'), addresses: [address] };
  const session = await connect(ticket, { carriers, paths: LOCALS.slice(0, locals) });
  const isWhole = () => {
    const active = session.paths.filter(({ state }) => state === 'active');
    return active.length === carriers.length * locals;
  };
  while (!isWhole()) await once(session, 'path');
  const stream = session.openStream({ unidirectional: true });
  stream.on('error', () => undefined);
  const chunk = randomBytes(64 * 1024);
  const write = () => {
    for (let i = 0; i < 16; i++) {
      if (!stream.write(chunk)) return void stream.once('drain', write);
    }
    setImmediate(write);
  };
  write();
  const figures = async () => {
    child.send('figures');
    const [there] = await once(child, 'message');
    return { ...there, sendCpu: cpuSeconds() };
  };
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_SECONDS * 1_000));
  const before = await figures();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const after = await figures();
  const sent = { tcp: 0, udp: 0 };
  for (const { carrier, statistics } of session.paths) sent[carrier] += statistics.sentBytes;
  const gigabytes = (after.bytes - before.bytes) / 1e9;
  process.send({
    rate: (1e6 * gigabytes) / (after.at - before.at),
    send: (after.sendCpu - before.sendCpu) / gigabytes,
    receive: (after.cpu - before.cpu) / gigabytes,
    tcpShare: sent.tcp / (sent.tcp + sent.udp),
  });
  child.kill();
  process.exit();
}

async function measure(name, seconds) {
  const child = fork(fileURLToPath(import.meta.url), ['send', name, String(seconds)]);
  const [result] = await once(child, 'message');
  await once(child, 'exit');
  return result;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

async function main(seconds, rounds) {
  const names = Object.keys(CASES);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) results[name].push(await measure(name, seconds));
  }
  console.log('paths | MB/s | CPU s/GB, sender | CPU s/GB, receiver | bytes by TCP');
  for (const name of names) {
    const of = (field) => median(results[name].map((row) => row[field]));
    const share = `${(100 * of('tcpShare')).toFixed(0)} %`;
    const figures = [of('rate').toFixed(0), of('send').toFixed(2), of('receive').toFixed(2)];
    console.log([name, ...figures, share].join(' | '));
  }
}

const [mode = '1.5', argument = '3', third = '1'] = process.argv.slice(2);
if (mode === 'receive') await receiver();
else if (mode === 'send') await sender(argument, Number(third));
else await main(Number(mode), Number(argument));
