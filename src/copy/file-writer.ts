/**
 * Writes one file: into a part beside its place, hashed on the way, which gets the name when the hash
 * is right.
 *
 * @module
 */

import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, open, rename } from 'node:fs/promises';
import { CopyError, protocolError, specialInTheWay } from './errors.js';
import { type Folder, lookFor } from './folder.js';
import { type Attributes, MAX_BLOCKS, MIN_BLOCK_BYTES } from './messages.js';
import type { Settings } from './options.js';
import {
  disownPart,
  type FoundPart,
  isAbandoned,
  MIN_RESUMED_BYTES,
  ownPart,
  type PartOwner,
  removePart,
} from './parts.js';

const READ_BYTES = 1024 * 1024;
/** What a piece costs beside its content: a peer may send single bytes. */
const PIECE_BYTES = 256;
/** Times as near as this are the same: file systems and Node keep fractions of different length. */
const SAME_TIME_SECONDS = 0.001;
const PART_MODE = 0o600;
const OPEN_FLAGS = constants.O_RDWR | constants.O_NOFOLLOW;
const CREATE_FLAGS = OPEN_FLAGS | constants.O_CREAT | constants.O_EXCL;

/** Bytes of all files that wait to be written, so that they can be bounded together. */
export class WriteBudget {
  #waitingBytes = 0;
  #wake: (() => void)[] = [];

