/**
 * One receive buffer for all TCP sockets of the process. libuv fills it and calls back with nothing
 * in between, and what is not taken in that call is copied: so an idle connection holds no buffer,
 * and a busy one makes no garbage.
 *
 * @module
 */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** One read takes no more. */
export const RECEIVE_BUFFER_BYTES = 256 * 1024;

/** Takes what was read; the memory is good during the call. */
export type Take = (bytes: Uint8Array) => void;

/** Where the reads of a socket go; filled in when somebody wants them. */
export interface Inlet {
  take?: Take;
}

const inlets = new WeakMap<Duplex, Inlet>();
let buffer: Uint8Array | undefined;

function sharedBuffer(): Uint8Array {
  buffer ??= Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
  return buffer;
}

/** Node's own option `onread`, for a socket that is going to be made; see {@link adopt}. */
export function onread(inlet: Inlet): {
  buffer: Uint8Array;
  callback: (count: number, buffer: Uint8Array) => boolean;
} {
  return {
    buffer: sharedBuffer(),
    callback: (count, bytes) => {
      inlet.take?.(new Uint8Array(bytes.buffer, bytes.byteOffset, count));
      return true;
    },
  };
}

/** The socket was made with {@link onread} of this inlet. */
export function adopt(socket: Duplex, inlet: Inlet): void {
  inlets.set(socket, inlet);
}

/**
 * Sends the reads of a socket to `take`, from the shared buffer.
 *
 * @returns `false` if that cannot be: then the socket has its usual events.
 */
export function readInto(socket: Duplex, take: Take): boolean {
  const inlet = inlets.get(socket);
  if (inlet !== undefined) {
    inlet.take = take;
    return true;
  }
  return isPlainSocket(socket) && retrofit(socket, take);
}

/** Not a TLS socket, nor any other that is built upon one. */
function isPlainSocket(socket: Duplex): socket is Socket {
  return socket.constructor === Socket;
}

/** What Node's `onread` fills in for a socket. */
const FIELDS = ['kBuffer', 'kBufferCb', 'kBufferGen'] as const;

/**
 * A server's sockets come without `onread`, since Node offers it only to whoever makes the socket.
 * This does afterwards what the constructor would have done. If any part of it is not as expected,
 * nothing is touched.
 */
function retrofit(socket: Socket, take: Take): boolean {
  const fields = new Map<string | undefined, symbol>();
  for (const symbol of Object.getOwnPropertySymbols(socket)) fields.set(symbol.description, symbol);
  const [memory, callback, generator] = FIELDS.map((name) => fields.get(name));
  if (memory === undefined || callback === undefined || generator === undefined) return false;
  const parts = socket as unknown as Record<symbol, unknown> & {
    _handle?: { useUserBuffer?: (buffer: Uint8Array) => void };
  };
  const isUnused = [memory, callback, generator].every((field) => parts[field] === null);
  const handle = parts._handle;
  if (!isUnused || typeof handle?.useUserBuffer !== 'function') return false;
  // Bytes that Node has read already would come too late.
  if (socket.readableLength > 0) return false;
  const options = onread({ take });
  parts[memory] = options.buffer;
  parts[callback] = options.callback;
  handle.useUserBuffer(options.buffer);
  // The socket was paused without these, when that stopped the events and not the reading.
  socket.pause();
  return true;
}
