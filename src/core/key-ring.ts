/** The keys that a server accepts. @module */

import type { CryptoProvider } from '../crypto/index.js';
import { hkdfExpand, toHex } from '../crypto/index.js';
import { GONE_TOKEN_BYTES } from '../wire/index.js';
import { UsageError } from './errors.js';
import { DOOR_KEY_BYTES, KEY_ID_BYTES, type KeyEntry, SECRET_BYTES } from './ticket.js';

export class KeyRing {
  readonly doorKey: Uint8Array;
  readonly #serverSecret: Uint8Array;
  readonly #entries = new Map<string, KeyEntry>();

  /**
   * @param doorKey 32 bytes, in all tickets of this server.
   * @param serverSecret 32 bytes that no ticket holds. Keep it with the keys: with it a restarted
   *   server can tell clients in a way that they believe that their sessions are gone.
   */
  constructor(doorKey: Uint8Array, serverSecret: Uint8Array) {
    if (doorKey.length !== DOOR_KEY_BYTES) throw new UsageError('a door key has 32 bytes');
    if (serverSecret.length !== SECRET_BYTES) throw new UsageError('a server secret has 32 bytes');
    this.doorKey = doorKey;
    this.#serverSecret = serverSecret;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Adds or replaces a key. @throws UsageError if a part has the wrong length. */
  add(entry: KeyEntry): void {
    if (entry.keyId.length !== KEY_ID_BYTES) throw new UsageError('a key id has 8 bytes');
    if (entry.secret.length !== SECRET_BYTES) throw new UsageError('a secret has 32 bytes');
    this.#entries.set(toHex(entry.keyId), entry);
  }

  /** @returns whether there was such a key. */
  remove(keyId: Uint8Array): boolean {
    return this.#entries.delete(toHex(keyId));
  }

  find(keyId: Uint8Array): KeyEntry | undefined {
    return this.#entries.get(toHex(keyId));
  }

  /** protocol.md#gone: known to this server and to the client of that one session. */
  goneToken(crypto: CryptoProvider, sessionId: Uint8Array): Uint8Array {
    return hkdfExpand(
      crypto,
      crypto.hmac(this.#serverSecret, sessionId),
      new Uint8Array(0),
      GONE_TOKEN_BYTES,
    );
  }
}
