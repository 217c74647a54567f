/** Two sessions in one process, one of which serves a temporary folder, and trees of files. */
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { filesService } from '../../src/copy/index.js';
import { connectInMemory, type InMemoryPair, type RovingSession } from '../../src/node/index.js';
import { ServiceHost } from '../../src/service/index.js';

export interface CopyRig {
  readonly client: RovingSession;
  readonly server: RovingSession;
  readonly carriers: InMemoryPair['carriers'];
  /** The folder that is served. */
  readonly served: string;
  /** A folder of the client's. */
  readonly own: string;
  /** Both lie in it, and nothing else. */
  readonly base: string;
}

/** Runs with a served folder and one of the client's; all is removed afterwards. */
export async function withCopyRig(
  run: (rig: CopyRig) => Promise<void>,
  grants: (base: string) => string[] = (base) => [`files:${join(base, 'served')}`],
): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), 'roving-copy-'));
  const [served, own] = [join(base, 'served'), join(base, 'own')];
  mkdirSync(served);
  mkdirSync(own);
  const { client, server, carriers } = await connectInMemory();
  try {
    new ServiceHost([filesService()]).attach(server, grants(base));
    await run({ client, server, carriers, served, own, base });
  } finally {
    for (const session of [client, server]) if (!session.isClosed) session.abort();
    await rm(base, { recursive: true, force: true });
  }
}

/** What a tree is, as text: one line for each entry. */
export function describeTree(path: string, options: { times?: boolean } = {}): string[] {
  const lines: string[] = [];
  const visit = (at: string, shown: string): void => {
    const stats = lstatSync(at);
    const mode = (stats.mode & 0o777).toString(8);
    const time = options.times === false ? '' : ` ${Math.round(stats.mtimeMs)}`;
    if (stats.isDirectory()) {
      lines.push(`${shown}/ ${mode}${time}`);
      for (const name of readdirSync(at, { encoding: 'latin1' }).sort()) {
        visit(join(at, Buffer.from(name, 'latin1').toString()), `${shown}/${name}`);
      }
    } else if (stats.isSymbolicLink()) {
      lines.push(`${shown} -> ${readlinkSync(at)}`);
    } else {
      lines.push(`${shown} ${mode} ${hashOf(at)}${time}`);
    }
  };
  visit(path, '');
  return lines;
}

export function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Bytes that look random, and are the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed * 2654435761 || 1;
  for (let index = 0; index + 4 <= length; index += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state | 0, index);
  }
  return bytes;
}

/** The parts that lie in a folder. */
export function partsIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.roving-part'));
}
