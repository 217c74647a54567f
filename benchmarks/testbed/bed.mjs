/**
 * A bed of the network testbed as an object: namespaces `client` and `server`, joined by paths with
 * rate, delay, loss and middleboxes that can change at any time. The testbed's README tells what
 * words a path is made of.
 *
 * @module
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program, sleep, wallMs } from './processes.mjs';
import { builtBed, PYTHON } from './requirements.mjs';

/** Where the testbed keeps its state. */
const RUN = process.env['BED_RUN'] ?? '/run/bed';
/** What a program that is measured runs at, since others may use the processors meanwhile. */
const NICE = Number(process.env['LAB_NICE'] ?? -10);
/** The kernel weighs sessions against each other, and niceness within each: this is the session's. */
const AUTOGROUP = '/proc/self/autogroup';
const ATTEMPTS = 5;
/** A command to the bed answers within milliseconds; a change of address takes some tenths. */
const COMMAND_MS = 20_000;

/**
 * @typedef {object} BedOptions
 * @property {string} [cc] congestion control of all hosts; default `cubic`
 * @property {readonly string[]} [shared] links that paths share, as words
 * @property {Record<string, string | number>} [sysctl] of all hosts
 */

/**
 * @typedef {object} WireSide
 * @property {number} out_bytes
 * @property {number} out_pkts
 * @property {number} drop_queue
 * @property {number} drop_loss
 */

/** @typedef {{ t: number, up: WireSide, down: WireSide }} WireCounts */

/** @type {Set<Bed>} */
const standing = new Set();
let beds = 0;

function downAll() {
  for (const bed of standing) bed.downNow();
  if (autogroupBefore !== undefined) setAutogroup(autogroupBefore);
}

/** @type {string | undefined} */
let autogroupBefore;

/** @param {string} nice */
function setAutogroup(nice) {
  try {
    writeFileSync(AUTOGROUP, nice);
  } catch {
    // Kernels without it have no need of it.
  }
}

function weighSession() {
  if (NICE === 0 || autogroupBefore !== undefined || !existsSync(AUTOGROUP)) return;
  autogroupBefore = /nice (-?\d+)/.exec(readFileSync(AUTOGROUP, 'utf8'))?.[1] ?? '0';
  setAutogroup(`${NICE}`);
}

process.on('exit', downAll);
for (const [signal, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.on(signal, () => {
    downAll();
    process.exit(code);
  });
}

/** @param {string} name @param {string[]} words */
function callBed(name, ...words) {
  return spawnSync(PYTHON, [builtBed(), '-n', name, ...words], { encoding: 'utf8' });
}

/**
 * Repeats what may fail because another bed comes or goes at this moment: `ip netns list` does then.
 *
 * @param {() => import('node:child_process').SpawnSyncReturns<string>} call
 * @param {string} [halfUp] a bed to take down before the next attempt
 */
function insist(call, halfUp) {
  for (let attempt = 1; ; attempt++) {
    const result = call();
    if (result.status === 0 || attempt === ATTEMPTS) return result;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100 * attempt);
    if (halfUp !== undefined) callBed(halfUp, 'down');
  }
}

export class Bed {
  /** @type {Program | undefined} */
  #play;
  #answersRead = 0;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();
  /** @type {Program[]} */
  #programs = [];

  /** @param {string} name up to 12 letters and digits */
  constructor(name) {
    this.name = name;
    /** A folder for keys, tickets and files, of mode 0700; gone with the bed. */
    this.folder = mkdtempSync(join(tmpdir(), 'roving-lab-'));
    /** @type {string[]} names of paths: p1, p2 ... */
    this.paths = [];
    /** @type {string[]} those of the paths and of shared links */
    this.wires = [];
    this.startedMs = wallMs();
  }

