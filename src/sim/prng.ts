/**
 * Reproducible randomness: one seed makes a whole world.
 *
 * @module
 */

/** Rounds that are thrown away after seeding, so that similar seeds part ways (PractRand: 12). */
const WARM_UP_ROUNDS = 20;
const UINT32_RANGE = 0x1_0000_0000;

/** The finalizer of MurmurHash3 (Austin Appleby, public domain): each bit in moves all bits out. */
function mix32(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

/** FNV-1a over the UTF-16 code units of `text`, started from `start`. Not for secrets. */
export function hashText(text: string, start: number): number {
  let h = start | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix32(h);
}

/**
 * A seeded generator of random numbers: sfc32 (Chris Doty-Humphrey, PractRand, public domain).
 * Equal seeds give equal sequences on every machine. Not for secrets.
 */
export class Prng {
  /** What this generator was made from; a fork adds its label. Print it to replay a run. */
  readonly seed: string;
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** The number 7 and the string '7' are the same seed. */
  constructor(seed: number | string) {
    this.seed = String(seed);
    this.a = hashText(this.seed, 0x811c9dc5);
    this.b = hashText(this.seed, 0x2f0b4c47);
    this.c = hashText(this.seed, 0x6b43a9b5);
    for (let i = 0; i < WARM_UP_ROUNDS; i++) this.next();
  }

  /** The next number, an integer from 0 to 2^32-1. */
  next(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1), in steps of 2^-32. */
  float(): number {
    return this.next() / UINT32_RANGE;
  }

  /**
   * An integer from `min` to `max`, both included.
   *
   * @throws RangeError if the range is empty or has more than 2^32 numbers.
   */
  integer(min: number, max: number): number {
    const count = max - min + 1;
    if (!(count >= 1 && count <= UINT32_RANGE)) throw new RangeError(`no range: ${min}..${max}`);
    return min + Math.floor((this.next() / UINT32_RANGE) * count);
  }

  /** True with the given probability. 0 and 1 are certain, and draw nothing. */
  chance(probability: number): boolean {
    if (probability <= 0) return false;
    return probability >= 1 || this.next() < probability * UINT32_RANGE;
  }

  /** @throws RangeError if the list is empty. */
  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError('nothing to pick from');
    return list[this.integer(0, list.length - 1)] as T;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; ) {
      let word = this.next();
      for (let k = 0; k < 4 && i < length; k++, i++, word >>>= 8) out[i] = word;
    }
    return out;
  }

  /**
   * A generator for one part of a world. It depends on this one's seed and on the label only, not
   * on what has been drawn so far: a part that draws more does not disturb the others.
   */
  fork(label: string): Prng {
    return new Prng(`${this.seed}/${label}`);
  }
}
