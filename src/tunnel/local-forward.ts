/** ssh's `-L`: a port here stands for a port there. @module */

import type { Socket } from 'node:net';
import type { RovingSession } from '../node/index.js';
import type { HostPort } from './address.js';
import type { OpenConnection } from './connections.js';
import { Forward, type ForwardOptions } from './forward.js';
import { type ListenPlace, requireLoopback } from './listener.js';
import type { SessionSource } from './tunnel.js';

export interface LocalForwardOptions extends ForwardOptions {
  /** Resolved and connected to by the other end. */
  readonly target: HostPort;
}

/**
 * Each connection to a port here becomes one from the other end to the target. What the program
 * says at once does not wait for the answer: it costs no round trip more than a path without Roving.
 */
export class LocalForward extends Forward {
  protected readonly kind = 'local';
  readonly #target: HostPort;
  readonly #gatewayPorts: boolean;

  constructor(session: RovingSession | SessionSource, options: LocalForwardOptions) {
    super(session, options);
    this.#target = options.target;
    this.#gatewayPorts = options.gatewayPorts ?? false;
  }

  protected override checkPlace(place: ListenPlace): void {
    if (!this.#gatewayPorts) requireLoopback(place, 'bind to loopback, or ask for gateway ports');
  }

  protected override async serve(socket: Socket, connection: OpenConnection) {
    const tunnel = await this.open(socket, this.#target, connection);
    return this.carry(socket, tunnel, connection);
  }
}
