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

/** A stream for a service that has not answered yet. */
export interface StartedService {
  /** Can be written to; may be read only when the service has answered. */
  readonly stream: RovingStream;
  /** Rejects as {@link openService} does, and gives the stream up. */
  readonly answered: Promise<Readonly<Record<string, unknown>>>;
}

/**
 * Opens a stream for a service and does not wait for its answer, so that what follows the request
 * costs no round trip. If the service refuses, what was written is dropped.
 *
 * @throws UsageError if no stream can be opened.
 */
export function startService(
  session: RovingSession,
  request: ServiceRequest,
  options: RovingStreamOptions = {},
): StartedService {
  const stream = session.openStream(options);
  stream.write(encodeMessage(request));
  return { stream, answered: readAnswer(stream) };
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
  const { stream, answered } = startService(session, request, options);
  return { stream, answer: await answered };
}

async function readAnswer(stream: RovingStream): Promise<Readonly<Record<string, unknown>>> {
  try {
    const answer = await readMessage(stream);
    if (answer['ok'] === true) return answer;
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
