import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Choice,
  type PathView,
  SCHEDULERS,
  type SchedulerInput,
  type SchedulerName,
} from '../../src/core/index.js';

const NAMES = Object.keys(SCHEDULERS) as SchedulerName[];
const BULK = 1e9;

/** A path of so many bytes per ms and so long a round trip, free and with nothing in flight. */
function path(pathId: number, rate: number, rttMs: number, over: Partial<PathView> = {}): PathView {
  return {
    pathId,
    isBackup: false,
    canSend: true,
    waitMs: 0,
    arrivalMs: rttMs / 2,
    smoothedRttMs: rttMs,
    minRttMs: rttMs,
    rttVarianceMs: 1,
    rate,
    packetBytes: 1_200,
    ...over,
  };
}

/** The same, with its window full for so long. */
function busy(pathId: number, rate: number, rttMs: number, waitMs: number): PathView {
  return path(pathId, rate, rttMs, { canSend: false, waitMs });
}

function input(paths: readonly PathView[], over: Partial<SchedulerInput> = {}): SchedulerInput {
  return {
    paths,
    pendingBytes: BULK,
    creditBytes: BULK,
    skippedBytes: 0,
    lastPathId: undefined,
    ...over,
  };
}

function chosen(choice: Choice): number | 'wait' {
  return choice.type === 'wait' ? 'wait' : choice.pathId;
}

function pick(name: SchedulerName, paths: readonly PathView[], over: Partial<SchedulerInput> = {}) {
  return chosen(SCHEDULERS[name](input(paths, over)));
}

const anyPath = fc.record({
  pathId: fc.constant(0),
  isBackup: fc.boolean(),
  canSend: fc.boolean(),
  waitMs: fc.nat({ max: 500 }),
  arrivalMs: fc.integer({ min: 1, max: 2_000 }),
  smoothedRttMs: fc.integer({ min: 1, max: 3_000 }),
  minRttMs: fc.integer({ min: 1, max: 1_000 }),
  rttVarianceMs: fc.nat({ max: 200 }),
  rate: fc.integer({ min: 1, max: 10_000 }),
  packetBytes: fc.constantFrom(1_200, 4_096, 65_535),
});

const anyPaths = fc
  .array(anyPath, { maxLength: 5 })
  .map((views) =>
    views.map((one, pathId) => ({ ...one, pathId, waitMs: one.canSend ? 0 : one.waitMs })),
  );

const anyInput = fc.record({
  paths: anyPaths,
  pendingBytes: fc.nat({ max: 5_000_000 }),
  creditBytes: fc.nat({ max: 5_000_000 }),
  skippedBytes: fc.nat({ max: 5_000_000 }),
  lastPathId: fc.option(fc.nat({ max: 5 }), { nil: undefined }),
});

describe.each(NAMES)('every scheduler: %s', (name) => {
  it('waits where there is no path, or none with room', () => {
    expect(pick(name, [])).toBe('wait');
    expect(pick(name, [busy(0, 100, 20, 5), busy(1, 100, 40, 5)])).toBe('wait');
  });

  it('uses a single path that is free, whatever its figures', () => {
    for (const creditBytes of [0, BULK]) {
      expect(pick(name, [path(7, 1, 2_000)], { creditBytes, pendingBytes: 0 })).toBe(7);
    }
  });

  it('uses backups only where no other path is there, even a full one', () => {
    const backup = path(1, 10_000, 1, { isBackup: true });
    expect(pick(name, [backup, path(2, 1, 500)])).toBe(2);
    expect(pick(name, [backup, busy(2, 1, 500, 100)])).toBe('wait');
    expect(pick(name, [backup])).toBe(1);
    expect(pick(name, [path(2, 1, 500, { isBackup: true }), backup])).not.toBe('wait');
  });

  it('chooses only paths that have room, and no backup besides others', () => {
    fc.assert(
      fc.property(anyInput, (some) => {
        const choice = SCHEDULERS[name](some);
        if (choice.type === 'wait') return;
        const usable = some.paths.some((one) => !one.isBackup)
          ? some.paths.filter((one) => !one.isBackup)
          : some.paths;
        const ids = [choice.pathId, ...choice.copies];
        expect(new Set(ids).size).toBe(ids.length);
        expect(usable.find((one) => one.pathId === choice.pathId)?.canSend).toBe(true);
        for (const id of ids) expect(usable.some((one) => one.pathId === id)).toBe(true);
      }),
    );
  });

  it('does not wait while all paths have room', () => {
    const free = anyInput.map((some) => ({
      ...some,
      paths: some.paths.map((one) => ({ ...one, canSend: true, waitMs: 0 })),
    }));
    fc.assert(
      fc.property(free, (some) => {
        expect(SCHEDULERS[name](some).type).toBe(some.paths.length === 0 ? 'wait' : 'send');
      }),
    );
  });

  it('is a pure function', () => {
    fc.assert(
      fc.property(anyInput, (some) => {
        const copy = structuredClone(some);
        expect(SCHEDULERS[name](some)).toEqual(SCHEDULERS[name](copy));
        expect(some).toEqual(copy);
      }),
    );
  });
});

