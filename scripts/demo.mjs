/**
 * Sends a real file to another process over real sockets: three links of different speed, each
 * with a TCP connection and a UDP flow. The fastest goes black on the way and comes back. Shows
 * what each link does, and checks that the file arrived as it was. Loopback has no limits, so the
 * links are made by `ShapedLink`, which holds bytes back as a slow network does.
 *
 *     npm start -- [FILE] [--drop LINK@SECONDS[+SECONDS]]... [--no-drop]
 *
 * @module
 */

import { fork } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connect, dialRoute, ShapedLink } from 'roving';
import { Display } from './demo-display.mjs';

/** Unequal in rate and delay, one way. */
const LINKS = [
  { name: 'fibre', rateMbps: 60, delayMs: 5 },
  { name: 'lte', rateMbps: 25, delayMs: 25 },
  { name: 'dsl', rateMbps: 15, delayMs: 12 },
];
const DEFAULT_BYTES = 48_000_000;
const DEFAULT_DROP = 'fibre@1+1.5';
const LOOK_MS = 100;
/** Without a byte for so long, the transfer has failed. */
const GIVE_UP_MS = 60_000;

const USAGE = `npm start -- [FILE] [--drop LINK@SECONDS[+SECONDS]]... [--no-drop]

  FILE      what to send; without it, ${DEFAULT_BYTES / 1e6} MB are made up
  --drop    a link (${LINKS.map(({ name }) => name).join(', ')}) that swallows everything
            from then on, for so long (default ${DEFAULT_DROP}; without +SECONDS: 1.5 s)
  --no-drop nothing goes wrong`;

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      drop: { type: 'string', multiple: true },
      'no-drop': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (positionals.length > 1) throw new Error('only one file can be sent at a time');
  const [file] = positionals;
  if (file !== undefined && !existsSync(file)) throw new Error(`there is no file ${file}`);
  if (file !== undefined && !statSync(file).isFile()) throw new Error(`${file} is not a file`);
  const wanted = values.drop ?? [DEFAULT_DROP];
  const drops = values['no-drop'] ? [] : wanted.map(readDrop);
  return { file, drops, isHelp: values.help };
}

function readDrop(text) {
  const [, name, at, seconds = '1.5'] = /^(\w+)@([\d.]+)(?:\+([\d.]+))?$/.exec(text) ?? [];
  const [atMs, forMs] = [Number(at) * 1000, Number(seconds) * 1000];
  const isLink = LINKS.some((link) => link.name === name);
  if (!isLink || !Number.isFinite(atMs) || !Number.isFinite(forMs)) {
    throw new Error(`--drop ${text}: expected something like ${DEFAULT_DROP}`);
  }
  return { name, atMs, forMs };
}

/** Looks random, does not compress, and is always the same. */
function makeFile(folder) {
  const path = join(folder, 'demo.bin');
  const cipher = createCipheriv('aes-256-ctr', Buffer.alloc(32, 'roving'), Buffer.alloc(16));
  writeFileSync(path, cipher.update(Buffer.alloc(DEFAULT_BYTES)));
  return path;
}

async function sha256(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Starts the server in a process of its own. */
async function startServer(target) {
  const child = fork(fileURLToPath(new URL('demo-server.mjs', import.meta.url)));
  const state = { bytes: 0, done: undefined };
  const failed = new Promise((_, reject) => {
    child.once('exit', (code) => reject(new Error(`the server has ended with code ${code}`)));
  });
  failed.catch(() => undefined);
  const ready = new Promise((resolve) => {
    child.on('message', (message) => {
      if (message.type === 'ready') resolve(message);
      else if (message.type === 'progress') state.bytes = message.bytes;
      else Object.assign(state, { bytes: message.bytes, done: message });
    });
  });
  child.send({ target, ports: LINKS.length });
  const { ticket, addresses } = await Promise.race([ready, failed]);
  return { ticket, addresses, state, failed, stop: () => child.connected && child.disconnect() };
}

/** The links, and what has gone over each, as the session's paths tell. */
class Network {
  constructor(addresses) {
    this.links = LINKS.map((link, i) => ({ ...link, port: portOf(addresses[i]) }));
    this.shaped = new Map(this.links.map((link) => [link.port, new ShapedLink(link)]));
    this.carried = new Map(this.links.map(({ name }) => [name, 0]));
    this.reinjectedBytes = 0;
    this.lostPackets = 0;
    this.gone = new Map(this.links.map(({ name }) => [name, 0]));
  }

  dial = async (route, signal, timeoutMs) => {
    const { carrier, remote } = await dialRoute(route, signal, timeoutMs);
    return { carrier: this.shaped.get(route.port).wrap(carrier), remote };
  };

  nameOf(remote) {
    return this.links.find(({ port }) => port === portOf(remote))?.name;
  }

  setBlack(name, isBlack) {
    this.shaped.get(this.links.find((link) => link.name === name).port).isBlack = isBlack;
  }

  /** A path has ended: what it carried counts on. */
  ended(remote, { sentBytes, reinjectedBytes, lostPackets }) {
    const name = this.nameOf(remote);
    this.gone.set(name, (this.gone.get(name) ?? 0) + sentBytes);
    this.reinjectedBytes += reinjectedBytes;
    this.lostPackets += lostPackets;
  }

  sample(paths, elapsedMs) {
    const rows = this.links.map(({ name }) => {
      const own = paths.filter((path) => this.nameOf(path.remote) === name);
      const bytes = own.reduce((sum, { statistics }) => sum + statistics.sentBytes, 0);
      const total = bytes + this.gone.get(name);
      const mbps = ((total - this.carried.get(name)) * 8) / 1000 / elapsedMs;
      this.carried.set(name, total);
      const states = own.map(({ state }) => state);
      const state = ['active', 'joining', 'suspect'].find((one) => states.includes(one)) ?? 'down';
      const rtts = own
        .filter((path) => path.state === 'active')
        .map(({ statistics }) => statistics.smoothedRttMs);
      return { name, state, mbps, rttMs: rtts.length > 0 ? Math.min(...rtts) : undefined };
    });
    const all = [...this.carried.values()].reduce((sum, bytes) => sum + bytes, 0);
    return rows.map((row) => ({ ...row, share: this.carried.get(row.name) / all }));
  }
}

function portOf(address = '') {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/** Writes the file to a stream, and shows what happens until the server has it all. */
async function transfer({ session, source, server, network, display, start }) {
  let progressAt = performance.now();
  let seenBytes = 0;
  let lookedAt = start;
  const stream = session.openStream();
  const sending = pipeline(createReadStream(source), stream, { end: true });
  const looking = new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      const now = performance.now();
      const rows = network.sample(session.paths, now - lookedAt);
      lookedAt = now;
      display.update(now - start, server.state.bytes, { rows });
      if (server.state.bytes > seenBytes) progressAt = now;
      seenBytes = server.state.bytes;
      if (server.state.done !== undefined || now - progressAt > GIVE_UP_MS) {
        clearInterval(timer);
        if (server.state.done !== undefined) resolve();
        else reject(new Error('nothing arrives any more'));
      }
    }, LOOK_MS);
    // If the transfer fails otherwise, it has nothing to wait for.
    timer.unref();
  });
  stream.resume();
  await Promise.race([Promise.all([sending, looking]), server.failed]);
  return performance.now() - start;
}

