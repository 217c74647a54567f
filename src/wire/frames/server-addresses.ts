/**
 * SERVER_ADDRESSES (protocol.md#server-addresses): where else the server can be reached.
 *
 * @module
 */

import type { Reader } from '../reader.js';
import { utf8Decode, utf8Encode, utf8Length } from '../utf8.js';
import { varintLength } from '../varint.js';
import type { Writer } from '../writer.js';
import {
  type ServerAddressesFrame,
  SPEC_MAX_SERVER_ADDRESS_BYTES,
  SPEC_MAX_SERVER_ADDRESSES,
  SPEC_MAX_SERVER_ADDRESSES_BYTES,
  TYPE_SERVER_ADDRESSES,
} from './types.js';

/** Flag: no further path to the address by which the session was established. */
const AVOID_FIRST = 0x01;

/** @throws WireError if something is cut off or out of range. */
export function decodeServerAddresses(reader: Reader): ServerAddressesFrame {
  const sequence = reader.varint();
  const flags = reader.varint();
  if (flags > AVOID_FIRST) throw reader.error('unknown flag');
  const count = reader.varint();
  if (count > SPEC_MAX_SERVER_ADDRESSES) throw reader.error('too many addresses');
  const addresses: string[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    const length = reader.varint();
    if (length === 0) throw reader.error('empty address');
    if (length > SPEC_MAX_SERVER_ADDRESS_BYTES) throw reader.error('address too long');
    total += length;
    addresses.push(utf8Decode(reader.bytes(length)));
  }
  if (total > SPEC_MAX_SERVER_ADDRESSES_BYTES) throw reader.error('addresses too long together');
  return { type: 'serverAddresses', sequence, avoidFirst: flags === AVOID_FIRST, addresses };
}

/** @throws RangeError if the addresses are too many or too long. */
export function encodeServerAddresses(writer: Writer, frame: ServerAddressesFrame): void {
  const encoded = frame.addresses.map(utf8Encode);
  const total = encoded.reduce((sum, bytes) => sum + bytes.length, 0);
  const isBad = encoded.some(({ length }) => length < 1 || length > SPEC_MAX_SERVER_ADDRESS_BYTES);
  const isTooLong = total > SPEC_MAX_SERVER_ADDRESSES_BYTES;
  if (isBad || isTooLong || encoded.length > SPEC_MAX_SERVER_ADDRESSES) {
    throw new RangeError(`${encoded.length} addresses of ${total} bytes`);
  }
  writer.uint8(TYPE_SERVER_ADDRESSES);
  writer.varint(frame.sequence);
  writer.varint(frame.avoidFirst ? AVOID_FIRST : 0);
  writer.varint(encoded.length);
  for (const bytes of encoded) {
    writer.varint(bytes.length);
    writer.bytes(bytes);
  }
}

export function serverAddressesLength(frame: ServerAddressesFrame): number {
  let length = 2 + varintLength(frame.sequence) + varintLength(frame.addresses.length);
  for (const address of frame.addresses) {
    const bytes = utf8Length(address);
    length += varintLength(bytes) + bytes;
  }
  return length;
}
