/**
 * Tickets as programs use them.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import {
  DOOR_KEY_BYTES,
  formatTicket,
  KEY_ID_BYTES,
  KeyRing,
  parseTicket,
  SECRET_BYTES,
  type Ticket as TicketData,
} from '../core/index.js';
import { parseServerAddress } from './server-address.js';

/** What one end hands the other out of band; whoever has it can open sessions. */
export type Ticket = TicketData;

export interface IssueOptions {
  /** Whose it is, for logs. */
  readonly name: string;
  /** Where the server can be reached: `HOST:PORT`, `ws://...` or `wss://...`. */
  readonly addresses: readonly string[];
  /** What it allows, such as `forward` or `files:DIR`; nothing. */
  readonly grants?: readonly string[];
}

export const Ticket = {
  /**
   * Makes a new key, adds it to the server's, and returns the ticket for it.
   *
   * @throws UsageError for an address that is none.
   */
  issue(keys: KeyRing, { name, addresses, grants = [] }: IssueOptions): Ticket {
    for (const address of addresses) parseServerAddress(address);
    const entry = { keyId: random(KEY_ID_BYTES), secret: random(SECRET_BYTES), name, grants };
    keys.add(entry);
    return { keyId: entry.keyId, secret: entry.secret, doorKey: keys.doorKey, addresses };
  },
  /** @throws UsageError telling what is wrong, without repeating any of the text. */
  parse: parseTicket,
  /** `roving://ADDRESS,ADDRESS#SECRETS`. @throws UsageError if a part has the wrong length. */
  format: formatTicket,
} as const;

export function asTicket(ticket: Ticket | string): Ticket {
  return typeof ticket === 'string' ? parseTicket(ticket) : ticket;
}

/** An empty ring with new secrets of its own: sessions do not outlive it. */
export function createKeyRing(): KeyRing {
  return new KeyRing(random(DOOR_KEY_BYTES), random(SECRET_BYTES));
}

function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}