describe('earliestArrival', () => {
  it.each<[string, readonly PathView[], Partial<SchedulerInput>, number | 'wait']>([
    ['the path where it arrives first', [path(0, 100, 80), path(1, 100, 20)], {}, 1],
    [
      'a slow path for bulk, while the fast one is full',
      [busy(0, 100, 20, 5), path(1, 100, 80)],
      {},
      1,
    ],
    [
      'not a slow path for a short message: the fast one has it there before',
      [busy(0, 100, 20, 5), path(1, 100, 80)],
      { pendingBytes: 1_200 },
      'wait',
    ],
    [
      'the slow path for just as much as keeps the fast one busy until then',
      [busy(0, 100, 20, 5), path(1, 100, 80)],
      { pendingBytes: 2_500 },
      1,
    ],
    [
      'not the slow path for a byte less',
      [busy(0, 100, 20, 5), path(1, 100, 80)],
      { pendingBytes: 2_499 },
      'wait',
    ],
    [
      'the second of three, while the fastest is full',
      [busy(0, 100, 20, 15), path(1, 100, 30), path(2, 10_000, 200)],
      { pendingBytes: 5_000 },
      1,
    ],
    [
      'nothing, where the piece would block the window of the fast path',
      [busy(0, 1_000, 20, 1), path(1, 100, 200)],
      { creditBytes: 50_000 },
      'wait',
    ],
    [
      'the slow path, where the window has room for what the fast one sends meanwhile',
      [busy(0, 1_000, 20, 1), path(1, 100, 200)],
      { creditBytes: 110_000 },
      1,
    ],
    [
      'the next one, where the earliest has been so unsteady that it might block the window',
      [
        busy(0, 1_000, 20, 2),
        path(1, 100, 24, { arrivalMs: 8, rttVarianceMs: 500 }),
        path(2, 300, 60),
      ],
      { creditBytes: 200_000 },
      2,
    ],
    [
      'the fast path that is free, rather than a full queue behind which a long one looks earlier',
      [path(0, 1_000, 20, { arrivalMs: 70 }), path(1, 100, 120)],
      { creditBytes: 5_000 },
      0,
    ],
  ])('takes %s', (_what, paths, over, expected) => {
    expect(pick('earliestArrival', paths, over)).toBe(expected);
    expect(pick('earliestArrival', [...paths].reverse(), over)).toBe(expected);
  });

  it('uses all paths for bulk, also when they differ tenfold in rate and delay', () => {
    const ids = [0, 1, 2];
    for (const free of ids) {
      const views = [path(0, 10_000, 10), path(1, 1_000, 100), path(2, 100, 300)].map((one) =>
        one.pathId === free ? one : { ...one, canSend: false, waitMs: 1 },
      );
      expect(pick('earliestArrival', views)).toBe(free);
    }
  });

  it('never takes a path that arrives after faster ones could have delivered all', () => {
    const unblocked = anyInput.map((some) => ({ ...some, creditBytes: Number.MAX_SAFE_INTEGER }));
    fc.assert(
      fc.property(unblocked, (some) => {
        const paths = some.paths.some((one) => !one.isBackup)
          ? some.paths.filter((one) => !one.isBackup)
          : some.paths;
        const choice = SCHEDULERS.earliestArrival(some);
        const own = paths.find((one) => choice.type === 'send' && one.pathId === choice.pathId);
        if (own === undefined) return;
        const faster = paths.filter((one) => one.waitMs + one.arrivalMs < own.arrivalMs);
        if (faster.length === 0) return;
        const rate = faster.reduce((sum, one) => sum + one.rate, 0);
        const earliest = Math.min(...faster.map((one) => one.waitMs + one.arrivalMs));
        expect(own.arrivalMs).toBeLessThanOrEqual(earliest + some.pendingBytes / rate);
      }),
      { numRuns: 500 },
    );
  });

  it('passes over the free path that is earliest only to spare the window for faster ones', () => {
    fc.assert(
      fc.property(anyInput, (some) => {
        const choice = SCHEDULERS.earliestArrival(some);
        if (choice.type === 'wait') return;
        const paths = some.paths.some((one) => !one.isBackup)
          ? some.paths.filter((one) => !one.isBackup)
          : some.paths;
        const first = paths
          .filter((one) => one.canSend)
          .reduce((a, b) => (b.arrivalMs < a.arrivalMs ? b : a));
        if (choice.pathId === first.pathId) return;
        expect(paths.some((one) => one.minRttMs < first.minRttMs)).toBe(true);
        const unblocked = { ...some, creditBytes: Number.MAX_SAFE_INTEGER };
        expect(chosen(SCHEDULERS.earliestArrival(unblocked))).toBeOneOf([first.pathId, 'wait']);
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes for a much slower path what the others will not have come to when it has repaired it', () => {
    const paths = [busy(1, 100, 40, 10), path(2, 10, 600)];
    const sooner = 100 * (300 - 30);
    const ahead = (creditBytes: number) =>
      SCHEDULERS.earliestArrival(input(paths, { creditBytes }));
    const all = { type: 'send', pathId: 2, copies: [], aheadBytes: sooner + 100 * 600 };
    expect(ahead(BULK)).toEqual(all);
    // A repair may take half of the credit.
    expect(ahead(100_000)).toEqual({ ...all, aheadBytes: 50_000 });
    expect(ahead(40_000)).toEqual({ ...all, aheadBytes: sooner });
  });

  it('takes the next piece in order for a path that is hardly slower', () => {
    const alike = input([busy(1, 100, 40, 30), path(2, 10, 140)]);
    expect(SCHEDULERS.earliestArrival(alike)).toMatchObject({ pathId: 2, aheadBytes: 0 });
    const queued = input([busy(1, 100, 200, 10), path(2, 10, 400, { arrivalMs: 200 })]);
    expect(SCHEDULERS.earliestArrival(queued)).toMatchObject({ pathId: 2, aheadBytes: 0 });
  });
});

describe('the simple schedulers', () => {
  const near = path(3, 100, 20);
  const far = path(5, 900, 80, { arrivalMs: 15 });

  it('minRtt takes the smallest round trip that has room, whatever arrives earlier', () => {
    expect(pick('minRtt', [far, near])).toBe(3);
    expect(pick('minRtt', [far, { ...near, canSend: false, waitMs: 1 }])).toBe(5);
  });

  it('roundRobin takes the paths in turn, and skips those without room', () => {
    const paths = [path(1, 1, 1), path(4, 1, 1), path(9, 1, 1)];
    const turns: (number | 'wait')[] = [];
    let lastPathId: number | undefined;
    for (let i = 0; i < 5; i++) {
      const next = pick('roundRobin', paths, { lastPathId });
      turns.push(next);
      if (next !== 'wait') lastPathId = next;
    }
    expect(turns).toEqual([1, 4, 9, 1, 4]);
    expect(pick('roundRobin', [busy(1, 1, 1, 1), path(4, 1, 1)], { lastPathId: 4 })).toBe(4);
    expect(pick('roundRobin', paths, { lastPathId: 7 })).toBe(9);
  });

  it('redundant takes the earliest path that has room, and all others for copies', () => {
    const choice = SCHEDULERS.redundant(input([near, far, busy(6, 1, 1, 1), path(7, 1, 500)]));
    expect(choice).toEqual({ type: 'send', pathId: 3, copies: [5, 6, 7], aheadBytes: 0 });
  });

  it('backup stays on the oldest path, and waits for it', () => {
    expect(pick('backup', [far, near])).toBe(3);
    expect(pick('backup', [far, { ...near, canSend: false, waitMs: 1 }])).toBe('wait');
  });
});
