/** What goes wrong with one file costs that file; the rest goes on, and the result says what failed. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { copyFromRemote, copyToRemote } from '../../src/copy/index.js';
import { isPartName } from '../../src/copy/parts.js';
import { noise, partsIn, withCopyRig } from './rig.js';

const MIB = 1024 * 1024;
const NOBODY = 65_534;

/** The superuser reads everything: then it is another user who copies. */
async function asOrdinaryUser(run: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return run();
  process.seteuid?.(NOBODY);
  try {
    await run();
  } finally {
    process.seteuid?.(0);
  }
}

/** What every open file does from now on in the place of one of its methods. */
async function spoil(
  method: 'writev' | 'write' | 'sync' | 'chmod',
  code: string,
  isFor: (call: number, args: readonly unknown[]) => boolean,
): Promise<void> {
  const file = await open('/dev/null', 'r');
  const prototype = Object.getPrototypeOf(file) as typeof file;
  await file.close();
  const original = prototype[method] as (...args: unknown[]) => Promise<unknown>;
  let calls = 0;
  vi.spyOn(prototype, method).mockImplementation(function (this: unknown, ...args: unknown[]) {
    calls += 1;
    if (!isFor(calls, args)) return original.apply(this, args) as never;
    return Promise.reject(Object.assign(new Error(code), { code })) as never;
  });
}

/** A path such as `/dev/stdout` is where output goes to another program. */
async function withOpenPipe(run: (path: string) => Promise<void>): Promise<void> {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'close');
  await once(child, 'spawn');
  try {
    // Node joins it by a socket; only what the shell makes is a pipe: either will do.
    await run(`/proc/${child.pid}/fd/0`);
  } finally {
    child.stdin.end();
    await ended;
  }
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('at the source', () => {
  it('an unreadable file and folder fail, and the rest is copied', () =>
    withCopyRig(async ({ client, served, own, base }) => {
      for (const path of [base, served, own]) chmodSync(path, 0o777);
      mkdirSync(join(own, 't/closed'), { recursive: true });
      writeFileSync(join(own, 't/locked'), 'x');
      writeFileSync(join(own, 't/open'), 'x');
      chmodSync(join(own, 't/locked'), 0);
      chmodSync(join(own, 't/closed'), 0);
      await asOrdinaryUser(async () => {
        const result = await copyToRemote(client, [join(own, 't')], '');
        const failed = result.failed.map(({ path, code }) => [path, code]).sort();
        expect(failed).toEqual([
          [join(own, 't/closed'), 'EACCES'],
          [join(own, 't/locked'), 'EACCES'],
        ]);
        expect(result.files).toBe(1);
      });
      expect(readdirSync(join(served, 't')).sort()).toEqual(['closed', 'open']);
    }));

  it('a source that is not there fails, and the others are copied', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'a'), 'a');
      const sources = [join(own, 'none'), join(own, 'a'), join(own, 'a/b'), `${join(own, 'a')}/`];
      const result = await copyToRemote(client, sources, '');
      expect(result.failed.map(({ code }) => code)).toEqual(['ENOENT', 'ENOTDIR', 'ENOTDIR']);
      expect(readdirSync(served)).toEqual(['a']);
      const back = await copyFromRemote(client, ['none', 'a', 'a/'], own);
      expect(back.failed).toMatchObject([
        { path: 'none', code: 'ENOENT' },
        { path: 'a/', code: 'ENOTDIR' },
      ]);
    }));

  it.each([
    ['grows', (path: string) => appendFileSync(path, 'more')],
    ['shrinks', (path: string) => truncateSync(path, MIB)],
  ])('a file that %s while it is read fails, and leaves nothing', (_what, change) =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'log'), noise(24 * MIB));
      writeFileSync(join(own, 'other'), 'other');
      let isChanged = false;
      const result = await copyToRemote(client, [join(own, 'log'), join(own, 'other')], '', {
        onProgress: ({ bytes }) => {
          if (bytes < MIB || isChanged) return;
          isChanged = true;
          change(join(own, 'log'));
        },
      });
      expect(result.failed).toMatchObject([{ path: join(own, 'log'), code: 'ERR_COPY_CHANGED' }]);
      expect(result).toMatchObject({ files: 1, bytes: 5 });
      expect(readdirSync(served)).toEqual(['other']);
    }),
  );

  it('a file that vanishes between being found and being read fails', () =>
    withCopyRig(async ({ client, own, served }) => {
      mkdirSync(join(own, 't'));
      for (let index = 0; index < 40; index += 1) writeFileSync(join(own, `t/f${index}`), 'x');
      let isGone = false;
      const result = await copyToRemote(client, [join(own, 't')], '', {
        onProgress: ({ totalFiles }) => {
          if (isGone || totalFiles < 10) return;
          isGone = true;
          for (const name of readdirSync(join(own, 't'))) unlinkSync(join(own, 't', name));
        },
      });
      expect(new Set(result.failed.map(({ code }) => code))).toEqual(new Set(['ENOENT']));
      expect(result.files + result.failedCount).toBe(40);
      expect(partsIn(join(served, 't'))).toEqual([]);
    }));

  it('pipes, devices, links and the rests of unfinished copies are left out, and told', () =>
    withCopyRig(async ({ client, own, served }) => {
      mkdirSync(join(own, 't'));
      execFileSync('mkfifo', [join(own, 't/pipe')]);
      symlinkSync('pipe', join(own, 't/link'));
      const part = `.x.${'0'.repeat(12)}-${'0'.repeat(12)}-000000-1-1-${'0'.repeat(12)}.roving-part`;
      expect(isPartName(Buffer.from(part))).toBe(true);
      writeFileSync(join(own, 't', part), 'x');
      const result = await copyToRemote(client, [join(own, 't')], '');
      expect(result.failed).toEqual([]);
      const codes = result.skipped.map(({ code }) => code).sort();
      expect(codes).toEqual(['ERR_COPY_LINK', 'ERR_COPY_PARTIAL', 'ERR_COPY_SPECIAL']);
      expect(readdirSync(join(served, 't'))).toEqual([]);
      const back = await copyFromRemote(client, ['t'], own);
      expect(back.skippedCount).toBe(0);
    }));
});

