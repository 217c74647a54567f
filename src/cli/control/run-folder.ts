/**
 * The folder of the control sockets: one of this user alone (T46).
 *
 * @module
 */

import { lstatSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { EXIT } from '../exit-codes.js';
import { CliError } from '../failure.js';

const FOLDER_MODE = 0o700;
const GROUP_AND_OTHERS = 0o077;

/** `$XDG_RUNTIME_DIR/roving`, or `~/.roving/run`. */
export function runFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const runtime = environment['XDG_RUNTIME_DIR'];
  if (runtime?.startsWith('/')) return join(runtime, 'roving');
  return join(environment['HOME'] ?? homedir(), '.roving', 'run');
}

/**
 * Where processes of this user may have their sockets: those of another environment, such as one of
 * cron, have another folder.
 */
export function runFolders(environment: NodeJS.ProcessEnv = process.env): string[] {
  const { XDG_RUNTIME_DIR: runtime, ...plain } = environment;
  const uid = process.getuid?.();
  const login = runtime !== undefined || uid === undefined ? [] : [`/run/user/${uid}/roving`];
  return [...new Set([runFolder(environment), runFolder(plain), ...login])];
}

/**
 * Makes the folder if it is not there.
 *
 * @throws CliError if it is not a folder of this user alone; what is in it could be anybody's.
 */
export function ensureRunFolder(folder = runFolder()): string {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    throw new CliError(EXIT.CANNOT_CREATE, `the folder of control sockets: ${message}`, code);
  }
  checkRunFolder(folder);
  return folder;
}

/** @throws CliError if it belongs to somebody else, or others may enter it. */
export function checkRunFolder(folder: string): void {
  // Not of what a symbolic link leads to: whoever made the link could change it.
  const stats = lstatSync(folder);
  const refuse = (why: string): never => {
    throw new CliError(EXIT.NO_PERMISSION, `${folder} ${why}`, 'ERR_RUN_FOLDER');
  };
  if (!stats.isDirectory()) return refuse('is no folder: remove it');
  if (process.getuid !== undefined && stats.uid !== process.getuid()) {
    return refuse('belongs to another user: set XDG_RUNTIME_DIR to a folder of your own');
  }
  if ((stats.mode & GROUP_AND_OTHERS) !== 0) {
    return refuse(`can be entered by others: run chmod 700 ${folder}`);
  }
}
