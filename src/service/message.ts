/**
 * Small messages at the beginning of a stream: a length in four bytes, big-endian, and JSON. The
 * rest of the stream belongs to the service that they ask for.
 *
 * @module
 */

import type { RovingStream } from '../node/index.js';
import { ServiceError } from './errors.js';

/** More is refused: a request names a thing, it does not carry one. */
export const MAX_MESSAGE_BYTES = 16 * 1024;
const LENGTH_BYTES = 4;

export function encodeMessage(value: object): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  if (json.length > MAX_MESSAGE_BYTES) {
    throw new ServiceError('ERR_SERVICE_MESSAGE', `a message of ${json.length} bytes is too long`);
  }
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES + json.length);
  bytes.writeUInt32BE(json.length, 0);
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}

/**
 * Reads one message and leaves what follows in the stream.
 *
 * @throws ServiceError if the stream ends before, or what arrives is no message.
 */
export async function readMessage(stream: RovingStream): Promise<Record<string, unknown>> {
  const length = (await readExactly(stream, LENGTH_BYTES)).readUInt32BE(0);
  if (length > MAX_MESSAGE_BYTES) {
    throw new ServiceError('ERR_SERVICE_MESSAGE', `a message of ${length} bytes is too long`);
  }
  const json = await readExactly(stream, length);
  let value: unknown;
  try {
    value = JSON.parse(json.toString());
  } catch {
    throw new ServiceError('ERR_SERVICE_MESSAGE', 'the message is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ServiceError('ERR_SERVICE_MESSAGE', 'the message is not an object');
  }
  return value as Record<string, unknown>;
}

/** Exactly so many bytes from a stream that nobody else reads. */
export function readExactly(stream: RovingStream, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (action: () => void): void => {
      stream.off('readable', tryRead);
      stream.off('end', ended);
      stream.off('close', ended);
      stream.off('error', failed);
      action();
    };
    const failed = (error: Error): void => settle(() => reject(error));
    const ended = (): void => {
      const error = new ServiceError('ERR_SERVICE_MESSAGE', 'the stream ended within a message');
      settle(() => reject(stream.errored ?? error));
    };
    const tryRead = (): void => {
      const bytes: Buffer | null = length === 0 ? Buffer.alloc(0) : stream.read(length);
      if (bytes === null) return;
      // At the end of a stream `read` gives what is left, even if that is less.
      if (bytes.length === length) settle(() => resolve(bytes));
      else ended();
    };
    if (stream.destroyed || stream.readableEnded) return ended();
    stream.on('readable', tryRead);
    stream.on('end', ended);
    stream.on('close', ended);
    stream.on('error', failed);
    tryRead();
  });
}
