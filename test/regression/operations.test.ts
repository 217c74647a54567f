/** Lists of operations that once failed, as test/property/operations.test.ts shrunk them. */
import { it } from 'vitest';
import { type Op, runOperations } from '../helpers/operations.js';

const stories: readonly (readonly [string, readonly Op[]])[] = [
  [
    // CLOSE is repeated for some seconds only; with no path at all that was for nothing, and the
    // server kept the session until its time was over.
    'a close waits for a path that can deliver it',
    [
      { op: 'advance', ms: 970 },
      { op: 'abandon', side: 'client', n: 0 },
    ],
  ],
  [
    // The reset of what was stopped before anything had come looked like an end after no bytes.
    'a stream that was stopped has no end to read',
    [
      { op: 'abandon', side: 'client', n: 0 },
      { op: 'open', side: 'server', unidirectional: false },
      { op: 'openPath', path: 'nat' },
      { op: 'stop', side: 'server', n: 0 },
    ],
  ],
];

it.each(stories)('%s', (_story, ops) => runOperations(ops));
