import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CopyProgress, copyFromRemote, copyToRemote } from '../../src/copy/index.js';
import { describeTree, noise, partsIn, withCopyRig } from './rig.js';

const MIB = 1024 * 1024;
const OLD = new Date('2001-02-03T04:05:06.789Z');

/** A tree with what trees have: sizes around the borders, modes, times, empty folders. */
function plantTree(at: string): void {
  mkdirSync(join(at, 'deep/er/still'), { recursive: true });
  mkdirSync(join(at, 'empty'));
  for (const size of [0, 1, 4095, 65_536, 262_144, 262_145, 3 * MIB]) {
    writeFileSync(join(at, `file-${size}`), noise(size, size + 1));
  }
  writeFileSync(join(at, 'deep/er/still/leaf'), 'leaf');
  writeFileSync(join(at, 'deep/run.sh'), '#!/bin/sh\n');
  chmodSync(join(at, 'deep/run.sh'), 0o755);
  chmodSync(join(at, 'file-1'), 0o600);
  chmodSync(join(at, 'file-4095'), 0o444);
  utimesSync(join(at, 'file-65536'), OLD, OLD);
  chmodSync(join(at, 'empty'), 0o700);
  chmodSync(join(at, 'deep/er/still'), 0o555);
  for (const folder of ['deep/er/still', 'deep/er', 'deep', 'empty', '']) {
    utimesSync(join(at, folder), OLD, OLD);
  }
}

