/** How each kind of route is connected. @module */

import { formatAddress } from './addresses.js';
import { dialTcp, TcpCarrier } from './carriers/tcp.js';
import { openUdp } from './carriers/udp.js';
import { dialWs, type WsTlsOptions } from './carriers/ws.js';
import { dialThroughProxy } from './proxy.js';
import type { Dial } from './route-keeper.js';
import type { Route } from './routes.js';

/** Connects routes with real sockets. */
export function dialWith(tls: WsTlsOptions = {}): Dial {
  return async (route, signal, timeoutMs) => {
    const { host, port, local, url = '', via } = route;
    const options = {
      signal,
      timeoutMs,
      ...(local === undefined ? {} : { localAddress: local }),
    };
    switch (route.carrier) {
      case 'tcp':
        if (via !== undefined) return { carrier: await dialTcpVia(route, via, options) };
        return { carrier: await dialTcp({ host, port, ...options }) };
      case 'udp': {
        const remote = formatAddress(host, port);
        return { carrier: await openUdp({ remote, localAddress: local }), remote };
      }
      case 'ws': {
        const proxy = via === undefined ? {} : { via };
        return { carrier: await dialWs({ url, tls, ...proxy, ...options }) };
      }
    }
  };
}

/** Connects a route with real sockets, trusting in `wss:` whom Node trusts. */
export const dialRoute: Dial = dialWith();

async function dialTcpVia(
  { host, port }: Route,
  via: string,
  options: Parameters<typeof dialThroughProxy>[3],
): Promise<TcpCarrier> {
  const socket = await dialThroughProxy(via, host, port, options);
  // What the socket calls the other end is the proxy.
  return new TcpCarrier(socket, { remote: formatAddress(host, port) });
}
