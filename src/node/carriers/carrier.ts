/**
 * What every carrier looks like to the driver. A carrier moves the bytes of paths and knows nothing
 * else: no session, no packet, no address but its own and the other end's.
 *
 * @module
 */

import type { Address, CarrierInfo } from '../../core/index.js';

/**
 * Who hears a carrier. The carrier never calls it from within `open`, `send` or `close`, so that
 * nobody is re-entered.
 */
export interface CarrierSink {
  /**
   * `true`: what a stream carrier gives to `onReceive` is only looked at during the call, so that
   * the carrier may use the memory again.
   */
  readonly borrows?: boolean;
  /**
   * One datagram with its source, or the next bytes of a stream in any split. The memory is the
   * sink's from now on, unless it {@link borrows}: a carrier copies what it, or Node, would use
   * again.
   */
  onReceive(bytes: Uint8Array, remote?: Address): void;
  /** Stream carriers: `send` takes this many more bytes. Before the first call it takes none. */
  onWritable(bytes: number): void;
  /** Stream carriers may say it: nobody reads these chunks of an earlier `send` any more. */
  onSent?(chunks: readonly Uint8Array[]): void;
  /** The last call. Without an error the other end has closed in good order. */
  onClosed(error?: Error): void;
}

export interface Carrier extends CarrierInfo {
  /** Begins to deliver. To be called once, before anything else. */
  open(sink: CarrierSink): void;
  /**
   * Sends one datagram, or the next bytes of a stream. What cannot be sent is lost: on a datagram
   * carrier that is usual, a stream carrier then reports `onClosed`.
   *
   * @param remote datagram carriers: where to.
   * @throws InvariantError for more bytes than a stream carrier has asked for by `onWritable`.
   */
  send(chunks: readonly Uint8Array[], remote?: Address): void;
  /** Its sockets do not keep the process alive: the driver does, for the sessions that want it. */
  unref?(): unknown;
  /** Closes in good order: what was sent is still delivered. The sink hears nothing more. */
  close(): void;
}

/** The chunks in one piece of fresh memory. */
export function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const bytes = new Uint8Array(length);
  let position = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, position);
    position += chunk.length;
  }
  return bytes;
}
