/**
 * Parts: files that are not whole yet, beside the place where they will be. A part's name says for
 * which name it is, from which version of the source, and who writes it:
 *
 *     .NAME.<hash of NAME>-<hash of the version>-<host>-<process>-<its start>-<chance>.roving-part
 *
 * So each writer has a part of its own, and what a process left behind that is no more can be told
 * from what another one is still writing. An abandoned part is taken over by renaming it, which only
 * one can do; of a part that lives, the content is copied.
 *
 * @module
 */

import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { systemCodeOf } from './errors.js';
import { type Folder, lookFor } from './folder.js';

const SUFFIX = '.roving-part';
/** So much of the name is in the part's name, for people; the whole stays within 143 bytes. */
const SHOWN_NAME_BYTES = 40;
const HASH_CHARACTERS = 12;
const PATTERN =
  /\.([0-9a-f]{12})-([0-9a-f]{12})-([0-9a-f]{6}-\d+-\d+)-([0-9a-f]{12})\.roving-part$/;

/** Less is not worth a resumption, and is not kept. */
export const MIN_RESUMED_BYTES = 64 * 1024;

/**
 * A part of another host that nobody has written to for so long is abandoned: as long as sessions wait
 * for their other end.
 */
const FOREIGN_PART_MS = 24 * 60 * 60 * 1000;

/** A part that was found. */
export interface FoundPart {
  readonly fileName: Buffer;
  readonly nameHash: string;
  readonly versionHash: string;
  readonly process: string;
  readonly id: string;
}

export function isPartName(name: Buffer): boolean {
  return name[0] === 0x2e && PATTERN.test(name.toString('latin1'));
}

function parsePartName(fileName: Buffer): FoundPart | undefined {
  if (fileName[0] !== 0x2e) return undefined;
  const match = PATTERN.exec(fileName.toString('latin1'));
  if (match === null) return undefined;
  const [, nameHash = '', versionHash = '', process = '', id = ''] = match;
  return { fileName, nameHash, versionHash, process, id };
}

function shortHash(value: Buffer | string): string {
  return createHash('sha256').update(value).digest('hex').slice(0, HASH_CHARACTERS);
}

/** What an unfinished copy on this machine might be in the way of; see {@link LiveParts}. */
export interface PartOwner {
  /** Whether nothing has been heard of the other end lately. */
  isStale(): boolean;
  /** Stops writing, and keeps the part. */
  interrupt(): Promise<void>;
}

/** The parts that this process writes, by id: bounded by what its copies write at a time. */
const live = new Map<string, PartOwner>();

/** A name for a new part, which this process owns until {@link disownPart}. */
export function ownPart(
  name: Buffer,
  version: string,
  owner: PartOwner,
): { fileName: Buffer; id: string } {
  const id = randomBytes(HASH_CHARACTERS / 2).toString('hex');
  live.set(id, owner);
  const marks = `${shortHash(name)}-${shortHash(version)}-${ownProcess()}-${id}`;
  const shown = name.subarray(0, SHOWN_NAME_BYTES);
  const dot = Buffer.from('.');
  const fileName = Buffer.concat([dot, shown, Buffer.from(`.${marks}${SUFFIX}`)]);
  return { fileName, id };
}

export function disownPart(id: string): void {
  live.delete(id);
}

/** The parts in a folder, by the hash of the name that they are for. */
export class PartIndex {
  readonly #parts = new Map<string, FoundPart[]>();

  /** A folder that cannot be read has none. */
  static async read(folder: Folder): Promise<PartIndex> {
    const index = new PartIndex();
    try {
      for await (const name of folder.names()) {
        const part = parsePartName(name);
        if (part !== undefined) index.#add(part);
      }
    } catch (error) {
      if (systemCodeOf(error) === undefined) throw error;
    }
    return index;
  }

  #add(part: FoundPart): void {
    const parts = this.#parts.get(part.nameHash);
    if (parts === undefined) this.#parts.set(part.nameHash, [part]);
    else parts.push(part);
  }

  /** Those for a name; they are not given out again. */
  take(name: Buffer): FoundPart[] {
    if (this.#parts.size === 0) return [];
    const key = shortHash(name);
    const parts = this.#parts.get(key) ?? [];
    this.#parts.delete(key);
    return parts;
  }
}

function isOfVersion(part: FoundPart, version: string): boolean {
  return part.versionHash === shortHash(version);
}

/**
 * Whether a part belongs to nobody any more. A copy in this process whose other end is silent is
 * stopped for it: its client has probably come back with another session. Of a part of another host,
 * or of this one under another name, only its age can be seen.
 */
export async function isAbandoned(folder: Folder, part: FoundPart): Promise<boolean> {
  if (part.process === ownProcess()) {
    const owner = live.get(part.id);
    if (owner === undefined) return true;
    if (!owner.isStale()) return false;
    await owner.interrupt();
    return true;
  }
  const [host, id = '', start] = part.process.split('-');
  if (host !== ownHost()) return isOld(folder, part);
  if (!isProcessRunning(Number(id))) return true;
  const now = await startOf(id);
  return now !== undefined && start !== '0' && now !== start;
}

async function isOld(folder: Folder, part: FoundPart): Promise<boolean> {
  const stats = await lookFor(folder, part.fileName).catch(() => undefined);
  return stats !== undefined && Date.now() - Number(stats.mtimeMs) > FOREIGN_PART_MS;
}

export async function removePart(folder: Folder, fileName: Buffer): Promise<void> {
  await unlink(folder.at(fileName)).catch(() => undefined);
}

function isProcessRunning(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return systemCodeOf(error) !== 'ESRCH';
  }
}

/** Linux: when a process began, in ticks since the machine did (proc(5), field 22). */
async function startOf(id: string): Promise<string | undefined> {
  try {
    return startField(await readFile(`/proc/${id}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

function startField(stat: string): string | undefined {
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .at(19);
}

let processMark: string | undefined;
let hostMark: string | undefined;

function ownHost(): string {
  hostMark ??= createHash('sha256').update(hostname()).digest('hex').slice(0, 6);
  return hostMark;
}

function ownProcess(): string {
  if (processMark === undefined) {
    let start: string | undefined;
    try {
      start = startField(readFileSync('/proc/self/stat', 'latin1'));
    } catch {
      // Not Linux: a process that has the same number later will be taken for this one.
    }
    processMark = `${ownHost()}-${process.pid}-${start ?? '0'}`;
  }
  return processMark;
}

/**
 * The part that is worth going on with, if there is one. Abandoned ones that are not, of this version
 * of the source or an older one, are removed.
 */
export async function choosePart(
  folder: Folder,
  parts: readonly FoundPart[],
  version: string,
): Promise<FoundPart | undefined> {
  let best: { readonly part: FoundPart; readonly size: bigint } | undefined;
  const others: FoundPart[] = [];
  for (const part of parts) {
    const size = isOfVersion(part, version) ? await sizeOf(folder, part) : 0n;
    const isBetter = size >= MIN_RESUMED_BYTES && size > (best?.size ?? 0n);
    if (!isBetter) {
      others.push(part);
      continue;
    }
    if (best !== undefined) others.push(best.part);
    best = { part, size };
  }
  for (const part of others) {
    if (await isAbandoned(folder, part)) await removePart(folder, part.fileName);
  }
  return best?.part;
}

async function sizeOf(folder: Folder, part: FoundPart): Promise<bigint> {
  const stats = await lookFor(folder, part.fileName);
  return stats?.isFile() === true ? stats.size : 0n;
}
