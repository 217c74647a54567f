/**
 * Names of files are bytes: no encoding is assumed, and none is lost.
 *
 * @module
 */

import { CopyError } from './errors.js';

const SLASH = 0x2f;
const DOT = Buffer.from('.');
const DOT_DOT = Buffer.from('..');

/**
 * Checks a name that the peer gave, before it becomes part of a path.
 *
 * @throws CopyError `ERR_COPY_NAME`.
 */
export function checkName(name: Buffer): void {
  if (name.length === 0) throw new CopyError('ERR_COPY_NAME', 'an empty name cannot be used');
  if (name.equals(DOT) || name.equals(DOT_DOT)) {
    throw new CopyError('ERR_COPY_NAME', `the name ${name} cannot be used`);
  }
  if (name.includes(0) || name.includes(SLASH) || !isUsableOnWindows(name)) {
    throw new CopyError('ERR_COPY_NAME', 'the name has a character that no name can have here');
  }
}

function isUsableOnWindows(name: Buffer): boolean {
  return process.platform !== 'win32' || !/[\\:*?"<>|]/.test(name.toString('latin1'));
}

/** A path's names, without empty ones and `.`; `..` stays. */
export function splitPath(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start <= path.length; ) {
    const slash = path.indexOf(SLASH, start);
    const end = slash === -1 ? path.length : slash;
    const name = path.subarray(start, end);
    if (name.length > 0 && !name.equals(DOT)) names.push(name);
    start = end + 1;
  }
  return names;
}

export function isDotDot(name: Buffer): boolean {
  return name.equals(DOT_DOT);
}

export function isAbsolute(path: Buffer): boolean {
  return path[0] === SLASH;
}

/** A source as it was named. */
export interface SourceName {
  /** Empty: what is in it is meant, as with `.`, `..`, `/` and nothing at all. */
  readonly name: string;
  /** It ends in a slash, or stands for its content: nothing but a folder will do. */
  readonly isFolderOnly: boolean;
}

/** What the copy of a source is called, by the rules of `cp -r`. */
export function sourceName(path: string): SourceName {
  const last = path.slice(path.replace(/\/+$/, '').lastIndexOf('/') + 1);
  const name = last.replace(/\/+$/, '');
  if (name === '' || name === '.' || name === '..') return { name: '', isFolderOnly: true };
  return { name, isFolderOnly: last !== name };
}

/** @throws CopyError `ERR_COPY_NAME`: no path of the system holds a zero character. */
export function pathBytes(path: string): Buffer {
  if (path.includes('\0')) {
    throw new CopyError('ERR_COPY_NAME', 'a path cannot have a zero character');
  }
  return Buffer.from(path);
}
