/**
 * What the carriers over sockets take from Node's sockets and their errors.
 *
 * @module
 */

import type { Socket } from 'node:net';
import { type Address, CarrierError } from '../../core/index.js';
import { formatAddress } from '../addresses.js';

/** The two ends of a connection; placeholders for what a socket does not know any more. */
export function endsOf(socket: Socket): { readonly local: Address; readonly remote: Address } {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  return {
    local: formatAddress(localAddress ?? 'local', localPort ?? 0),
    remote: formatAddress(remoteAddress ?? 'remote', remotePort ?? 0),
  };
}

/** Node's error as the network's fault, with its `code` as `systemCode`. */
export function carrierError(error: Error): CarrierError {
  if (error instanceof CarrierError) return error;
  const systemCode = (error as NodeJS.ErrnoException).code;
  return new CarrierError(error.message, { systemCode, cause: error });
}
