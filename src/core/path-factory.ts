/** Makes paths, with keys and a congestion control of their own. @module */

import {
  connectionId,
  PacketOpener,
  PacketSealer,
  ReplayWindow,
  trafficSecret,
} from '../crypto/index.js';
import { AddressBook } from './address-book.js';
import type { Carrier } from './carrier.js';
import { createCongestion } from './congestion/index.js';
import type { Address, Instant, PathId } from './contract.js';
import { assert } from './errors.js';
import { Path } from './path.js';
import { SPEC_BASE_DATAGRAM_BYTES } from './path-mtu.js';
import type { SessionState } from './session-state.js';

/** Where a path begins: its carrier and, for datagrams, the other end. */
export interface PathStart {
  readonly id: PathId;
  readonly carrier: Carrier;
  readonly remote: Address | undefined;
  /** Whether the other end is known to receive at `remote`. */
  readonly validated: boolean;
}

export function makePath(session: SessionState, start: PathStart, now: Instant): Path {
  const { id, carrier, remote, validated } = start;
  const { secret, crypto, cipher, role, options, random } = session;
  assert(secret !== undefined, 'paths need the keys of an established session');
  const ours = role === 'client' ? 'c2s' : 's2c';
  const theirs = role === 'client' ? 's2c' : 'c2s';
  const addresses =
    carrier.isStream || remote === undefined
      ? undefined
      : new AddressBook(remote, validated, role === 'server', random, now);
  const limit = carrier.info.maxDatagramBytes ?? SPEC_BASE_DATAGRAM_BYTES;
  const packetBytes = Math.min(limit, SPEC_BASE_DATAGRAM_BYTES);
  return new Path({
    id,
    carrier,
    addresses,
    sealer: new PacketSealer(crypto, cipher, trafficSecret(crypto, secret, id, ours), {
      updateAfterPackets: options.keyUpdatePackets,
    }),
    opener: new PacketOpener(crypto, cipher, trafficSecret(crypto, secret, id, theirs)),
    replay: new ReplayWindow(),
    sendConnectionId: connectionId(crypto, secret, id, ours),
    receiveConnectionId: connectionId(crypto, secret, id, theirs),
    congestion: createCongestion(carrier, options, packetBytes),
    maxAckDelayMs: options.maxAckDelayMs,
    keepAlive: {
      startMs: options.keepAliveMs,
      maxMs: carrier.isStream ? options.keepAliveMs : options.maxKeepAliveMs,
    },
    state: role === 'client' && id !== 0 ? 'joining' : 'active',
    now,
  });
}
