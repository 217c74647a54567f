/** ssh's `-R`: a port at the other end stands for a port here. @module */

import { EventEmitter } from 'node:events';
import { type RovingSession, StreamResetError } from '../node/index.js';
import {
  openService,
  type ServiceCall,
  ServiceError,
  type ServiceErrorCode,
  ServiceHost,
} from '../service/index.js';
import { formatHostPort, type HostPort, isHost, isPort } from './address.js';
import { TunnelConnections } from './connections.js';
import { DIAL_TIMEOUT_MS, dial, systemResolver } from './dial.js';
import { MAX_DIALS, MAX_WAITING_DIALS } from './forward-server.js';
import { Gate } from './gate.js';
import type { Bind } from './grammar.js';
import { denied } from './rules.js';
import { splice } from './splice.js';
import {
  ACCEPTED_SERVICE,
  LISTEN_SERVICE,
  type SessionSource,
  SUPERSEDED_CODE,
  toSource,
} from './tunnel.js';

/** Before a port is asked for again; doubled each time, up to {@link MAX_RETRY_DELAY_MS}. */
export const RETRY_DELAY_MS = 500;
export const MAX_RETRY_DELAY_MS = 30_000;
/** Answers that stay as they are; a session that dies meanwhile can give any other. */
const FINAL_CODES: readonly unknown[] = [
  'ERR_SERVICE_DENIED',
  'ERR_SERVICE_UNKNOWN',
] satisfies readonly ServiceErrorCode[];

export interface RemoteForwardOptions {
  /** Where the other end listens. */
  readonly bind: Bind;
  /** What this end connects to. */
  readonly target: HostPort;
  readonly connections?: TunnelConnections;
}

export interface RemoteForwardEvents {
  /** The other end listens, again after it had stopped. */
  listening: [address: HostPort];
  /** It has stopped, for instance with the session; it will be asked again. */
  lost: [error: Error | undefined];
  /** The last event. With an error, it will not be asked again. */
  end: [error: Error | undefined];
}

/** The forwards of a session by the number under which the other end knows each. */
const forwardsOf = new WeakMap<RovingSession, Map<number, RemoteForward>>();

/**
 * Has the other end listen, and connects each connection there to a target here. When the session
 * ends, it is asked for anew over what the source gives then; a fixed session ends the forward.
 *
 * It offers a service to the other end: no other `ServiceHost` may be attached to the session.
 */
export class RemoteForward extends EventEmitter<RemoteForwardEvents> {
  readonly connections: TunnelConnections;
  readonly #source: SessionSource;
  readonly #target: HostPort;
  readonly #dials = new Gate(MAX_DIALS, MAX_WAITING_DIALS);
  #bind: Bind;
  #address: HostPort | undefined;
  #over: Promise<Error | undefined> = Promise.resolve(undefined);
  readonly #closing = new AbortController();

  constructor(session: RovingSession | SessionSource, options: RemoteForwardOptions) {
    super();
    this.#source = toSource(session);
    this.#bind = options.bind;
    this.#target = options.target;
    this.connections = options.connections ?? new TunnelConnections();
  }

  /**
   * @returns where the other end listens, with the port that it has chosen if it was asked for 0.
   * @throws ServiceError `ERR_SERVICE_DENIED`, or `ERR_SERVICE_FAILED` with the other system's code.
   */
  async start(): Promise<HostPort> {
    const address = await this.#listen(await this.#source());
    void this.#keep();
    return address;
  }

  /** Where the other end listens; `undefined` while it does not. */
  get address(): HostPort | undefined {
    return this.#address;
  }

