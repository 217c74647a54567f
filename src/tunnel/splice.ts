/** Joining a TCP connection and a stream, so that each end sees what the other one does. @module */

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Sends to the stream what the socket says, also its end, and to the socket what the stream says
 * once `ready` has resolved. Neither is read faster than the other takes it. An end is an end, and
 * the other direction goes on; a reset, or the loss of the session, becomes a reset.
 *
 * @param ready rejects: the socket is reset.
 * @returns resolves when both are closed, with the error of the one that failed first; never rejects.
 */
export function splice(
  socket: Socket,
  stream: Duplex,
  ready: Promise<unknown> = Promise.resolve(),
): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let firstError: Error | undefined;
    let openCount = 2;
    const fail = (error: Error | undefined): void => {
      firstError ??= error;
      if (!stream.destroyed) stream.destroy();
      // A socket that has been closed already can't be reset.
      if (!socket.destroyed) socket.resetAndDestroy();
    };
    const closed = (end: Duplex): void => {
      if (!hasEnded(end)) fail(end.errored ?? undefined);
      openCount -= 1;
      if (openCount === 0) resolve(firstError);
    };
    for (const end of [socket, stream]) {
      end.on('error', fail);
      if (end.closed) closed(end);
      else end.once('close', () => closed(end));
    }
    socket.pipe(stream);
    ready.then(() => stream.pipe(socket), fail);
  });
}

function hasEnded(end: Duplex): boolean {
  return end.readableEnded && end.writableFinished;
}
