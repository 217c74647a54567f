/** SOCKS5 (RFC 1928) with user name and password (RFC 1929): requests for connections. @module */

import ipaddr from 'ipaddr.js';
import { type HostPort, isHost, isPort } from '../address.js';
import { type Parsed, ProxyError, toText } from './parsed.js';

export const SOCKS5_VERSION = 5;
const PASSWORD_VERSION = 1;
const COMMAND_CONNECT = 1;

/** RFC 1928 §3. */
export const SOCKS5_METHODS = { none: 0, password: 2, noneAcceptable: 0xff } as const;
export type Socks5Method = keyof typeof SOCKS5_METHODS;

/** RFC 1928 §6. */
export const SOCKS5_REPLIES = {
  succeeded: 0,
  generalFailure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;
export type Socks5Reply = keyof typeof SOCKS5_REPLIES;

/** By the type of address: how long it is, `undefined` for a name that tells its length. */
const ADDRESS_BYTES = new Map<number, number | undefined>([
  [1, 4],
  [3, undefined],
  [4, 16],
]);
const REQUEST_HEADER_BYTES = 4;
const PORT_BYTES = 2;

/** Which method of those that the client offers is used. */
export function socks5MethodReply(method: Socks5Method): Buffer {
  return Buffer.from([SOCKS5_VERSION, SOCKS5_METHODS[method]]);
}

export function socks5PasswordReply(isRight: boolean): Buffer {
  return Buffer.from([PASSWORD_VERSION, isRight ? 0 : 1]);
}

/** The address that it ends with means nothing here: the connection is made by the other end. */
export function socks5Reply(reply: Socks5Reply): Buffer {
  return Buffer.from([SOCKS5_VERSION, SOCKS5_REPLIES[reply], 0, 1, 0, 0, 0, 0, 0, 0]);
}

/** The numbers of the methods that the client offers. */
export function parseSocks5Greeting(bytes: Buffer): Parsed<readonly number[]> {
  const [version, count] = bytes;
  if (version === undefined) return undefined;
  if (version !== SOCKS5_VERSION) throw new ProxyError('not SOCKS5');
  if (count === undefined || bytes.length < 2 + count) return undefined;
  return { value: [...bytes.subarray(2, 2 + count)], length: 2 + count };
}

/** Bytes, since only whether they are equal to those that are expected matters. */
export interface SocksLogin {
  readonly user: Buffer;
  readonly password: Buffer;
}

export function parseSocks5Password(bytes: Buffer): Parsed<SocksLogin> {
  const [version, userLength] = bytes;
  if (version === undefined) return undefined;
  if (version !== PASSWORD_VERSION) {
    throw new ProxyError('an unknown version of the login', socks5PasswordReply(false));
  }
  if (userLength === undefined) return undefined;
  const userEnd = 2 + userLength;
  const passwordLength = bytes[userEnd];
  if (passwordLength === undefined) return undefined;
  const length = userEnd + 1 + passwordLength;
  if (bytes.length < length) return undefined;
  const value = { user: bytes.subarray(2, userEnd), password: bytes.subarray(userEnd + 1, length) };
  return { value, length };
}

/**
 * `VER CMD RSV ATYP ADDR PORT`.
 *
 * @throws ProxyError with the reply to send, as for BIND and UDP ASSOCIATE, which are not offered.
 */
export function parseSocks5Request(bytes: Buffer): Parsed<HostPort> {
  if (bytes.length <= REQUEST_HEADER_BYTES) return undefined;
  const [version, command, , addressType = 0] = bytes;
  if (version !== SOCKS5_VERSION) throw failed('not SOCKS5', 'generalFailure');
  if (command !== COMMAND_CONNECT) {
    throw failed('of SOCKS5, only CONNECT is offered', 'commandNotSupported');
  }
  if (!ADDRESS_BYTES.has(addressType)) {
    throw failed('an unknown type of address', 'addressTypeNotSupported');
  }
  const fixedBytes = ADDRESS_BYTES.get(addressType);
  const from = REQUEST_HEADER_BYTES + (fixedBytes === undefined ? 1 : 0);
  const end = from + (fixedBytes ?? bytes[REQUEST_HEADER_BYTES] ?? 0);
  const length = end + PORT_BYTES;
  if (bytes.length < length) return undefined;
  const address = bytes.subarray(from, end);
  const host =
    fixedBytes === undefined ? toText(address) : ipaddr.fromByteArray([...address]).toString();
  const port = bytes.readUInt16BE(end);
  if (!isHost(host) || !isPort(port)) {
    throw failed('no host and port to connect to', 'generalFailure');
  }
  return { value: { host, port }, length };
}

function failed(message: string, reply: Socks5Reply): ProxyError {
  return new ProxyError(message, socks5Reply(reply));
}
