import { describe, expect, it } from 'vitest';
import { GroupTuner, RELEASE_AFTER_MS, RETRY_TRIAL_MS } from '../../src/node/tuner.js';

const STEP_MS = 250;

/** Runs a tuner over a network where so many more connections give such a rate. */
class Scene {
  now = 0;
  movedBytes = 0;
  readonly levels: number[] = [];
  readonly tuner: GroupTuner;
  readonly rateAt: (level: number) => number;

  constructor(maxLevel: number, rateAt: (level: number) => number) {
    this.tuner = new GroupTuner(maxLevel);
    this.rateAt = rateAt;
  }

  run(forMs: number, isBulk = true): this {
    for (const end = this.now + forMs; this.now < end; this.now += STEP_MS) {
      if (isBulk) this.movedBytes += this.rateAt(this.tuner.level) * STEP_MS;
      const { now, movedBytes } = this;
      if (this.tuner.sample({ now, movedBytes, rttMs: 20 })) this.levels.push(this.tuner.level);
    }
    return this;
  }
}

describe('the tuner', () => {
  it('adds connections as long as each pays', () => {
    const scene = new Scene(7, (level) => 100 * Math.min(4, 1 + level)).run(60_000);
    expect(Math.max(...scene.levels)).toBe(4);
    expect(scene.tuner.level).toBe(3);
  });

  it('gives back at once what does not pay, and tries it ever more rarely', () => {
    const scene = new Scene(7, () => 1_000).run(100_000);
    expect(new Set(scene.levels)).toEqual(new Set([0, 1]));
    // Four trials: after 10, 20 and 40 seconds, which begin when the last has ended.
    expect(scene.levels.length).toBe(8);
  });

  it('tries nothing where the machine must be the limit', () => {
    expect(new Scene(7, (level) => 100_000 * (1 + level)).run(60_000).levels).toEqual([]);
  });

  it('tries nothing while little is sent', () => {
    const scene = new Scene(7, () => 1).run(60_000).run(60_000, false);
    expect(scene.levels).toEqual([]);
  });

  it('gives everything back some time after the last bulk', () => {
    const scene = new Scene(2, (level) => 100 * (1 + level)).run(20_000);
    expect(scene.tuner.level).toBe(2);
    scene.run(RELEASE_AFTER_MS + 2_000, false);
    expect(scene.tuner.level).toBe(0);
  });

  it('notices when what paid does so no longer', () => {
    let isLossy = true;
    const scene = new Scene(1, (level) => (isLossy ? 100 * (1 + level) : 300)).run(20_000);
    expect(scene.tuner.level).toBe(1);
    isLossy = false;
    scene.run(60_000);
    expect(scene.levels.at(-1)).toBe(0);
  });

  it('does nothing where there is nothing more', () => {
    const scene = new Scene(0, () => 1_000).run(RETRY_TRIAL_MS * 10);
    expect(scene.levels).toEqual([]);
  });
});
