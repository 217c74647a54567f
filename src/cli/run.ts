/**
 * One run of the command line, from the arguments to the exit code.
 *
 * @module
 */

import { CommanderError } from 'commander';
import { EXIT } from './exit-codes.js';
import { describeFailure } from './failure.js';
import { flushOutput } from './output.js';
import { createProgram } from './program.js';
import { refuseTicketInArguments, takeTicketFromEnvironment } from './ticket-source.js';

/** Runs a verb and ends the process. */
export async function run(argv: readonly string[]): Promise<never> {
  ignoreClosedOutput();
  takeTicketFromEnvironment();
  const exitCode = await runArguments(argv);
  await flushOutput();
  process.exit(exitCode);
}

/** @returns the exit code; what there is to say has been said. */
export async function runArguments(argv: readonly string[]): Promise<number> {
  try {
    refuseTicketInArguments(argv);
    await createProgram().parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? EXIT.OK);
  } catch (error) {
    // Commander has said it already; what it calls an error is a wrong use.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    const { message, code, exitCode } = describeFailure(error);
    const json = argv.includes('--json');
    const line = json
      ? JSON.stringify({ error: { code, message, exitCode } })
      : `roving: ${message}`;
    process.stderr.write(`${line}\n`);
    if (exitCode === EXIT.SOFTWARE && process.env['ROVING_DEBUG'] !== undefined) {
      process.stderr.write(`${(error as Error).stack}\n`);
    }
    return exitCode;
  }
}

/** `roving ticket list | head -1` is no error. */
function ignoreClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
