/** A folder that is being filled. @module */

import { chmod, mkdir, utimes } from 'node:fs/promises';
import type { Spot } from './destination.js';
import { systemCodeOf } from './errors.js';
import type { Folder } from './folder.js';
import type { Attributes } from './messages.js';
import type { Settings } from './options.js';
import { PartIndex } from './parts.js';

/** What the copy itself needs in a folder, whatever its permissions will be. */
const WORKING_MODE = 0o700;

export class ReceivedFolder {
  /** Absent: the destination itself. */
  readonly id: number | undefined;
  readonly parent: ReceivedFolder | undefined;
  readonly path: string;
  readonly depth: number;
  /** Absent until it is made, and if it could not be. */
  folder: Folder | undefined;
  /** What is in it and unfinished, and one until all in it has been announced. */
  pending = 1;
  hasLeft = false;
  /** Whether that has been told; so is what is in it. */
  isFailed = false;
  #isNew = false;
  #isKept = false;
  #modeBefore: number | undefined;
  #parts: Promise<PartIndex> | undefined;

  constructor(id: number | undefined, parent: ReceivedFolder | undefined, path: string) {
    this.id = id;
    this.parent = parent;
    this.path = path;
    this.depth = parent === undefined ? 0 : parent.depth + 1;
  }

  /** Makes the folder, or takes the one that is there; a symbolic link is no folder here. */
  async make({ folder, name }: Spot): Promise<void> {
    if (name === undefined) {
      this.folder = folder.retain();
      this.#isKept = true;
      return;
    }
    try {
      await mkdir(folder.at(name), WORKING_MODE);
      this.#isNew = true;
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw error;
    }
    this.folder = await folder.enter(name);
    if (this.#isNew) return;
    const mode = Number((await this.folder.stat()).mode & 0o7777n);
    this.#modeBefore = mode;
    if ((mode & WORKING_MODE) !== WORKING_MODE) {
      // If this may not be done, then what is written in it says so.
      await chmod(this.folder.path, mode | WORKING_MODE).catch(() => undefined);
    }
  }

  /** The parts that were there at first. */
  parts(): Promise<PartIndex> {
    const isEmpty = this.#isNew || this.folder === undefined;
    this.#parts ??= isEmpty || !this.folder ? NO_PARTS : PartIndex.read(this.folder);
    return this.#parts;
  }

  /** When all that is in it is there: gives it the source's permissions and times. */
  async complete({ mode, accessed, modified }: Attributes, settings: Settings): Promise<void> {
    const { folder } = this;
    if (folder === undefined || this.#isKept) return;
    const modeWithoutOrder = this.#modeBefore ?? mode & ~process.umask();
    const wanted = settings.preserveModes ? mode : modeWithoutOrder;
    if (this.#isNew || wanted !== this.#modeBefore || (wanted & WORKING_MODE) !== WORKING_MODE) {
      await chmod(folder.path, wanted);
    }
    if (settings.preserveTimes) await utimes(folder.path, accessed, modified);
  }

  release(): void {
    this.folder?.release();
    this.folder = undefined;
  }
}

const NO_PARTS = Promise.resolve(new PartIndex());
