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
export const MAX_ADDRESSES = 64;
const TOO_MANY_ADDRESSES = `a ticket has at most ${MAX_ADDRESSES} addresses`;
export const MAX_TICKET_LENGTH = 16_384;

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

/**
 * `roving://ADDRESS,ADDRESS#...`: the addresses in the clear, the secrets in the fragment.
 *
 * @throws UsageError if a part has the wrong length, or there are more addresses than are read.
 */
export function formatTicket(ticket: Ticket): string {
  const { keyId, secret, doorKey, addresses } = ticket;
  if (keyId.length !== KEY_ID_BYTES) throw new UsageError('a key id has 8 bytes');
  if (secret.length !== SECRET_BYTES) throw new UsageError('a secret has 32 bytes');
  if (doorKey.length !== DOOR_KEY_BYTES) throw new UsageError('a door key has 32 bytes');
  if (addresses.length > MAX_ADDRESSES) throw new UsageError(TOO_MANY_ADDRESSES);
  const secrets = new Uint8Array(TICKET_BYTES);
  secrets.set(keyId, 0);
  secrets.set(secret, KEY_ID_BYTES);
  secrets.set(doorKey, KEY_ID_BYTES + SECRET_BYTES);
  const listed = addresses.map(encodeAddress).join(',');
  const text = `${SCHEME}${listed}#${encodeBase64Url(secrets)}`;
  if (text.length > MAX_TICKET_LENGTH) throw new UsageError('the addresses are too long');
  return text;
}

function encodeAddress(address: string): string {
  if (address === '') throw new UsageError('an address of a ticket is empty');
  try {
    return encodeURIComponent(address).replaceAll('%3A', ':');
  } catch {
    throw new UsageError('an address of a ticket is no valid text');
  }
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
    throw new UsageError(TOO_MANY_ADDRESSES);
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
  // Four letters make three bytes; one that is left over makes none.
  if (text.length % 4 === 1) return undefined;
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
