/** Bytes without end. @module */

import type { RovingStream } from '../node/index.js';

/** The memory that is sent over and over; what it holds makes no difference once it is sealed. */
const CHUNK = Buffer.alloc(64 * 1024, 'roving');
/**
 * Written in one turn of the event loop at most. A stream takes any amount as soon as the other end
 * has stopped it, and only a later turn tells of the end.
 */
const CHUNKS_PER_TURN = 16;

/**
 * Writes as fast as the stream takes it, as long as `wants` says so, and then ends it.
 *
 * @returns stops it where it is, without an end.
 */
export function pump(stream: RovingStream, wants: () => boolean): () => void {
  let turn: NodeJS.Immediate | undefined;
  const stop = (): void => {
    clearImmediate(turn);
    stream.off('drain', go);
  };
  const go = (): void => {
    clearImmediate(turn);
    for (let left = CHUNKS_PER_TURN; left > 0; left--) {
      if (stream.destroyed || stream.writableEnded) return stop();
      if (!wants()) {
        stop();
        stream.end();
        return;
      }
      if (!stream.write(CHUNK)) return;
    }
    turn = setImmediate(go);
  };
  stream.on('drain', go);
  go();
  return stop;
}
