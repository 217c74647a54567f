/** Asking the other end of a session for a service. @module */

import type { RovingSession, RovingStream, RovingStreamOptions } from '../node/index.js';
import { isServiceErrorCode, ServiceError } from './errors.js';
import { encodeMessage, readMessage } from './message.js';

/** What a stream is for. Each service adds fields of its own. */
export interface ServiceRequest {
  readonly service: string;
  readonly [field: string]: unknown;
}

/** What the service answered, and the stream that is its own from now on. */
export interface ServiceStream {
  readonly stream: RovingStream;
  readonly answer: Readonly<Record<string, unknown>>;
}

/**
 * Opens a stream for a service and waits for its answer.
 *
 * @throws ServiceError if it is refused, with the other end's code and reason; otherwise what ended
 *   the stream.
 */
export async function openService(
  session: RovingSession,
  request: ServiceRequest,
  options: RovingStreamOptions = {},
): Promise<ServiceStream> {
  const stream = session.openStream(options);
  stream.write(encodeMessage(request));
  try {
    const answer = await readMessage(stream);
    if (answer['ok'] === true) return { stream, answer };
    throw refusal(answer);
  } catch (error) {
    stream.on('error', () => undefined);
    stream.destroy();
    throw error;
  }
}

function refusal({ code, message, systemCode }: Readonly<Record<string, unknown>>): ServiceError {
  return new ServiceError(
    isServiceErrorCode(code) ? code : 'ERR_SERVICE_FAILED',
    typeof message === 'string' ? message : 'the other end gave no reason',
    typeof systemCode === 'string' ? systemCode : undefined,
  );
}
