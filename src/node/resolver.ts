/**
 * Resolves the names of servers: one that is slow or fails for a while holds up nothing.
 *
 * @module
 */

import { type ResolvedAddress, resolveHost } from './server-address.js';

/** How long the answer for one name holds up what is known of the others. */
export const LATE_ANSWER_MS = 300;

/** Remembers the last good answer for each name. */
export class ServerResolver {
  readonly #resolve: (host: string) => Promise<readonly ResolvedAddress[]>;
  readonly #known = new Map<string, readonly ResolvedAddress[]>();
  readonly #pending = new Map<string, Promise<void>>();
  /** Names whose last answer came late and has not been asked for since. */
  readonly #late = new Set<string>();

  constructor(resolve: (host: string) => Promise<readonly ResolvedAddress[]> = resolveHost) {
    this.#resolve = resolve;
  }

  /**
   * @param onLate called when a name has an answer after all, or another one than before, that was
   *   not there within {@link LATE_ANSWER_MS}: the next call gives it without asking again.
   * @returns the addresses of each name; none if it never had any.
   */
  async resolve(
    hosts: readonly string[],
    onLate: () => void,
  ): Promise<Map<string, readonly ResolvedAddress[]>> {
    let isOver = false;
    const lookups = [...new Set(hosts)].map((host) => {
      if (this.#late.delete(host)) return undefined;
      const lookup = this.#pending.get(host) ?? this.#ask(host);
      const before = JSON.stringify(this.#known.get(host));
      return lookup.then(() => {
        if (!isOver || JSON.stringify(this.#known.get(host)) === before) return;
        this.#late.add(host);
        onLate();
      });
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LATE_ANSWER_MS);
    });
    await Promise.race([Promise.all(lookups), late]);
    clearTimeout(timer);
    isOver = true;
    return new Map(hosts.map((host) => [host, this.#known.get(host) ?? []]));
  }

  #ask(host: string): Promise<void> {
    const asked = this.#resolve(host).then(
      (found) => {
        this.#pending.delete(host);
        if (found.length > 0) this.#known.set(host, found);
      },
      () => void this.#pending.delete(host),
    );
    this.#pending.set(host, asked);
    return asked;
  }
}
