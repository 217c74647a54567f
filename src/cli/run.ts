/**
 * One run of the command line, from the arguments to the exit code.
 *
 * @module
 */

import { CommanderError } from 'commander';
import { EXIT } from './exit-codes.js';
import { CliError, describeFailure } from './failure.js';
import { flushOutput } from './output.js';
import { createProgram } from './program.js';
import { refuseTicketInArguments, takeTicketFromEnvironment } from './ticket-source.js';

/** Runs a verb and ends the process. */
export async function run(argv: readonly string[]): Promise<never> {
  let outputError: Error | undefined;
  surviveClosedOutput((error) => {
    outputError ??= error;
  });
  takeTicketFromEnvironment();
  let exitCode = await runArguments(argv);
  await flushOutput();
  // Whoever failed has said why already.
  if (outputError !== undefined && exitCode === EXIT.OK) {
    exitCode = tellFailure(outputError, argv);
    await flushOutput();
  }
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
    return tellFailure(error, argv);
  }
}

/** @returns the exit code. */
function tellFailure(error: unknown, argv: readonly string[]): number {
  const { message, code, exitCode } = describeFailure(error);
  const json = argv.includes('--json');
  const line = json ? JSON.stringify({ error: { code, message, exitCode } }) : `roving: ${message}`;
  process.stderr.write(`${line}\n`);
  if (exitCode === EXIT.SOFTWARE && process.env['ROVING_DEBUG'] !== undefined) {
    process.stderr.write(`${(error as Error).stack}\n`);
  }
  return exitCode;
}

/**
 * Remarks that nobody can read any more, on a full disk or a terminal that has gone, end nothing;
 * results that can't be written are a failure, but `roving ticket list | head -1` is none.
 */
function surviveClosedOutput(onError: (error: Error) => void): void {
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') return;
    const message = `standard output: ${error.message}`;
    onError(new CliError(EXIT.IO, message, error.code));
  });
}
