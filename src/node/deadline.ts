/** An action that is given up after a time, or when somebody else's signal is aborted. @module */

import { CarrierError } from '../core/index.js';

export interface DeadlineOptions {
  /** In ms; without limit if absent. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `action` with a signal for both.
 *
 * @param what was not achieved, for the error's text: `no connection to ...`.
 * @throws CarrierError with `ETIMEDOUT` after the time; if the other signal aborts, its reason.
 */
export async function withDeadline<T>(
  what: string,
  { timeoutMs, signal }: DeadlineOptions,
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController();
  const error = () =>
    new CarrierError(`${what} within ${timeoutMs} ms`, { systemCode: 'ETIMEDOUT' });
  const timer =
    timeoutMs === undefined ? undefined : setTimeout(() => timeout.abort(error()), timeoutMs);
  const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
  try {
    either.throwIfAborted();
    return await action(either);
  } finally {
    clearTimeout(timer);
  }
}
