/**
 * The key file of a server: its own secrets, and one key for each ticket that it has given out.
 * JSON of mode 0600; secrets are base64url, key ids are hexadecimal, as logs show them.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import { open, readFile, realpath, unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  DOOR_KEY_BYTES,
  KEY_ID_BYTES,
  type KeyEntry,
  SECRET_BYTES,
  SessionError,
} from '../core/index.js';
import { PRIVATE_FILE_MODE, readPrivateFile, writePrivateFile } from './private-file.js';

export const KEY_FILE_VERSION = 1;
/** Room for more keys than a server has sessions. */
export const MAX_KEY_FILE_BYTES = 32 * 1024 * 1024;
export const MAX_KEYS = 65_536;
export const MAX_KEY_NAME_LENGTH = 64;
/** No blanks and nothing that a terminal would act upon: names are shown, and are arguments. */
const KEY_NAME = /^[\p{L}\p{N}_.@+-]+$/u;

const LOCK_ATTEMPTS = 100;
const LOCK_WAIT_MS = 50;

/**
 * - `ERR_KEY_FILE_DAMAGED`: it is no key file; the message says what is wrong with it.
 * - `ERR_KEY_FILE_LOCKED`: another process is changing it and does not come to an end.
 * - `ERR_KEY_NAME`: a name that can't be used, or that is there already, or is not there.
 */
export type KeyFileErrorCode = 'ERR_KEY_FILE_DAMAGED' | 'ERR_KEY_FILE_LOCKED' | 'ERR_KEY_NAME';

export class KeyFileError extends SessionError {
  readonly code: KeyFileErrorCode;

