/**
 * Tickets and keys: what one end hands the other out of band, and what a server keeps.
 *
 * @module
 */

import { UsageError } from './errors.js';

export const KEY_ID_BYTES = 8;
export const SECRET_BYTES = 32;
export const DOOR_KEY_BYTES = 32;
const TICKET_BYTES = KEY_ID_BYTES + SECRET_BYTES + DOOR_KEY_BYTES;
const SCHEME = 'roving://';
/** More addresses than anyone has; bounds what a hostile ticket can make a client try. */
const MAX_ADDRESSES = 64;
const MAX_TICKET_LENGTH = 16_384;

/** protocol.md#ticket. Whoever has it can open sessions: keep it like a private key. */
export interface Ticket {
  /** 8 bytes. */
  readonly keyId: Uint8Array;
  /** 32 random bytes. */
  readonly secret: Uint8Array;
  /** 32 random bytes, the same in all tickets of a server. */
  readonly doorKey: Uint8Array;
  /** `HOST:PORT` for TCP and UDP, or a `ws://` or `wss://` address. */
  readonly addresses: readonly string[];
}

/** One key of a server, as sshd keeps a line of `authorized_keys`. */
export interface KeyEntry {
  readonly keyId: Uint8Array;
  readonly secret: Uint8Array;
  readonly name: string;
  /** What sessions with this key may do; the core only hands it on. */
  readonly grants: readonly string[];
}

/** `roving://ADDRESS,ADDRESS#...`: the addresses in the clear, the secrets in the fragment. */
export function formatTicket(ticket: Ticket): string {
  const secrets = new Uint8Array(TICKET_BYTES);
  secrets.set(ticket.keyId, 0);
  secrets.set(ticket.secret, KEY_ID_BYTES);
  secrets.set(ticket.doorKey, KEY_ID_BYTES + SECRET_BYTES);
  const addresses = ticket.addresses.map((one) => encodeURIComponent(one).replaceAll('%3A', ':'));
  return `${SCHEME}${addresses.join(',')}#${encodeBase64Url(secrets)}`;
}

/** @throws UsageError telling what is wrong, without repeating any of the text. */
export function parseTicket(text: string): Ticket {
  const trimmed = text.trim();
  if (trimmed.length > MAX_TICKET_LENGTH) throw new UsageError('the ticket is too long');
  const hash = trimmed.indexOf('#');
  if (!trimmed.startsWith(SCHEME) || hash < 0) {
    throw new UsageError('this is not a ticket: it must look like roving://HOST:PORT#SECRETS');
  }
  const secrets = decodeBase64Url(trimmed.slice(hash + 1));
  if (secrets?.length !== TICKET_BYTES) {
    throw new UsageError('the ticket is damaged: what follows the # is incomplete; copy it again');
  }
  const listed = trimmed.slice(SCHEME.length, hash);
  const addresses = listed === '' ? [] : listed.split(',').map(decodeAddress);
  if (addresses.length > MAX_ADDRESSES) {
    throw new UsageError(`the ticket has more than ${MAX_ADDRESSES} addresses`);
  }
  return {
    keyId: secrets.slice(0, KEY_ID_BYTES),
    secret: secrets.slice(KEY_ID_BYTES, KEY_ID_BYTES + SECRET_BYTES),
    doorKey: secrets.slice(KEY_ID_BYTES + SECRET_BYTES),
    addresses,
  };
}

function decodeAddress(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError('the ticket is damaged: an address in it can not be read');
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** RFC 4648 §5, without padding. */
function encodeBase64Url(bytes: Uint8Array): string {
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      text += ALPHABET[(buffer >>> bits) & 63];
    }
  }
  return bits === 0 ? text : text + ALPHABET[(buffer << (6 - bits)) & 63];
}

function decodeBase64Url(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * 6) / 8));
  let buffer = 0;
  let bits = 0;
  let at = 0;
  for (const letter of text) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) return undefined;
    buffer = ((buffer << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at] = (buffer >>> bits) & 0xff;
    at += 1;
  }
  return bytes;
}
