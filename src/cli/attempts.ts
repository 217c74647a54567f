/**
 * Work that goes on over a new session where the last one has broken off, and the pace at which a
 * server is asked for one.
 *
 * @module
 */

import { setTimeout as delay } from 'node:timers/promises';

export const FIRST_DELAY_MS = 500;
export const MAX_DELAY_MS = 30_000;
/** A delay is this much shorter or longer by chance, so that clients do not come all at once. */
const JITTER = 0.3;
/** Without progress, attempts end so long after the first that failed: a machine restarts in less. */
export const GIVE_UP_AFTER_MS = 10 * 60_000;
/** Attempts in a row without progress, whose session lives on: waiting for the network is no help. */
export const MAX_IDLE_ATTEMPTS = 5;

/** Errors after which asking again would not help. */
const FINAL_CODES: readonly string[] = [
  'ERR_REVOKED',
  'ERR_SUPERSEDED',
  'ERR_PEER',
  'ERR_USAGE',
  'ERR_TICKET',
  'ERR_INVARIANT',
];

/** Whether what failed so would fail again. */
export function isFinal(error: unknown): boolean {
  const { code = '' } = (error ?? {}) as NodeJS.ErrnoException;
  return FINAL_CODES.includes(code);
}

/** The delay that follows one. */
export function nextDelay(delayMs: number): number {
  return Math.min(MAX_DELAY_MS, delayMs * 2);
}

/** Waits about so long. @throws AbortError with the signal. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  const jitter = 1 + JITTER * (2 * Math.random() - 1);
  await delay(delayMs * jitter, undefined, { signal });
}

/** What became of a session whose work has failed. */
export type Outcome =
  /** Another session would not fare better. */
  | 'final'
  /** The session is gone. */
  | 'lost'
  /** The session lives; only the work was broken off. */
  | 'brokenOff';

/** Work over one session after the other. */
export interface Work<Session, Result> {
  connect(): Promise<Session>;
  /** @param isRepeated it has begun before, over another session. */
  run(session: Session, isRepeated: boolean): Promise<Result>;
  judge(session: Session, error: unknown): Promise<Outcome>;
  /** Whether anything has come of the attempt that failed last. */
  hasMoved(): boolean;
  /** Between two attempts. */
  pause(delayMs: number, error: unknown): Promise<void>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}

/**
 * Works until the work is done. The first session must come about; after that, a server that does not
 * answer is waited for, for {@link GIVE_UP_AFTER_MS} without progress.
 *
 * @throws what the last attempt threw.
 */
export async function untilDone<Session, Result>(work: Work<Session, Result>): Promise<Result> {
  let delayMs = FIRST_DELAY_MS;
  let sessionCount = 0;
  let idleAttempts = 0;
  let idleSince: number | undefined;
  for (;;) {
    let session: Session | undefined;
    try {
      session = await work.connect();
      sessionCount += 1;
      return await work.run(session, sessionCount > 1);
    } catch (error) {
      const isHopeless = sessionCount === 0 || isFinal(error);
      const outcome = session !== undefined ? await work.judge(session, error) : 'lost';
      if (outcome === 'final' || (session === undefined && isHopeless)) throw error;
      if (session !== undefined && work.hasMoved()) {
        [idleSince, idleAttempts, delayMs] = [undefined, 0, FIRST_DELAY_MS];
      } else {
        idleSince ??= work.now();
        idleAttempts = outcome === 'brokenOff' ? idleAttempts + 1 : 0;
        const isTooLong = work.now() - idleSince >= GIVE_UP_AFTER_MS;
        if (isTooLong || idleAttempts >= MAX_IDLE_ATTEMPTS) throw error;
      }
      await work.pause(delayMs, error);
      delayMs = nextDelay(delayMs);
    }
  }
}
