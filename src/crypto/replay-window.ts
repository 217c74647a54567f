/**
 * Which packet numbers of a path have been received, near the largest (RFC 6479).
 *
 * @module
 */

/** Tuning: as wide as WireGuard's; far more than the reordering seen on any one path. */
export const REPLAY_WINDOW_WIDTH = 8192;

const WORD_BITS = 32;

/**
 * Refuses a packet number that was recorded before, or that lies `width` or more below the largest
 * one recorded. The bitmap is a ring of words that is never shifted: moving on clears whole words,
 * at most once around, however big the jump.
 */
export class ReplayWindow {
  readonly #width: number;
  readonly #words: Uint32Array;
  #largest = -1;

  /** `width` in packet numbers. @throws RangeError if it is not a positive multiple of 32. */
  constructor(width: number = REPLAY_WINDOW_WIDTH) {
    if (!Number.isInteger(width) || width <= 0 || width % WORD_BITS !== 0) {
      throw new RangeError(`replay window width ${width} is not a positive multiple of 32`);
    }
    this.#width = width;
    // One word more, for a window that begins in the middle of a word ends in the middle of one.
    this.#words = new Uint32Array(width / WORD_BITS + 1);
  }

  /** The largest number recorded; -1 before the first. */
  get largest(): number {
    return this.#largest;
  }

  /** Whether `n` is new: an integer from 0 to 2^53-1, not too old, not recorded. Records nothing. */
  check(n: number): boolean {
    if (!Number.isSafeInteger(n) || n < 0) return false;
    if (n > this.#largest) return true;
    if (this.#isTooOld(n)) return false;
    return ((this.#words[this.#wordIndex(n)] ?? 0) & bitOf(n)) === 0;
  }

  /**
   * Notes that `n` was received; call it once its packet has proved authentic. A number that
   * {@link check} refuses changes nothing.
   */
  record(n: number): void {
    if (!this.check(n)) return;
    if (n > this.#largest) this.#moveTo(n);
    const index = this.#wordIndex(n);
    this.#words[index] = (this.#words[index] ?? 0) | bitOf(n);
  }

  #moveTo(n: number): void {
    const from = Math.floor(this.#largest / WORD_BITS);
    const count = Math.min(Math.floor(n / WORD_BITS) - from, this.#words.length);
    for (let i = 1; i <= count; i++) this.#words[(from + i) % this.#words.length] = 0;
    this.#largest = n;
  }

  #isTooOld(n: number): boolean {
    return this.#largest - n >= this.#width;
  }

  #wordIndex(n: number): number {
    return Math.floor(n / WORD_BITS) % this.#words.length;
  }
}

function bitOf(n: number): number {
  return 1 << (n % WORD_BITS);
}
