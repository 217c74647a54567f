import { execFile } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type CopyError, copyFromRemote, copyToRemote } from '../../src/copy/index.js';
import { type CopyRig, describeTree, hashOf, noise, partsIn, withCopyRig } from './rig.js';

const MIB = 1024 * 1024;
const SIZE = 24 * MIB + 12_345;
const KILLED_COPY = fileURLToPath(new URL('killed-copy.mjs', import.meta.url));

/** Runs a copy in another process, which is killed with SIGKILL after so many bytes. */
function killedCopy(...args: (string | number)[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [KILLED_COPY, ...args.map(String)], (error, _out, text) => {
      if (error?.signal === 'SIGKILL') resolve();
      else reject(new Error(`the copy was not killed: ${error?.code} ${text}`));
    });
  });
}

/** A copy that is given up when so many bytes have been moved. */
function abortedUpload({ client, own }: CopyRig, bytes: number): Promise<unknown> {
  const aborter = new AbortController();
  return copyToRemote(client, [join(own, 'big')], '', {
    signal: aborter.signal,
    onProgress: (progress) => {
      if (progress.bytes >= bytes) aborter.abort();
    },
  }).catch((error: CopyError) => error.code);
}

/** Until the other end has noticed. */
async function partsOf(folder: string, count: number): Promise<string[]> {
  for (;;) {
    const parts = partsIn(folder);
    if (parts.length === count) return parts;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function changeByte(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
  await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, offset);
  await file.close();
}

describe('a copy that was killed', () => {
  it.each([300_000, 5_000_000, 23_000_000])(
    'goes on after SIGKILL at %i bytes, to there',
    (bytes) =>
      withCopyRig(async (rig) => {
        const { client, served, own } = rig;
        writeFileSync(join(own, 'big'), noise(SIZE, bytes));
        await killedCopy('put', served, join(own, 'big'), '', bytes);
        expect(readdirSync(served)).toEqual(partsIn(served));
        const [part = ''] = partsIn(served);
        const had = statSync(join(served, part)).size;
        const result = await copyToRemote(client, [join(own, 'big')], '');
        expect(result).toMatchObject({ files: 1, bytes: SIZE, failed: [], resumedBytes: had });
        expect(readdirSync(served)).toEqual(['big']);
        expect(describeTree(served).slice(1)).toEqual(describeTree(own).slice(1));
      }),
  );

  it('goes on after SIGKILL, from there, with the whole tree as it should be', () =>
    withCopyRig(async ({ client, served, own }) => {
      mkdirSync(join(served, 'tree/sub'), { recursive: true });
      writeFileSync(join(served, 'tree/big'), noise(SIZE));
      for (let file = 0; file < 50; file += 1) {
        writeFileSync(join(served, `tree/sub/f${file}`), noise(file * 100, file));
      }
      for (const bytes of [2_000_000, 9_000_000]) {
        await killedCopy('get', served, 'tree', own, bytes);
      }
      const result = await copyFromRemote(client, ['tree'], own, { update: true });
      expect(result).toMatchObject({ files: 51, folders: 2, failed: [] });
      expect(result.resumedBytes + result.unchanged).toBeGreaterThan(0);
      expect(describeTree(join(own, 'tree'))).toEqual(describeTree(join(served, 'tree')));
    }));
});

describe('a copy that was given up', () => {
  it('goes on from wherever it was', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      for (const bytes of [1, 3 * MIB, 9 * MIB, 17 * MIB]) {
        expect(await abortedUpload(rig, bytes)).toBe('ERR_COPY_ABORTED');
      }
      const result = await copyToRemote(rig.client, [join(rig.own, 'big')], '');
      expect(result.failed).toEqual([]);
      expect(result.resumedBytes).toBeGreaterThan(8 * MIB);
      expect(hashOf(join(rig.served, 'big'))).toBe(hashOf(join(rig.own, 'big')));
      expect(readdirSync(rig.served)).toEqual(['big']);
    }));

  it('takes what is damaged in the part anew, and what comes after it', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      await abortedUpload(rig, 14 * MIB);
      const [part = ''] = await partsOf(rig.served, 1);
      await changeByte(join(rig.served, part), 9 * MIB);
      const result = await copyToRemote(rig.client, [join(rig.own, 'big')], '');
      // Blocks of 4 MiB are compared: two of them are as they should be.
      expect(result).toMatchObject({ files: 1, failed: [], resumedBytes: 8 * MIB });
      expect(hashOf(join(rig.served, 'big'))).toBe(hashOf(join(rig.own, 'big')));
    }));

  it('begins anew if the beginning is damaged, or the end is missing', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      await abortedUpload(rig, 14 * MIB);
      const [part = ''] = await partsOf(rig.served, 1);
      await changeByte(join(rig.served, part), 0);
      truncateSync(join(rig.served, part), 6 * MIB);
      const result = await copyToRemote(rig.client, [join(rig.own, 'big')], '');
      expect(result).toMatchObject({ files: 1, failed: [], resumedBytes: 0 });
      expect(hashOf(join(rig.served, 'big'))).toBe(hashOf(join(rig.own, 'big')));
    }));

  it('begins anew if the source has changed, and removes what is of no use', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      await abortedUpload(rig, 9 * MIB);
      await partsOf(rig.served, 1);
      writeFileSync(join(rig.own, 'big'), noise(SIZE, 2));
      utimesSync(join(rig.own, 'big'), 1_000_000_000, 1_000_000_000);
      const result = await copyToRemote(rig.client, [join(rig.own, 'big')], '');
      expect(result).toMatchObject({ files: 1, failed: [], resumedBytes: 0 });
      expect(hashOf(join(rig.served, 'big'))).toBe(hashOf(join(rig.own, 'big')));
      expect(readdirSync(rig.served)).toEqual(['big']);
    }));

  it('is given up at once if the caller had given up before', () =>
    withCopyRig(async ({ client, own, served }) => {
      const copy = copyToRemote(client, [own], '', { signal: AbortSignal.abort('enough') });
      await expect(copy).rejects.toMatchObject({ code: 'ERR_COPY_ABORTED', cause: 'enough' });
      expect(readdirSync(served)).toEqual([]);
    }));
});

