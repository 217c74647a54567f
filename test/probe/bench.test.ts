/** Measuring a session, over memory carriers. */
import { describe, expect, it } from 'vitest';
import { GapMeter } from '../../src/probe/gap-meter.js';
import {
  type BenchProgress,
  benchService,
  MAX_BENCH_MS,
  MAX_BENCH_STREAMS,
  measureSession,
  observe,
  observeService,
} from '../../src/probe/index.js';
import { openService, ServiceHost } from '../../src/service/index.js';
import { withPair } from '../helpers/node-pair.js';

const HOST = new ServiceHost([benchService(), observeService()]);

describe('a measurement', () => {
  it('counts both directions, small writes and the shares of the paths', () =>
    withPair({ carriers: 2 }, async ({ client, server }) => {
      HOST.attach(server, []);
      const phases = new Set<BenchProgress['phase']>();
      const result = await measureSession(client, {
        durationMs: 400,
        onProgress: ({ phase }) => phases.add(phase),
      });
      for (const direction of [result.download, result.upload]) {
        expect(direction.bytes).toBeGreaterThan(0);
        expect(direction.goodputBytesPerSecond).toBeGreaterThan(0);
        expect(direction.shares).toHaveLength(2);
        const sum = direction.shares.reduce((total, { share }) => total + share, 0);
        expect(sum).toBeCloseTo(1, 6);
      }
      for (const latency of [result.latency.idle, result.latency.loaded]) {
        expect(latency.answered).toBe(latency.sent);
        expect(latency.p50Ms).toBeLessThanOrEqual(latency.p99Ms ?? 0);
        // A histogram keeps three digits.
        expect(latency.p99Ms).toBeLessThanOrEqual((latency.maxMs ?? 0) * 1.01);
      }
      expect(result.paths).toHaveLength(2);
      expect(phases).toEqual(new Set(['latency', 'download', 'upload']));
    }));

  it('stops when its signal is aborted, and leaves the session as it was', () =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, []);
      const controller = new AbortController();
      const measuring = measureSession(client, {
        durationMs: 60_000,
        signal: controller.signal,
        onProgress: () => controller.abort(new Error('enough')),
      });
      await expect(measuring).rejects.toThrow();
      expect(await observe(client)).toHaveLength(server.paths.length);
    }));

  it(`is one of ${MAX_BENCH_STREAMS} at most in a session`, () =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, []);
      const open = () => openService(client, { service: 'bench', mode: 'echo' });
      const opened = await Promise.all(Array.from({ length: MAX_BENCH_STREAMS }, open));
      await expect(open()).rejects.toMatchObject({ code: 'ERR_SERVICE_FAILED' });
      const [first] = opened;
      first?.stream.end();
      first?.stream.resume();
      await new Promise((resolve) => first?.stream.once('close', resolve));
      await expect(open()).resolves.toBeDefined();
    }));

  it.each([
    [{ mode: 'drain' }],
    [{ mode: 'source', durationMs: 0 }],
    [{ mode: 'source', durationMs: MAX_BENCH_MS + 1 }],
    [{ mode: 'sink', durationMs: '5' }],
    [{}],
  ])('%j is refused', (fields) =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, []);
      const asked = openService(client, { service: 'bench', ...fields });
      await expect(asked).rejects.toMatchObject({ code: 'ERR_SERVICE_FAILED' });
    }),
  );
});

describe('the longest gap', () => {
  it('is between two reads, and not before the first one', () => {
    const meter = new GapMeter();
    for (const at of [1000, 1010, 1050, 1060]) meter.add(10, at);
    expect(meter.report(1060, 1000)).toEqual({ bytes: 40, durationMs: 60, longestGapMs: 40 });
  });

  it('is also the silence in which a measurement ends', () => {
    const meter = new GapMeter();
    for (const at of [0, 10]) meter.add(10, at);
    expect(meter.report(500, 500)).toEqual({ bytes: 20, durationMs: 500, longestGapMs: 490 });
  });
});

describe('an observer', () => {
  it('tells from where each path comes', () =>
    withPair({ carriers: 2 }, async ({ client, server }) => {
      HOST.attach(server, []);
      const seen = await observe(client);
      const expected = server.paths.map(({ pathId, remote }) => ({ pathId, remote }));
      expect(seen).toEqual(expected);
      expect(seen).toHaveLength(2);
    }));
});
