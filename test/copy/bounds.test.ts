/** What a key does not allow is neither read nor written, whatever the path looks like. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copyFromRemote, copyToRemote } from '../../src/copy/index.js';
import { describeTree, withCopyRig } from './rig.js';

/** The served folder with things in it, and things beside it that nobody may see. */
function plant({ base, served, own }: { base: string; served: string; own: string }): void {
  mkdirSync(join(base, 'secret'));
  writeFileSync(join(base, 'secret/key'), 'secret');
  mkdirSync(join(base, 'served-too'));
  writeFileSync(join(base, 'served-too/key'), 'secret');
  mkdirSync(join(served, 'in/side'), { recursive: true });
  writeFileSync(join(served, 'in/side/a'), 'a');
  symlinkSync(join(base, 'secret'), join(served, 'out'));
  symlinkSync('../secret/key', join(served, 'out-file'));
  symlinkSync('in/side', join(served, 'link-in'));
  symlinkSync(join(served, 'in/side/a'), join(served, 'in/link-to-a'));
  symlinkSync('../../secret', join(served, 'in/out-by-steps'));
  symlinkSync('loop', join(served, 'loop'));
  symlinkSync('../secret/new', join(served, 'dangling-out'));
  writeFileSync(join(own, 'mine'), 'mine');
}

const ESCAPES: readonly [what: string, path: (base: string) => string][] = [
  ['the folder above', () => '..'],
  ['a name above', () => '../secret/key'],
  ['a name above, after a way down', () => 'in/../../secret/key'],
  ['a name above, many times', () => '../../../../../../../../etc/passwd'],
  ['an absolute path', () => '/etc/passwd'],
  ['the absolute path beside', (base) => join(base, 'secret/key')],
  ['a folder whose name begins alike', (base) => join(base, 'served-too/key')],
  ['an absolute path that goes up again', (base) => `${base}/served/../secret/key`],
  ['the root of the machine', () => '/'],
  ['the root of the machine, doubled', () => '//etc/passwd'],
  ['a symbolic link that leads out', () => 'out'],
  ['a name behind a symbolic link', () => 'out/key'],
  ['a symbolic link to a file outside', () => 'out-file'],
  ['a symbolic link that climbs', () => 'in/out-by-steps/key'],
  ['a way up from a link to its target', () => 'link-in/../../../secret/key'],
];

const LOOKALIKES = [
  '\u2025/secret/key',
  '\uff0e\uff0e/secret/key',
  '..\u2215secret\u2215key',
  '%2e%2e/secret/key',
  '..\\secret\\key',
  '..;/secret/key',
];

describe('a path that leads out', () => {
  it.each(ESCAPES)('is not read: %s', (_what, path) =>
    withCopyRig(async (rig) => {
      plant(rig);
      const result = await copyFromRemote(rig.client, [path(rig.base)], rig.own);
      expect(result.failed).toMatchObject([{ code: 'ERR_COPY_OUTSIDE' }]);
      expect(readdirSync(rig.own)).toEqual(['mine']);
    }),
  );

  it.each(ESCAPES)('is not written: %s', (_what, path) =>
    withCopyRig(async (rig) => {
      plant(rig);
      const before = describeTree(rig.base);
      const copy = copyToRemote(rig.client, [join(rig.own, 'mine')], path(rig.base));
      await expect(copy).rejects.toMatchObject({ code: 'ERR_SERVICE_DENIED' });
      expect(describeTree(rig.base)).toEqual(before);
    }),
  );

  it.each(LOOKALIKES)('is a plain name if it only looks like one: %j', (path) =>
    withCopyRig(async (rig) => {
      plant(rig);
      const result = await copyFromRemote(rig.client, [path], rig.own);
      expect(result.failed).toMatchObject([{ code: 'ENOENT' }]);
      expect(readdirSync(rig.own)).toEqual(['mine']);
    }),
  );

  it('by a link that leads to nothing yet is not made', () =>
    withCopyRig(async (rig) => {
      plant(rig);
      const copy = copyToRemote(rig.client, [join(rig.own, 'mine')], 'dangling-out');
      await expect(copy).rejects.toMatchObject({ code: 'ERR_SERVICE_DENIED' });
      expect(existsSync(join(rig.base, 'secret/new'))).toBe(false);
    }));

  it('by a loop of links ends', () =>
    withCopyRig(async (rig) => {
      plant(rig);
      const { failed } = await copyFromRemote(rig.client, ['loop'], rig.own);
      expect(failed).toMatchObject([{ code: 'ELOOP' }]);
    }));

  it('with a zero character is refused', () =>
    withCopyRig(async (rig) => {
      const { failed } = await copyFromRemote(rig.client, ['a\0b'], rig.own);
      expect(failed).toMatchObject([{ code: 'ERR_COPY_NAME' }]);
      const own = await copyToRemote(rig.client, ['a\0b'], '');
      expect(own.failed).toMatchObject([{ code: 'ERR_COPY_NAME' }]);
    }));

  it('does not tell whether there is something', () =>
    withCopyRig(async (rig) => {
      plant(rig);
      const paths = ['../secret/key', '../secret/none', join(rig.base, 'none'), 'out/none'];
      const { failed } = await copyFromRemote(rig.client, paths, rig.own);
      expect(new Set(failed.map(({ code, message }) => code + message)).size).toBe(1);
    }));
});

