/**
 * What a running verb tells `roving status`: over a socket of this user alone, and nothing can be
 * asked of it but that.
 *
 * @module
 */

import { chmodSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { ensureRunFolder } from './run-folder.js';

export const SOCKET_MODE = 0o600;
export const SOCKET_SUFFIX = '.sock';
/** Askers at a time; more are turned away. */
const MAX_CONNECTIONS = 8;
/** An asker that does not read is let go after this time. */
const ASKER_TIMEOUT_MS = 5_000;
/** Longest path of a socket on Linux and others, with the zero at its end: 108 or 104. */
const MAX_SOCKET_PATH_BYTES = 103;

export interface ControlServer {
  readonly path: string;
  close(): void;
}

/**
 * Opens the control socket of this process.
 *
 * @param describe what it says; called for each asker.
 * @throws CliError if the folder is not fit; the system's error if the socket can't be made.
 */
export async function openControlServer(
  verb: string,
  describe: () => object | Promise<object>,
): Promise<ControlServer> {
  const path = join(ensureRunFolder(), `${verb}-${process.pid}${SOCKET_SUFFIX}`);
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new Error(`the path of the control socket is too long: ${path}`);
  }
  removeSocket(path);
  const server = createServer((socket) => answer(socket, describe));
  server.maxConnections = MAX_CONNECTIONS;
  // The folder keeps others out; the mode of the socket says the same.
  const umask = process.umask(0o177);
  try {
    await listening(server, path);
  } finally {
    process.umask(umask);
  }
  chmodSync(path, SOCKET_MODE);
  server.on('error', () => undefined);
  server.unref();
  const close = (): void => {
    server.close();
    removeSocket(path);
  };
  process.once('exit', () => removeSocket(path));
  return { path, close };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function answer(socket: Socket, describe: () => object | Promise<object>): void {
  socket.on('error', () => undefined);
  socket.setTimeout(ASKER_TIMEOUT_MS, () => socket.destroy());
  // Whatever an asker says is not read.
  socket.resume();
  Promise.resolve()
    .then(describe)
    .then(
      (description) => socket.end(`${JSON.stringify(description)}\n`),
      () => socket.destroy(),
    );
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is gone already.
  }
}
