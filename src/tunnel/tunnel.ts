/** Asking the other end to connect somewhere. @module */

import type { RovingSession, RovingStream } from '../node/index.js';
import { startService } from '../service/index.js';
import type { HostPort } from './address.js';

/** The name of the service that connects to hosts. */
export const TCP_SERVICE = 'tcp';
/** Of the service that listens for the other end, as long as the stream is open. */
export const LISTEN_SERVICE = 'tcp-listen';
/** Of the service, offered by whoever has asked to listen, that takes what was accepted. */
export const ACCEPTED_SERVICE = 'tcp-accepted';
/** With this code a port is taken away from a session: a newer one with the same key wants it. */
export const SUPERSEDED_CODE = 1;

/**
 * Gives the session to use for a new connection. It may wait for one, or make one: a program that
 * reconnects by itself answers with its newest. A rejection ends the connection that asked.
 */
export type SessionSource = () => RovingSession | Promise<RovingSession>;

/** A stream to a host at the other end. */
export interface Tunnel {
  /** Can be written to at once: what is written waits at the other end until it has connected. */
  readonly stream: RovingStream;
  /**
   * Resolves when the other end has connected; nothing may be read before. Rejects with a
   * ServiceError whose `systemCode` says what went wrong, or with what ended the session.
   */
  readonly connected: Promise<void>;
}

/**
 * Opens a stream to a host that the other end of a session connects to; it also resolves the name.
 *
 * @throws UsageError if the session is closed, or too many streams are waiting.
 */
export function openTunnel(session: RovingSession, { host, port }: HostPort): Tunnel {
  const { stream, answered } = startService(session, { service: TCP_SERVICE, host, port });
  return { stream, connected: answered.then(() => undefined) };
}

/** A source for a session, or the source itself. */
export function toSource(session: RovingSession | SessionSource): SessionSource {
  return typeof session === 'function' ? session : () => session;
}