describe('a source that is no file', () => {
  const expected = { files: 0, failed: [{ code: 'ERR_COPY_SPECIAL' }], skippedCount: 0 };

  it('fails if it was named', () =>
    withCopyRig(async ({ client, own, served }) => {
      for (const folder of [own, served]) execFileSync('mkfifo', [join(folder, 'pipe')]);
      expect(await copyToRemote(client, [join(own, 'pipe')], 'new')).toMatchObject(expected);
      expect(await copyFromRemote(client, ['pipe'], join(own, 'new'))).toMatchObject(expected);
      expect([readdirSync(own), readdirSync(served)]).toEqual([['pipe'], ['pipe']]);
    }));

  it.runIf(process.platform === 'linux')('fails if it is a link to an open pipe', () =>
    withOpenPipe((pipe) =>
      withCopyRig(async ({ client }) => {
        expect(await copyToRemote(client, [pipe], '')).toMatchObject(expected);
      }),
    ),
  );
});

describe('at the destination', () => {
  const inTheWay = { files: 0, failed: [{ code: 'ERR_COPY_DESTINATION' }] };

  it('a pipe is not replaced by a file, at either end, nor within a folder', () =>
    withCopyRig(async ({ client, own, served }) => {
      for (const folder of [own, served]) {
        mkdirSync(join(folder, 't'));
        execFileSync('mkfifo', [join(folder, 'pipe'), join(folder, 't/a')]);
      }
      mkdirSync(join(own, 'u'));
      for (const name of ['a', 'u/a']) writeFileSync(join(own, name), 'a');
      writeFileSync(join(served, 'a'), 'a');
      expect(await copyToRemote(client, [join(own, 'a')], 'pipe')).toMatchObject(inTheWay);
      expect(await copyToRemote(client, [`${own}/u/.`], 't')).toMatchObject(inTheWay);
      expect(await copyFromRemote(client, ['a'], join(own, 'pipe'))).toMatchObject(inTheWay);
      expect(await copyFromRemote(client, ['a'], join(own, 't'))).toMatchObject(inTheWay);
      for (const path of ['pipe', 't/a']) {
        expect(lstatSync(join(own, path)).isFIFO()).toBe(true);
        expect(lstatSync(join(served, path)).isFIFO()).toBe(true);
      }
      expect([partsIn(own), partsIn(join(own, 't'))]).toEqual([[], []]);
    }));

  it('a pipe that came while the file was on its way is not replaced either', () =>
    withCopyRig(async ({ client, own, served }) => {
      writeFileSync(join(own, 'big'), noise(3 * MIB));
      let isMade = false;
      const result = await copyToRemote(client, [join(own, 'big')], '', {
        onProgress: ({ bytes }) => {
          if (isMade || bytes === 0) return;
          isMade = true;
          execFileSync('mkfifo', [join(served, 'big')]);
        },
      });
      expect(result).toMatchObject(inTheWay);
      expect(readdirSync(served)).toEqual(['big']);
      expect(lstatSync(join(served, 'big')).isFIFO()).toBe(true);
    }));

  it.runIf(process.platform === 'linux')('a link to an open pipe is left alone', () =>
    withOpenPipe((pipe) =>
      withCopyRig(async ({ client, own, served }) => {
        writeFileSync(join(served, 'a'), 'a');
        symlinkSync(pipe, join(own, 'out'));
        const copy = copyFromRemote(client, ['a'], join(own, 'out'));
        await expect(copy).rejects.toMatchObject({ code: 'ERR_COPY_DESTINATION' });
        expect(lstatSync(join(own, 'out')).isSymbolicLink()).toBe(true);
      }),
    ),
  );

  it('a full disk fails the file, which leaves nothing, and the next one may fit', () =>
    withCopyRig(async ({ client, own, served }) => {
      writeFileSync(join(own, 'big'), noise(3 * MIB));
      writeFileSync(join(own, 'small'), 'small');
      const isBehind = (_call: number, args: readonly unknown[]) => Number(args.at(-1)) >= MIB;
      await spoil('writev', 'ENOSPC', isBehind);
      await spoil('write', 'ENOSPC', isBehind);
      const result = await copyToRemote(client, [join(own, 'big'), join(own, 'small')], '');
      const message = 'no space left on the device';
      expect(result.failed).toEqual([{ path: join(own, 'big'), code: 'ENOSPC', message }]);
      expect(result).toMatchObject({ files: 1, bytes: 5 });
      expect(readdirSync(served)).toEqual(['small']);
    }));

  it.each(['chmod', 'sync'] as const)('a %s that fails costs the file', (method) =>
    withCopyRig(async ({ client, own, served }) => {
      for (const name of ['a', 'b']) writeFileSync(join(own, name), name);
      await spoil(method, 'EIO', (call) => call === 1);
      const result = await copyToRemote(client, [join(own, 'a'), join(own, 'b')], '', {
        concurrency: 1,
      });
      expect(result).toMatchObject({ files: 1, failedCount: 1, failed: [{ code: 'EIO' }] });
      expect(partsIn(served)).toEqual([]);
    }),
  );

  it('a folder that cannot be written to stands for all that is to come into it', () =>
    withCopyRig(async ({ client, own, served, base }) => {
      for (const path of [base, own]) chmodSync(path, 0o777);
      mkdirSync(join(own, 't/sub/deeper'), { recursive: true });
      for (let index = 0; index < 30; index += 1) writeFileSync(join(own, `t/sub/f${index}`), 'x');
      writeFileSync(join(own, 't/sub/deeper/g'), 'x');
      chmodSync(served, 0o555);
      await asOrdinaryUser(async () => {
        const result = await copyToRemote(client, [join(own, 't')], '');
        expect(result.failed).toMatchObject([
          { path: join(own, 't'), code: 'EACCES', message: 'permission denied' },
        ]);
        expect(result).toMatchObject({ files: 0, bytes: 0, failedCount: 1 });
      });
      rmSync(join(own, 't'), { recursive: true });
    }));
});

