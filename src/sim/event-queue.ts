/**
 * The queue of what is going to happen: a 4-ary heap over parallel arrays, so that an entry costs
 * no object of its own.
 *
 * @module
 */

import type { Instant } from '../core/contract.js';

/** Something that can be woken at an instant. A wake that is early or repeated must be harmless. */
export interface Wakeable {
  wake(now: Instant): void;
}

const ARITY = 4;
const FIRST_CAPACITY = 64;

/** Earliest first; what was pushed first comes first among equals. */
export class EventQueue {
  private times = new Float64Array(FIRST_CAPACITY);
  private orders = new Float64Array(FIRST_CAPACITY);
  private readonly targets: Wakeable[] = [];
  private nextOrder = 0;
  private length = 0;

  get size(): number {
    return this.length;
  }

  /** The time of the earliest entry; Infinity if there is none. */
  get nextAt(): number {
    return this.length === 0 ? Number.POSITIVE_INFINITY : (this.times[0] as number);
  }

  push(at: number, target: Wakeable): void {
    if (this.length === this.times.length) this.grow();
    let hole = this.length++;
    const { times, orders, targets } = this;
    while (hole > 0) {
      const parent = ((hole - 1) / ARITY) | 0;
      const parentAt = times[parent] as number;
      if (parentAt <= at) break; // an equal parent was pushed earlier
      times[hole] = parentAt;
      orders[hole] = orders[parent] as number;
      targets[hole] = targets[parent] as Wakeable;
      hole = parent;
    }
    times[hole] = at;
    orders[hole] = this.nextOrder++;
    targets[hole] = target;
  }

  /** Takes the earliest entry. */
  pop(): Wakeable | undefined {
    if (this.length === 0) return undefined;
    const first = this.targets[0];
    const last = --this.length;
    const target = this.targets.pop() as Wakeable;
    if (last > 0) this.sink(this.times[last] as number, this.orders[last] as number, target);
    return first;
  }

  /** Puts an entry into the hole at the root. */
  private sink(at: number, order: number, target: Wakeable): void {
    const { times, orders, targets, length } = this;
    let hole = 0;
    for (;;) {
      const firstChild = hole * ARITY + 1;
      if (firstChild >= length) break;
      const end = Math.min(firstChild + ARITY, length);
      let best = firstChild;
      let bestAt = times[firstChild] as number;
      for (let child = firstChild + 1; child < end; child++) {
        const childAt = times[child] as number;
        if (childAt > bestAt) continue;
        if (childAt === bestAt && (orders[child] as number) > (orders[best] as number)) continue;
        best = child;
        bestAt = childAt;
      }
      if (bestAt > at || (bestAt === at && (orders[best] as number) > order)) break;
      times[hole] = bestAt;
      orders[hole] = orders[best] as number;
      targets[hole] = targets[best] as Wakeable;
      hole = best;
    }
    times[hole] = at;
    orders[hole] = order;
    targets[hole] = target;
  }

  private grow(): void {
    const times = new Float64Array(this.times.length * 2);
    const orders = new Float64Array(this.times.length * 2);
    times.set(this.times);
    orders.set(this.orders);
    this.times = times;
    this.orders = orders;
  }
}
