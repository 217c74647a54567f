/**
 * A session that is made anew when it is gone: when the server was restarted, or no path came back
 * in time.
 *
 * @module
 */

import type { RovingSession } from '../node/index.js';
import { FIRST_DELAY_MS, isFinal, nextDelay, pause } from './attempts.js';
import type { Client } from './client.js';

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
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = nextDelay(delayMs)) {
      await pause(delayMs, signal);
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
