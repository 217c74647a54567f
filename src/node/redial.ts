/**
 * When to try a route again. Pure: time and chance come in as arguments.
 *
 * @module
 */

/** The first retry after a failure; doubles with each further one. */
export const RETRY_MIN_MS = 250;
/** While another path carries the session there is no hurry. */
export const RETRY_MAX_MS = 15_000;
/**
 * While none does, a kernel's own back-off is too slow (its second SYN goes after 1 s, its fifth
 * after 15 s): a new connection is tried this often at first, then in proportion to the darkness.
 */
export const RETRY_DARK_MS = 500;
export const RETRY_DARK_MAX_MS = 5_000;
export const RETRY_DARK_SHARE = 0.01;
/** How much chance varies each delay, so that many clients do not come back in step. */
export const RETRY_JITTER = 0.2;

export interface RetryQuestion {
  /** Failures in a row, at least 1. */
  readonly failures: number;
  /** How long no path has been healthy; `undefined` while one is. */
  readonly darkMs: number | undefined;
  /** From 0 to 1. */
  readonly chance: number;
}

/** @returns how long to wait before the next attempt, in ms. */
export function retryDelayMs({ failures, darkMs, chance }: RetryQuestion): number {
  const doubling = RETRY_MIN_MS * 2 ** Math.min(30, failures - 1);
  const most =
    darkMs === undefined
      ? RETRY_MAX_MS
      : Math.min(RETRY_DARK_MAX_MS, Math.max(RETRY_DARK_MS, darkMs * RETRY_DARK_SHARE));
  return Math.min(most, doubling) * (1 - RETRY_JITTER + 2 * RETRY_JITTER * chance);
}
