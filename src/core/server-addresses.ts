/**
 * Where else the server can be reached, told within the session (protocol.md#server-addresses).
 *
 * @module
 */

import {
  type ServerAddressesFrame,
  SPEC_MAX_SERVER_ADDRESS_BYTES,
  SPEC_MAX_SERVER_ADDRESSES,
  SPEC_MAX_SERVER_ADDRESSES_BYTES,
  utf8Length,
} from '../wire/index.js';
import { PeerError, UsageError } from './errors.js';
import type { SessionState } from './session-state.js';

/** What a server tells its clients of where it is. */
export interface ServerAddresses {
  /** As in a ticket: `HOST:PORT` for TCP and UDP, or a `ws://` or `wss://` address. The whole list. */
  readonly addresses: readonly string[];
  /**
   * No further path shall be opened to the address by which the session was established: it leads
   * to whichever server of many has time, or costs more.
   */
  readonly avoidFirst: boolean;
}

/** @throws UsageError if the list could not be told: too many, or too long. */
export function checkServerAddresses(addresses: readonly string[]): void {
  if (addresses.length > SPEC_MAX_SERVER_ADDRESSES) {
    throw new UsageError(`a server tells at most ${SPEC_MAX_SERVER_ADDRESSES} addresses`);
  }
  let total = 0;
  for (const address of addresses) {
    const bytes = utf8Length(address);
    if (bytes < 1 || bytes > SPEC_MAX_SERVER_ADDRESS_BYTES) {
      const most = SPEC_MAX_SERVER_ADDRESS_BYTES;
      throw new UsageError(`an address that a server tells has 1 to ${most} bytes, not ${bytes}`);
    }
    total += bytes;
  }
  if (total > SPEC_MAX_SERVER_ADDRESSES_BYTES) {
    const most = SPEC_MAX_SERVER_ADDRESSES_BYTES;
    throw new UsageError(`the addresses that a server tells have at most ${most} bytes together`);
  }
}

/** The server tells the client. @throws UsageError at a client, or if the list is too long. */
export function tellServerAddresses(session: SessionState, told: ServerAddresses): void {
  if (session.role !== 'server') throw new UsageError('only a server tells its addresses');
  checkServerAddresses(told.addresses);
  const sequence = session.addressesSequence;
  session.addressesSequence += 1;
  session.queueControl({
    type: 'serverAddresses',
    sequence,
    avoidFirst: told.avoidFirst,
    addresses: [...told.addresses],
  });
}

/** The client is told. @throws PeerError at a server. */
export function takeServerAddresses(session: SessionState, frame: ServerAddressesFrame): void {
  if (session.role === 'server') {
    throw new PeerError('PROTOCOL_VIOLATION', 'a client has told server addresses', 0x22);
  }
  const known = session.serverAddressesSequence;
  if (known !== undefined && frame.sequence <= known) return;
  session.serverAddressesSequence = frame.sequence;
  const { addresses, avoidFirst } = frame;
  session.serverAddresses = { addresses, avoidFirst };
  // Of several that nobody has seen yet, only the last one matters.
  const waiting = session.events.findIndex((event) => event.type === 'serverAddresses');
  if (waiting >= 0) session.events.splice(waiting, 1);
  session.emit({ type: 'serverAddresses', addresses, avoidFirst });
}
