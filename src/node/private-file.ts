/**
 * Files that hold secrets: only their owner may read them, and they are whole or not there.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SessionError } from '../core/index.js';

/** Read and write for the owner, nothing for anybody else. */
export const PRIVATE_FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;
const TEMPORARY_NAME_BYTES = 6;

/**
 * - `ERR_FILE_READABLE_BY_OTHERS`: the mode lets others at the secrets.
 * - `ERR_FILE_TOO_LONG`: it can't be what it is taken for.
 */
export type PrivateFileErrorCode = 'ERR_FILE_READABLE_BY_OTHERS' | 'ERR_FILE_TOO_LONG';

/** A file of secrets is not fit to be used. The message names the file and what mends it. */
export class PrivateFileError extends SessionError {
  readonly code: PrivateFileErrorCode;

  constructor(code: PrivateFileErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Reads a file, or a pipe, that only its owner can read.
 *
 * @param maxBytes more is refused.
 * @throws PrivateFileError if others could read it; the system's own error if it can't be read.
 */
export async function readPrivateFile(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    // Of the open file, so that nobody can exchange it between the check and the reading.
    checkMode(path, await file.stat());
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of file.createReadStream({ autoClose: false })) {
      length += (chunk as Buffer).length;
      if (length > maxBytes) {
        throw new PrivateFileError(
          'ERR_FILE_TOO_LONG',
          `${path} is too long: at most ${maxBytes} bytes are read`,
        );
      }
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks).toString('utf8');
  } finally {
    await file.close();
  }
}

function checkMode(path: string, { mode }: Stats): void {
  // Windows has no such modes: Node makes them up.
  if (process.platform === 'win32' || (mode & GROUP_AND_OTHERS) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  throw new PrivateFileError(
    'ERR_FILE_READABLE_BY_OTHERS',
    `${path} has mode ${octal}, so others can get at the secrets in it: run chmod 600 ${quoted(path)}`,
  );
}

/** For a shell to take it as it is. */
function quoted(path: string): string {
  return /^[\w./+:@%-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/**
 * Replaces a file in one step: readers see the old one or the new one, also after a crash. A
 * symbolic link stays, and what it points to is replaced. The file stays its owner's: root may change
 * the keys of a server that runs as somebody else.
 *
 * @throws the system's own error, `EPERM` if it is another user's; then the old file is as it was.
 */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const folder = dirname(target);
  const suffix = randomBytes(TEMPORARY_NAME_BYTES).toString('hex');
  const temporary = join(folder, `.${basename(target)}.${suffix}`);
  try {
    await writeNew(temporary, text, await ownerOf(target));
    await rename(temporary, target);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncFolder(folder);
}

interface Owner {
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
}

async function ownerOf(path: string): Promise<Owner | undefined> {
  const stats = await stat(path).catch(() => undefined);
  return stats === undefined ? undefined : { path, uid: stats.uid, gid: stats.gid };
}

async function writeNew(path: string, text: string, owner: Owner | undefined): Promise<void> {
  // Nothing that is there already is followed or used, a symbolic link least of all.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  const file = await open(path, flags, PRIVATE_FILE_MODE);
  try {
    if (owner !== undefined) await giveTo(owner, file);
    // The mode of `open` is subject to the umask, which may take even the owner's right.
    await file.chmod(PRIVATE_FILE_MODE);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Of mode 0600 a file has no use for anybody but its owner. */
async function giveTo({ path, uid, gid }: Owner, file: FileHandle): Promise<void> {
  if ((await file.stat()).uid === uid) return;
  try {
    await file.chown(uid, gid);
  } catch (cause) {
    const message = `${path} belongs to another user (uid ${uid}): change it as that user, or as root`;
    throw Object.assign(new Error(message, { cause }), { code: 'EPERM' });
  }
}

/** Without this the new name may be lost in a crash; where it can't be done, nothing is worse. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, 'r');
    await handle.sync();
  } catch {
    // Some systems can't open folders.
  } finally {
    await handle?.close();
  }
}

/** Whether something else than a plain file is there, such as a terminal or a pipe. */
export async function isSpecialFile(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && !stats.isFile();
}
