/** Lists of operations on a tree and copies of it: whole ones, and some that are given up. */

import { chmodSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyFromRemote, copyToRemote } from '../../src/copy/index.js';
import { type CopyRig, describeTree, noise, partsIn, withCopyRig } from './rig.js';

/** Replay a failure with the seed that it printed: `SEED=7 npx vitest run test/copy/trees.test.ts`. */
const seed = Number(process.env['SEED'] ?? 20_264);
const numRuns = 12;

type Operation =
  | { readonly type: 'write'; readonly path: string; readonly size: number; readonly mode: number }
  | { readonly type: 'makeFolder'; readonly path: string }
  | { readonly type: 'remove'; readonly path: string }
  | { readonly type: 'copy'; readonly update: boolean; readonly maxWaiting: number }
  | { readonly type: 'giveUp'; readonly bytes: number };

// Names of files and of folders differ, so that none is to take the place of the other.
const folder = fc
  .array(fc.constantFrom('d', 'e'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'));
const path = fc
  .tuple(fc.option(folder), fc.constantFrom('f', 'g', '-', 'h\n'))
  .map(([at, name]) => (at === null ? name : `${at}/${name}`));
const size = fc.oneof(
  fc.nat(100),
  fc.constantFrom(65_535, 65_536, 262_144, 262_145, 500_000),
  fc.nat(400_000),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('write' as const),
      path,
      size,
      mode: fc.constantFrom(0o600, 0o644, 0o755, 0o444),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('makeFolder' as const), path: folder }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('remove' as const), path: fc.oneof(path, folder) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('copy' as const),
      update: fc.boolean(),
      maxWaiting: fc.constantFrom(1, 2, 1_024),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('giveUp' as const), bytes: fc.nat(600_000) }),
  },
);

class Model {
  readonly #rig: CopyRig;
  readonly #source: string;
  readonly #target: string;
  readonly #isUpload: boolean;
  #step = 0;

  constructor(rig: CopyRig, isUpload: boolean) {
    this.#rig = rig;
    this.#isUpload = isUpload;
    this.#source = join(isUpload ? rig.own : rig.served, 'tree');
    this.#target = isUpload ? rig.served : rig.own;
    mkdirSync(this.#source);
  }

  async run(one: Operation): Promise<void> {
    this.#step += 1;
    switch (one.type) {
      case 'write': {
        const at = join(this.#source, one.path);
        mkdirSync(dirname(at), { recursive: true });
        rmSync(at, { force: true });
        writeFileSync(at, noise(one.size, this.#step));
        chmodSync(at, one.mode);
        // Each content has a time of its own, as `update` expects.
        return utimesSync(at, this.#step, this.#step);
      }
      case 'makeFolder':
        mkdirSync(join(this.#source, one.path), { recursive: true });
        return;
      case 'remove':
        return rmSync(join(this.#source, one.path), { recursive: true, force: true });
      case 'copy':
        return this.copy(one.update, one.maxWaiting);
      case 'giveUp':
        return this.#giveUp(one.bytes);
    }
  }

  #copy(options: Parameters<typeof copyToRemote>[3]) {
    const { client } = this.#rig;
    return this.#isUpload
      ? copyToRemote(client, [this.#source], '', options)
      : copyFromRemote(client, ['tree'], this.#target, options);
  }

  async copy(update: boolean, maxWaiting: number): Promise<void> {
    const result = await this.#copy({ update, maxWaiting });
    expect(result).toMatchObject({ failed: [], skipped: [] });
    const there = new Set(describeTree(join(this.#target, 'tree'), { times: false }));
    const missing = describeTree(this.#source, { times: false }).filter((line) => !there.has(line));
    expect(missing).toEqual([]);
  }

  async #giveUp(bytes: number): Promise<void> {
    const aborter = new AbortController();
    const onProgress = (progress: { bytes: number }): void => {
      if (progress.bytes >= bytes) aborter.abort();
    };
    await this.#copy({ signal: aborter.signal, onProgress }).catch((error: { code: string }) => {
      if (error.code !== 'ERR_COPY_ABORTED') throw error;
    });
  }
}

describe.each([true, false])('a tree that changes between copies (upload: %s)', (isUpload) => {
  it('is at the destination after each copy as it was at the source', () =>
    fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 14 }), (operations) =>
        withCopyRig(async (rig) => {
          const model = new Model(rig, isUpload);
          for (const one of operations) await model.run(one);
          await model.copy(false, 1_024);
          expect(partsIn(isUpload ? rig.served : rig.own)).toEqual([]);
        }),
      ),
      { seed, numRuns },
    ));
});
