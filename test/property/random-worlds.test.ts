/**
 * Whole sessions in random worlds: see src/sim/random-world.ts for what must hold. Replay a seed
 * with `SEED=n WORLDS=1 npx vitest run test/property/random-worlds.test.ts`; the seeds of a plan's
 * parts are forks of it, so that all of it can be printed by `drawPlan(n)`.
 */
import { describe, expect, it } from 'vitest';
import { runRandomWorld } from '../../src/sim/index.js';

const FIRST_SEED = Number(process.env['SEED'] ?? 1);
const WORLDS = Number(process.env['WORLDS'] ?? 200);
const WORLDS_PER_TEST = 20;

const batches = Array.from({ length: Math.ceil(WORLDS / WORLDS_PER_TEST) }, (_, i) => {
  const first = FIRST_SEED + i * WORLDS_PER_TEST;
  return [first, Math.min(first + WORLDS_PER_TEST, FIRST_SEED + WORLDS) - 1] as const;
});

function replay(seed: number): string {
  return `replay: SEED=${seed} WORLDS=1 npx vitest run test/property/random-worlds.test.ts`;
}

describe('a random world', () => {
  it.each(batches)('keeps every promise, seeds %i to %i', (first, last) => {
    for (let seed = first; seed <= last; seed++) {
      const report = runRandomWorld(seed);
      const { paths, faults } = report.summary;
      const story = `seed ${seed} (${paths}; ${faults} faults): ${report.why}\n${replay(seed)}`;
      expect(report.ok, story).toBe(true);
    }
  });

  it.each([0, 1, 2, 3, 4].map((i) => FIRST_SEED + i))(
    'is the same world again, seed %i',
    (seed) => {
      const { traceHash, summary } = runRandomWorld(seed);
      expect(runRandomWorld(seed).traceHash).toBe(traceHash);
      expect(summary.packets).toBeGreaterThan(0);
    },
  );
});
