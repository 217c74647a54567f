import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

/** Seals so many packets, and tells how many scavenges were asked for, and how many full collections. */
const PROGRAM = `
  import { constants, PerformanceObserver } from 'node:perf_hooks';
  import { nodeCrypto } from './dist/node/index.js';
  const counts = { scavenges: 0, full: 0 };
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) {
      const isForced = (detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0;
      if (!isForced) continue;
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) counts.scavenges += 1;
      else counts.full += 1;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  const aead = nodeCrypto.aead('AES-256-GCM', new Uint8Array(32));
  const packet = new Uint8Array(65_536);
  const count = Number(process.argv[1]) * 16;
  for (let i = 0; i < count; i++) aead.seal(new Uint8Array(12), new Uint8Array(5), [packet]);
  setTimeout(() => {
    console.log(JSON.stringify({ ...counts, gc: typeof globalThis.gc }));
  }, 50);
`;

async function afterMebibytes(
  mebibytes: number,
  environment: NodeJS.ProcessEnv = {},
): Promise<{ scavenges: number; full: number; gc: string }> {
  const env = { ...process.env, ...environment };
  const args = ['--input-type=module', '-e', PROGRAM, String(mebibytes)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout);
}

describe('memory of packets', () => {
  test('a scavenge is asked for after each 3 MiB, never a full collection', async () => {
    // The first after 32 MiB, then one for each three of the 50 that follow.
    expect(await afterMebibytes(82)).toEqual({ scavenges: 17, full: 0, gc: 'undefined' });
  });

  test('a process that moves little never asks', async () => {
    expect((await afterMebibytes(31)).scavenges).toBe(0);
  });

  test('ROVING_SCAVENGE=0 leaves the collector to itself', async () => {
    expect((await afterMebibytes(82, { ROVING_SCAVENGE: '0' })).scavenges).toBe(0);
  });
});
