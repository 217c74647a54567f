/** Signals that end a program: the first one cleanly, the second at once. @module */

import { EXIT, type ExitCode } from './exit-codes.js';
import { CliError } from './failure.js';

export type StopSignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

const EXIT_CODES: Readonly<Record<StopSignalName, ExitCode>> = {
  SIGINT: EXIT.INTERRUPTED,
  SIGTERM: EXIT.TERMINATED,
  SIGHUP: EXIT.HUNG_UP,
};

/** Ends what is running; of itself no failure for verbs that run until they are stopped. */
export class Interrupted extends CliError {
  readonly signalName: StopSignalName;

  constructor(signalName: StopSignalName) {
    super(EXIT_CODES[signalName], `stopped by ${signalName}`, 'ERR_INTERRUPTED');
    this.signalName = signalName;
  }
}

let controller: AbortController | undefined;

/**
 * Aborted by the first SIGINT or SIGTERM, and SIGHUP after {@link stopOnHangup}, with
 * {@link Interrupted} as its reason.
 */
export function stopSignal(): AbortSignal {
  return stopController().signal;
}

function stopController(): AbortController {
  if (controller !== undefined) return controller;
  const stopped = new AbortController();
  controller = stopped;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      const error = new Interrupted(name);
      if (stopped.signal.aborted) process.exit(error.exitCode);
      stopped.abort(error);
    });
  }
  return stopped;
}

/** Resolves at the first signal that ends the program. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Whether a person sits in front of it, whose terminal SIGHUP takes away. */
export function hasTerminal(): boolean {
  return process.stdin.isTTY === true || process.stderr.isTTY === true;
}

/**
 * From now on SIGHUP ends the program cleanly. A second one hurries nothing: it may come from the
 * terminal and from ssh at once.
 *
 * @param drainMs how much later, if it has not come to its end by itself.
 */
export function stopOnHangup(drainMs = 0): void {
  const stopped = stopController();
  process.once('SIGHUP', () => {
    setTimeout(() => stopped.abort(new Interrupted('SIGHUP')), drainMs);
    process.on('SIGHUP', () => undefined);
  });
}

/** Calls `redial` on SIGHUP, as network scripts send it to programs without a terminal. */
export function redialOnHangup(redial: () => void): void {
  process.on('SIGHUP', redial);
}
