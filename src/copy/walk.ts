/**
 * Looks through the sources of a copy, folder by folder, and tells of everything in the order in which
 * it is found.
 *
 * @module
 */

import type { BigIntStats } from 'node:fs';
import { CopyError, reasonOf } from './errors.js';
import type { Folder } from './folder.js';
import { sourceName } from './names.js';
import type { CopyProblem } from './options.js';
import { isPartName } from './parts.js';
import type { Place } from './roots.js';

/** Entries of a folder that are looked at together. */
const LOOKED_AT_TOGETHER = 16;

/** A source as it was named, and how to find it. */
export interface Source {
  readonly shown: string;
  /** Symbolic links are followed. */
  find(): Promise<Place>;
}

/** A file or folder that was found. */
export interface Found {
  /** The id of the folder that it is in; absent for a source itself. */
  readonly parent: number | undefined;
  /** What its copy is called. */
  readonly name: Buffer;
  readonly path: string;
  readonly stats: BigIntStats;
}

/** What a walk tells; it waits for each call. */
export interface WalkSink {
  folder(found: Found): Promise<number>;
  file(found: Found, folder: Folder, nameThere: Buffer): Promise<void>;
  leave(id: number): void;
  problem(problem: CopyProblem, isSkipped: boolean): void;
  /** Whether nothing in this folder is of use any more, or nothing at all. */
  isPointless(id?: number): boolean;
}

export class Walk {
  readonly #sink: WalkSink;
  readonly #maxDepth: number;

  constructor(sink: WalkSink, maxDepth: number) {
    this.#sink = sink;
    this.#maxDepth = maxDepth;
  }

  async all(sources: Iterable<Source>): Promise<void> {
    for (const source of sources) {
      if (this.#sink.isPointless()) return;
      await this.#orProblem(source.shown, () => this.#source(source));
    }
  }

  /** What the system refuses costs one entry. */
  async #orProblem(path: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (this.#sink.isPointless()) throw error;
      this.#sink.problem({ path, ...reasonOf(error) }, false);
    }
  }

  async #source({ shown, find }: Source): Promise<void> {
    const { name, isFolderOnly } = sourceName(shown);
    const place = await find();
    try {
      const found = { parent: undefined, name: Buffer.from(name), path: shown };
      if (place.kind === 'folder') return await this.#folder(found, place.folder, 1);
      if (place.kind === 'missing') throw systemError('ENOENT');
      if (isFolderOnly) throw systemError('ENOTDIR');
      const stats = await place.folder.look(place.name);
      await this.#entry({ ...found, stats }, place.folder, place.name, 1);
    } finally {
      place.folder.release();
    }
  }

  async #folder(found: Omit<Found, 'stats'>, folder: Folder, depth: number): Promise<void> {
    if (depth > this.#maxDepth) {
      throw new CopyError('ERR_COPY_DEPTH', `folders are nested deeper than ${this.#maxDepth}`);
    }
    const id = await this.#sink.folder({ ...found, stats: await folder.stat() });
    await this.#orProblem(found.path, () => this.#content(id, found.path, folder, depth));
    this.#sink.leave(id);
  }

  async #content(id: number, path: string, folder: Folder, depth: number): Promise<void> {
    const names: Buffer[] = [];
    const look = async (): Promise<void> => {
      const looked = names.splice(0).map(async (name) => ({
        name,
        stats: await folder.look(name).catch((error: unknown) => error),
      }));
      for (const { name, stats } of await Promise.all(looked)) {
        if (this.#sink.isPointless(id)) return;
        const found = { parent: id, name, path: `${path.replace(/\/$/, '')}/${name}` };
        await this.#orProblem(found.path, () => {
          if (stats instanceof Error) throw stats;
          return this.#entry({ ...found, stats: stats as BigIntStats }, folder, name, depth + 1);
        });
      }
    };
    for await (const name of folder.names()) {
      names.push(name);
      if (names.length >= LOOKED_AT_TOGETHER) await look();
      if (this.#sink.isPointless(id)) return;
    }
    await look();
  }

  async #entry(found: Found, folder: Folder, nameThere: Buffer, depth: number): Promise<void> {
    const { path, stats } = found;
    // What was named was asked for: it is not left out in silence.
    const isSkipped = found.parent !== undefined;
    const skip = (code: string, message: string): void => {
      this.#sink.problem({ path, code, message }, isSkipped);
    };
    if (isPartName(nameThere)) return skip('ERR_COPY_PARTIAL', 'the rest of an unfinished copy');
    if (stats.isFile()) return this.#sink.file(found, folder, nameThere);
    if (stats.isSymbolicLink()) return skip('ERR_COPY_LINK', 'a symbolic link');
    if (!stats.isDirectory()) return skip('ERR_COPY_SPECIAL', 'a device, socket or pipe');
    const inner = await folder.enter(nameThere);
    try {
      await this.#folder(found, inner, depth);
    } finally {
      inner.release();
    }
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
