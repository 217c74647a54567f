/**
 * Tells by its first bytes what a connection to a server's one port speaks.
 *
 * @module
 */

/**
 * `roving`: records (protocol.md#record); a stranger's first record has 1500 bytes at most, so that
 * its length begins with 0 to 5. `http`: a request, which may become a WebSocket. `tls`: a
 * ClientHello. `unknown`: none of them.
 */
export type Speech = 'roving' | 'http' | 'tls' | 'unknown';

/** No connection needs to show more than this, in bytes. */
export const FIRST_BYTES = 8;

const LAST_ROVING_BYTE = 0x05;
const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;
const TLS_LAST_MINOR = 0x04;
const TLS_CLIENT_HELLO = 0x01;
/** Of the record header (RFC 8446 §5.1), with the first byte of what it holds. */
const TLS_HELLO_AT = 5;
/** What strangers ask web servers; a WebSocket begins with GET. */
const METHODS = ['GET ', 'HEAD ', 'POST ', 'PUT ', 'DELETE ', 'OPTIONS ', 'PATCH '].map((word) =>
  Uint8Array.from(word, (letter) => letter.charCodeAt(0)),
);

/** @returns `undefined` while there is not enough to tell. */
export function speechOf(head: Uint8Array): Speech | undefined {
  const [first] = head;
  if (first === undefined) return undefined;
  if (first <= LAST_ROVING_BYTE) return 'roving';
  return first === TLS_HANDSHAKE ? tlsOrNot(head) : httpOrNot(head);
}

function tlsOrNot(head: Uint8Array): Speech | undefined {
  const [, major = TLS_MAJOR, minor = 0] = head;
  if (major !== TLS_MAJOR || minor > TLS_LAST_MINOR) return 'unknown';
  const hello = head[TLS_HELLO_AT];
  if (hello === undefined) return undefined;
  return hello === TLS_CLIENT_HELLO ? 'tls' : 'unknown';
}

function httpOrNot(head: Uint8Array): Speech | undefined {
  const possible = METHODS.filter((method) =>
    method.every((letter, index) => index >= head.length || head[index] === letter),
  );
  if (possible.length === 0) return 'unknown';
  return possible.some((method) => head.length >= method.length) ? 'http' : undefined;
}
