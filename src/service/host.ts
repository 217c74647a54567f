/**
 * Offering services to the other end of a session: reads what each stream is for, checks that the
 * key allows it, and hands the stream over.
 *
 * @module
 */

import type { RovingSession, RovingStream } from '../node/index.js';
import type { ServiceRequest } from './client.js';
import { ServiceError } from './errors.js';
import { encodeMessage, readMessage } from './message.js';

/** A stream that asks for nothing is given up after this time. */
export const REQUEST_TIMEOUT_MS = 10_000;

/** One request for a service, to be answered once: by `accept`, or by throwing. */
export interface ServiceCall {
  readonly request: ServiceRequest;
  readonly session: RovingSession;
  /** What the key of the session allows; see {@link grantArguments}. */
  readonly grants: readonly string[];
  /** Aborted when the stream is over: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Says yes, with fields of the service's own; the stream is the caller's from then on. */
  accept(answer?: Readonly<Record<string, unknown>>): RovingStream;
}

/** Refuses by throwing a {@link ServiceError}; any other error is told as `ERR_SERVICE_FAILED`. */
export type ServiceHandler = (call: ServiceCall) => void | Promise<void>;

export interface Service {
  readonly name: string;
  /** What the key must allow, such as `forward`; absent: everyone may. */
  readonly grant?: string;
  readonly handle: ServiceHandler;
}

/** A set of services, for any number of sessions. */
export class ServiceHost {
  readonly #services = new Map<string, Service>();

  constructor(services: Iterable<Service>) {
    for (const service of services) this.#services.set(service.name, service);
  }

  /**
   * Serves a session until it ends.
   *
   * @param grants what its key allows.
   */
  attach(session: RovingSession, grants: readonly string[]): void {
    session.on('stream', (stream) => {
      stream.on('error', () => undefined);
      this.#serve(session, stream, grants).catch((error: unknown) => this.#refuse(stream, error));
    });
  }

  async #serve(
    session: RovingSession,
    stream: RovingStream,
    grants: readonly string[],
  ): Promise<void> {
    const late = setTimeout(() => stream.destroy(), REQUEST_TIMEOUT_MS);
    late.unref();
    const message = await readMessage(stream).finally(() => clearTimeout(late));
    const service = this.#find(message['service'], grants);
    const accept = (answer: Readonly<Record<string, unknown>> = {}): RovingStream => {
      stream.write(encodeMessage({ ...answer, ok: true }));
      return stream;
    };
    const over = new AbortController();
    stream.once('close', () => over.abort());
    const { signal } = over;
    await service.handle({ request: message as ServiceRequest, session, grants, signal, accept });
  }

  #find(name: unknown, grants: readonly string[]): Service {
    const service = typeof name === 'string' ? this.#services.get(name) : undefined;
    if (service === undefined) {
      throw new ServiceError('ERR_SERVICE_UNKNOWN', 'the other end offers no such service');
    }
    const { grant } = service;
    if (grant !== undefined && grantArguments(grants, grant) === undefined) {
      throw new ServiceError(
        'ERR_SERVICE_DENIED',
        `the key does not allow this: it would need \`--allow ${grant}\``,
      );
    }
    return service;
  }

  #refuse(stream: RovingStream, error: unknown): void {
    if (stream.destroyed || stream.writableEnded) return;
    const { code, message, systemCode } = asServiceError(error);
    stream.end(encodeMessage({ ok: false, code, message, systemCode }));
    stream.resume();
  }
}

function asServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  return new ServiceError('ERR_SERVICE_FAILED', message, code);
}

/**
 * The arguments of a kind of grant: `files` in `['forward', 'files:/srv', 'files:/tmp']` gives
 * `['/srv', '/tmp']`, `forward` gives `['']`.
 *
 * @returns `undefined` if there is no such grant.
 */
export function grantArguments(grants: readonly string[], kind: string): string[] | undefined {
  const found = grants
    .filter((grant) => grant === kind || grant.startsWith(`${kind}:`))
    .map((grant) => grant.slice(kind.length + 1));
  return found.length > 0 ? found : undefined;
}
