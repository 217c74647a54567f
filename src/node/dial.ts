/** How each kind of route is connected. @module */

import { UsageError } from '../core/index.js';
import { formatAddress } from './addresses.js';
import { dialTcp } from './carriers/tcp.js';
import { openUdp } from './carriers/udp.js';
import type { Dial } from './path-manager.js';

/** Connects a route with real sockets. */
export const dialRoute: Dial = async (route, signal, timeoutMs) => {
  const { host, port, local } = route;
  const localAddress = local === undefined ? {} : { localAddress: local };
  switch (route.carrier) {
    case 'tcp':
      return { carrier: await dialTcp({ host, port, signal, timeoutMs, ...localAddress }) };
    case 'udp': {
      const remote = formatAddress(host, port);
      return { carrier: await openUdp({ remote, ...localAddress }), remote };
    }
    case 'ws':
      throw new UsageError('no WebSocket yet');
  }
};
