/** Bytes over time as their reader sees them. @module */

/** Counts what is read, and the longest time in which nothing was. */
export class GapMeter {
  #bytes = 0;
  #firstAt: number | undefined;
  #lastAt = 0;
  #longestGapMs = 0;

  /** @param now of the monotonic clock, in ms. */
  add(bytes: number, now: number): void {
    if (this.#firstAt === undefined) this.#firstAt = now;
    else this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAt);
    this.#lastAt = now;
    this.#bytes += bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param now the end of the measurement: a silence that lasts until then counts as a gap, if the
   *   measurement was not over before, by `limitMs`.
   */
  report(
    now: number,
    limitMs: number,
  ): { bytes: number; durationMs: number; longestGapMs: number } {
    if (this.#firstAt === undefined) return { bytes: 0, durationMs: 0, longestGapMs: 0 };
    const isFull = now - this.#firstAt >= limitMs;
    const end = isFull ? now : this.#lastAt;
    return {
      bytes: this.#bytes,
      durationMs: end - this.#firstAt,
      longestGapMs: isFull ? Math.max(this.#longestGapMs, end - this.#lastAt) : this.#longestGapMs,
    };
  }
}
