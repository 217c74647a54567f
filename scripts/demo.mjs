/**
 * Sends a real file through a simulated network of three unequal links, of which the fastest goes
 * black on the way. Shows what each path does, and checks that the file arrived as it was.
 *
 *     npm start -- [FILE] [--seed N] [--drop PATH@SECONDS[+SECONDS]]... [--no-drop]
 *
 * @module
 */

import { createCipheriv, createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Display } from './demo-display.mjs';
import { FileReceiver, FileSender, LINKS, Meter, openBed, planDrops } from './demo-network.mjs';

const DEFAULT_BYTES = 24_000_000;
const DEFAULT_DROP = 'fibre@1+1.5';
const DEFAULT_SEED = '1';
/** Simulated time between two looks. */
const STEP_MS = 100;
/** Without a byte for so long, in simulated time, the transfer has failed. */
const GIVE_UP_MS = 60_000;

const USAGE = `npm start -- [FILE] [--seed N] [--drop PATH@SECONDS[+SECONDS]]... [--no-drop]

  FILE      what to send; without it, ${DEFAULT_BYTES / 1e6} MB are made up
  --seed    the same seed, the same run (default ${DEFAULT_SEED})
  --drop    a link (${LINKS.map(({ name }) => name).join(', ')}) that swallows everything
            from then on, for so long (default ${DEFAULT_DROP}; without +SECONDS: 1.5 s)
  --no-drop nothing goes wrong`;

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: DEFAULT_SEED },
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
  return { file, seed: values.seed, drops, isHelp: values.help };
}

function readDrop(text) {
  const [, path, at, seconds = '1.5'] = /^(\w+)@([\d.]+)(?:\+([\d.]+))?$/.exec(text) ?? [];
  const [atMs, forMs] = [Number(at) * 1000, Number(seconds) * 1000];
  const isLink = LINKS.some(({ name }) => name === path);
  if (!isLink || !Number.isFinite(atMs) || !Number.isFinite(forMs)) {
    throw new Error(`--drop ${text}: expected something like ${DEFAULT_DROP}`);
  }
  return { path, atMs, forMs };
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

/** Runs the world step by step, on a terminal no faster than time itself. */
async function transfer(bed, receiver, meter, display) {
  const { world } = bed;
  const start = { simulatedMs: world.now, wallMs: performance.now() };
  let progressAt = world.now;
  let seenBytes = 0;
  while (!receiver.isComplete) {
    world.run({ forMs: STEP_MS, until: () => receiver.isComplete });
    if (receiver.receivedBytes > seenBytes) progressAt = world.now;
    seenBytes = receiver.receivedBytes;
    if (world.now - progressAt > GIVE_UP_MS) throw new Error('nothing arrives any more');
    const elapsedMs = world.now - start.simulatedMs;
    display.update(elapsedMs, receiver.receivedBytes, meter.sample());
    const aheadMs = elapsedMs - (performance.now() - start.wallMs);
    if (display.isLive && aheadMs > 0) await sleep(aheadMs);
  }
  return { elapsedMs: world.now - start.simulatedMs, wallMs: performance.now() - start.wallMs };
}

/** What the links could have carried, without those that were black. */
function capacityMbps(drops, elapsedMs) {
  let megabits = 0;
  for (const { name, rateMbps } of LINKS) {
    let blackMs = 0;
    for (const { path, atMs, forMs } of drops) {
      if (path === name) blackMs += Math.max(0, Math.min(elapsedMs, atMs + forMs) - atMs);
    }
    megabits += (rateMbps * Math.max(0, elapsedMs - blackMs)) / 1000;
  }
  return megabits / (elapsedMs / 1000);
}

async function main() {
  const { file, seed, drops, isHelp } = readArguments();
  if (isHelp) {
    console.log(USAGE);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'roving-demo-'));
  const source = file ?? makeFile(folder);
  const target = join(folder, `${basename(source)}.received`);
  const bytes = statSync(source).size;
  const bed = openBed(seed);
  const display = new Display({ output: process.stdout, bytes, links: LINKS });
  display.begin({ source, seed, drops });
  const start = bed.world.now;
  const meter = new Meter(bed);
  bed.client.on((event) => {
    if (event.type !== 'path') return;
    const name = meter.nameOf(event.pathId, event.carrierId);
    display.note(bed.world.now - start, `${name} is ${event.state}: ${event.reason}`);
  });
  planDrops(bed, drops);
  for (const { path, atMs, forMs } of drops) {
    bed.world.schedule(start + atMs, () => display.note(atMs, `${path} goes black`));
    const backMs = atMs + forMs;
    bed.world.schedule(start + backMs, () => display.note(backMs, `${path} works again`));
  }
  const receiver = new FileReceiver(bed, target);
  new FileSender(bed, source);
  const { elapsedMs, wallMs } = await transfer(bed, receiver, meter, display);
  const [sent, received] = await Promise.all([sha256(source), sha256(target)]);
  const isSame = sent === received;
  display.end({
    target,
    sent,
    received,
    isSame,
    elapsedMs,
    wallMs,
    seed,
    goodputMbps: (bytes * 8) / 1000 / elapsedMs,
    sumMbps: LINKS.reduce((sum, { rateMbps }) => sum + rateMbps, 0),
    availableMbps: capacityMbps(drops, elapsedMs),
    longestGapMs: receiver.longestGapMs,
    totals: meter.totals(),
    shares: meter.arrived,
  });
  if (!isSame) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  console.error(`\n${USAGE}`);
  process.exitCode = 2;
}
