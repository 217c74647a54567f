/**
 * A set of integers kept as disjoint, ascending, half-open ranges. Used for stream offsets that
 * were acknowledged or must be sent again, and for packet numbers that have arrived.
 *
 * @module
 */

export interface Range {
  /** First member. */
  readonly start: number;
  /** One past the last member. */
  readonly end: number;
}

interface MutableRange {
  start: number;
  end: number;
}

export class RangeSet {
  readonly #ranges: MutableRange[] = [];
  #size = 0;

  /** Ranges, ascending. */
  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  get rangeCount(): number {
    return this.#ranges.length;
  }

  /** How many integers are in the set. */
  get size(): number {
    return this.#size;
  }

  first(): Range | undefined {
    return this.#ranges[0];
  }

  last(): Range | undefined {
    return this.#ranges[this.#ranges.length - 1];
  }

  has(value: number): boolean {
    const range = this.#ranges[this.#firstEndingAfter(value)];
    return range !== undefined && range.start <= value;
  }

  /** Whether all of `[start, end)` is in the set. */
  covers(start: number, end: number): boolean {
    if (start >= end) return true;
    const range = this.#ranges[this.#firstEndingAfter(start)];
    return range !== undefined && range.start <= start && range.end >= end;
  }

  /** Adds `[start, end)`. Returns how many integers were new. */
  add(start: number, end: number): number {
    if (start >= end) return 0;
    const ranges = this.#ranges;
    const last = ranges[ranges.length - 1];
    if (last === undefined || start > last.end) {
      ranges.push({ start, end });
      this.#size += end - start;
      return end - start;
    }
    if (start >= last.start) {
      const added = Math.max(0, end - last.end);
      last.end += added;
      this.#size += added;
      return added;
    }
    return this.#merge(start, end);
  }

  #merge(start: number, end: number): number {
    const ranges = this.#ranges;
    let index = this.#firstEndingAfter(start);
    const previous = ranges[index - 1];
    if (previous !== undefined && previous.end === start) index -= 1;
    let merged = 0;
    let newStart = start;
    let newEnd = end;
    let count = 0;
    for (let i = index; i < ranges.length; i++) {
      const range = ranges[i] as MutableRange;
      if (range.start > end) break;
      newStart = Math.min(newStart, range.start);
      newEnd = Math.max(newEnd, range.end);
      merged += range.end - range.start;
      count += 1;
    }
    ranges.splice(index, count, { start: newStart, end: newEnd });
    const added = newEnd - newStart - merged;
    this.#size += added;
    return added;
  }

  /** Removes `[start, end)`. Returns how many integers were removed. */
  remove(start: number, end: number): number {
    if (start >= end) return 0;
    const ranges = this.#ranges;
    let removed = 0;
    let index = this.#firstEndingAfter(start);
    while (index < ranges.length) {
      const range = ranges[index] as MutableRange;
      if (range.start >= end) break;
      const from = Math.max(start, range.start);
      const to = Math.min(end, range.end);
      removed += to - from;
      const rest: MutableRange[] = [];
      if (range.start < from) rest.push({ start: range.start, end: from });
      if (to < range.end) rest.push({ start: to, end: range.end });
      ranges.splice(index, 1, ...rest);
      index += rest.length;
    }
    this.#size -= removed;
    return removed;
  }

  /** The parts of `[start, end)` that are not in the set, ascending. */
  gaps(start: number, end: number): Range[] {
    const gaps: Range[] = [];
    let position = start;
    for (let i = this.#firstEndingAfter(start); i < this.#ranges.length; i++) {
      const range = this.#ranges[i] as MutableRange;
      if (range.start >= end) break;
      if (range.start > position) gaps.push({ start: position, end: range.start });
      position = range.end;
    }
    if (position < end) gaps.push({ start: position, end });
    return gaps;
  }

  /** Drops the lowest range. */
  shift(): Range | undefined {
    const range = this.#ranges.shift();
    if (range !== undefined) this.#size -= range.end - range.start;
    return range;
  }

  clear(): void {
    this.#ranges.length = 0;
    this.#size = 0;
  }

  /** Index of the first range whose end is greater than `value`. */
  #firstEndingAfter(value: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as MutableRange).end > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
