/** Signals that end a program: the first one cleanly, the second at once. @module */

import { EXIT } from './exit-codes.js';
import { CliError } from './failure.js';

export type StopSignalName = 'SIGINT' | 'SIGTERM';

/** Ends what is running; of itself no failure for verbs that run until they are stopped. */
export class Interrupted extends CliError {
  readonly signalName: StopSignalName;

  constructor(signalName: StopSignalName) {
    const exitCode = signalName === 'SIGINT' ? EXIT.INTERRUPTED : EXIT.TERMINATED;
    super(exitCode, `stopped by ${signalName}`, 'ERR_INTERRUPTED');
    this.signalName = signalName;
  }
}

let controller: AbortController | undefined;

/** Aborted by the first SIGINT or SIGTERM, with {@link Interrupted} as its reason. */
export function stopSignal(): AbortSignal {
  if (controller !== undefined) return controller.signal;
  const stopped = new AbortController();
  controller = stopped;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      const error = new Interrupted(name);
      if (stopped.signal.aborted) process.exit(error.exitCode);
      stopped.abort(error);
    });
  }
  return stopped.signal;
}

/** Resolves at the first signal that ends the program. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * Calls `redial` on SIGHUP, as network scripts send it. A program of a terminal ends by it as ever:
 * the terminal is gone then.
 */
export function redialOnHangup(redial: () => void): void {
  if (process.stdin.isTTY === true || process.stderr.isTTY === true) return;
  process.on('SIGHUP', redial);
}
