/** Runs the command line as a person or a script does: the built one, in processes of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, vi } from 'vitest';
import { runArguments } from '../../src/cli/run.js';
import { takeTicketFromEnvironment } from '../../src/cli/ticket-source.js';
import {
  formatTicket,
  newKey,
  newKeyFileContents,
  readKeyFile,
  updateKeyFile,
  withKey,
  writePrivateFile,
} from '../../src/node/index.js';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** In memory if it can be: files are synced to the disk, which may be busy with something else. */
const FOLDERS = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
/** Ends what hangs; nothing is measured by it. */
const TIMEOUT_MS = 110_000;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string | Buffer;
  /** How many descriptors it may have. */
  readonly openFiles?: number;
  /** As a shell writes it, such as `>/dev/full`. */
  readonly redirect?: string;
}

/** A process that runs; its output so far, and its end. */
export class Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  stdout = '';
  stderr = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.finished = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    this.finished.catch(() => undefined);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits until standard error matches. @throws if the process ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stderr);
      if (found !== null) return found;
      const { stderr } = this.child;
      if (stderr === null || stderr.closed) throw new Error(`it ended with: ${this.stderr}`);
      await Promise.race([once(stderr, 'data'), once(stderr, 'close')]);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
    this.child.kill(signal);
    return this.finished;
  }
}

export interface Bench {
  /** A folder of this test alone. */
  readonly folder: string;
  /** Where control sockets are. */
  readonly runFolder: string;
  readonly env: NodeJS.ProcessEnv;
  path(name: string): string;
  /** Starts a verb and does not wait for it. */
  start(args: readonly string[], options?: RunOptions): Running;
  /** Runs a verb to its end. */
  run(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** The same in this process, which takes less time; for verbs that start nothing. */
  call(args: readonly string[], options?: Pick<RunOptions, 'env'>): Promise<Finished>;
  /** A server with a key, ready; and the file of its ticket. */
  serve(options?: ServeOptions): Promise<Served>;
}

interface ServeOptions extends Pick<RunOptions, 'openFiles'> {
  readonly allow?: string;
  readonly args?: readonly string[];
}

export interface Served {
  readonly server: Running;
  readonly keys: string;
  readonly ticket: string;
  /** `host:port`. */
  readonly address: string;
}

/** Gives each test a bench of its own, and takes away all that it has started. */
export function useBench(): Bench {
  let folder = '';
  const running = new Set<Running>();

  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(FOLDERS, 'roving-cli-')));
    mkdirSync(join(folder, 'run'));
    chmodSync(join(folder, 'run'), 0o700);
  });

  afterEach(async () => {
    for (const one of running) one.child.kill('SIGKILL');
    await Promise.all([...running].map(({ finished }) => finished.catch(() => undefined)));
    running.clear();
    rmSync(folder, { recursive: true, force: true });
  });

  const bench: Bench = {
    get folder() {
      return folder;
    },
    get runFolder() {
      return join(folder, 'run', 'roving');
    },
    get env() {
      return {
        PATH: process.env['PATH'],
        HOME: folder,
        XDG_RUNTIME_DIR: join(folder, 'run'),
        NO_COLOR: '1',
      };
    },
    path: (name) => join(folder, name),
    start(args, { env = {}, input, openFiles, redirect = '' } = {}) {
      // A busy machine is no network that is down; tests of that give a time of their own.
      const isPatient = args.includes('--ticket') && !args.includes('--connect-timeout');
      const patience = isPatient ? ['--connect-timeout', '60'] : [];
      const command = [process.execPath, MAIN, ...args, ...patience];
      const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles}; `;
      const child = spawn('sh', ['-c', `${limit}exec "$0" "$@" ${redirect}`, ...command], {
        cwd: folder,
        env: { ...bench.env, ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
        timeout: TIMEOUT_MS,
        killSignal: 'SIGKILL',
      });
      child.stdin.on('error', () => undefined);
      if (input !== undefined) child.stdin.end(input);
      const one = new Running(child);
      running.add(one);
      return one;
    },
    run(args, options = {}) {
      return bench.start(args, { input: '', ...options }).finished;
    },
    call: (args, { env = {} } = {}) => callHere(args, folder, { ...bench.env, ...env }),
    serve: (options) => serve(bench, options),
  };
  return bench;
}

async function callHere(
  args: readonly string[],
  folder: string,
  env: NodeJS.ProcessEnv,
): Promise<Finished> {
  const before = { env: process.env, folder: process.cwd() };
  const output = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      output[name] += String(text);
      return true;
    }),
  );
  process.env = { ...env };
  process.chdir(folder);
  try {
    takeTicketFromEnvironment();
    return { code: await runArguments(args), signal: null, ...output };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.chdir(before.folder);
    process.env = before.env;
  }
}

async function serve(
  bench: Bench,
  { allow, args = [], ...limits }: ServeOptions = {},
): Promise<Served> {
  const keys = bench.path('keys.json');
  const grants = allow?.split(',') ?? [];
  const key = newKey({ name: 'laptop', grants });
  await updateKeyFile(keys, (before = newKeyFileContents()) => withKey(before, key));
  const server = bench.start(['serve', '--keys', keys, '--listen', '127.0.0.1:0', ...args], limits);
  const [, address = ''] = await server.says(/^ready .*?(127\.0\.0\.1:\d+)/m);
  const ticket = bench.path('laptop.ticket');
  const { doorKey } = await readKeyFile(keys);
  const text = formatTicket({ ...key, doorKey, addresses: [address] });
  await writePrivateFile(ticket, text);
  return { server, keys, ticket, address };
}
