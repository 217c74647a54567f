/**
 * Folders that stay the same folder. On Linux each is an open descriptor, and what is in it is reached
 * through `/proc/self/fd`, as `openat` would: whoever swaps a folder on the way for a symbolic link
 * meanwhile leads nobody astray. Elsewhere the real path is looked at before and after.
 *
 * @module
 */

import { type BigIntStats, constants, type Dir, existsSync } from 'node:fs';
import { type FileHandle, lstat, open, opendir, realpath } from 'node:fs/promises';
import { CopyError, systemCodeOf } from './errors.js';

/** Linux: a descriptor to reach others by, for which no right to read is needed (open(2)). */
const O_PATH = 0o10000000;
const hasDescriptorPaths = process.platform === 'linux' && existsSync('/proc/self/fd');
const FOLDER_FLAGS = constants.O_DIRECTORY | (hasDescriptorPaths ? O_PATH : constants.O_RDONLY);
/** Entries that are read of a folder at a time. */
const READ_ENTRIES = 256;
const SLASH = Buffer.from('/');

/** A folder that is open until all who {@link retain} it have released it. */
export class Folder {
  readonly #handle: FileHandle;
  /** What reaches the folder itself. */
  readonly path: Buffer;
  #users = 1;

  private constructor(handle: FileHandle, path: Buffer) {
    this.#handle = handle;
    this.path = path;
  }

  /** Opens a folder of the user's own; symbolic links are followed. */
  static async open(path: Buffer): Promise<Folder> {
    const real = await realpath(path, { encoding: 'buffer' });
    return Folder.#adopt(await open(real, FOLDER_FLAGS), real);
  }

  static #adopt(handle: FileHandle, real: Buffer): Folder {
    const path = hasDescriptorPaths ? Buffer.from(`/proc/self/fd/${handle.fd}`) : real;
    return new Folder(handle, path);
  }

  /** Opens a folder in this one; a symbolic link fails with `ENOTDIR` or `ELOOP`. */
  async enter(name: Buffer): Promise<Folder> {
    const path = this.at(name);
    const handle = await open(path, FOLDER_FLAGS | constants.O_NOFOLLOW);
    if (!hasDescriptorPaths) {
      const real = await realpath(path, { encoding: 'buffer' });
      if (!real.equals(path)) {
        await handle.close();
        throw new CopyError('ERR_COPY_OUTSIDE', 'a folder was moved while it was used');
      }
    }
    return Folder.#adopt(handle, path);
  }

  /** The path of what has this name here; the name must have been checked. */
  at(name: Buffer): Buffer {
    return Buffer.concat([this.path, SLASH, name]);
  }

  /** About the entry itself, also if it is a symbolic link. */
  look(name: Buffer): Promise<BigIntStats> {
    return lstat(this.at(name), { bigint: true });
  }

  /** About the folder itself. */
  stat(): Promise<BigIntStats> {
    return this.#handle.stat({ bigint: true });
  }

  /** The names in it, as Buffers, in the order of the disk; read while they are asked for. */
  async *names(): AsyncGenerator<Buffer> {
    // Node's types do not know that names can be asked for as bytes.
    const options = { encoding: 'buffer', bufferSize: READ_ENTRIES } as unknown as object;
    const entries: Dir = await opendir(this.path, options);
    for await (const entry of entries) yield entry.name as unknown as Buffer;
  }

  retain(): this {
    this.#users += 1;
    return this;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#handle.close().catch(() => undefined);
  }
}

/** As {@link Folder.look}, but `undefined` for what is not there. */
export async function lookFor(folder: Folder, name: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await folder.look(name);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
