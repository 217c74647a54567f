/**
 * Asking what runs: every socket in the folder of this user.
 *
 * @module
 */

import { readdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { SOCKET_SUFFIX } from './control-server.js';
import { checkRunFolder, runFolder } from './run-folder.js';

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** One that is busy, or stopped, does not hold up the others for longer. */
const ANSWER_TIMEOUT_MS = 3_000;

/** What all that run say. Sockets that nobody listens at any more are removed. */
export async function askAll(folder = runFolder()): Promise<unknown[]> {
  let names: string[];
  try {
    checkRunFolder(folder);
    names = readdirSync(folder).filter((name) => name.endsWith(SOCKET_SUFFIX));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const answers = await Promise.all(names.sort().map((name) => ask(join(folder, name))));
  return answers.filter((answer) => answer !== undefined);
}

async function ask(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readAll(path)) as unknown;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') removeStale(path);
    return undefined;
  }
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has done it.
  }
}

function readAll(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const socket = connect(path);
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) socket.destroy(new Error('the answer is too long'));
      else chunks.push(chunk);
    });
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    socket.on('close', () => reject(new Error('no whole answer')));
  });
}
