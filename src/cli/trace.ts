/**
 * A trace of sessions and paths: JSON lines, one event each, in the manner of qlog.
 *
 * @module
 */

import { createWriteStream, type WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { RovingSession } from '../node/index.js';
import { PRIVATE_FILE_MODE } from '../node/private-file.js';
import { EXIT } from './exit-codes.js';
import { CliError } from './failure.js';
import { redactValue } from './redact.js';

/** Figures of the paths are written this often while a session is open. */
const SAMPLE_INTERVAL_MS = 1_000;
/** Waiting to be written; what is more is dropped and counted, since a disk must not stop a session. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export class Trace {
  readonly #stream: WriteStream;
  readonly #startedAt = performance.now();
  #droppedCount = 0;
  #sessionCount = 0;

  private constructor(stream: WriteStream) {
    this.#stream = stream;
    // A full disk ends the trace, nothing else.
    stream.on('error', () => undefined);
  }

  /** @throws CliError if the file can't be made. */
  static async open(path: string, vantage: 'client' | 'server'): Promise<Trace> {
    try {
      const file = await open(path, 'w', PRIVATE_FILE_MODE);
      const trace = new Trace(createWriteStream(path, { fd: file }));
      trace.write('trace:started', {
        format: 'roving-trace',
        version: 1,
        vantage,
        at: new Date().toISOString(),
      });
      return trace;
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      throw new CliError(EXIT.CANNOT_CREATE, `the trace can't be written: ${message}`, code);
    }
  }

  /** @param name `category:event`. */
  write(name: string, data: object = {}): void {
    if (this.#stream.writableLength > MAX_WAITING_BYTES) {
      this.#droppedCount += 1;
      return;
    }
    const time = Math.round((performance.now() - this.#startedAt) * 1000) / 1000;
    const dropped = this.#droppedCount === 0 ? {} : { dropped: this.#droppedCount };
    this.#droppedCount = 0;
    const line = { time, name, data: redactValue(data), ...dropped };
    this.#stream.write(`${JSON.stringify(line)}\n`);
  }

  /** Follows an established session to its end. */
  follow(session: RovingSession): void {
    this.#sessionCount += 1;
    const id = this.#sessionCount;
    const paths = () =>
      session.paths.map(({ statistics, ...path }) => ({ ...path, ...statistics }));
    this.write('session:established', { session: id, key: session.key?.name, paths: paths() });
    session.on('path', (change) => this.write('path:state', { session: id, ...change }));
    const sampling = setInterval(() => {
      this.write('path:metrics', { session: id, paths: paths() });
    }, SAMPLE_INTERVAL_MS);
    sampling.unref();
    session.once('close', (error) => {
      clearInterval(sampling);
      const { code, message } = error ?? {};
      this.write('session:closed', { session: id, statistics: session.statistics, code, message });
    });
  }

  /** Resolves when all is written. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stream.destroyed) resolve();
      else this.#stream.end(() => resolve());
      this.#stream.once('close', resolve);
    });
  }
}
