/**
 * Child processes of a measurement: what they printed, when they are ready, and that none is left.
 *
 * @module
 */

import { spawn } from 'node:child_process';
import { basename } from 'node:path';

/** The most that is kept of what a program prints; more is an error, not a result. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** How long a program may take to obey SIGTERM before SIGKILL follows. */
const STOP_MS = 3_000;

/**
 * @typedef {object} ProgramOptions
 * @property {Record<string, string>} [env] added to the environment
 * @property {string} [cwd]
 */

/**
 * A running program. Its output is collected as text; a line of it can be waited for.
 */
export class Program {
  stdout = '';
  stderr = '';
  /** @type {number | string | undefined} exit code or signal, once it has ended */
  ended;
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /**
   * @param {readonly string[]} command program and arguments
   * @param {ProgramOptions} [options]
   */
  constructor(command, options = {}) {
    const [file = '', ...args] = command;
    this.command = command;
    this.process = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
      this.process[name].setEncoding('utf8').on('data', (/** @type {string} */ text) => {
        if (this[name].length < MAX_OUTPUT_BYTES) this[name] += text;
        this.#wake();
      });
    }
    this.process.stdin.on('error', () => {});
    this.process.on('error', (error) => {
      this.stderr += `${error.message}\n`;
      this.#end('could not start');
    });
    this.process.on('close', (code, signal) => this.#end(code ?? signal ?? 'gone'));
  }

  get pid() {
    return this.process.pid;
  }

  /** @param {number | string} how */
  #end(how) {
    this.ended ??= how;
    this.#wake();
  }

  #wake() {
    for (const watcher of this.#watchers) watcher();
  }

  /**
   * @template T
   * @param {() => T | undefined} look called after each change; anything but `undefined` ends it
   * @param {number} timeoutMs
   * @param {string} what for the error, when time is up
   * @returns {Promise<T>}
   */
  #until(look, timeoutMs, what) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(() => reject(this.#failure(what))), timeoutMs);
      const check = () => {
        try {
          const found = look();
          if (found !== undefined) finish(() => resolve(found));
        } catch (error) {
          finish(() => reject(error));
        }
      };
      /** @param {() => void} settle */
      const finish = (settle) => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        settle();
      };
      this.#watchers.add(check);
      check();
    });
  }

  /** @param {string} what */
  #failure(what) {
    // Without what every program in a namespace is started by.
    const start = this.command.indexOf('nice') + 1;
    const words = start > 0 ? this.command.slice(start + 2) : this.command;
    const name = words
      .slice(0, 4)
      .map((word) => basename(word))
      .join(' ');
    const said = (this.stderr || this.stdout).trim().slice(-600);
    return new Error(`${name}: ${what}${said === '' ? '' : `: ${said}`}`);
  }

  /**
   * Resolves with the match once the program has printed it.
   *
   * @param {RegExp} pattern
   * @param {'stdout' | 'stderr'} [stream]
   * @param {number} [timeoutMs]
   * @throws {Error} when the program ends first, or time is up
   */
  line(pattern, stream = 'stdout', timeoutMs = 15_000) {
    return this.#until(
      () => {
        const found = pattern.exec(this[stream]);
        if (found !== null) return found;
        if (this.ended !== undefined) throw this.#failure(`ended (${this.ended}), no ${pattern}`);
        return undefined;
      },
      timeoutMs,
      `did not print ${pattern}`,
    );
  }

  /**
   * Resolves with the standard output when the program has ended with 0.
   *
   * @param {number} timeoutMs
   * @throws {Error} with the end of what it said, if it failed or takes longer
   */
  async done(timeoutMs) {
    const how = await this.#until(() => this.ended, timeoutMs, `still runs after ${timeoutMs} ms`);
    if (how !== 0) throw this.#failure(`ended with ${how}`);
    return this.stdout;
  }

  /** Ends the program, kindly at first. Resolves when it is gone. */
  async stop() {
    if (this.ended === undefined) this.process.kill('SIGTERM');
    try {
      await this.#until(() => this.ended, STOP_MS, 'does not stop');
    } catch {
      this.process.kill('SIGKILL');
      await this.#until(() => this.ended, STOP_MS, 'does not die').catch(() => {});
    }
  }

  /** @param {string} text a line for the program's standard input */
  tell(text) {
    this.process.stdin.write(`${text}\n`);
  }
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

/** Milliseconds since the epoch with a fraction; all programs of a measurement use this clock. */
export function wallMs() {
  return performance.timeOrigin + performance.now();
}