/** Until the clock is past the last change of a file. */
async function untilClockTicks(path: string): Promise<void> {
  while (Date.now() <= statSync(path).ctimeMs + 20) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a copy', () => {
  it('takes a tree to the other end, with content, permissions and times', () =>
    withCopyRig(async ({ client, served, own }) => {
      const tree = join(own, 'tree');
      mkdirSync(tree);
      plantTree(tree);
      const result = await copyToRemote(client, [tree], '');
      expect(result).toMatchObject({ files: 9, folders: 5, failed: [], skipped: [] });
      expect(describeTree(join(served, 'tree'))).toEqual(describeTree(tree));
      expect(partsIn(join(served, 'tree'))).toEqual([]);
    }));

  it('takes a tree from the other end, with content, permissions and times', () =>
    withCopyRig(async ({ client, served, own }) => {
      const tree = join(served, 'tree');
      mkdirSync(tree);
      plantTree(tree);
      const result = await copyFromRemote(client, ['tree'], own);
      expect(result).toMatchObject({ files: 9, folders: 5, failed: [], skipped: [] });
      expect(describeTree(join(own, 'tree'))).toEqual(describeTree(tree));
    }));

  it('leaves permissions and times to this machine if told so', () =>
    withCopyRig(async ({ client, served, own }) => {
      const before = Date.now();
      writeFileSync(join(own, 'a'), 'a');
      chmodSync(join(own, 'a'), 0o777);
      utimesSync(join(own, 'a'), OLD, OLD);
      const options = { preserveModes: false, preserveTimes: false };
      await copyToRemote(client, [join(own, 'a')], '', options);
      const stats = statSync(join(served, 'a'));
      expect(stats.mode & 0o777).toBe(0o777 & ~process.umask());
      expect(stats.mtimeMs).toBeGreaterThan(before - 5_000);
    }));

  it('does not carry set-uid and its like', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'tool'), 'x');
      chmodSync(join(own, 'tool'), 0o4755);
      await copyToRemote(client, [join(own, 'tool')], '');
      expect(statSync(join(served, 'tool')).mode & 0o7777).toBe(0o755);
    }));

  it('tells its progress, which ends with all there is', () =>
    withCopyRig(async ({ client, own }) => {
      writeFileSync(join(own, 'large'), noise(5 * MIB));
      writeFileSync(join(own, 'small'), 'small');
      const seen: CopyProgress[] = [];
      await copyToRemote(client, [join(own, 'large'), join(own, 'small')], '', {
        onProgress: (progress) => seen.push(progress),
      });
      const total = 5 * MIB + 5;
      expect(seen.at(-1)).toMatchObject({
        bytes: total,
        totalBytes: total,
        files: 2,
        totalFiles: 2,
      });
      expect(seen.at(-1)?.isTotalFinal).toBe(true);
      const bytes = seen.map((progress) => progress.bytes);
      expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
      expect(seen.some(({ current }) => current.endsWith('large'))).toBe(true);
      expect(new Set(bytes).size).toBeGreaterThan(4);
    }));

  it('replaces what is there, and a symbolic link rather than what it leads to', () =>
    withCopyRig(async ({ client, served, own, base }) => {
      writeFileSync(join(base, 'precious'), 'precious');
      symlinkSync(join(base, 'precious'), join(own, 'b'));
      writeFileSync(join(own, 'a'), 'old');
      mkdirSync(join(served, 'd'));
      writeFileSync(join(served, 'd/a'), 'new');
      writeFileSync(join(served, 'd/b'), 'new');
      await copyFromRemote(client, ['d/a', 'd/b'], own);
      expect(readFileSync(join(own, 'a'), 'utf8')).toBe('new');
      expect(readFileSync(join(own, 'b'), 'utf8')).toBe('new');
      expect(readFileSync(join(base, 'precious'), 'utf8')).toBe('precious');
    }));

  it('leaves alone what is there already, if asked to update', () =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(own, 't'));
      for (const name of ['same', 'longer', 'later']) writeFileSync(join(own, 't', name), name);
      await copyToRemote(client, [join(own, 't')], '');
      writeFileSync(join(own, 't/longer'), 'longer now');
      utimesSync(join(own, 't/later'), OLD, OLD);
      const inode = statSync(join(served, 't/same')).ino;
      const result = await copyToRemote(client, [join(own, 't')], '', { update: true });
      expect(result).toMatchObject({ files: 3, unchanged: 1 });
      expect(statSync(join(served, 't/same')).ino).toBe(inode);
      expect(describeTree(join(served, 't'))).toEqual(describeTree(join(own, 't')));
    }));

  it('leaves alone only what came lately, if asked to; what was there before is replaced', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'a'), 'new');
      writeFileSync(join(served, 'a'), 'old');
      for (const folder of [own, served]) utimesSync(join(folder, 'a'), OLD, OLD);
      await untilClockTicks(join(served, 'a'));
      const update = (updateWithinMs: number) =>
        copyToRemote(client, [join(own, 'a')], '', { update: true, updateWithinMs });
      expect(await update(0)).toMatchObject({ unchanged: 0 });
      expect(readFileSync(join(served, 'a'), 'utf8')).toBe('new');
      expect(await update(3_600_000)).toMatchObject({ unchanged: 1 });
      expect(await copyFromRemote(client, ['a'], own, { update: true })).toMatchObject({
        unchanged: 1,
      });
      await expect(update(-1)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    }));

  it('costs no round trip for each of thousands of small files', () =>
    withCopyRig(async ({ client, server, served, own }) => {
      for (let folder = 0; folder < 10; folder += 1) {
        mkdirSync(join(own, 'many', String(folder)), { recursive: true });
        for (let file = 0; file < 200; file += 1) {
          writeFileSync(join(own, 'many', String(folder), `f${file}`), `${folder}-${file}`);
        }
      }
      let streams = 0;
      server.on('stream', () => {
        streams += 1;
      });
      // The window of entries that are announced and not answered says how many can be in one trip.
      const waiting: number[] = [];
      const result = await copyToRemote(client, [join(own, 'many')], '', {
        sync: false,
        onProgress: ({ files, totalFiles }) => waiting.push(totalFiles - files),
      });
      expect(result).toMatchObject({ files: 2_000, folders: 11, failedCount: 0 });
      expect(streams).toBe(1);
      expect(Math.max(...waiting)).toBeGreaterThan(100);
      expect(Math.max(...waiting)).toBeLessThanOrEqual(1_024);
      expect(describeTree(join(served, 'many'))).toEqual(describeTree(join(own, 'many')));
    }));

  it('goes through a deep tree within its window of entries', () =>
    withCopyRig(async ({ client, served, own }) => {
      const path = Array.from({ length: 100 }, () => 'd').join('/');
      mkdirSync(join(own, path), { recursive: true });
      writeFileSync(join(own, path, 'leaf'), 'leaf');
      const result = await copyToRemote(client, [join(own, 'd')], '', { maxWaiting: 1 });
      expect(result).toMatchObject({ files: 1, folders: 100, failed: [] });
      expect(readFileSync(join(served, path, 'leaf'), 'utf8')).toBe('leaf');
    }));

  it('stops at the depth that is allowed, and says so', () =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(own, 'a/b/c/d'), { recursive: true });
      const result = await copyToRemote(client, [join(own, 'a')], '', { maxDepth: 3 });
      expect(result.failed).toMatchObject([{ path: join(own, 'a/b/c/d'), code: 'ERR_COPY_DEPTH' }]);
      expect(existsSync(join(served, 'a/b/c'))).toBe(true);
      expect(existsSync(join(served, 'a/b/c/d'))).toBe(false);
    }));
});

