/** What the parsers of proxy protocols have in common. @module */

import { SessionError } from '../../node/index.js';

/** A value, and how many of the bytes it took. `undefined`: more bytes are needed. */
export type Parsed<T> = { readonly value: T; readonly length: number } | undefined;

/** Reads a value from the beginning of what has come so far. */
export type Parser<T> = (bytes: Buffer) => Parsed<T>;

/** The proxy's client has said something that is not understood, allowed or offered. */
export class ProxyError extends SessionError {
  readonly code = 'ERR_PROXY_PROTOCOL';
  /** What to answer before closing, in the client's protocol; absent: nothing. */
  readonly reply?: Buffer;

  constructor(message: string, reply?: Buffer) {
    super(message);
    if (reply !== undefined) this.reply = reply;
  }
}

/** Text of a protocol that has no character set of its own. `undefined`: not UTF-8. */
export function toText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
