import { describe, expect, it } from 'vitest';
import {
  BlockPool,
  MAX_FREE_BLOCKS,
  SEND_BLOCK_BYTES,
  SendBuffer,
} from '../../src/core/streams/send-buffer.js';
import { TestPrng } from '../helpers/prng.js';

function joined(views: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(views));
}

describe('send buffers', () => {
  it('give back what was written, however it was written, read and released', () => {
    const prng = new TestPrng(7);
    const pool = new BlockPool();
    const buffer = new SendBuffer(pool);
    let all: Uint8Array = new Uint8Array(0);
    let released = 0;
    for (let step = 0; step < 120; step++) {
      const length = [0, 1, 100, 3_000, 40_000, 140_000][prng.below(6)] ?? 0;
      const bytes = prng.bytes(length);
      buffer.write(bytes);
      all = joined([all, bytes]);
      bytes.fill(0);
      const start = released + prng.below(all.length - released + 1);
      const end = start + prng.below(Math.min(80_000, all.length - start) + 1);
      const read = joined(buffer.read({ start, end }));
      expect(Buffer.compare(read, all.subarray(start, end))).toBe(0);
      if (step % 3 !== 0) continue;
      released += prng.below(all.length - released + 1);
      buffer.release(released);
    }
  });

  it('use the blocks of the pool again, and keep no more than a few that nobody uses', () => {
    const pool = new BlockPool();
    const buffer = new SendBuffer(pool);
    const bytes = new Uint8Array(SEND_BLOCK_BYTES);
    let written = 0;
    for (let i = 0; i < MAX_FREE_BLOCKS + 10; i++) {
      buffer.write(bytes);
      written += bytes.length;
    }
    const [first] = buffer.read({ start: 0, end: 1 });
    expect(pool.freeCount).toBe(0);
    buffer.release(SEND_BLOCK_BYTES);
    expect(pool.freeCount).toBe(1);
    buffer.write(bytes);
    const [again] = buffer.read({ start: written, end: written + 1 });
    expect(again?.buffer).toBe(first?.buffer);
    buffer.release(written + bytes.length);
    expect(pool.freeCount).toBe(MAX_FREE_BLOCKS);
  });

  it('take no block for little, so that ten thousand idle streams hold little', () => {
    const pool = new BlockPool();
    const buffer = new SendBuffer(pool);
    for (let i = 0; i < 100; i++) {
      buffer.write(new Uint8Array(3_000));
      const [view] = buffer.read({ start: 3_000 * i, end: 3_000 * i + 1 });
      expect(view?.buffer.byteLength).toBeLessThanOrEqual(4_096);
      buffer.release(3_000 * (i + 1));
    }
    expect(pool.freeCount).toBe(0);
  });
});