  add(bytes: number): void {
    this.#waitingBytes += bytes;
    if (bytes < 0) for (const wake of this.#wake.splice(0)) wake();
  }

  /** Resolves when no more than this is waiting. */
  async below(bytes: number): Promise<void> {
    while (this.#waitingBytes > bytes) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

/** What is to be written, and where. */
export interface FileTarget {
  readonly folder: Folder;
  readonly name: Buffer;
  readonly size: number;
  readonly version: string;
  readonly attributes: Attributes;
  readonly settings: Settings;
  readonly budget: WriteBudget;
  /** Whether the other end seems to be gone. */
  readonly isStale: () => boolean;
}

/** The state of the hash up to an offset. */
interface Checkpoint {
  readonly offset: number;
  readonly hash: Hash;
}

export class FileWriter implements PartOwner {
  readonly #target: FileTarget;
  readonly #id: string;
  readonly #partName: Buffer;
  #handle: FileHandle | undefined;
  #opening: Promise<void> | undefined;
  #hash = createHash('sha256');
  #checkpoints: Checkpoint[] = [];
  /** Content that has been given, up to here, and written, up to there. */
  #given = 0;
  #written = 0;
  #queue: Uint8Array[] = [];
  #pump: Promise<void> | undefined;
  #error: unknown;
  #isStarted = false;
  #isOver = false;
  #isOwner = true;

  constructor(target: FileTarget) {
    this.#target = target;
    const { fileName, id } = ownPart(target.name, target.version, this);
    target.folder.retain();
    this.#id = id;
    this.#partName = fileName;
  }

  get givenBytes(): number {
    return this.#given;
  }

  isStale(): boolean {
    return this.#target.isStale();
  }

  /**
   * Makes an earlier part this writer's own.
   *
   * @returns the bytes that are there; 0 if there is nothing to go on with.
   */
  adopt(part: FoundPart): Promise<number> {
    const adopting = this.#adopt(part);
    this.#opening = adopting.then(() => undefined);
    return adopting;
  }

  async #adopt(part: FoundPart): Promise<number> {
    const { folder, size } = this.#target;
    const [from, to] = [folder.at(part.fileName), folder.at(this.#partName)];
    try {
      if (await isAbandoned(folder, part)) await rename(from, to);
      else await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      this.#handle = await open(to, OPEN_FLAGS);
      const stats = await this.#handle.stat();
      if (stats.isFile() && stats.size >= MIN_RESUMED_BYTES && stats.size <= size) {
        this.#written = stats.size;
        // Another host sees from the time that somebody is at it again.
        const now = new Date();
        await this.#handle.utimes(now, now).catch(() => undefined);
        return stats.size;
      }
    } catch {
      // Another copy was faster, or the part cannot be read: there is no need of it.
    }
    await this.#handle?.close();
    this.#handle = undefined;
    await removePart(folder, this.#partName);
    return 0;
  }

  /** Hashes what is there in blocks, and tells the hash up to the end of each. */
  async *checks(have: number): AsyncGenerator<string> {
    const block = blockBytes(have);
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, block));
    const hash = createHash('sha256');
    for (let offset = 0; offset < have; ) {
      const end = Math.min(have, offset + block);
      while (offset < end) {
        if (this.#isOver || this.#isStarted || this.#handle === undefined) return;
        const length = Math.min(buffer.length, end - offset);
        const { bytesRead } = await this.#handle.read(buffer, 0, length, offset);
        if (bytesRead === 0) throw new CopyError('ERR_COPY_CHANGED', 'the part was changed');
        hash.update(buffer.subarray(0, bytesRead));
        offset += bytesRead;
      }
      this.#checkpoints.push({ offset, hash: hash.copy() });
      yield hash.copy().digest('hex');
    }
  }

  /** Content follows from here on: 0, or the end of one of the blocks. */
  start(offset: number): void {
    const checkpoint = this.#checkpoints.find((one) => one.offset === offset);
    if (checkpoint === undefined && offset !== 0) throw protocolError('an offset that is no block');
    this.#hash = checkpoint?.hash.copy() ?? createHash('sha256');
    this.#checkpoints = [];
    this.#isStarted = true;
    this.#given = offset;
    this.#written = offset;
    this.#opening = this.#open(offset).catch((error: unknown) => this.#fail(error));
  }

  async #open(offset: number): Promise<void> {
    if (this.#handle !== undefined) return this.#handle.truncate(offset);
    const { folder } = this.#target;
    this.#handle = await open(folder.at(this.#partName), CREATE_FLAGS, PART_MODE);
  }

  /** Takes content, without waiting; the memory is this writer's from now on. */
  push(bytes: Uint8Array): void {
    this.#given += bytes.length;
    if (this.#given > this.#target.size) throw protocolError('more content than was announced');
    if (this.#error !== undefined || this.#isOver) return;
    this.#hash.update(bytes);
    this.#queue.push(bytes);
    this.#target.budget.add(costOf([bytes]));
    this.#pump ??= this.#write();
  }

  async #write(): Promise<void> {
    await this.#opening;
    while (this.#queue.length > 0 && this.#error === undefined) {
      const batch = this.#queue.splice(0);
      try {
        if (this.#handle !== undefined) await writeAll(this.#handle, batch, this.#written);
        this.#written += lengthOf(batch);
      } catch (error) {
        this.#fail(error);
      }
      this.#target.budget.add(-costOf(batch));
    }
    this.#pump = undefined;
  }

  #fail(error: unknown): void {
    this.#error ??= error;
    this.#target.budget.add(-costOf(this.#queue.splice(0)));
  }

  /** What went wrong so far, if anything. */
  get error(): unknown {
    return this.#error;
  }

  /**
   * The content is complete: gives it its name.
   *
   * @param expected SHA-256 of the source, in hex.
   * @throws what the system says, or CopyError `ERR_COPY_HASH`; then nothing is left behind.
   */
  async finish(expected: string): Promise<void> {
    const { folder, name, settings } = this.#target;
    try {
      await this.#opening;
      await this.#pump;
      if (this.#error !== undefined) throw this.#error;
      const isWhole = this.#given === this.#target.size && this.#hash.digest('hex') === expected;
      if (!isWhole) throw new CopyError('ERR_COPY_HASH', 'what arrived is not what was read');
      await this.#setAttributes();
      if (settings.sync) await this.#handle?.sync();
      if (this.#isOver) throw new CopyError('ERR_COPY_ABORTED', 'the copy was given up');
      await refuseSpecial(folder, name);
      await rename(folder.at(this.#partName), folder.at(name));
      await this.#close();
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  async #setAttributes(): Promise<void> {
    const { attributes, settings } = this.#target;
    const { mode, accessed, modified } = attributes;
    await this.#handle?.chmod(settings.preserveModes ? mode : mode & ~process.umask());
    if (settings.preserveTimes) await this.#handle?.utimes(accessed, modified);
  }

  /** Gives up, and leaves nothing behind. */
  async discard(): Promise<void> {
    if (await this.#stop()) await removePart(this.#target.folder, this.#partName);
    await this.#close();
  }

  /** Stops, and keeps what another attempt can go on with. */
  async interrupt(): Promise<void> {
    if (await this.#stop()) {
      const isUseful = this.#written >= MIN_RESUMED_BYTES && !(await isThere(this.#target));
      if (!isUseful) await removePart(this.#target.folder, this.#partName);
    }
    await this.#close();
  }

  /** @returns whether there is a part that nobody has dealt with yet. */
  async #stop(): Promise<boolean> {
    if (this.#isOver) return false;
    this.#isOver = true;
    await this.#opening;
    await this.#pump;
    return this.#handle !== undefined;
  }

  async #close(): Promise<void> {
    this.#isOver = true;
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
    if (!this.#isOwner) return;
    this.#isOwner = false;
    disownPart(this.#id);
    this.#target.folder.release();
  }
}

/**
 * Whether the file is at its place: another copy may have been faster.
 *
 * @param sinceMs it came there, or was changed, no earlier than this, in milliseconds since 1970.
 */
export async function isThere(
  target: Pick<FileTarget, WhatIsCompared>,
  sinceMs = Number.NEGATIVE_INFINITY,
): Promise<boolean> {
  const stats = await lookFor(target.folder, target.name).catch(() => undefined);
  if (stats?.isFile() !== true || Number(stats.size) !== target.size) return false;
  if (Number(stats.ctimeMs) < sinceMs) return false;
  const difference = Number(stats.mtimeNs) / 1e9 - target.attributes.modified;
  return Math.abs(difference) <= SAME_TIME_SECONDS;
}

/**
 * A file replaces files and symbolic links. `/dev/null` is no file: to replace it would break the
 * machine.
 *
 * @throws CopyError `ERR_COPY_DESTINATION` if a device, socket or pipe has the name.
 */
export async function refuseSpecial(folder: Folder, name: Buffer): Promise<void> {
  const stats = await lookFor(folder, name);
  const isSpecial = stats !== undefined && !stats.isFile() && !stats.isSymbolicLink();
  if (!isSpecial || stats.isDirectory()) return;
  throw specialInTheWay();
}

type WhatIsCompared = 'folder' | 'name' | 'size' | 'attributes';

/** So large that there are at most {@link MAX_BLOCKS} of them. */
export function blockBytes(have: number): number {
  let block = MIN_BLOCK_BYTES;
  while (block * MAX_BLOCKS < have) block *= 2;
  return block;
}

function lengthOf(batch: readonly Uint8Array[]): number {
  return batch.reduce((sum, bytes) => sum + bytes.length, 0);
}

function costOf(batch: readonly Uint8Array[]): number {
  return lengthOf(batch) + batch.length * PIECE_BYTES;
}

/** The system may write less than it is asked to, as when the disk is nearly full. */
async function writeAll(handle: FileHandle, batch: Uint8Array[], position: number): Promise<void> {
  let at = position;
  const [first] = batch;
  if (batch.length > 1 || first === undefined) {
    const { bytesWritten } = await handle.writev(batch, at);
    if (bytesWritten === lengthOf(batch)) return;
    at += bytesWritten;
    return writeAll(handle, [Buffer.concat(batch).subarray(bytesWritten)], at);
  }
  for (let left = first; left.length > 0; ) {
    const { bytesWritten } = await handle.write(left, 0, left.length, at);
    at += bytesWritten;
    left = left.subarray(bytesWritten);
  }
}
