/** What a server offers; the grants of each key decide who may use it. @module */

import type { Logger } from '@logtape/logtape';
import { filesService } from '../copy/index.js';
import type { RovingServer } from '../node/index.js';
import { benchService, observeService } from '../probe/index.js';
import { ServiceHost } from '../service/index.js';
import { ForwardServer, formatHostPort } from '../tunnel/index.js';
import { parseHostPort } from './arguments.js';

export interface ServerServices {
  readonly host: ServiceHost;
  /** Connections that are made for clients, for `roving status`. */
  connections(): readonly object[];
}

/** @param server whose own ports no forward may reach. */
export function createServices(server: RovingServer, log: Logger): ServerServices {
  const forwards = new ForwardServer({
    ownPorts: () =>
      server.addresses.map((address) => parseHostPort(address, { option: '--listen' }).port),
    keyOf: ({ key }) => key && { id: Buffer.from(key.keyId).toString('hex'), name: key.name },
  });
  forwards.on('denied', (what, key) => {
    log.warning('key {key} was refused: {what}', { key: key?.name, what });
  });
  forwards.on('listening', (address, key) => {
    log.info('key {key} listens on {address}', {
      key: key?.name,
      address: formatHostPort(address),
    });
  });
  forwards.on('unlistening', (address, key) => {
    log.info('key {key} no longer listens on {address}', {
      key: key?.name,
      address: formatHostPort(address),
    });
  });
  return {
    host: new ServiceHost([benchService(), observeService(), filesService(), ...forwards.services]),
    connections: () => forwards.connections.list(),
  };
}
