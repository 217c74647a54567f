/** The largest of the recent samples, in O(1) memory and time. @module */

/** Samples kept are at least this part of the window apart, so that there are few of them. */
const GRAIN = 8;

/**
 * A windowed maximum: the best few samples, each newer than the better one. What `at` and
 * `length` count, rounds or milliseconds, is up to the user.
 */
export class MaxFilter {
  #best: { value: number; at: number }[] = [];

  get value(): number {
    return this.#best[0]?.value ?? 0;
  }

  /** @param length samples older than this are forgotten. */
  update(value: number, at: number, length: number): void {
    const best = this.#best;
    while (best.length > 0 && (best[best.length - 1]?.value ?? 0) <= value) best.pop();
    // What is little newer than the last one kept is left out: it could be the best for a moment only.
    const last = best[best.length - 1];
    if (last === undefined || at - last.at >= length / GRAIN) best.push({ value, at });
    while (best.length > 1 && (best[0]?.at ?? 0) + length < at) best.shift();
  }
}