/** What the links could have carried, without those that were black. */
function capacityMbps(drops, elapsedMs) {
  let megabits = 0;
  for (const link of LINKS) {
    let blackMs = 0;
    for (const { name, atMs, forMs } of drops) {
      if (name === link.name) {
        blackMs += Math.max(0, Math.min(elapsedMs, atMs + forMs) - Math.min(elapsedMs, atMs));
      }
    }
    megabits += (link.rateMbps * Math.max(0, elapsedMs - blackMs)) / 1000;
  }
  return megabits / (elapsedMs / 1000);
}

function planDrops({ drops, network, display, start }) {
  return drops.flatMap(({ name, atMs, forMs }) => {
    const set = (isBlack, text) => {
      network.setBlack(name, isBlack);
      display.note(performance.now() - start, `${name} ${text}`);
    };
    return [
      setTimeout(set, atMs, true, 'goes black'),
      setTimeout(set, atMs + forMs, false, 'works again'),
    ];
  });
}

/** Notes what becomes of paths, as far as a person wants to know. */
function follow({ session, network, display, start }) {
  const remotes = new Map();
  session.on('path', ({ pathId, state, reason, statistics }) => {
    for (const path of session.paths) remotes.set(path.pathId, path);
    const { remote, carrier } = remotes.get(pathId) ?? {};
    if (state === 'closed' && statistics !== undefined) network.ended(remote, statistics);
    if (session.isClosed) return;
    const name = `${network.nameOf(remote) ?? 'a path'}${carrier === undefined ? '' : `/${carrier}`}`;
    display.note(performance.now() - start, `${name} is ${state}: ${reason}`);
  });
}

/** @returns whether the file arrived as it was. */
async function demonstrate({ source, target, drops, server }) {
  const bytes = statSync(source).size;
  const network = new Network(server.addresses);
  const display = new Display({ output: process.stdout, bytes, links: LINKS });
  display.begin({ source, drops });
  const session = await connect(server.ticket, { dial: network.dial });
  const start = performance.now();
  follow({ session, network, display, start });
  const timers = planDrops({ drops, network, display, start });
  let elapsedMs;
  try {
    elapsedMs = await transfer({ session, source, server, network, display, start });
  } catch (error) {
    session.abort();
    throw error;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    for (const { name } of LINKS) network.setBlack(name, false);
  }
  for (const { remote, statistics } of session.paths) network.ended(remote, statistics);
  await session.close();
  const [sent, received] = await Promise.all([sha256(source), sha256(target)]);
  const isSame = sent === received && received === server.state.done.sha256;
  display.end({
    target,
    sent,
    received,
    isSame,
    elapsedMs,
    goodputMbps: (bytes * 8) / 1000 / elapsedMs,
    sumMbps: LINKS.reduce((sum, { rateMbps }) => sum + rateMbps, 0),
    availableMbps: capacityMbps(drops, elapsedMs),
    longestGapMs: server.state.done.longestGapMs,
    totals: network,
    shares: network.carried,
  });
  return isSame;
}

async function main() {
  const { file, drops, isHelp } = readArguments();
  if (isHelp) return console.log(USAGE);
  const folder = mkdtempSync(join(tmpdir(), 'roving-demo-'));
  const source = file ?? makeFile(folder);
  const target = join(folder, `${basename(source)}.received`);
  let server;
  let isDone = false;
  try {
    server = await startServer(target);
    const isSame = await demonstrate({ source, target, drops, server });
    if (file === undefined) rmSync(source);
    if (!isSame) process.exitCode = 1;
    isDone = true;
  } finally {
    server?.stop();
    if (!isDone) rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  console.error(`\n${USAGE}`);
  process.exitCode = 2;
}
