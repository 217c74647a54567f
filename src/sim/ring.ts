/** A first-in-first-out queue of packets with two numbers each, without an object per entry. */
export class PacketRing<T> {
  private items: (T | undefined)[] = new Array<T | undefined>(16).fill(undefined);
  private sizes = new Float64Array(16);
  private times = new Float64Array(16);
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** The head's size. Only while the ring is not empty, as the other getters and `shift`. */
  get headSize(): number {
    return this.sizes[this.head] as number;
  }

  get headTime(): number {
    return this.times[this.head] as number;
  }

  push(item: T, size: number, time: number): void {
    if (this.count === this.items.length) this.grow();
    this.put((this.head + this.count++) & (this.items.length - 1), item, size, time);
  }

  /** Inserts behind every entry that is not later. Costs a step per later entry. */
  insertByTime(item: T, size: number, time: number): void {
    if (this.count === this.items.length) this.grow();
    const mask = this.items.length - 1;
    let at = this.count++;
    for (; at > 0; at--) {
      const before = (this.head + at - 1) & mask;
      const beforeTime = this.times[before] as number;
      if (beforeTime <= time) break;
      this.put((this.head + at) & mask, this.items[before], this.sizes[before] ?? 0, beforeTime);
    }
    this.put((this.head + at) & mask, item, size, time);
  }

  shift(): T {
    const item = this.items[this.head] as T;
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    this.count--;
    return item;
  }

  clear(): void {
    while (this.count > 0) this.shift();
  }

  private put(at: number, item: T | undefined, size: number, time: number): void {
    this.items[at] = item;
    this.sizes[at] = size;
    this.times[at] = time;
  }

  private grow(): void {
    const old = this.items.length;
    const items = new Array<T | undefined>(old * 2).fill(undefined);
    const sizes = new Float64Array(old * 2);
    const times = new Float64Array(old * 2);
    for (let i = 0; i < this.count; i++) {
      const from = (this.head + i) & (old - 1);
      items[i] = this.items[from];
      sizes[i] = this.sizes[from] as number;
      times[i] = this.times[from] as number;
    }
    this.items = items;
    this.sizes = sizes;
    this.times = times;
    this.head = 0;
  }
}