describe('a session that dies in the middle of a copy', () => {
  it('is told, and the next one goes on', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      const copy = copyToRemote(rig.client, [join(rig.own, 'big')], '', {
        onProgress: ({ bytes }) => {
          if (bytes > 5 * MIB) rig.server.abort();
        },
      });
      const error: CopyError = await copy.then(
        () => expect.fail('it should not end'),
        (reason) => reason,
      );
      expect(error.code).toBe('ERR_COPY_INTERRUPTED');
      expect((error.cause as CopyError).code).toBe('ERR_CLOSED_BY_PEER');
      const again = copyToRemote(rig.client, [join(rig.own, 'big')], '');
      await expect(again).rejects.toMatchObject({ code: 'ERR_COPY_INTERRUPTED' });
      await partsOf(rig.served, 1);
      await withCopyRig(
        async ({ client }) => {
          const result = await copyToRemote(client, [join(rig.own, 'big')], '');
          expect(result).toMatchObject({ files: 1, failed: [] });
          expect(result.resumedBytes).toBeGreaterThan(4 * MIB);
        },
        () => [`files:${rig.served}`],
      );
      expect(hashOf(join(rig.served, 'big'))).toBe(hashOf(join(rig.own, 'big')));
      expect(readdirSync(rig.served)).toEqual(['big']);
    }));

  it('keeps the part from nobody, although its server does not know yet', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      // The client has vanished: its carriers are gone, and its session waits for a day.
      const stuck = new Promise<void>((resolve) => {
        const copy = copyToRemote(rig.client, [join(rig.own, 'big')], '', {
          onProgress: ({ bytes }) => {
            if (bytes < 6 * MIB) return;
            for (const { cut } of rig.carriers) cut();
            resolve();
          },
        });
        copy.catch(() => undefined);
      });
      await stuck;
      while (rig.server.paths.some(({ state }) => state === 'active')) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(rig.server.isClosed).toBe(false);
      await withCopyRig(
        async ({ client }) => {
          const result = await copyToRemote(client, [join(rig.own, 'big')], '');
          expect(result.resumedBytes).toBeGreaterThan(4 * MIB);
          expect(readdirSync(rig.served)).toEqual(['big']);
        },
        () => [`files:${rig.served}`],
      );
    }));
});

