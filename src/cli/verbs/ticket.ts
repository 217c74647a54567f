/** `roving ticket`: makes keys and their tickets, lists keys, and takes them back. @module */

import { unlink, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { formatTicket, type Ticket } from '../../core/index.js';
import {
  isExpired,
  type KeyFileContents,
  newKey,
  newKeyFileContents,
  readKeyFile,
  type StoredKey,
  updateKeyFile,
  withKey,
  withoutKey,
} from '../../node/key-file.js';
import { isSpecialFile, readPrivateFile, writePrivateFile } from '../../node/private-file.js';
import { DEFAULT_PORT, formatHostPort, parseExpiry, parseTicketAddress } from '../arguments.js';
import { EXIT } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { formatTable, printable } from '../format.js';
import { parseGrants } from '../grants.js';
import { note, print, printJson } from '../output.js';

/** More than a ticket has; what is longer is none. */
const MAX_REPLACED_BYTES = 64 * 1024;

export interface TicketNewOptions {
  readonly keys: string;
  readonly out?: string;
  readonly address?: readonly string[];
  readonly allow?: readonly string[];
  readonly name?: string;
  readonly expires?: string;
  readonly json?: boolean;
}

export async function ticketNew(options: TicketNewOptions): Promise<void> {
  const { keys, out = '-', json = false } = options;
  const addresses = options.address?.map((text) => parseTicketAddress(text)) ?? ownAddresses();
  const grants = parseGrants(options.allow ?? []);
  const expires = options.expires === undefined ? {} : { expires: parseExpiry(options.expires) };
  if (options.address === undefined) {
    note(`without --address, the ticket says ${addresses.join(', ')}`);
  }
  let written: string | undefined;
  let key: StoredKey | undefined;
  let text = '';
  try {
    await updateKeyFile(keys, async (before = newKeyFileContents()) => {
      key = newKey({ name: options.name ?? unusedName(before), grants, ...expires });
      const after = withKey(before, key);
      const ticket: Ticket = { ...key, doorKey: after.doorKey, addresses };
      text = `${formatTicket(ticket)}\n`;
      // Before the key is: a ticket that nobody gets must not leave a key.
      if (out !== '-') written = await writeTicket(out, text);
      return after;
    });
  } catch (error) {
    if (written !== undefined) await unlink(written).catch(() => undefined);
    throw asCreateFailure(error, keys);
  }
  if (out === '-') print(text);
  if (key === undefined) return;
  if (json && out !== '-') printJson({ ...describeKey(key), addresses, out });
  else note(`${summary(key)}${out === '-' ? '' : `; its ticket is in ${out}`}`);
}

function summary({ name, grants, expires }: StoredKey): string {
  const may = grants.length === 0 ? 'may only measure (see --allow)' : `may ${grants.join(', ')}`;
  const until = expires === undefined ? '' : ` until ${expires.toISOString()}`;
  return `key ${name} ${may}${until}`;
}

/** Writes into what is no plain file; replaces only an old ticket, never anything else. */
async function writeTicket(path: string, text: string): Promise<string | undefined> {
  try {
    if (await isSpecialFile(path)) {
      await writeFile(path, text);
      return undefined;
    }
    await checkReplaceable(path);
    await writePrivateFile(path, text);
    return path;
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { message } = error as Error;
    throw new CliError(
      EXIT.CANNOT_CREATE,
      `the ticket can't be written: ${message}`,
      codeOf(error),
    );
  }
}

async function checkReplaceable(path: string): Promise<void> {
  let before: string;
  try {
    before = await readPrivateFile(path, MAX_REPLACED_BYTES);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    if (codeOf(error) !== 'ERR_FILE_READABLE_BY_OTHERS') throw error;
    before = '?';
  }
  if (before.trim() === '' || before.startsWith('roving://')) return;
  throw new CliError(
    EXIT.CANNOT_CREATE,
    `${path} is there and is no ticket: remove it, or choose another name for --out`,
    'EEXIST',
  );
}

function asCreateFailure(error: unknown, path: string): unknown {
  const code = codeOf(error);
  const isCreate = ['ENOENT', 'ENOTDIR', 'EACCES', 'EROFS', 'EPERM'].includes(code);
  if (error instanceof CliError || !isCreate) return error;
  const { message } = error as Error;
  return new CliError(
    EXIT.CANNOT_CREATE,
    `the key file ${path} can't be written: ${message}`,
    code,
  );
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'ERR_UNKNOWN';
}

function unusedName({ keys }: KeyFileContents): string {
  const names = new Set(keys.map(({ name }) => name));
  let number = keys.length + 1;
  while (names.has(`key${number}`)) number += 1;
  return `key${number}`;
}

/** This machine's own addresses, as far as others might reach them; the host itself if it is alone. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  const hosts = outside.length > 0 ? outside.map(({ address }) => address) : ['127.0.0.1'];
  return hosts.map((host) => formatHostPort({ host, port: DEFAULT_PORT }));
}

export interface TicketListOptions {
  readonly keys: string;
  readonly json?: boolean;
}

export async function ticketList({ keys: path, json = false }: TicketListOptions): Promise<void> {
  const { keys } = await readExistingKeyFile(path);
  if (json) return printJson({ keys: keys.map(describeKey) });
  if (keys.length === 0) return note('the key file holds no key');
  const rows = keys.map((key) => [
    printable(key.name),
    Buffer.from(key.keyId).toString('hex'),
    key.grants.length === 0 ? '-' : printable(key.grants.join(',')),
    key.created.toISOString(),
    key.expires === undefined ? 'never' : expiryText(key),
  ]);
  print(formatTable([['NAME', 'KEY ID', 'ALLOWS', 'CREATED', 'EXPIRES'], ...rows]));
}

function expiryText(key: StoredKey): string {
  const time = key.expires?.toISOString() ?? '';
  return isExpired(key) ? `${time} (expired)` : time;
}

/** All that may be shown. */
function describeKey(key: StoredKey): Record<string, unknown> {
  return {
    name: key.name,
    keyId: Buffer.from(key.keyId).toString('hex'),
    grants: key.grants,
    created: key.created.toISOString(),
    expires: key.expires?.toISOString() ?? null,
    expired: isExpired(key),
  };
}

async function readExistingKeyFile(path: string): Promise<KeyFileContents> {
  try {
    return await readKeyFile(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw new CliError(
      EXIT.NO_INPUT,
      `there is no key file ${path}: \`roving ticket new --keys FILE\` makes one`,
      'ENOENT',
    );
  }
}

export interface TicketRevokeOptions {
  readonly keys: string;
  readonly json?: boolean;
}

export async function ticketRevoke(name: string, options: TicketRevokeOptions): Promise<void> {
  await readExistingKeyFile(options.keys);
  await updateKeyFile(options.keys, (before) => {
    if (before === undefined) throw new CliError(EXIT.NO_INPUT, 'the key file has just gone');
    return withoutKey(before, name);
  });
  if (options.json === true) printJson({ revoked: name });
  else note(`key ${name} is revoked; a running server ends its sessions at once`);
}
