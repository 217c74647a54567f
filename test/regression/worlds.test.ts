/**
 * Random worlds that once failed, made smaller by scripts/shrink-world.mjs, each with its story.
 */
import { expect, it } from 'vitest';
import { runPlan, symmetric, type WorldPlan } from '../../src/sim/index.js';

const BURSTS = { goodToBad: 0.01, badToGood: 0.2, lossWhenBad: 0.5, lossWhenGood: 0 };

/**
 * The server's bulk data over TCP came to a client that had doubts about that path just then, and
 * acknowledged it on the UDP path, where the acknowledgement was lost. Nobody acknowledges twice
 * what does not come again, and a suspect TCP path was not asked again while anything on it was
 * unacknowledged: it stayed suspect for ever, although it worked.
 */
const acknowledgementLostElsewhere: WorldPlan = {
  seed: 685,
  paths: [
    {
      name: 'p0',
      carrier: 'tcp',
      rateMbps: 1.5503540362271626,
      rttMs: 9.47559046889959,
      up: { rateBitsPerSec: 1550354.0362271627, delayMs: 4.737795234449795, queueMs: 50 },
      down: {
        rateBitsPerSec: 1550354.0362271627,
        delayMs: 4.737795234449795,
        loss: 0.001,
        jitterMs: 4.737795234449795,
        duplicate: 0.02,
        queueMs: 10,
      },
    },
    {
      name: 'p1',
      carrier: 'udp',
      rateMbps: 39.649264451454314,
      rttMs: 27.708767369928943,
      up: {
        rateBitsPerSec: 39649264.45145431,
        delayMs: 13.854383684964471,
        loss: 0.01,
        queueMs: 300,
        burstLoss: BURSTS,
      },
      down: { ...symmetric({ rateMbps: 39.6, rttMs: 27.7 }).down, queueMs: 10 },
      opensAtMs: 530,
    },
  ],
  client: {
    congestionControl: 'cubic',
    keepAliveMs: 15_000,
    connectTimeoutMs: 200_000,
    maxAckDelayMs: 0,
  },
  server: { scheduler: 'redundant', keepAliveMs: 0, connectTimeoutMs: 200_000 },
  streams: [
    {
      opener: 'client',
      atMs: 701,
      bytes: 171_102,
      replyBytes: 1_671_741,
      priority: 1,
      pause: { afterMs: 953, forMs: 6_771 },
      writeBytes: 5_000,
      readBytes: 20_000,
    },
  ],
  faults: [
    { at: 14, type: 'black', path: 'p1', on: true },
    { at: 557, type: 'black', path: 'p1', on: false },
    { at: 1_212, type: 'black', path: 'p1', on: true },
  ],
  faultsFromStart: false,
  healAtMs: 3_277,
  closer: 'client',
};

it.each([
  [
    'a suspect TCP path comes back although its acknowledgement was lost elsewhere',
    acknowledgementLostElsewhere,
  ],
])('%s', (_story, plan) => {
  const report = runPlan(plan);
  expect(report.ok, report.why).toBe(true);
});
