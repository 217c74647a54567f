/** What a server offers; the grants of each key decide who may use it. @module */

import { filesService } from '../copy/index.js';
import type { RovingServer } from '../node/index.js';
import { benchService, observeService } from '../probe/index.js';
import { ServiceHost } from '../service/index.js';

export interface ServerServices {
  readonly host: ServiceHost;
  /** Connections that are made for clients, for `roving status`. */
  connections(): readonly object[];
}

export function createServices(_server: () => RovingServer): ServerServices {
  return {
    host: new ServiceHost([benchService(), observeService(), filesService()]),
    connections: () => [],
  };
}