describe('a path that stays inside', () => {
  it.each([
    ['an absolute one', (base: string) => join(base, 'served/in/side/a')],
    ['one with detours', () => './in//side/../side/./a'],
    ['one through a link', () => 'link-in/a'],
    ['one up from a folder behind a link', () => 'link-in/../side/a'],
    ['one of a link that is absolute', () => 'in/link-to-a'],
  ])('is read: %s', (_what, path) =>
    withCopyRig(async (rig) => {
      plant(rig);
      const result = await copyFromRemote(rig.client, [path(rig.base)], join(rig.own, 'got'));
      expect(result).toMatchObject({ files: 1, failed: [] });
      expect(readFileSync(join(rig.own, 'got'), 'utf8')).toBe('a');
    }),
  );
});

describe('a tree', () => {
  it('is read without its symbolic links, which are told', () =>
    withCopyRig(async (rig) => {
      plant(rig);
      const result = await copyFromRemote(rig.client, [''], rig.own);
      expect(result.failed).toEqual([]);
      expect(result.skipped.map(({ code }) => code)).toEqual(Array(7).fill('ERR_COPY_LINK'));
      expect(readdirSync(rig.own).sort()).toEqual(['in', 'mine']);
      expect(readdirSync(join(rig.own, 'in'))).toEqual(['side']);
    }));

  it('is not written through a symbolic link that is in its way', () =>
    withCopyRig(async (rig) => {
      plant(rig);
      mkdirSync(join(rig.own, 't/out'), { recursive: true });
      writeFileSync(join(rig.own, 't/out/key'), 'overwritten');
      writeFileSync(join(rig.own, 't/fine'), 'fine');
      const source = `${join(rig.own, 't')}/.`;
      const result = await copyToRemote(rig.client, [source], '');
      expect(result.failed).toMatchObject([{ code: 'ENOTDIR' }]);
      expect(readFileSync(join(rig.base, 'secret/key'), 'utf8')).toBe('secret');
      expect(readFileSync(join(rig.served, 'fine'), 'utf8')).toBe('fine');
    }));

  it('goes where it was to go, also if a folder is swapped for a link meanwhile', () =>
    withCopyRig(async (rig) => {
      plant(rig);
      mkdirSync(join(rig.own, 't/sub'), { recursive: true });
      for (let index = 0; index < 200; index += 1) {
        writeFileSync(join(rig.own, `t/sub/f${index}`), 'overwritten');
      }
      let isSwapped = false;
      const result = await copyToRemote(rig.client, [join(rig.own, 't')], '', {
        concurrency: 1,
        maxWaiting: 4,
        onProgress: ({ files }) => {
          if (isSwapped || files < 3) return;
          isSwapped = true;
          renameSync(join(rig.served, 't/sub'), join(rig.served, 't/moved'));
          symlinkSync(join(rig.base, 'secret'), join(rig.served, 't/sub'));
        },
      });
      expect(isSwapped).toBe(true);
      expect(readdirSync(join(rig.base, 'secret'))).toEqual(['key']);
      if (process.platform === 'linux') {
        expect(result.failed).toEqual([]);
        expect(readdirSync(join(rig.served, 't/moved')).length).toBe(200);
      }
    }));
});

