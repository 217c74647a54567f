/**
 * A small seeded generator (mulberry32) for tests that must be replayable. It shares nothing with
 * the generators that it may be used to test.
 */
export class TestPrng {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** 32 random bits. */
  word(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** An integer from 0 up to, but not including, `bound` (at most 2^32). */
  below(bound: number): number {
    return Math.floor((this.word() / 2 ** 32) * bound);
  }

  chance(probability: number): boolean {
    return this.word() < probability * 2 ** 32;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.word();
    return bytes;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** An integer from 0 to `max` whose number of bits is evenly spread; often at an edge. */
  integer(max: number = Number.MAX_SAFE_INTEGER): number {
    const bits = this.below(54);
    const top = Math.min(max, 2 ** bits - 1);
    if (this.chance(0.25)) return top;
    return Math.min(top, Math.floor((this.word() / 2 ** 32) * (top + 1)));
  }
}
