/**
 * The keys of a running server, as they are in its key file at any time.
 *
 * @module
 */

import { type FSWatcher, watch } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { KeyRing } from '../core/index.js';
import {
  isExpired,
  type KeyFileContents,
  KeyFileError,
  readKeyFile,
  type StoredKey,
} from './key-file.js';

/** A change of a file comes in several steps; it is read when they have been over for this long. */
const SETTLE_MS = 50;
/** Expiry is a time of day, and clocks are set: it is looked at again after this at the latest. */
export const EXPIRY_CHECK_MS = 60_000;

/** Why a key is no longer accepted: it was taken out of the file, replaced there, or has expired. */
export type RevocationCause = 'removed' | 'changed' | 'expired';

export interface KeyStoreListener {
  /** The key has left the ring: its sessions are to be ended. */
  onRevoked?(key: StoredKey, cause: RevocationCause): void;
  /** The file was read again; counts of keys. */
  onReloaded?(counts: { readonly added: number; readonly revoked: number }): void;
  /** The file could not be read again: the keys stay as they were. */
  onFailed?(error: Error): void;
}

/**
 * Keeps a {@link KeyRing} like a key file: it is read again when it changes, keys are taken out when
 * they expire, and a file that is broken changes nothing.
 */
export class KeyStore {
  readonly path: string;
  readonly keyRing: KeyRing;
  readonly #listener: KeyStoreListener;
  #contents: KeyFileContents;
  readonly #accepted = new Map<string, StoredKey>();
  #watcher: FSWatcher | undefined;
  #settling: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #isStale = false;
  #isClosed = false;

  private constructor(path: string, contents: KeyFileContents, listener: KeyStoreListener) {
    this.path = path;
    this.keyRing = new KeyRing(contents.doorKey, contents.serverSecret);
    this.#contents = contents;
    this.#listener = listener;
    this.#apply(contents);
    this.#watch();
  }

  /**
   * Reads a key file and goes on watching it. The process need not stay alive for that.
   *
   * @throws as `readKeyFile`.
   */
  static async open(path: string, listener: KeyStoreListener = {}): Promise<KeyStore> {
    const target = await realpath(path);
    return new KeyStore(target, await readKeyFile(target), listener);
  }

  /** The keys that are accepted now. */
  get keys(): StoredKey[] {
    return [...this.#accepted.values()];
  }

  /** Reads the file now. Resolves when the keys are as it says; a failure goes to the listener. */
  async reload(): Promise<void> {
    this.#isStale = true;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  /** Reads as often as someone asked while it was reading, but for all of them once. */
  async #readAll(): Promise<void> {
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false;
      try {
        const contents = await readKeyFile(this.path);
        checkSameServer(this.#contents, contents, this.path);
        if (this.#isClosed) return;
        this.#contents = contents;
        this.#listener.onReloaded?.(this.#apply(contents));
      } catch (error) {
        this.#listener.onFailed?.(error as Error);
      }
    }
  }

  /** Stops watching; the ring stays as it is. */
  close(): void {
    this.#isClosed = true;
    this.#watcher?.close();
    clearTimeout(this.#settling);
    clearTimeout(this.#expiry);
  }

  #apply({ keys }: KeyFileContents): { added: number; revoked: number } {
    const wanted = new Map<string, StoredKey>();
    for (const key of keys) if (!isExpired(key)) wanted.set(idOf(key), key);
    let revoked = 0;
    for (const [id, key] of this.#accepted) {
      const now = wanted.get(id);
      if (now !== undefined && isSameKey(key, now)) continue;
      this.#revoke(key, now === undefined ? this.#causeOf(keys, id) : 'changed');
      revoked += 1;
    }
    let added = 0;
    for (const [id, key] of wanted) {
      if (!this.#accepted.has(id)) {
        this.keyRing.add(key);
        added += 1;
      }
      this.#accepted.set(id, key);
    }
    this.#scheduleExpiry();
    return { added, revoked };
  }

  #causeOf(keys: readonly StoredKey[], id: string): RevocationCause {
    return keys.some((key) => idOf(key) === id) ? 'expired' : 'removed';
  }

  #revoke(key: StoredKey, cause: RevocationCause): void {
    this.#accepted.delete(idOf(key));
    this.keyRing.remove(key.keyId);
    this.#listener.onRevoked?.(key, cause);
  }

  #scheduleExpiry(): void {
    clearTimeout(this.#expiry);
    const times = [...this.#accepted.values()].flatMap(({ expires }) => expires?.getTime() ?? []);
    if (times.length === 0) return;
    const next = times.reduce((first, time) => Math.min(first, time));
    const delayMs = Math.min(EXPIRY_CHECK_MS, Math.max(1, next - Date.now()));
    this.#expiry = setTimeout(() => this.#expire(), delayMs);
    this.#expiry.unref();
  }

  #expire(): void {
    for (const key of this.keys) if (isExpired(key)) this.#revoke(key, 'expired');
    this.#scheduleExpiry();
  }

  /** The folder is watched: a file that is replaced is another one afterwards. */
  #watch(): void {
    const name = basename(this.path);
    try {
      this.#watcher = watch(dirname(this.path), { persistent: false }, (_event, changed) => {
        if (changed !== null && changed !== name) return;
        clearTimeout(this.#settling);
        this.#settling = setTimeout(() => void this.reload(), SETTLE_MS);
        this.#settling.unref();
      });
      this.#watcher.on('error', (error) => this.#listener.onFailed?.(error));
    } catch (error) {
      // Without it there is still `reload`.
      this.#listener.onFailed?.(error as Error);
    }
  }
}

/** Tickets hold the door key: with another one this is another server, which has to be started. */
function checkSameServer(before: KeyFileContents, now: KeyFileContents, path: string): void {
  const isSame =
    Buffer.compare(before.doorKey, now.doorKey) === 0 &&
    Buffer.compare(before.serverSecret, now.serverSecret) === 0;
  if (isSame) return;
  throw new KeyFileError(
    'ERR_KEY_FILE_DAMAGED',
    `${path} belongs to another server now: restart this one to serve its keys`,
  );
}

function isSameKey(one: StoredKey, other: StoredKey): boolean {
  return (
    Buffer.compare(one.secret, other.secret) === 0 &&
    one.name === other.name &&
    JSON.stringify(one.grants) === JSON.stringify(other.grants)
  );
}

function idOf({ keyId }: Pick<StoredKey, 'keyId'>): string {
  return Buffer.from(keyId).toString('hex');
}