describe('grants', () => {
  const NONE: [string, string[]][] = [
    ['none', []],
    ['others', ['forward', 'shell']],
    ['one without a folder', ['files', 'files:', 'files-ro:']],
  ];
  it.each(NONE)('that name no folder allow nothing: %s', (_what, grants) =>
    withCopyRig(
      async ({ client, own }) => {
        const denied = { code: 'ERR_SERVICE_DENIED' };
        await expect(copyFromRemote(client, [''], own)).rejects.toMatchObject(denied);
        await expect(copyToRemote(client, [own], '')).rejects.toMatchObject(denied);
      },
      () => grants,
    ),
  );

  it('to read only refuse to be written to', () =>
    withCopyRig(
      async ({ client, own, served }) => {
        writeFileSync(join(served, 'a'), 'a');
        const denied = { code: 'ERR_SERVICE_DENIED', systemCode: 'EROFS' };
        await expect(copyToRemote(client, [own], '')).rejects.toMatchObject(denied);
        expect(readdirSync(served)).toEqual(['a']);
        expect(await copyFromRemote(client, ['a'], own)).toMatchObject({ files: 1 });
      },
      (base) => [`files-ro:${join(base, 'served')}`],
    ));

  it('may name several folders, of which the innermost counts and the first is meant', () =>
    withCopyRig(
      async ({ client, own, base, served }) => {
        mkdirSync(join(base, 'other/locked'), { recursive: true });
        writeFileSync(join(own, 'a'), 'a');
        const put = (to: string) => copyToRemote(client, [join(own, 'a')], to);
        expect(await put('relative')).toMatchObject({ files: 1 });
        expect(await put(join(base, 'other'))).toMatchObject({ files: 1 });
        const refused = { systemCode: 'EROFS' };
        await expect(put(join(base, 'other/locked'))).rejects.toMatchObject(refused);
        expect(readdirSync(served)).toEqual(['relative']);
        expect(readdirSync(join(base, 'other')).sort()).toEqual(['a', 'locked']);
      },
      (base) => [
        `files:${join(base, 'served')}`,
        `files:${join(base, 'other')}`,
        `files-ro:${join(base, 'other/locked')}`,
      ],
    ));

  it('of a folder that is not there cost the paths in it, which no folder around it takes', () =>
    withCopyRig(
      async ({ client, own, base, served }) => {
        writeFileSync(join(own, 'a'), 'a');
        const put = (to: string) => copyToRemote(client, [join(own, 'a')], to);
        expect(await put(join(served, 'a'))).toMatchObject({ files: 1 });
        expect(await copyFromRemote(client, [join(served, 'a')], own)).toMatchObject({ files: 1 });
        const missing = { code: 'ERR_SERVICE_FAILED', systemCode: 'ENOENT' };
        await expect(put('relative')).rejects.toMatchObject(missing);
        await expect(put(join(base, 'disk/a'))).rejects.toMatchObject(missing);
        const denied = { code: 'ERR_SERVICE_DENIED', systemCode: 'EROFS' };
        await expect(put(join(served, 'disk'))).rejects.toMatchObject(missing);
        await expect(put(join(base, 'own/a'))).rejects.toMatchObject(denied);
        expect(readdirSync(served)).toEqual(['a']);
      },
      (base) => [
        `files:${join(base, 'disk')}`,
        `files:${join(base, 'served')}`,
        `files-ro:${join(base, 'served/disk')}`,
        `files-ro:${join(base, 'own')}`,
      ],
    ));

  it('of a folder that is not there say so', () =>
    withCopyRig(async ({ client, own, served }) => {
      rmSync(served, { recursive: true });
      const missing = { code: 'ERR_SERVICE_FAILED', systemCode: 'ENOENT' };
      await expect(copyToRemote(client, [own], '')).rejects.toMatchObject(missing);
      const { failed } = await copyFromRemote(client, [''], own);
      expect(failed).toMatchObject([{ code: 'ENOENT' }]);
    }));
});