describe('copies to one place at a time', () => {
  it('of the same file all succeed', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'big'), noise(6 * MIB));
      const copies = Array.from({ length: 4 }, () => copyToRemote(client, [join(own, 'big')], ''));
      for (const result of await Promise.all(copies)) {
        expect(result).toMatchObject({ files: 1, failed: [] });
      }
      expect(hashOf(join(served, 'big'))).toBe(hashOf(join(own, 'big')));
      expect(readdirSync(served)).toEqual(['big']);
    }));

  it('of different files leave one of them, whole', () =>
    withCopyRig(async ({ client, served, own }) => {
      const sources = [1, 2, 3].map((seed) => join(own, `f${seed}`));
      sources.forEach((path, seed) => {
        writeFileSync(path, noise(3 * MIB + seed, seed));
      });
      const copies = sources.map((path) => copyToRemote(client, [path], 'target'));
      for (const result of await Promise.all(copies)) expect(result.failed).toEqual([]);
      expect(sources.map(hashOf)).toContain(hashOf(join(served, 'target')));
      expect(readdirSync(served)).toEqual(['target']);
    }));

  it('do not take the part from one that lives: they copy what is in it', () =>
    withCopyRig(async ({ client, served, own }) => {
      writeFileSync(join(own, 'big'), noise(SIZE));
      let second: Promise<{ resumedBytes: number }> | undefined;
      const first = await copyToRemote(client, [join(own, 'big')], '', {
        onProgress: ({ bytes }) => {
          if (bytes > 8 * MIB) second ??= copyToRemote(client, [join(own, 'big')], '');
        },
      });
      expect(first).toMatchObject({ files: 1, failed: [], resumedBytes: 0 });
      expect(await second).toMatchObject({ files: 1, failed: [] });
      expect((await second)?.resumedBytes).toBeGreaterThan(0);
      expect(readdirSync(served)).toEqual(['big']);
      expect(hashOf(join(served, 'big'))).toBe(hashOf(join(own, 'big')));
    }));

  it.each([
    ['wait a day before they take the part of another host', 23, ['big', 'part']],
    ['take the part of another host that nobody has written to for a day', 25, ['big']],
  ])('%s', (_what, hours, expected) =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      await abortedUpload(rig, 9 * MIB);
      const [part = ''] = await partsOf(rig.served, 1);
      const other = part.replace(/-[0-9a-f]{6}(-\d+-\d+-[0-9a-f]{12})/, '-000000$1');
      renameSync(join(rig.served, part), join(rig.served, other));
      const then = Date.now() / 1000 - hours * 3600;
      utimesSync(join(rig.served, other), then, then);
      const result = await copyToRemote(rig.client, [join(rig.own, 'big')], '');
      expect(result.resumedBytes).toBeGreaterThan(4 * MIB);
      const left = readdirSync(rig.served).map((name) => (name === other ? 'part' : name));
      expect(left.sort()).toEqual(expected);
    }),
  );

  it('take no notice of a part that a process of the same number left long ago', () =>
    withCopyRig(async (rig) => {
      writeFileSync(join(rig.own, 'big'), noise(SIZE));
      await abortedUpload(rig, 9 * MIB);
      const [part = ''] = await partsOf(rig.served, 1);
      // Process 1 runs always, but it did not begin at tick 1.
      const other = part.replace(
        /-(\d+)-(\d+)-([0-9a-f]{12})\.roving-part$/,
        '-1-1-$3.roving-part',
      );
      renameSync(join(rig.served, part), join(rig.served, other));
      const result = await copyToRemote(rig.client, [join(rig.own, 'big')], '');
      expect(result.resumedBytes).toBeGreaterThan(4 * MIB);
      const left = process.platform === 'linux' ? ['big'] : ['big', other];
      expect(readdirSync(rig.served).sort()).toEqual(left.sort());
    }));
});
