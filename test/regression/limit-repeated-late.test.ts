/**
 * A MAX_DATA that was lost is queued again. It replaced whatever MAX_DATA waited in the queue, also
 * a higher one: the receiver believed that it had allowed more than the sender ever heard of, and
 * the stream stood still. Found by reading, and by random worlds with tiny windows.
 */
import { expect, it } from 'vitest';
import type { Instant } from '../../src/core/index.js';
import { DEFAULT_SESSION_OPTIONS } from '../../src/core/options.js';
import { SessionState } from '../../src/core/session-state.js';
import { BlockPool } from '../../src/core/streams/send-buffer.js';
import { simulatedCrypto } from '../../src/sim/index.js';

function state(): SessionState {
  return new SessionState({
    role: 'server',
    options: DEFAULT_SESSION_OPTIONS,
    crypto: simulatedCrypto,
    random: (length) => new Uint8Array(length),
    blocks: new BlockPool(),
    now: 0 as Instant,
  });
}

it('a limit that waits is not replaced by a lower one that is repeated', () => {
  const session = state();
  session.queueControl({ type: 'maxData', maximum: 2_000 });
  session.queueControl({ type: 'maxData', maximum: 1_000 });
  session.queueControl({ type: 'maxStreamData', streamId: 4, maximum: 500 });
  session.queueControl({ type: 'maxStreamData', streamId: 8, maximum: 700 });
  session.queueControl({ type: 'maxStreamData', streamId: 4, maximum: 400 });
  expect(session.control).toEqual([
    { type: 'maxData', maximum: 2_000 },
    { type: 'maxStreamData', streamId: 4, maximum: 500 },
    { type: 'maxStreamData', streamId: 8, maximum: 700 },
  ]);
});

it('a higher limit replaces the one that waits', () => {
  const session = state();
  session.queueControl({ type: 'maxData', maximum: 1_000 });
  session.queueControl({ type: 'maxData', maximum: 2_000 });
  expect(session.control).toEqual([{ type: 'maxData', maximum: 2_000 }]);
});
