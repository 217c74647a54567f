/**
 * From errors to what a person reads, one line that says what to do, and to an exit code.
 *
 * @module
 */

import { EXIT, type ExitCode } from './exit-codes.js';
import { printable } from './format.js';
import { redactText } from './redact.js';

/** An error of the command line itself. */
export class CliError extends Error {
  readonly exitCode: ExitCode;
  readonly code: string;

  constructor(exitCode: ExitCode, message: string, code = 'ERR_CLI') {
    super(message);
    this.exitCode = exitCode;
    this.code = code;
  }
}

/** @throws CliError with exit code 64. */
export function failUsage(message: string): never {
  throw new CliError(EXIT.USAGE, message, 'ERR_USAGE');
}

export interface Failure {
  readonly exitCode: ExitCode;
  /** For programs; stable. */
  readonly code: string;
  readonly message: string;
}

const EXIT_CODES: Readonly<Record<string, ExitCode>> = {
  ERR_USAGE: EXIT.USAGE,
  ERR_PEER: EXIT.PROTOCOL,
  ERR_SERVICE_MESSAGE: EXIT.PROTOCOL,
  ERR_SERVICE_DENIED: EXIT.NO_PERMISSION,
  ERR_SERVICE_UNKNOWN: EXIT.UNAVAILABLE,
  ERR_SERVICE_FAILED: EXIT.UNAVAILABLE,
  ERR_REVOKED: EXIT.NO_PERMISSION,
  ERR_SUPERSEDED: EXIT.UNAVAILABLE,
  ERR_CLOSED_BY_PEER: EXIT.UNAVAILABLE,
  ERR_CONNECT_TIMEOUT: EXIT.UNAVAILABLE,
  ERR_SESSION_GONE: EXIT.UNAVAILABLE,
  ERR_SESSION_TIMEOUT: EXIT.UNAVAILABLE,
  ERR_UNDELIVERED: EXIT.UNAVAILABLE,
  ERR_ABORTED: EXIT.IO,
  ERR_STREAM_RESET: EXIT.IO,
  ERR_STREAM_STOPPED: EXIT.IO,
  ERR_INVARIANT: EXIT.SOFTWARE,
  ERR_FILE_READABLE_BY_OTHERS: EXIT.NO_PERMISSION,
  ERR_FILE_TOO_LONG: EXIT.DATA,
  ERR_KEY_FILE_DAMAGED: EXIT.CONFIG,
  ERR_KEY_FILE_LOCKED: EXIT.UNAVAILABLE,
  ERR_KEY_NAME: EXIT.DATA,
  ERR_COPY_INTERRUPTED: EXIT.UNAVAILABLE,
  ERR_COPY_PROTOCOL: EXIT.PROTOCOL,
  ERR_COPY_DESTINATION: EXIT.CANNOT_CREATE,
  ENOENT: EXIT.NO_INPUT,
  ENOTDIR: EXIT.NO_INPUT,
  EISDIR: EXIT.NO_INPUT,
  EACCES: EXIT.NO_PERMISSION,
  EPERM: EXIT.NO_PERMISSION,
  EROFS: EXIT.CANNOT_CREATE,
  EEXIST: EXIT.CANNOT_CREATE,
  EADDRINUSE: EXIT.UNAVAILABLE,
  EADDRNOTAVAIL: EXIT.UNAVAILABLE,
  ECONNREFUSED: EXIT.UNAVAILABLE,
  ECONNRESET: EXIT.UNAVAILABLE,
  EHOSTUNREACH: EXIT.UNAVAILABLE,
  ENETUNREACH: EXIT.UNAVAILABLE,
  ETIMEDOUT: EXIT.UNAVAILABLE,
  EMFILE: EXIT.UNAVAILABLE,
  ENFILE: EXIT.UNAVAILABLE,
  ENOTFOUND: EXIT.NO_HOST,
  EAI_AGAIN: EXIT.NO_HOST,
  EIO: EXIT.IO,
  ENOSPC: EXIT.IO,
  EDQUOT: EXIT.IO,
  EPIPE: EXIT.IO,
};

/** What to do, where the error does not say it itself. */
const ADVICE: Readonly<Record<string, string>> = {
  ERR_CONNECT_TIMEOUT:
    'check that the server runs and that its key of this ticket was not revoked; ' +
    '`roving doctor --ticket FILE` tells which paths get through',
  ERR_REVOKED: 'ask for a new ticket',
  ERR_SESSION_GONE: 'the server was restarted: start again',
  ERR_SUPERSEDED: 'another program took over this session',
  EADDRINUSE: 'choose another port, or end the program that uses it',
};

export function describeFailure(error: unknown): Failure {
  if (error instanceof CliError) {
    const { exitCode, code, message } = error;
    return { exitCode, code, message: oneLine(message) };
  }
  const { code = 'ERR_UNKNOWN', message = String(error) } = error as NodeJS.ErrnoException;
  const exitCode =
    EXIT_CODES[code] ?? (code.startsWith('ERR_SERVICE_') ? EXIT.UNAVAILABLE : EXIT.SOFTWARE);
  const advice = ADVICE[code];
  const text = advice === undefined ? message : `${message}: ${advice}`;
  return { exitCode, code, message: oneLine(text) };
}

/** The other end may have written a part of it. */
function oneLine(message: string): string {
  return printable(redactText(message).replaceAll(/\s*\n\s*/g, ' '));
}
