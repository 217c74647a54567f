import { describe, expect, it } from 'vitest';
import {
  GroupTuner,
  QUEUED_REVIEW_MS,
  RELEASE_AFTER_MS,
  RETRY_TRIAL_MS,
  TRIAL_MIN_MS,
} from '../../src/node/tuner.js';

const STEP_MS = 250;

/** Runs a tuner over a network where so many more connections give such a rate. */
class Scene {
  now = 0;
  movedBytes = 0;
  isQueued = (_level: number): boolean => false;
  isLossy = true;
  rttJumps = 0;
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
      if (this.isLossy) this.rttJumps += 1;
      const { now, movedBytes, rttJumps } = this;
      const isQueued = this.isQueued(this.tuner.level);
      const hasChanged = this.tuner.sample({ now, movedBytes, rttMs: 20, isQueued, rttJumps });
      if (hasChanged) this.levels.push(this.tuner.level);
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

  it('tries nothing where round trips do not jump, and keeps what paid', () => {
    const scene = new Scene(2, (level) => 100 * (1 + level));
    scene.isLossy = false;
    expect(scene.run(60_000).levels).toEqual([]);
    scene.isLossy = true;
    expect(scene.run(20_000).tuner.level).toBe(2);
    scene.isLossy = false;
    expect(scene.run(30_000).tuner.level).toBe(2);
  });

  it('takes what a new connection loses at its start for no loss of the path', () => {
    const scene = new Scene(2, (level) => 100 * (1 + level)).run(2_000);
    scene.isLossy = false;
    expect(scene.run(60_000).levels).toEqual([]);
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

  it('tries nothing while a queue stands', () => {
    const scene = new Scene(7, (level) => 100 * (1 + level));
    scene.isQueued = () => true;
    expect(scene.run(60_000).levels).toEqual([]);
    scene.isQueued = () => false;
    expect(scene.run(5_000).levels[0]).toBe(1);
  });

  it('gives back what brings much, but fills a queue', () => {
    const scene = new Scene(1, (level) => 100 * (1 + level));
    scene.isQueued = (level) => level > 0;
    scene.run(8_000);
    expect(scene.levels).toEqual([1, 0]);
  });

  it('keeps what pays although a queue stands now and then', () => {
    const scene = new Scene(1, (level) => 100 * (1 + level));
    scene.isQueued = () => scene.now % 1_000 < 250;
    scene.run(30_000);
    expect(scene.levels).toEqual([1]);
  });

  it('gives back what paid soon after others have filled the link', () => {
    const scene = new Scene(1, (level) => 100 * (1 + level)).run(20_000);
    expect(scene.tuner.level).toBe(1);
    scene.isQueued = () => true;
    scene.run(QUEUED_REVIEW_MS + 2 * TRIAL_MIN_MS);
    expect(scene.tuner.level).toBe(0);
    scene.run(60_000);
    expect(scene.levels).toEqual([1, 0]);
  });

  it('looks for a queue before a trial, and while more is in use', () => {
    const scene = new Scene(1, (level) => 100 * (1 + level));
    expect(scene.tuner.isLooking(0)).toBe(false);
    scene.run(1_000);
    expect(scene.tuner.isLooking(scene.now)).toBe(true);
    scene.run(20_000);
    expect(scene.tuner.isLooking(scene.now)).toBe(true);
    const idle = new Scene(1, () => 1_000).run(8_000);
    expect(idle.levels).toEqual([1, 0]);
    expect(idle.tuner.isLooking(idle.now)).toBe(false);
  });

  it('does nothing where there is nothing more', () => {
    const scene = new Scene(0, () => 1_000).run(RETRY_TRIAL_MS * 10);
    expect(scene.levels).toEqual([]);
  });
});
