/**
 * A session that is made anew when it is gone: when the server was restarted, or no path came back
 * in time.
 *
 * @module
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { RovingSession } from '../node/index.js';
import type { Client } from './client.js';

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A delay is this much shorter or longer by chance, so that clients do not come all at once. */
const JITTER = 0.3;

/** Errors after which asking again would not help. */
const FINAL_CODES: readonly string[] = [
  'ERR_REVOKED',
  'ERR_SUPERSEDED',
  'ERR_PEER',
  'ERR_USAGE',
  'ERR_TICKET',
  'ERR_INVARIANT',
];

export class LastingSession {
  readonly #client: Client;
  readonly #onSession: (session: RovingSession) => void;
  readonly #ended: Promise<never>;
  #fail: (error: unknown) => void = () => undefined;
  #current: Promise<RovingSession>;
  #isStopped = false;

  private constructor(
    client: Client,
    first: RovingSession,
    onSession: (session: RovingSession) => void,
  ) {
    this.#client = client;
    this.#onSession = onSession;
    this.#ended = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    this.#ended.catch(() => undefined);
    this.#current = Promise.resolve(first);
    this.#follow(first);
  }

  /**
   * Makes the first session.
   *
   * @param onSession is told of each session that follows.
   * @throws as `Client.connect`: what can't be reached at first is told at once.
   */
  static async open(
    client: Client,
    onSession: (session: RovingSession) => void = () => undefined,
  ): Promise<LastingSession> {
    return new LastingSession(client, await client.connect(), onSession);
  }

  /** The session of this moment, or the next one. Rejects when there will be none. */
  readonly source = (): Promise<RovingSession> => this.#current;

  /** Rejects when there will be no session any more: with what ended the last one, or the signal. */
  get ended(): Promise<never> {
    return this.#ended;
  }

  /** Nobody wants a session any more: the end of this one is none to speak of. */
  stop(): void {
    this.#isStopped = true;
  }

  #follow(session: RovingSession): void {
    session.once('close', (error) => {
      if (this.#isStopped) return;
      if (this.#client.signal.aborted) return this.#fail(this.#client.signal.reason);
      if (isFinal(error)) return this.#fail(error);
      this.#client.log.warning('the session is gone, connecting anew: {reason}', {
        reason: error?.message ?? 'the server has closed it',
      });
      this.#current = this.#reconnect();
      this.#current.catch((failure: unknown) => this.#fail(failure));
    });
  }

  async #reconnect(): Promise<RovingSession> {
    const { signal, log } = this.#client;
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(MAX_DELAY_MS, delayMs * 2)) {
      const jitter = 1 + JITTER * (2 * Math.random() - 1);
      await delay(delayMs * jitter, undefined, { signal });
      try {
        const session = await this.#client.connect();
        this.#follow(session);
        log.warning('connected again');
        this.#onSession(session);
        return session;
      } catch (error) {
        if (signal.aborted || isFinal(error)) throw error;
        log.info('not yet: {reason}', { reason: (error as Error).message });
      }
    }
  }
}

function isFinal(error: unknown): boolean {
  const { code = '' } = (error ?? {}) as NodeJS.ErrnoException;
  return FINAL_CODES.includes(code);
}
