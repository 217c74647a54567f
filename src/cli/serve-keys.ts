/** The keys that `roving serve` accepts: those of a key file, or one for a first try. @module */

import { unlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@logtape/logtape';
import {
  formatTicket,
  KeyRing,
  KeyStore,
  newKey,
  newKeyFileContents,
  type RevocationCause,
  type StoredKey,
  writePrivateFile,
} from '../node/index.js';
import { formatHostPort, parseHostPort } from './arguments.js';
import { ensureRunFolder } from './control/run-folder.js';
import { EXIT } from './exit-codes.js';
import { CliError } from './failure.js';
import { formatCount } from './format.js';

/** Keys, and what is to be done with them once the server listens and when it ends. */
export interface ServeKeys {
  readonly keyRing: KeyRing;
  /** Reads the key file again. */
  reload(): Promise<void>;
  /** @param addresses where the server listens. */
  listening(addresses: readonly string[]): Promise<void>;
  close(): void;
}

/** @throws CliError if there is no such file; PrivateFileError and KeyFileError as they are. */
export async function keysFromFile(
  path: string,
  log: Logger,
  onRevoked: (key: StoredKey) => void,
): Promise<ServeKeys> {
  const store = await openStore(path, log, onRevoked);
  const count = store.keys.length;
  if (count === 0) log.warning('the key file holds no key that is good: nobody can come in');
  else log.info('{count} in {path}', { count: formatCount(count, 'key'), path });
  return {
    keyRing: store.keyRing,
    reload: () => store.reload(),
    listening: () => Promise.resolve(),
    close: () => store.close(),
  };
}

async function openStore(
  path: string,
  log: Logger,
  onRevoked: (key: StoredKey) => void,
): Promise<KeyStore> {
  try {
    return await KeyStore.open(path, {
      onRevoked: (key: StoredKey, cause: RevocationCause) => {
        log.info('key {name} was {cause}: its sessions end', { name: key.name, cause });
        onRevoked(key);
      },
      onReloaded: ({ added, revoked }) => {
        log.info('key file read again: {added} more, {revoked} revoked', {
          added: formatCount(added, 'key'),
          revoked,
        });
      },
      onFailed: (error) => {
        log.error('the key file was not read again, the keys stay as they were: {error}', {
          error: error.message,
        });
      },
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new CliError(
      EXIT.NO_INPUT,
      `there is no key file ${path}: \`roving ticket new --keys FILE\` makes one`,
      'ENOENT',
    );
  }
}

/**
 * One key that lives as long as the server, for a first try. Its ticket goes to a file of this user
 * alone, and not to a terminal, a log or an argument (T45).
 */
export function keysForFirstTry(
  grants: readonly string[],
  announceTicket: (path: string) => void,
): ServeKeys {
  const { doorKey, serverSecret } = newKeyFileContents();
  const keyRing = new KeyRing(doorKey, serverSecret);
  const key = newKey({ name: 'first-try', grants });
  keyRing.add(key);
  let path: string | undefined;
  return {
    keyRing,
    reload: () => Promise.resolve(),
    async listening(addresses) {
      path = join(ensureRunFolder(), `first-try-${process.pid}.ticket`);
      const ticket = { ...key, doorKey, addresses: reachable(addresses) };
      await writePrivateFile(path, `${formatTicket(ticket)}\n`);
      process.once('exit', () => removeFile(path));
      announceTicket(path);
    },
    close: () => removeFile(path),
  };
}

function removeFile(path: string | undefined): void {
  if (path === undefined) return;
  try {
    unlinkSync(path);
  } catch {
    // It is gone already.
  }
}

/** For addresses that mean all of the machine's: each of them, the loopback one first. */
function reachable(addresses: readonly string[]): string[] {
  const found = addresses.flatMap((address) => {
    const { host, port } = parseHostPort(address, { option: '--listen' });
    if (host !== '0.0.0.0' && host !== '::') return [address];
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const usable = own.filter((one) => !one.internal && !/^fe80:/i.test(one.address));
    return ['127.0.0.1', ...usable.map((one) => one.address)].map((one) =>
      formatHostPort({ host: one, port }),
    );
  });
  return [...new Set(found)];
}
