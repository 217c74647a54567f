/** The largest of the samples of the last `length` rounds, in O(1) memory and time. @module */

/** Kathleen Nichols' windowed maximum: the best three samples, each newer than the better one. */
export class MaxFilter {
  readonly #length: number;
  #best: { value: number; round: number }[] = [];

  /** @param length in rounds. */
  constructor(length: number) {
    this.#length = length;
  }

  get value(): number {
    return this.#best[0]?.value ?? 0;
  }

  reset(): void {
    this.#best = [];
  }

  update(value: number, round: number): void {
    const best = this.#best;
    while (best.length > 0 && (best[best.length - 1]?.value ?? 0) <= value) best.pop();
    best.push({ value, round });
    while (best.length > 1 && (best[0]?.round ?? 0) + this.#length < round) best.shift();
    if (best.length > 3) best.splice(1, best.length - 3);
  }
}