describe('the destination', () => {
  it.each([
    ['the root of what is served', '', 'a'],
    ['a folder that is there', 'there', 'there/a'],
    ['a folder that is there, with a slash', 'there/', 'there/a'],
    ['a new name', 'new', 'new'],
    ['a new name in a folder', 'there/new', 'there/new'],
    ['a file that is there', 'file', 'file'],
  ])('%s takes a file as cp would', (_what, destination, expected) =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(served, 'there'));
      writeFileSync(join(served, 'file'), 'old');
      writeFileSync(join(own, 'a'), 'content');
      const result = await copyToRemote(client, [join(own, 'a')], destination);
      expect(result).toMatchObject({ files: 1, failed: [] });
      expect(readFileSync(join(served, expected), 'utf8')).toBe('content');
    }),
  );

  it.each([
    ['a folder that is there', 'there', 'there/d/a'],
    ['a new name', 'new', 'new/a'],
    ['a new name with a slash', 'new/', 'new/a'],
  ])('%s takes a folder as cp -r would', (_what, destination, expected) =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(own, 'there'));
      mkdirSync(join(served, 'd'));
      writeFileSync(join(served, 'd/a'), 'content');
      const target = `${own}/${destination}`;
      const result = await copyFromRemote(client, ['d'], target);
      expect(result).toMatchObject({ files: 1, failed: [] });
      expect(readFileSync(join(own, expected), 'utf8')).toBe('content');
    }),
  );

  it.each(['', '.', './', 'sub/..'])('takes what is in the folder %j itself', (source) =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(served, 'sub'));
      writeFileSync(join(served, 'sub/a'), 'content');
      const modeBefore = statSync(own).mode;
      chmodSync(served, 0o711);
      const result = await copyFromRemote(client, [source], own);
      expect(result).toMatchObject({ files: 1, failed: [] });
      expect(readdirSync(own)).toEqual(['sub']);
      expect(statSync(own).mode).toBe(modeBefore);
    }),
  );

  it('must be a folder for several sources', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'a'), 'a');
      writeFileSync(join(own, 'b'), 'b');
      writeFileSync(join(served, 'file'), 'old');
      const sources = [join(own, 'a'), join(own, 'b')];
      const copy = (to: string) => copyToRemote(client, sources, to);
      await expect(copy('nowhere')).rejects.toMatchObject({ systemCode: 'ENOENT' });
      await expect(copy('file')).rejects.toMatchObject({ systemCode: 'ENOTDIR' });
      expect(readFileSync(join(served, 'file'), 'utf8')).toBe('old');
      const back = copyFromRemote(client, ['file', 'file'], join(own, 'nowhere'));
      const expected = { code: 'ERR_COPY_DESTINATION', systemCode: 'ENOENT' };
      await expect(back).rejects.toMatchObject(expected);
      expect(await copy('')).toMatchObject({ files: 2 });
    }));

  it('must be in a folder that is there', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'a'), 'a');
      const copy = copyToRemote(client, [join(own, 'a')], 'no/where');
      const refused = { code: 'ERR_SERVICE_FAILED', systemCode: 'ENOENT' };
      await expect(copy).rejects.toMatchObject(refused);
      const { failed } = await copyToRemote(client, [join(own, 'a')], 'new/');
      expect(failed).toMatchObject([{ code: 'ERR_COPY_DESTINATION' }]);
      expect(readdirSync(served)).toEqual([]);
    }));

  it('that is a folder is not replaced by a file, nor a file by a folder', () =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(served, 'x/a'), { recursive: true });
      writeFileSync(join(served, 'x/d'), 'a file');
      writeFileSync(join(own, 'a'), 'a');
      mkdirSync(join(own, 'd'));
      writeFileSync(join(own, 'd/in'), 'in');
      const result = await copyToRemote(client, [join(own, 'a'), join(own, 'd')], 'x');
      expect(result.failed.map(({ path, code }) => [path, code]).sort()).toEqual([
        [join(own, 'a'), 'EISDIR'],
        [join(own, 'd'), 'ENOTDIR'],
      ]);
      expect(result.files).toBe(0);
      expect(readdirSync(join(served, 'x')).sort()).toEqual(['a', 'd']);
    }));
});
