/** ssh's `-D`: a proxy here whose connections are made at the other end. @module */

import type { Socket } from 'node:net';
import { finished } from 'node:stream';
import { type RovingSession, UsageError } from '../node/index.js';
import type { OpenConnection } from './connections.js';
import { Forward, type ForwardOptions } from './forward.js';
import { type ListenPlace, requireLoopback } from './listener.js';
import {
  PROXY_REQUEST_TIMEOUT_MS,
  type ProxyLogin,
  type ProxyRequest,
  readProxyRequest,
} from './proxy/negotiate.js';
import { ProxyError } from './proxy/parsed.js';
import type { SessionSource } from './tunnel.js';

/** A refused program has this long to read why (RFC 1928 §6 asks for no more). */
export const REFUSAL_LINGER_MS = 5_000;
/** RFC 1929 §2. */
const MAX_LOGIN_BYTES = 255;

export interface DynamicForwardOptions extends ForwardOptions {
  /** Without it, whoever reaches the port may use the proxy. SOCKS4 has none and is refused then. */
  readonly login?: ProxyLogin;
  /** From connecting to having said what it wants; {@link PROXY_REQUEST_TIMEOUT_MS}. */
  readonly requestTimeoutMs?: number;
}

/**
 * SOCKS5, SOCKS4, SOCKS4a and an HTTP proxy (CONNECT and plain `http://`) on one port. Names are
 * resolved at the other end, unless the program has resolved them itself. Only connections can be
 * asked for: BIND and UDP ASSOCIATE are answered with "not supported" (T48).
 */
export class DynamicForward extends Forward {
  protected readonly kind = 'dynamic';
  readonly #login: ProxyLogin | undefined;
  readonly #gatewayPorts: boolean;
  readonly #requestTimeoutMs: number;

  /** @throws UsageError if the login can't be said in SOCKS5 or HTTP. */
  constructor(session: RovingSession | SessionSource, options: DynamicForwardOptions) {
    super(session, options);
    const { login } = options;
    if (login !== undefined) checkLogin(login);
    this.#login = login;
    this.#gatewayPorts = options.gatewayPorts ?? false;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? PROXY_REQUEST_TIMEOUT_MS;
  }

  /** With a login the proxy may be reached from elsewhere. */
  protected override checkPlace(place: ListenPlace): void {
    if (this.#gatewayPorts || this.#login !== undefined) return;
    requireLoopback(place, 'bind to loopback, ask for a login, or for gateway ports');
  }

  protected override async serve(socket: Socket, connection: OpenConnection) {
    let request: ProxyRequest;
    try {
      request = await readProxyRequest(socket, this.#login, this.#requestTimeoutMs);
    } catch (error) {
      refuse(socket, error instanceof ProxyError ? error.reply : undefined);
      return error as Error;
    }
    try {
      const tunnel = await this.open(socket, request.target, connection);
      if (request.head !== undefined) tunnel.stream.write(request.head);
      // It is not read before, but its end has to be noticed: the tunnel is given up then.
      const givenUp = finished(socket, { readable: false }, () => tunnel.stream.destroy());
      await tunnel.connected.finally(givenUp);
      if (request.connected !== undefined) socket.write(request.connected);
      return await this.carry(socket, { ...tunnel, connected: Promise.resolve() }, connection);
    } catch (error) {
      refuse(socket, request.failed(error));
      return error as Error;
    }
  }
}

function checkLogin({ user, password }: ProxyLogin): void {
  const lengths = [user, password].map((part) => Buffer.byteLength(part));
  if (user === '' || user.includes(':') || lengths.some((length) => length > MAX_LOGIN_BYTES)) {
    throw new UsageError(
      `a user is not empty and has no colon, and neither it nor the password is longer than ` +
        `${MAX_LOGIN_BYTES} bytes`,
    );
  }
}

/** Gives the answer, waits for the program to read it and go, and not for ever. */
function refuse(socket: Socket, reply: Buffer | undefined): void {
  if (socket.destroyed) return;
  if (reply === undefined) {
    socket.destroy();
    return;
  }
  socket.end(reply);
  // What it still says is dropped: unread bytes would turn the end into a reset, and lose the answer.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), REFUSAL_LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}
