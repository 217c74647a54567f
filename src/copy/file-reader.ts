/** Reads one file, and notices if it changes meanwhile. @module */

import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { CopyError } from './errors.js';
import type { Folder } from './folder.js';
import type { Attributes } from './messages.js';

/** Content goes into records of so much: some packets' worth, and two of them are all that a copy holds. */
export const CHUNK_BYTES = 256 * 1024;

/** Not through a symbolic link, and without waiting for whoever might open the other end of a pipe. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export class FileReader {
  readonly #handle: FileHandle;
  readonly #version: string;
  readonly #size: number;

  private constructor(handle: FileHandle, size: number, version: string) {
    this.#handle = handle;
    this.#size = size;
    this.#version = version;
  }

  /** @throws what the system says; CopyError `ERR_COPY_CHANGED` if it is not what it was. */
  static async open(
    folder: Folder,
    name: Buffer,
    size: number,
    version: string,
  ): Promise<FileReader> {
    const reader = new FileReader(await open(folder.at(name), OPEN_FLAGS), size, version);
    try {
      await reader.checkVersion();
      return reader;
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** @throws CopyError `ERR_COPY_CHANGED` if the file is not what it was when it was announced. */
  async checkVersion(): Promise<void> {
    const stats = await this.#handle.stat({ bigint: true });
    if (!stats.isFile() || versionOf(stats) !== this.#version) throw changed();
  }

  /** Fills the buffer as far as the file goes. */
  async read(buffer: Uint8Array, offset: number): Promise<Uint8Array> {
    const wanted = Math.min(buffer.length, this.#size - offset);
    let length = 0;
    while (length < wanted) {
      const { bytesRead } = await this.#handle.read(
        buffer,
        length,
        wanted - length,
        offset + length,
      );
      if (bytesRead === 0) throw changed();
      length += bytesRead;
    }
    return buffer.subarray(0, wanted);
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}

function changed(): CopyError {
  return new CopyError('ERR_COPY_CHANGED', 'the file changed while it was read');
}

/** Another one after any change of the content that the file system knows of. */
export function versionOf(stats: BigIntStats): string {
  return `${stats.size}-${stats.mtimeNs}`;
}

export function attributesOf(stats: BigIntStats): Attributes {
  return {
    mode: Number(stats.mode & 0o777n),
    accessed: Number(stats.atimeNs) / 1e9,
    modified: Number(stats.mtimeNs) / 1e9,
  };
}