describe('names', () => {
  const NAMES = [
    '-',
    '--help',
    '-rf',
    ' ',
    'new\nline',
    'tab\tand "quotes"',
    '*',
    '~',
    'a:b',
    '...',
    'è',
    'e\u0300',
    '\u202e',
    'x'.repeat(255),
  ];

  it.each(NAMES)('%j is a name like any other', (name) =>
    withCopyRig(async ({ client, own, served }) => {
      writeFileSync(join(own, name), name);
      expect(await copyToRemote(client, [join(own, name)], '')).toMatchObject({ files: 1 });
      expect(readFileSync(join(served, name), 'utf8')).toBe(name);
      rmSync(join(own, name));
      expect(await copyFromRemote(client, [name], own)).toMatchObject({ files: 1, failed: [] });
      expect(readFileSync(join(own, name), 'utf8')).toBe(name);
    }),
  );

  // Other systems refuse names that are not UTF-8.
  it.runIf(process.platform === 'linux')('that are not UTF-8 stay as they are (on Linux)', () =>
    withCopyRig(async ({ client, own, served }) => {
      const name = Buffer.from([0x66, 0xff, 0xfe, 0x80]);
      mkdirSync(join(own, 't'));
      writeFileSync(Buffer.concat([Buffer.from(`${own}/t/`), name]), 'odd');
      expect(await copyToRemote(client, [join(own, 't')], '')).toMatchObject({ files: 1 });
      expect(readdirSync(join(served, 't'), { encoding: 'buffer' })).toEqual([name]);
    }),
  );

  it('that are too long are refused by the system, with its code', () =>
    withCopyRig(async ({ client, own }) => {
      writeFileSync(join(own, 'a'), 'a');
      const copy = copyToRemote(client, [join(own, 'a')], 'x'.repeat(256));
      await expect(copy).rejects.toMatchObject({ systemCode: 'ENAMETOOLONG' });
    }));
});
