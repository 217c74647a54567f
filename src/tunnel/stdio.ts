/** Standard input and output over a session, as ssh's `ProxyCommand` wants it. @module */

import type { Duplex, Readable, Writable } from 'node:stream';
import type { RovingSession } from '../node/index.js';
import { formatHostPort } from './address.js';
import { TunnelConnections } from './connections.js';
import { openTunnel } from './tunnel.js';

export interface StdioOptions {
  readonly stdin: Readable;
  /** Gets nothing but what the host says, and is not ended. */
  readonly stdout: Writable;
  readonly connections?: TunnelConnections;
}

/** Input of a host that has ended is over after so long, or twice as long, without any. */
export const QUIET_INPUT_MS = 500;

/** How a connection over standard input and output has gone. */
export interface StdioResult {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/**
 * Connects the two to a host at the other end. The end of standard input is passed on, and what
 * the host then still says arrives. A host that has ended may still listen: input goes on until it
 * ends, or is silent for {@link QUIET_INPUT_MS}. Nothing is read faster than it is taken.
 *
 * @returns resolves when the host has ended, all it said has been written to `stdout`, and the input
 *   is over.
 * @throws ServiceError if it can't be reached, before anything is written; otherwise what has
 *   broken the connection, or `stdout`.
 */
export async function connectStdio(
  session: RovingSession,
  host: string,
  port: number,
  options: StdioOptions,
): Promise<StdioResult> {
  const { stdin, stdout, connections = new TunnelConnections() } = options;
  const bytes = { bytesRead: 0, bytesWritten: 0 };
  const connection = connections.begin('stdio', undefined);
  connection.describe(formatHostPort({ host, port }), bytes);
  let failure: Error | undefined;
  try {
    const { stream, connected } = openTunnel(session, { host, port });
    const failed = new Promise<never>((_resolve, reject) => {
      stream.on('error', reject);
      stdin.on('error', reject);
      stdout.on('error', reject);
      stream.once('close', () => {
        if (!stream.readableEnded) reject(stream.errored ?? new Error('the session was closed'));
      });
    });
    failed.catch(() => undefined);
    const count = (chunk: Buffer): void => {
      bytes.bytesRead += chunk.length;
    };
    stdin.on('data', count);
    stdin.pipe(stream);
    try {
      await Promise.race([connected, failed]);
      connection.opened();
      await Promise.race([copyOut(stream, stdout, bytes), failed]);
      await Promise.race([restOfInput(stdin, stream), failed]);
      stdin.unpipe(stream);
      stream.end();
    } catch (error) {
      stream.destroy();
      throw error;
    } finally {
      stdin.off('data', count);
      stdin.pause();
    }
    return { sentBytes: bytes.bytesRead, receivedBytes: bytes.bytesWritten };
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    connection.ended(failure);
  }
}

/**
 * Resolves when the input has ended and all of it has been taken, or when no more comes. Whoever
 * talks to a host, as ssh does, waits for us to end when the host has, and says nothing.
 */
function restOfInput(stdin: Readable, stream: Duplex): Promise<void> {
  if (stream.writableFinished || stream.destroyed) return Promise.resolve();
  return new Promise<void>((resolve) => {
    let hasHeard = false;
    const heard = (): void => {
      hasHeard = true;
    };
    const timer = setInterval(() => {
      if (!hasHeard && stream.writableLength === 0) over();
      hasHeard = false;
    }, QUIET_INPUT_MS);
    const over = (): void => {
      clearInterval(timer);
      stdin.off('data', heard);
      resolve();
    };
    stdin.on('data', heard);
    stream.once('finish', over);
    stream.once('close', over);
  });
}

/** Resolves when the stream has ended and `stdout` has taken everything. */
function copyOut(stream: Readable, stdout: Writable, bytes: { bytesWritten: number }) {
  return new Promise<void>((resolve) => {
    let lastWritten: Promise<void> = Promise.resolve();
    stream.on('data', (chunk: Buffer) => {
      bytes.bytesWritten += chunk.length;
      lastWritten = new Promise((written) => {
        const goesOn = stdout.write(chunk, () => written());
        if (goesOn) return;
        stream.pause();
        stdout.once('drain', () => stream.resume());
      });
    });
    stream.once('end', () => void lastWritten.then(resolve));
  });
}