  constructor(code: KeyFileErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A key as it is kept. */
export interface StoredKey extends KeyEntry {
  readonly created: Date;
  /** From then on it is refused, and its sessions end. */
  readonly expires?: Date;
}

export interface KeyFileContents {
  /** In all tickets of the server. */
  readonly doorKey: Uint8Array;
  /** In none; see `KeyRing`. */
  readonly serverSecret: Uint8Array;
  readonly keys: readonly StoredKey[];
}

/** What a new server begins with: fresh secrets and no key. */
export function newKeyFileContents(): KeyFileContents {
  return {
    doorKey: randomSecret(DOOR_KEY_BYTES),
    serverSecret: randomSecret(SECRET_BYTES),
    keys: [],
  };
}

export interface NewKey {
  readonly name: string;
  readonly grants: readonly string[];
  readonly expires?: Date;
}

/** A key with a fresh id and secret. */
export function newKey({ name, grants, expires }: NewKey, now = new Date()): StoredKey {
  return {
    keyId: randomSecret(KEY_ID_BYTES),
    secret: randomSecret(SECRET_BYTES),
    name,
    grants: [...grants],
    created: now,
    ...(expires === undefined ? {} : { expires }),
  };
}

export function isExpired({ expires }: Pick<StoredKey, 'expires'>, now = Date.now()): boolean {
  return expires !== undefined && expires.getTime() <= now;
}

/** @throws KeyFileError if the name has blanks or controls, or is too long. */
export function checkKeyName(name: string): void {
  if (name.length > 0 && name.length <= MAX_KEY_NAME_LENGTH && KEY_NAME.test(name)) return;
  throw new KeyFileError(
    'ERR_KEY_NAME',
    `the name of a key has 1 to ${MAX_KEY_NAME_LENGTH} letters, digits, or any of _ . @ + -`,
  );
}

/**
 * Adds a key.
 *
 * @throws KeyFileError if its name is there already, or can't be used.
 */
export function withKey(contents: KeyFileContents, key: StoredKey): KeyFileContents {
  checkKeyName(key.name);
  if (contents.keys.some(({ name }) => name === key.name)) {
    throw new KeyFileError(
      'ERR_KEY_NAME',
      `there is a key of the name ${key.name} already: take another one, or revoke it first`,
    );
  }
  return { ...contents, keys: [...contents.keys, key] };
}

/** Takes a key away. @throws KeyFileError if there is none of that name. */
export function withoutKey(contents: KeyFileContents, name: string): KeyFileContents {
  const keys = contents.keys.filter((key) => key.name !== name);
  if (keys.length === contents.keys.length) {
    throw new KeyFileError('ERR_KEY_NAME', 'there is no key of that name in the key file');
  }
  return { ...contents, keys };
}

/**
 * Reads a key file.
 *
 * @throws PrivateFileError if others could read it, KeyFileError if it is damaged (never with any of
 *   its text in the message), or the system's own error.
 */
export async function readKeyFile(path: string): Promise<KeyFileContents> {
  return parseKeyFile(await readPrivateFile(path, MAX_KEY_FILE_BYTES), path);
}

/**
 * Changes a key file in one step, alone: two processes that do it at once come one after the other.
 *
 * @param change gets what is there, or `undefined` if there is no file yet, and gives what shall be.
 * @throws as {@link readKeyFile}, whatever `change` throws, and KeyFileError if another process
 *   holds the lock for too long. Then the file is as it was.
 */
export async function updateKeyFile(
  path: string,
  change: (before: KeyFileContents | undefined) => KeyFileContents | Promise<KeyFileContents>,
): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const release = await lock(target);
  try {
    const before = await readKeyFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    await writePrivateFile(target, formatKeyFile(await change(before)));
  } finally {
    await release();
  }
}

/** A lock is a file beside it with the process id of its holder; one whose holder is gone is void. */
async function lock(path: string): Promise<() => Promise<void>> {
  const lockPath = `${path}.lock`;
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
    try {
      const file = await open(lockPath, 'wx', PRIVATE_FILE_MODE);
      await file.writeFile(String(process.pid));
      await file.close();
      return () => unlink(lockPath).catch(() => undefined);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (await isAbandoned(lockPath)) await unlink(lockPath).catch(() => undefined);
    else await delay(LOCK_WAIT_MS);
  }
  throw new KeyFileError(
    'ERR_KEY_FILE_LOCKED',
    `another process is changing ${path}: if there is none, remove ${lockPath}`,
  );
}

async function isAbandoned(lockPath: string): Promise<boolean> {
  const holder = Number(await readFile(lockPath, 'utf8').catch(() => ''));
  if (!Number.isInteger(holder) || holder <= 0) return false;
  try {
    process.kill(holder, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

export function formatKeyFile({ doorKey, serverSecret, keys }: KeyFileContents): string {
  const document = {
    version: KEY_FILE_VERSION,
    doorKey: encode(doorKey),
    serverSecret: encode(serverSecret),
    keys: keys.map(({ keyId, secret, name, grants, created, expires }) => ({
      keyId: Buffer.from(keyId).toString('hex'),
      secret: encode(secret),
      name,
      grants,
      created: created.toISOString(),
      ...(expires === undefined ? {} : { expires: expires.toISOString() }),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** @param path for the messages only. @throws KeyFileError without any of the text. */
export function parseKeyFile(text: string, path: string): KeyFileContents {
  const damaged = (what: string): KeyFileError =>
    new KeyFileError('ERR_KEY_FILE_DAMAGED', `${path} is no key file: ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message repeats a part of the text.
    throw damaged('it is not JSON');
  }
  if (!isRecord(value)) throw damaged('it is not an object');
  const { version, doorKey, serverSecret, keys } = value;
  if (version !== KEY_FILE_VERSION) throw damaged(`its version is not ${KEY_FILE_VERSION}`);
  if (!Array.isArray(keys)) throw damaged('it has no list of keys');
  if (keys.length > MAX_KEYS) throw damaged(`it has more than ${MAX_KEYS} keys`);
  const parsed = keys.map((key, index) => {
    const stored = parseKey(key);
    if (typeof stored !== 'string') return stored;
    throw damaged(`${stored} of key ${index + 1} is missing or wrong`);
  });
  if (new Set(parsed.map(({ name }) => name)).size !== parsed.length) {
    throw damaged('two keys have the same name');
  }
  return {
    doorKey: decode(doorKey, DOOR_KEY_BYTES) ?? fail(damaged('its doorKey is missing or wrong')),
    serverSecret:
      decode(serverSecret, SECRET_BYTES) ?? fail(damaged('its serverSecret is missing or wrong')),
    keys: parsed,
  };
}

/** @returns the name of the field that is wrong, if one is. */
function parseKey(value: unknown): StoredKey | string {
  if (!isRecord(value)) return 'all';
  const { name, grants } = value;
  const keyId = decode(value['keyId'], KEY_ID_BYTES, 'hex');
  const secret = decode(value['secret'], SECRET_BYTES);
  const created = parseDate(value['created']);
  const expires = value['expires'] === undefined ? undefined : parseDate(value['expires']);
  if (keyId === undefined) return 'the keyId';
  if (secret === undefined) return 'the secret';
  if (typeof name !== 'string' || !KEY_NAME.test(name)) return 'the name';
  if (!isListOfStrings(grants)) return 'the grants';
  if (created === undefined) return 'the created';
  // A date that can't be read must not make a key that never expires.
  if (value['expires'] !== undefined && expires === undefined) return 'the expires';
  return { keyId, secret, name, grants, created, ...(expires === undefined ? {} : { expires }) };
}

function fail(error: Error): never {
  throw error;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOfStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function parseDate(value: unknown): Date | undefined {
  if (typeof value !== 'string') return undefined;
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function decode(
  value: unknown,
  length: number,
  encoding: 'base64url' | 'hex' = 'base64url',
): Uint8Array | undefined {
  if (typeof value !== 'string') return undefined;
  const bytes = new Uint8Array(Buffer.from(value, encoding));
  return bytes.length === length ? bytes : undefined;
}

/** Not from Node's pool of memory, which other buffers share. */
function randomSecret(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}
