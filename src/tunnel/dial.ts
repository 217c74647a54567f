/** Connecting to a host by name: resolving, asking the rules, trying one address after the other. @module */

import { lookup } from 'node:dns/promises';
import { connect, type Socket } from 'node:net';
import { ServiceError } from '../service/index.js';
import { formatHostPort, type HostPort, parseIp } from './address.js';

/** Resolving, and connecting to whichever address answers, take no longer. */
export const DIAL_TIMEOUT_MS = 15_000;
/** The next address is tried beside those before it after this time (RFC 8305 §5). */
export const NEXT_ADDRESS_DELAY_MS = 250;
/** Addresses of one name that are tried. */
export const MAX_DIALLED_ADDRESSES = 8;

/** Gives the addresses of a name, best first; rejects with the system's code. */
export type Resolver = (name: string) => Promise<readonly string[]>;

export interface DialOptions {
  /** Asked of each address before it is dialled. */
  readonly mayDial: (address: string) => boolean;
  /** What to throw if no address may be dialled. */
  readonly refusal: () => Error;
  readonly resolver: Resolver;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** As all programs of the machine resolve names. */
export const systemResolver: Resolver = async (name) => {
  const found = await lookup(name, { all: true, verbatim: true });
  return found.map(({ address }) => address);
};

/**
 * @returns a connected socket that does not hold small writes back and can be half-closed.
 * @throws ServiceError `ERR_SERVICE_FAILED` with the system's code, such as `ECONNREFUSED`,
 *   `ENOTFOUND` or `ETIMEDOUT`; and the refusal, if none of the addresses may be dialled.
 */
export async function dial(target: HostPort, options: DialOptions): Promise<Socket> {
  const over = new AbortController();
  const { signal } = over;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    over.abort();
  }, options.timeoutMs);
  const gaveUp = (): void => over.abort();
  if (options.signal.aborted) gaveUp();
  options.signal.addEventListener('abort', gaveUp, { once: true });
  try {
    const found = await unlessAborted(resolve(target.host, options.resolver), signal);
    const allowed = found.filter(options.mayDial).slice(0, MAX_DIALLED_ADDRESSES);
    if (allowed.length === 0) throw options.refusal();
    return await connectToAny(allowed, target.port, signal);
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    const code = isLate ? 'ETIMEDOUT' : systemCodeOf(error);
    const text = `${formatHostPort(target)} can not be reached: ${code}`;
    throw new ServiceError('ERR_SERVICE_FAILED', text, code);
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', gaveUp);
  }
}

function systemCodeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : 'ECONNABORTED';
}

async function resolve(host: string, resolver: Resolver): Promise<readonly string[]> {
  if (parseIp(host) !== undefined) return [host];
  const found = await resolver(host);
  if (found.length > 0) return found;
  throw Object.assign(new Error('the name has no address'), { code: 'ENOTFOUND' });
}

/** A resolver can't be interrupted; its answer is ignored then. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((fulfil, reject) => {
    const aborted = (): void => reject(signal.reason as Error);
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(fulfil, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

/** Begins with the first address and keeps all attempts going until one succeeds (RFC 8305). */
function connectToAny(addresses: readonly string[], port: number, signal: AbortSignal) {
  return new Promise<Socket>((fulfil, reject) => {
    const attempts = new Set<Socket>();
    let nextIndex = 0;
    let firstError: Error | undefined;
    let timer: NodeJS.Timeout | undefined;

    const settle = (action: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      for (const socket of attempts) socket.destroy();
      attempts.clear();
      action();
    };
    const aborted = (): void => settle(() => reject(signal.reason as Error));
    const tryNext = (): void => {
      clearTimeout(timer);
      const host = addresses[nextIndex];
      if (host === undefined) return;
      nextIndex += 1;
      if (nextIndex < addresses.length) timer = setTimeout(tryNext, NEXT_ADDRESS_DELAY_MS);
      const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
      attempts.add(socket);
      socket.on('error', (error) => {
        if (!attempts.delete(socket)) return;
        firstError ??= error;
        if (nextIndex < addresses.length) tryNext();
        else if (attempts.size === 0) settle(() => reject(firstError as Error));
      });
      socket.once('connect', () => {
        if (attempts.delete(socket)) settle(() => fulfil(socket));
      });
    };
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted, { once: true });
    tryNext();
  });
}
