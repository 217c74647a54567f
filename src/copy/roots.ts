/**
 * What a key allows to see of the files of this machine, and how a path that the peer names is
 * resolved without ever leaving it.
 *
 * @module
 */

import { readlink, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CopyError, special, systemCodeOf } from './errors.js';
import { Folder, lookFor } from './folder.js';
import { isAbsolute, isDotDot, pathBytes, splitPath } from './names.js';

/** Symbolic links in one path; as Linux has it (path_resolution(7)). */
const MAX_LINKS = 40;
const READ_WRITE = 'files:';
const READ_ONLY = 'files-ro:';
const SLASH = Buffer.from('/');

/** A folder that a key opens, and all that is in it. */
export interface Root {
  readonly path: string;
  readonly isReadOnly: boolean;
}

/** The folders that grants name, in their order. */
export function rootsOf(grants: readonly string[]): Root[] {
  return grants.flatMap((grant) => {
    const isReadOnly = grant.startsWith(READ_ONLY);
    const prefix = isReadOnly ? READ_ONLY : READ_WRITE;
    if (!grant.startsWith(prefix) || grant.length === prefix.length) return [];
    return [{ path: resolve(grant.slice(prefix.length)), isReadOnly }];
  });
}

/** A place that a path leads to; the folders are to be released. */
export type Place =
  | { readonly kind: 'folder'; readonly folder: Folder }
  /** Something that is no folder, or nothing yet. */
  | { readonly kind: 'file' | 'missing'; readonly folder: Folder; readonly name: Buffer };

/**
 * Opens the root that a path is in. An absolute path is in the innermost root that it begins with, any
 * other in the first. A root that is not there, such as a disk that is not mounted, costs the paths in
 * it; they are not looked for in a root around it, which may allow more.
 *
 * @returns the root and the names that are left.
 * @throws CopyError `ERR_COPY_OUTSIDE`; what the system says of the root, such as `ENOENT`.
 */
export async function findRoot(
  roots: readonly Root[],
  path: string,
): Promise<{ root: Root; real: Buffer; names: Buffer[] }> {
  const bytes = pathBytes(path);
  const names = splitPath(bytes);
  let found: { root: Root; real: Buffer | Error; names: Buffer[] } | undefined;
  for (const root of isAbsolute(bytes) ? roots : roots.slice(0, 1)) {
    const real = await realpath(root.path, { encoding: 'buffer' }).catch(asError);
    if (!isAbsolute(bytes)) return opened({ root, real, names });
    const prefixes = [splitPath(Buffer.from(root.path))];
    if (Buffer.isBuffer(real)) prefixes.push(splitPath(real));
    for (const prefix of prefixes) {
      const rest = without(names, prefix);
      if (rest === undefined || (found !== undefined && found.names.length <= rest.length))
        continue;
      found = { root, real, names: rest };
    }
  }
  if (found === undefined) throw outside();
  return opened(found);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** @throws what the system says of the root. */
function opened<T extends { readonly real: Buffer | Error }>(found: T): T & { real: Buffer } {
  const { real } = found;
  if (!Buffer.isBuffer(real)) throw real;
  return { ...found, real };
}

/** What is left of names after a prefix. */
function without(names: readonly Buffer[], prefix: readonly Buffer[]): Buffer[] | undefined {
  const isWithin = prefix.every((name, index) => names[index]?.equals(name) === true);
  return isWithin ? names.slice(prefix.length) : undefined;
}

function outside(): CopyError {
  return new CopyError('ERR_COPY_OUTSIDE', 'the path leads out of what the key allows');
}

/**
 * Goes down from a root, name by name, each folder opened from within the one before. Symbolic links
 * are followed by hand, as far as they stay inside; `..` goes back the way that led here.
 *
 * @param real the root's own path, which absolute links may begin with.
 * @throws CopyError `ERR_COPY_OUTSIDE`; what the system says, such as `ENOENT` for a folder on the way.
 */
export async function resolveInside(real: Buffer, names: readonly Buffer[]): Promise<Place> {
  const way: Folder[] = [await Folder.open(real)];
  const ahead = [...names];
  let links = 0;
  try {
    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      const folder = way.at(-1);
      if (folder === undefined) throw outside();
      if (isDotDot(name)) {
        if (way.length === 1) throw outside();
        way.pop()?.release();
        continue;
      }
      const stats = await lookFor(folder, name);
      if (stats?.isSymbolicLink() === true) {
        links += 1;
        if (links > MAX_LINKS) throw systemError('ELOOP');
        const target = await readlink(folder.at(name), { encoding: 'buffer' });
        ahead.unshift(...followed(target, real, way));
      } else if (stats?.isDirectory() === true) {
        way.push(await folder.enter(name));
      } else if (ahead.length > 0) {
        throw systemError(stats === undefined ? 'ENOENT' : 'ENOTDIR');
      } else {
        const kind = stats === undefined ? 'missing' : 'file';
        return { kind, folder: folder.retain(), name };
      }
    }
    const folder = way.at(-1);
    if (folder === undefined) throw outside();
    return { kind: 'folder', folder: folder.retain() };
  } finally {
    for (const folder of way) folder.release();
  }
}

/** The names that a link stands for; an absolute one begins at the root again. */
function followed(target: Buffer, real: Buffer, way: Folder[]): Buffer[] {
  const names = splitPath(target);
  if (!isAbsolute(target)) return names;
  const rest = without(names, splitPath(real));
  if (rest === undefined) throw outside();
  for (const folder of way.splice(1)) folder.release();
  return rest;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/**
 * A path of the user's own, for which all of the machine is open and links are followed.
 *
 * @throws CopyError `ERR_COPY_SPECIAL` for a link to a pipe or the like; what the system says.
 */
export async function resolveOwn(path: string): Promise<Place> {
  const bytes = pathBytes(path === '' ? '.' : path);
  let real: Buffer;
  try {
    real = await realpath(bytes, { encoding: 'buffer' });
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    await refuseLinkToSpecial(bytes);
    const name = splitPath(bytes).at(-1);
    if (name === undefined || isDotDot(name)) throw error;
    return { kind: 'missing', folder: await Folder.open(parentOf(bytes)), name };
  }
  try {
    return { kind: 'folder', folder: await Folder.open(real) };
  } catch (error) {
    const name = splitPath(real).at(-1);
    if (systemCodeOf(error) !== 'ENOTDIR' || name === undefined) throw error;
    return { kind: 'file', folder: await Folder.open(parentOf(real)), name };
  }
}

/** Such as `/dev/stdout`: it leads to a pipe, which has no path that `realpath` could tell. */
async function refuseLinkToSpecial(path: Buffer): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats !== undefined) throw special();
}

function parentOf(path: Buffer): Buffer {
  const names = splitPath(path).slice(0, -1);
  const start = Buffer.from(isAbsolute(path) ? '/' : './');
  return Buffer.concat([start, ...names.flatMap((name) => [name, SLASH])]);
}
