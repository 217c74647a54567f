/**
 * The default scheduler holds a piece back from a slow path while faster ones would need the
 * receive window. It did so also when the faster path was free, and only looked a little later
 * in its arrival: both paths stood idle, and the end of a stream was never sent. Found by a random
 * world with a receive window of 4 KiB (seed 63).
 */
import { expect, it } from 'vitest';
import { SCHEDULERS } from '../../src/core/index.js';

it('does not wait for a path that is free', () => {
  const common = {
    isBackup: false,
    canSend: true,
    waitMs: 0,
    rttVarianceMs: 1,
    packetBytes: 1_200,
  };
  const paths = [
    { ...common, pathId: 0, arrivalMs: 5, smoothedRttMs: 9.5, minRttMs: 9, rate: 100 },
    // The smaller round trip, but slow: a piece arrives later than on the other path.
    { ...common, pathId: 1, arrivalMs: 40, smoothedRttMs: 8.5, minRttMs: 8, rate: 10 },
  ];
  const input = { paths, pendingBytes: 0, creditBytes: 0, skippedBytes: 0, lastPathId: undefined };
  expect(SCHEDULERS.earliestArrival(input).type).toBe('send');
});
