/** A bound on how many do something at a time. @module */

/** Lets a number of holders in; the others wait in order, up to a number as well. */
export class Gate {
  readonly #maxHolders: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #holderCount = 0;

  constructor(maxHolders: number, maxWaiting: number) {
    this.#maxHolders = maxHolders;
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Resolves when the caller may go on; it must call {@link leave} once then.
   *
   * @returns `false` if too many wait already, or the signal was aborted meanwhile.
   */
  async enter(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#holderCount < this.#maxHolders) {
      this.#holderCount += 1;
      return true;
    }
    if (this.#waiting.size >= this.#maxWaiting) return false;
    return new Promise((resolve) => {
      const gaveUp = (): void => {
        this.#waiting.delete(next);
        resolve(false);
      };
      const next = (): void => {
        signal.removeEventListener('abort', gaveUp);
        resolve(true);
      };
      this.#waiting.add(next);
      signal.addEventListener('abort', gaveUp, { once: true });
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#holderCount -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
