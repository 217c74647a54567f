/**
 * Where a ticket comes from: a file, standard input or the environment, and never from the arguments,
 * which every user of the machine can read while the program runs (T45).
 *
 * @module
 */

import { parseTicket, type Ticket } from '../core/index.js';
import { readPrivateFile } from '../node/private-file.js';
import { EXIT } from './exit-codes.js';
import { CliError } from './failure.js';

export const TICKET_VARIABLE = 'ROVING_TICKET';
/** More than the longest ticket, with blanks around it. */
const MAX_TICKET_FILE_BYTES = 64 * 1024;

let fromEnvironment: string | undefined;

/**
 * Takes the ticket out of the environment, so that no child process inherits it. To be called
 * before anything else.
 */
export function takeTicketFromEnvironment(): void {
  fromEnvironment = process.env[TICKET_VARIABLE] ?? fromEnvironment;
  delete process.env[TICKET_VARIABLE];
}

/** @throws CliError, without the ticket, if one is in the arguments. */
export function refuseTicketInArguments(argv: readonly string[]): void {
  if (!argv.some((argument) => /roving:\/\//i.test(argument))) return;
  throw new CliError(
    EXIT.USAGE,
    'a ticket was given as an argument, where every user of this machine can read it: put it into ' +
      `a file of mode 0600 and give --ticket FILE, or --ticket - for standard input, or set ` +
      `${TICKET_VARIABLE}; if others use this machine, revoke the ticket`,
    'ERR_TICKET_IN_ARGUMENTS',
  );
}

/**
 * @param source `--ticket`: a file, or `-` for standard input; else the environment is used.
 * @throws CliError if there is none, or it can't be read, or is no ticket.
 */
export async function readTicket(source: string | undefined): Promise<Ticket> {
  const text = await readText(source);
  const from = source === undefined ? TICKET_VARIABLE : source === '-' ? 'standard input' : source;
  try {
    return parseTicket(text);
  } catch (error) {
    throw new CliError(EXIT.DATA, `${from}: ${(error as Error).message}`, 'ERR_TICKET');
  }
}

async function readText(source: string | undefined): Promise<string> {
  if (source === '-') return readStandardInput();
  if (source !== undefined) return readFile(source);
  if (fromEnvironment !== undefined) return fromEnvironment;
  throw new CliError(
    EXIT.USAGE,
    `no ticket: give --ticket FILE, or set ${TICKET_VARIABLE} ` +
      '(the server makes tickets: `roving ticket new`)',
    'ERR_NO_TICKET',
  );
}

async function readFile(path: string): Promise<string> {
  try {
    return await readPrivateFile(path, MAX_TICKET_FILE_BYTES);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new CliError(EXIT.NO_INPUT, `there is no ticket file ${path}`, 'ENOENT');
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    length += (chunk as Buffer).length;
    if (length > MAX_TICKET_FILE_BYTES) {
      throw new CliError(EXIT.DATA, 'what standard input gave is too long for a ticket');
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}
