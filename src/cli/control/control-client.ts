/**
 * Asking what runs: every socket in the folder of this user.
 *
 * @module
 */

import { readdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { SOCKET_SUFFIX } from './control-server.js';
import { checkRunFolder, runFolders } from './run-folder.js';

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** One that is busy, or stopped, does not hold up the others for longer. */
const ANSWER_TIMEOUT_MS = 3_000;

export interface Answers {
  readonly reports: readonly unknown[];
  /** Sockets where something listens that has not answered in time. */
  readonly silent: readonly string[];
}

/**
 * What all that run say. Sockets that nobody listens at any more are removed.
 *
 * @throws CliError if the folder that this environment names is not of this user alone.
 */
export async function askAll(): Promise<Answers> {
  const [first, ...others] = runFolders();
  const paths = first === undefined ? [] : socketsIn(first);
  for (const folder of others) {
    try {
      paths.push(...socketsIn(folder));
    } catch {
      // It is not this user's alone: whatever is there, it is none of ours.
    }
  }
  const answers = await Promise.all(paths.map(async (path) => ({ path, ...(await ask(path)) })));
  return {
    reports: answers.flatMap(({ report }) => report ?? []),
    silent: answers.filter(({ isSilent }) => isSilent === true).map(({ path }) => path),
  };
}

function socketsIn(folder: string): string[] {
  try {
    checkRunFolder(folder);
    const names = readdirSync(folder).filter((name) => name.endsWith(SOCKET_SUFFIX));
    return names.sort().map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function ask(path: string): Promise<{ report?: unknown; isSilent?: boolean }> {
  try {
    return { report: JSON.parse(await readAll(path)) as unknown };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') removeStale(path);
    return { isSilent: code === 'ETIMEDOUT' };
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
    const late = Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' });
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(late));
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