  /**
   * Brings up a bed, with a name that no other process uses.
   *
   * @param {readonly string[]} paths as words: `rate=20M,rtt=40,queue=50ms`
   * @param {BedOptions} [options]
   * @returns {Promise<Bed>}
   */
  static async up(paths, options = {}) {
    weighSession();
    beds += 1;
    const bed = new Bed(`l${process.pid.toString(36)}x${beds}`);
    standing.add(bed);
    const file = join(bed.folder, 'bed.json');
    const sysctl = { 'net.ipv4.tcp_congestion_control': options.cc ?? 'cubic', ...options.sysctl };
    const conf = {
      paths: paths.map(parsePath),
      shared: (options.shared ?? []).map(parsePath),
      sysctl,
    };
    writeFileSync(file, JSON.stringify(conf));
    const up = insist(() => callBed(bed.name, 'up', file), bed.name);
    if (up.status !== 0) {
      bed.downNow();
      throw new Error(`bed up: ${up.stderr.trim()}`);
    }
    bed.paths = paths.map((_path, i) => `p${i + 1}`);
    bed.wires = [...bed.paths, ...conf.shared.map((_link, i) => `s${i + 1}`)];
    bed.startedMs = wallMs();
    return bed;
  }

  /**
   * Starts a program in a namespace.
   *
   * @param {string} host `client`, `server`, `box1` ...
   * @param {readonly (string | number)[]} command
   * @param {import('./processes.mjs').ProgramOptions} [options]
   */
  spawn(host, command, options) {
    const enter = ['nsenter', `--net=${this.netns(host)}`, '--', 'nice', '-n', `${NICE}`];
    const program = new Program([...enter, ...command.map(String)], options);
    this.#programs.push(program);
    return program;
  }

  /**
   * Runs a command in a namespace to its end; its standard output.
   *
   * @param {string} host
   * @param {readonly (string | number)[]} command
   */
  run(host, command, timeoutMs = 20_000) {
    return this.spawn(host, command).done(timeoutMs);
  }

  /**
   * Adds nftables rules to a namespace.
   *
   * @param {string} host
   * @param {string} rules
   */
  async addRules(host, rules) {
    const file = join(this.folder, 'rules.nft');
    writeFileSync(file, rules);
    await this.run(host, ['nft', '-f', file]);
  }

  /**
   * Bytes of the nftables counters in a namespace, by their names.
   *
   * @param {string} host
   * @returns {Promise<Record<string, number>>}
   */
  async countersOf(host) {
    const text = await this.run(host, ['nft', '-j', 'list', 'counters']);
    /** @type {{ nftables: { counter?: { name: string, bytes: number } }[] }} */
    const { nftables } = JSON.parse(text);
    const counters = nftables.flatMap(({ counter }) => (counter === undefined ? [] : [counter]));
    return Object.fromEntries(counters.map(({ name, bytes }) => [name, bytes]));
  }

  /** @param {string} host */
  netns(host) {
    return `/run/netns/bed-${this.name}-${host === 'server' ? 'server1' : host}`;
  }

