/** Deadlines of many owners: the earliest in O(1), a change in O(log n). @module */

import type { Instant } from './contract.js';

interface Entry<Owner> {
  readonly at: number;
  readonly owner: Owner;
}

export class TimerHeap<Owner> {
  #heap: Entry<Owner>[] = [];
  readonly #current = new Map<Owner, Entry<Owner>>();

  /** Replaces the owner's deadline; `undefined`: it has none. */
  set(owner: Owner, at: Instant | undefined): void {
    if (this.#current.get(owner)?.at === at) return;
    if (at === undefined) {
      this.#current.delete(owner);
      return;
    }
    const entry = { at, owner };
    this.#current.set(owner, entry);
    this.#push(entry);
    // Replaced entries stay in the heap until they surface; they must not outnumber the others.
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#current.size) this.#rebuild();
  }

  get earliest(): Instant | undefined {
    this.#dropStale();
    return this.#heap[0]?.at as Instant | undefined;
  }

  /** Takes out an owner whose deadline has come. */
  takeDue(now: Instant): Owner | undefined {
    this.#dropStale();
    const top = this.#heap[0];
    if (top === undefined || top.at > now) return undefined;
    this.#pop();
    this.#current.delete(top.owner);
    return top.owner;
  }

  #dropStale(): void {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || this.#current.get(top.owner) === top) return;
      this.#pop();
    }
  }

  #rebuild(): void {
    this.#heap = [];
    for (const entry of this.#current.values()) this.#push(entry);
  }

  #push(entry: Entry<Owner>): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      const above = heap[parent] as Entry<Owner>;
      if (above.at <= entry.at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.at < (heap[child] as Entry<Owner>).at) child += 1;
      const below = heap[child] as Entry<Owner>;
      if (below.at >= last.at) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}
