/** How long work is tried again over new sessions; the clock is the test's. */
import { describe, expect, it } from 'vitest';
import {
  FIRST_DELAY_MS,
  GIVE_UP_AFTER_MS,
  MAX_DELAY_MS,
  MAX_IDLE_ATTEMPTS,
  type Outcome,
  untilDone,
} from '../../src/cli/attempts.js';

/** What happens in an attempt: no session, or a session whose work moves something or does not. */
type Step =
  | { readonly type: 'unreachable'; readonly code?: string }
  | { readonly type: 'broken'; readonly outcome: Outcome; readonly hasMoved?: boolean }
  | { readonly type: 'done' };

const CONNECT_TIMEOUT_MS = 15_000;
const UNREACHABLE: Step = { type: 'unreachable' };
const LOST: Step = { type: 'broken', outcome: 'lost', hasMoved: true };
const DONE: Step = { type: 'done' };

/** Goes through the steps, of which the last one is repeated for ever. */
async function play(...steps: Step[]) {
  const seen = { delays: [] as number[], repeated: [] as boolean[], nowMs: 0, error: '' };
  let turn = 0;
  let step: Step = DONE;
  const failure = (code: string): Error => Object.assign(new Error(code), { code });
  await untilDone<string, void>({
    async connect() {
      step = steps[Math.min(turn, steps.length - 1)] ?? DONE;
      turn += 1;
      if (step.type !== 'unreachable') return 'session';
      seen.nowMs += CONNECT_TIMEOUT_MS;
      throw failure(step.code ?? 'ERR_CONNECT_TIMEOUT');
    },
    async run(_session, isRepeated) {
      seen.repeated.push(isRepeated);
      if (step.type === 'broken') throw failure('ERR_COPY_INTERRUPTED');
    },
    judge: async () => (step.type === 'broken' ? step.outcome : 'final'),
    hasMoved: () => step.type === 'broken' && step.hasMoved === true,
    async pause(delayMs) {
      seen.delays.push(delayMs);
      seen.nowMs += delayMs;
    },
    now: () => seen.nowMs,
  }).catch((error: NodeJS.ErrnoException) => {
    seen.error = error.code ?? error.message;
  });
  return seen;
}

describe('work over one session after the other', () => {
  it('fails at once if the server cannot be reached at first', async () => {
    expect(await play(UNREACHABLE)).toMatchObject({ error: 'ERR_CONNECT_TIMEOUT', delays: [] });
  });

  it('waits for a server that restarts, twice as long each time', async () => {
    const away = Array.from({ length: 9 }, () => UNREACHABLE);
    const { error, delays, repeated } = await play(LOST, ...away, DONE);
    expect(error).toBe('');
    expect(repeated).toEqual([false, true]);
    expect(delays.slice(0, 4)).toEqual([1, 2, 4, 8].map((factor) => factor * FIRST_DELAY_MS));
    expect(Math.max(...delays)).toBe(MAX_DELAY_MS);
  });

  it('gives up when there was no progress for long, with what was last in the way', async () => {
    const { error, nowMs } = await play(LOST, UNREACHABLE);
    expect(error).toBe('ERR_CONNECT_TIMEOUT');
    expect(nowMs).toBeGreaterThan(GIVE_UP_AFTER_MS);
    expect(nowMs).toBeLessThan(GIVE_UP_AFTER_MS + 2 * (MAX_DELAY_MS + CONNECT_TIMEOUT_MS));
  });

  it('goes on as long as each session moves something, however often they end', async () => {
    const often = Array.from({ length: 5_000 }, () => LOST);
    const { error, delays, nowMs } = await play(...often, DONE);
    expect({ error, attempts: delays.length }).toEqual({ error: '', attempts: 5_000 });
    expect(Math.max(...delays)).toBe(FIRST_DELAY_MS);
    expect(nowMs).toBeGreaterThan(GIVE_UP_AFTER_MS);
  });

  it('counts only the attempts in a row without progress', async () => {
    const idle = Array.from<Step>({ length: MAX_IDLE_ATTEMPTS - 1 }).fill({
      type: 'broken',
      outcome: 'brokenOff',
    });
    expect(await play(...idle, LOST, ...idle, UNREACHABLE, ...idle, DONE)).toMatchObject({
      error: '',
    });
  });

  it('gives up soon if the work is broken off while the session lives', async () => {
    const { error, repeated } = await play({ type: 'broken', outcome: 'brokenOff' });
    expect(error).toBe('ERR_COPY_INTERRUPTED');
    expect(repeated).toHaveLength(MAX_IDLE_ATTEMPTS);
  });

  it('gives up at once where a new session would not fare better', async () => {
    const final: Step = { type: 'broken', outcome: 'final', hasMoved: true };
    expect(await play(LOST, final)).toMatchObject({ error: 'ERR_COPY_INTERRUPTED' });
    const revoked: Step = { type: 'unreachable', code: 'ERR_REVOKED' };
    const { error, delays } = await play(LOST, revoked);
    expect({ error, attempts: delays.length }).toEqual({ error: 'ERR_REVOKED', attempts: 1 });
  });
});