  /**
   * One command of `bed play`: `set p1 black=1`, `addr p1`, `rebind p1`, `policy p1 noudp`.
   *
   * @param {string} command
   * @returns {Promise<{ atMs: number, out: string | null }>} when it was done, and its answer
   */
  do(command) {
    const next = this.#last.then(
      () => this.#ask(command),
      () => this.#ask(command),
    );
    this.#last = next;
    return next;
  }

  /** @param {string} command */
  async #ask(command) {
    if (this.#play === undefined || this.#play.ended !== undefined) {
      this.#play = new Program([PYTHON, builtBed(), '-n', this.name, 'play', '-']);
      this.#answersRead = 0;
    }
    const play = this.#play;
    play.tell(command);
    this.#answersRead += 1;
    const lines = new RegExp(`^(?:.*\\n){${this.#answersRead - 1}}(.*)\\n`);
    const [, line = ''] = await play.line(lines, 'stdout', COMMAND_MS);
    const answer = /** @type {{ t: number, out: string | null }} */ (JSON.parse(line));
    return { atMs: answer.t * 1000, out: answer.out };
  }

  /** The totals of each wire, by its name. @returns {Promise<Record<string, WireCounts>>} */
  async counts() {
    /** @type {Record<string, WireCounts>} */
    const counts = {};
    for (const name of this.wires) {
      counts[name] = JSON.parse((await this.do(`get ${name}`)).out ?? '{}');
    }
    return counts;
  }

  /**
   * Kernel MPTCP: one more subflow over each path but the first, from now on.
   *
   * @param {readonly string[]} [more] paths to add; default: all but the first
   */
  async addMptcp(more = this.paths.slice(1)) {
    for (const host of ['client', 'server']) {
      const limits = 'ip mptcp limits set subflow 8 add_addr_accepted 8';
      await this.run(host, limits.split(' '));
    }
    for (const name of more) {
      const endpoint = `ip mptcp endpoint add 10.77.${name.slice(1)}.2 dev ${name} subflow`;
      await this.run('client', endpoint.split(' '));
    }
  }

  /** By how much a wire was late at most since `sinceMs`. In ms; above about 20 nothing counts. */
  lateMs(sinceMs = this.startedMs) {
    let late = 0;
    for (const name of this.wires) {
      for (const line of readFileSync(join(RUN, this.name, `${name}.stats`), 'utf8').split('\n')) {
        // The last line may be half written.
        if (!line.endsWith('}')) continue;
        const { t, up, down } = JSON.parse(line);
        if (t * 1000 > sinceMs) late = Math.max(late, up.late_ms_max, down.late_ms_max);
      }
    }
    return Math.round(late * 10) / 10;
  }

  /** Ends all programs, removes the namespaces and the folder. Safe to call again. */
  async down() {
    await Promise.all(this.#programs.map((program) => program.stop()));
    this.downNow();
  }

  /** The same without waiting for programs to end kindly. */
  downNow() {
    if (!standing.delete(this)) return;
    this.#play?.process.kill('SIGKILL');
    for (const program of this.#programs) program.process.kill('SIGKILL');
    const down = insist(() => callBed(this.name, 'down'));
    if (down.status !== 0) console.error(`bed ${this.name} is not down: ${down.stderr.trim()}`);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * Runs `use` in a bed that is down afterwards, whatever happens.
 *
 * @template T
 * @param {readonly string[]} paths
 * @param {BedOptions} options
 * @param {(bed: Bed) => Promise<T>} use
 */
export async function inBed(paths, options, use) {
  const bed = await Bed.up(paths, options);
  try {
    return await use(bed);
  } finally {
    await bed.down();
  }
}

/**
 * `k=v,k=v,nat` as an object; a part without `=` belongs to the value before it (`ge=0.01,0.3`).
 * A value that begins with `{` is JSON and has to be the last.
 *
 * @param {string} words
 * @returns {Record<string, unknown>}
 */
export function parsePath(words) {
  /** @type {Record<string, unknown>} */
  const path = {};
  const json = /,?(\w+)=(\{.*\})$/.exec(words);
  if (json !== null) path[json[1] ?? ''] = JSON.parse(json[2] ?? '{}');
  let last = '';
  for (const part of words.slice(0, json?.index).split(',')) {
    const [key = '', ...rest] = part.split('=');
    if (rest.length === 0 && key !== 'nat' && key !== 'box' && last !== '') {
      path[last] = `${path[last]},${key}`;
      continue;
    }
    last = key;
    path[key] = rest.length === 0 ? true : rest.join('=');
  }
  if (typeof path['policy'] === 'string') path['policy'] = path['policy'].split('+');
  return path;
}

/** Jiffies of all processors: in all, and idle. */
export function cpuTimes() {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const values = line.split(/\s+/).slice(1, 9).map(Number);
  const total = values.reduce((sum, value) => sum + value, 0);
  return { total, idle: (values[3] ?? 0) + (values[4] ?? 0) };
}

/** The share of the processors that was idle between two readings, 0 to 1. */
export function idleShare(/** @type {ReturnType<typeof cpuTimes>} */ before, after = cpuTimes()) {
  const total = Math.max(1, after.total - before.total);
  return Math.round((100 * (after.idle - before.idle)) / total) / 100;
}

/**
 * Waits until the machine has been idle for two seconds, so that a measurement is not another's.
 *
 * @param {number} share 0 to 1; 0 does not wait
 * @param {number} patienceMs
 * @returns {Promise<boolean>} false if it never was
 */
export async function waitForIdle(share, patienceMs = 600_000) {
  const end = wallMs() + patienceMs;
  while (share > 0) {
    const before = cpuTimes();
    await sleep(2_000);
    if (idleShare(before) >= share) return true;
    if (wallMs() > end) return false;
  }
  return true;
}