  /** Has the other end stop listening. What it has accepted goes on to its end. */
  close(): void {
    this.#closing.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** Asks once. Afterwards `#over` resolves when the other end listens no more. */
  async #listen(session: RovingSession): Promise<HostPort> {
    const forwards = forwardsAt(session);
    const id = nextId(forwards);
    // Known before it is asked for: connections may come before the answer has.
    forwards.set(id, this);
    try {
      const request = { service: LISTEN_SERVICE, listener: id, ...this.#bind };
      const { stream, answer } = await openService(session, request, { allowHalfOpen: false });
      const { host, port } = answer;
      const address = isHost(host) && isPort(port) ? { host, port } : undefined;
      this.#over = new Promise((resolve) => {
        const close = (): void => void stream.end();
        stream.on('error', () => undefined);
        stream.once('close', () => {
          this.#closing.signal.removeEventListener('abort', close);
          this.#address = undefined;
          resolve(stream.errored ?? undefined);
        });
        if (this.#closing.signal.aborted) close();
        else this.#closing.signal.addEventListener('abort', close, { once: true });
        stream.resume();
      });
      if (address === undefined) {
        stream.destroy();
        throw new ServiceError('ERR_SERVICE_MESSAGE', 'the answer names no address');
      }
      void this.#over.then(() => forwards.delete(id));
      this.#address = address;
      // Programs know the port by now: the same one is wanted from now on.
      this.#bind = { host: this.#bind.host, port: address.port };
      this.emit('listening', address);
      return address;
    } catch (error) {
      forwards.delete(id);
      throw error;
    }
  }

  /** Asks again whenever it is over, until it is closed or there is no use in it. */
  async #keep(): Promise<void> {
    for (;;) {
      const error = await this.#over;
      if (this.#closing.signal.aborted) return this.#end(undefined);
      if (error instanceof StreamResetError && error.applicationCode === SUPERSEDED_CODE) {
        return this.#end(error);
      }
      this.emit('lost', error);
      const failure = await this.#retry();
      if (failure !== undefined) return this.#end(failure);
    }
  }

  /** @returns what makes further tries useless; `undefined` when the other end listens again. */
  async #retry(): Promise<Error | undefined> {
    for (let delayMs = RETRY_DELAY_MS; ; delayMs = Math.min(2 * delayMs, MAX_RETRY_DELAY_MS)) {
      // What has ended it may be about to end the session, too.
      await this.#pause(delayMs);
      if (this.#closing.signal.aborted) return undefined;
      let session: RovingSession;
      try {
        session = await this.#source();
      } catch (error) {
        return error as Error;
      }
      if (session.isClosed) return new Error('the session is closed');
      try {
        await this.#listen(session);
        return undefined;
      } catch (error) {
        if (error instanceof ServiceError && FINAL_CODES.includes(error.code)) return error;
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#closing;
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, delayMs);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #end(error: Error | undefined): void {
    this.emit('end', error);
  }

  /** @internal One connection that the other end has accepted. */
  async accepted(call: ServiceCall): Promise<void> {
    const { origin } = call.request;
    const connection = this.connections.begin('remote', isOrigin(origin) ? origin : undefined);
    connection.describe(formatHostPort(this.#target));
    try {
      const socket = await this.#dial(call.signal);
      connection.describe(formatHostPort(this.#target), socket);
      connection.opened();
      void splice(socket, call.accept()).then((error) => connection.ended(error));
    } catch (error) {
      connection.ended(error as Error);
      throw error;
    }
  }

  async #dial(signal: AbortSignal) {
    if (!(await this.#dials.enter(signal))) {
      throw new ServiceError('ERR_SERVICE_FAILED', 'too many connections are being made', 'EAGAIN');
    }
    try {
      return await dial(this.#target, {
        // Whoever set up the forward chose the target.
        mayDial: () => true,
        refusal: () => denied(this.#target),
        resolver: systemResolver,
        timeoutMs: DIAL_TIMEOUT_MS,
        signal,
      });
    } finally {
      this.#dials.leave();
    }
  }
}

function forwardsAt(session: RovingSession): Map<number, RemoteForward> {
  let forwards = forwardsOf.get(session);
  if (forwards === undefined) {
    const known = new Map<number, RemoteForward>();
    const handle = async (call: ServiceCall): Promise<void> => {
      const forward = known.get(Number(call.request['listener']));
      if (forward !== undefined) return forward.accepted(call);
      throw new ServiceError('ERR_SERVICE_DENIED', 'nobody has asked to listen there');
    };
    new ServiceHost([{ name: ACCEPTED_SERVICE, handle }]).attach(session, []);
    forwardsOf.set(session, known);
    forwards = known;
  }
  return forwards;
}

function nextId(forwards: ReadonlyMap<number, RemoteForward>): number {
  let id = 1;
  while (forwards.has(id)) id += 1;
  return id;
}

/** It is shown to people: what is no address is not. */
function isOrigin(value: unknown): value is string {
  return typeof value === 'string' && /^[\da-fA-F:.[\]]{1,64}$/.test(value);
}
