/**
 * ssh and scp through `roving connect`, while paths are cut and restored at random.
 *
 * @module
 */

import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpuTimes, idleShare, inBed } from '../bed.mjs';
import { sleep, wallMs } from '../processes.mjs';
import { SERVER } from '../programs.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { countColumn, eachRoving, MACHINE, spreadColumn } from '../scenario.mjs';

const PATHS = Array(3).fill('rate=20M,rtt=40,queue=50ms');
const LINE_EVERY_MS = 100;
const SSHD_READY_MS = 10_000;
/** A cut lasts so long at most, and so long at least. */
const CUT_MS = /** @type {const} */ ([300, 3_000]);
/** One change in so many takes all paths away. */
const ALL_DARK_EVERY = 6;

/**
 * Numbers in [0, 1) from a seed (mulberry32).
 *
 * @param {number} seed
 */
function prng(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * An sshd in the server's namespace, with keys of its own; the options of ssh and scp for it.
 *
 * @param {import('../bed.mjs').Bed} bed
 * @returns {Promise<string[]>}
 */
export async function startSshd(bed) {
  const keyFile = join(bed.folder, 'id');
  const hostKey = join(bed.folder, 'host');
  for (const file of [keyFile, hostKey]) {
    await bed.run('server', ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', file]);
  }
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const config = [
    `ListenAddress ${SERVER}:22`,
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${keyFile}.pub`,
    'StrictModes no',
    'UsePAM no',
    'PidFile none',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'Subsystem sftp internal-sftp',
  ];
  const file = join(bed.folder, 'sshd_config');
  writeFileSync(file, `${config.join('\n')}\n`);
  const sshd = bed.spawn('server', ['/usr/sbin/sshd', '-D', '-e', '-f', file]);
  await sshd.line(/listening on/i, 'stderr', SSHD_READY_MS);
  const known = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes'];
  const options = [...known, 'LogLevel=ERROR'].flatMap((option) => ['-o', option]);
  return ['-F', 'none', '-i', keyFile, ...options];
}

/**
 * Cuts and restores paths at random until told to stop, then restores all.
 *
 * @param {import('../bed.mjs').Bed} bed
 * @param {number} seed
 */
export function cutAtRandom(bed, seed) {
  const random = prng(seed);
  let isStopped = false;
  let cuts = 0;
  /** @param {readonly string[]} names @param {0 | 1} black */
  const setAll = async (names, black) => {
    for (const name of names) await bed.do(`set ${name} black=${black}`);
  };
  const run = async () => {
    while (!isStopped) {
      await sleep(200 + 1_500 * random());
      if (isStopped) break;
      const all = Math.floor(random() * ALL_DARK_EVERY) === 0;
      const one = bed.paths[Math.floor(random() * bed.paths.length)] ?? 'p1';
      const names = all ? bed.paths : [one];
      cuts += 1;
      await setAll(names, 1);
      await sleep(CUT_MS[0] + (CUT_MS[1] - CUT_MS[0]) * random());
      await setAll(names, 0);
    }
  };
  const done = run();
  return {
    /** @returns {Promise<number>} how many cuts there were */
    async stop() {
      isStopped = true;
      await done;
      return cuts;
    },
  };
}

/**
 * A session that echoes a line every tenth of a second beside a copy of a file, both while paths are
 * cut. The number of megabytes follows `--seconds`: what one path carries in that time.
 *
 * @param {import('../bed.mjs').Bed} bed
 * @param {{ seconds: number, seed: number, proxy?: string }} options
 */
export async function sessionAndCopy(bed, { seconds, seed, proxy }) {
  const base = await startSshd(bed);
  const ssh = proxy === undefined ? base : [...base, '-o', `ProxyCommand=${proxy}`];
  const bytes = randomBytes(Math.round(seconds * 2e6));
  const file = join(bed.folder, 'original');
  writeFileSync(file, bytes);
  const session = bed.spawn('client', ['ssh', ...ssh, `root@${SERVER}`, 'cat']);
  session.tell('line 0');
  await session.line(/^line 0\n/m, 'stdout', 20_000);
  const cutter = cutAtRandom(bed, seed);
  const startMs = wallMs();
  const copy = join(bed.folder, 'copy');
  const scp = bed.spawn('client', ['scp', '-q', ...ssh, file, `root@${SERVER}:${copy}`]);
  let lines = 1;
  const typist = setInterval(() => {
    session.tell(`line ${lines}`);
    lines += 1;
  }, LINE_EVERY_MS);
  try {
    await scp.done(seconds * 6_000 + 120_000);
  } finally {
    clearInterval(typist);
  }
  const copyMs = wallMs() - startMs;
  const cuts = await cutter.stop();
  session.process.stdin.end();
  const echoed = (await session.done(60_000)).trimEnd().split('\n');
  const isEchoWhole = echoed.length === lines && echoed.every((line, i) => line === `line ${i}`);
  /** @param {Buffer} data */
  const hash = (data) => createHash('sha256').update(data).digest('hex');
  return {
    copySeconds: copyMs / 1000,
    cuts,
    lines,
    isEchoWhole,
    isCopyEqual: hash(readFileSync(copy)) === hash(bytes),
  };
}

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const { options, cc } = context;
  const { seconds, seed } = options;
  if (options.peers) {
    await context.subject('ssh alone', () =>
      inBed(PATHS, { cc }, (bed) => sessionAndCopy(bed, { seconds, seed })),
    );
  }
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed(PATHS, { cc }, async (bed) => {
        const roving = await Roving.serve(bed, carriersOf(carriers));
        const cpu = cpuTimes();
        const proxy = roving.proxyCommand();
        const values = await sessionAndCopy(bed, { seconds, seed, proxy });
        return { ...values, lateMs: bed.lateMs(), idle: idleShare(cpu) };
      }),
    ),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const ssh = {
  name: 'ssh',
  title: 'ssh and scp while paths are cut',
  words:
    'Three paths of 20 Mbit/s and 40 ms; one at random, now and then all, is dark for 0.3 to 3 s, again and again. An ssh ' +
    'session echoes a line each tenth of a second while scp copies a file, each with `ProxyCommand roving connect`. Asked ' +
    'for: both survive, every line comes back in order, hash equal. `ssh alone` has the first path only.',
  needs: ['ssh', 'scp', 'ssh-keygen', '/usr/sbin/sshd'],
  cases: ['3 x 20/40, cut at random'],
  carriers: ['tcp', 'udp', 'all'],
  seconds: 20,
  omit: 0,
  ccs: ['cubic'],
  measure,
  columns: [
    spreadColumn('copy s', 'copySeconds'),
    spreadColumn('cuts', 'cuts', 0),
    spreadColumn('lines', 'lines', 0),
    countColumn('lines equal', 'isEchoWhole'),
    countColumn('hash equal', 'isCopyEqual'),
    ...MACHINE,
  ],
};
