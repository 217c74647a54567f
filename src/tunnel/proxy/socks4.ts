/** SOCKS4 and 4a, as their authors' notes describe them: requests for connections. @module */

import { type HostPort, isHost, isPort } from '../address.js';
import { type Parsed, ProxyError, toText } from './parsed.js';

export const SOCKS4_VERSION = 4;
const COMMAND_CONNECT = 1;
const HEADER_BYTES = 8;
const MAX_USER_BYTES = 255;
const MAX_NAME_BYTES = 255;

export type Socks4Result = 'granted' | 'failed' | 'needsUser';
const CODES: Readonly<Record<Socks4Result, number>> = { granted: 90, failed: 91, needsUser: 93 };

export function socks4Reply(result: Socks4Result): Buffer {
  return Buffer.from([0, CODES[result], 0, 0, 0, 0, 0, 0]);
}

/**
 * `VN CD PORT IP USER 0`, and with an address 0.0.0.x (4a) `NAME 0`. The user is not looked at:
 * nobody vouches for it.
 *
 * @throws ProxyError with the reply to send.
 */
export function parseSocks4Request(bytes: Buffer): Parsed<HostPort> {
  if (bytes.length < HEADER_BYTES) return undefined;
  if (bytes[0] !== SOCKS4_VERSION) throw failed('not SOCKS4');
  if (bytes[1] !== COMMAND_CONNECT) throw failed('of SOCKS4, only CONNECT is offered');
  const port = bytes.readUInt16BE(2);
  const userEnd = endOfText(bytes, HEADER_BYTES, MAX_USER_BYTES);
  if (userEnd === undefined) return undefined;
  const isByName = bytes.readUIntBE(4, 3) === 0 && bytes[7] !== 0;
  if (!isByName) return finish([...bytes.subarray(4, 8)].join('.'), port, userEnd + 1);
  const nameEnd = endOfText(bytes, userEnd + 1, MAX_NAME_BYTES);
  if (nameEnd === undefined) return undefined;
  return finish(toText(bytes.subarray(userEnd + 1, nameEnd)), port, nameEnd + 1);
}

function finish(host: string | undefined, port: number, length: number): Parsed<HostPort> {
  if (!isHost(host) || !isPort(port)) throw failed('no host and port to connect to');
  return { value: { host, port }, length };
}

/** Where the zero is that ends a text. */
function endOfText(bytes: Buffer, from: number, maxBytes: number): number | undefined {
  const end = bytes.indexOf(0, from);
  const length = (end < 0 ? bytes.length : end) - from;
  if (length > maxBytes) throw failed('a text of the request is too long');
  return end < 0 ? undefined : end;
}

function failed(message: string): ProxyError {
  return new ProxyError(message, socks4Reply('failed'));
}
