/** How fast the peer opens paths. @module */

import type { Instant } from './contract.js';

/**
 * Each path costs the derivation of keys and some memory, and joins are not flow controlled. A
 * client whose connections are all reset dials anew at most some times a second on each network.
 */
export const MAX_JOINS_PER_WINDOW = 256;
export const JOIN_WINDOW_MS = 10_000;

export class JoinRate {
  #since = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** Counts one more. @returns whether that is still bearable. */
  joined(now: Instant): boolean {
    if (now - this.#since >= JOIN_WINDOW_MS) {
      this.#since = now;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count <= MAX_JOINS_PER_WINDOW;
  }
}
