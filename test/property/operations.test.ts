/**
 * Any list of operations on a small world keeps the promises of test/helpers/operations.ts. A
 * failing list is made smaller, and belongs, once its cause is found, into test/regression.
 * `RUNS=n` for more lists, `SEED=n` for others.
 */
import fc from 'fast-check';
import { it } from 'vitest';
import { type Op, type PathName, runOperations, type Side } from '../helpers/operations.js';

const side = fc.constantFrom<Side>('client', 'server');
const path = fc.constantFrom<PathName>('udp', 'nat', 'tcp');
const n = fc.nat({ max: 5 });
const bytes = fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 40_000 }));

function op<T extends Op['op'], R extends Record<string, fc.Arbitrary<unknown>>>(name: T, rest: R) {
  return fc.record({ op: fc.constant(name), ...rest }) as unknown as fc.Arbitrary<Op>;
}

const anyOp = fc.oneof(
  {
    weight: 6,
    arbitrary: op('advance', { ms: fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 3_000 })) }),
  },
  { weight: 3, arbitrary: op('open', { side, unidirectional: fc.boolean() }) },
  { weight: 6, arbitrary: op('write', { side, n, bytes }) },
  { weight: 4, arbitrary: op('read', { side, n, bytes: bytes.map((one) => one + 1) }) },
  { weight: 2, arbitrary: op('finish', { side, n }) },
  { weight: 1, arbitrary: op('reset', { side, n }) },
  { weight: 1, arbitrary: op('stop', { side, n }) },
  { weight: 1, arbitrary: op('priority', { side, n, value: fc.integer({ min: -2, max: 2 }) }) },
  { weight: 3, arbitrary: op('openPath', { path }) },
  { weight: 2, arbitrary: op('abandon', { side, n }) },
  { weight: 2, arbitrary: op('status', { side, n, backup: fc.boolean() }) },
  { weight: 3, arbitrary: op('black', { path, on: fc.boolean() }) },
  { weight: 1, arbitrary: op('black', { path, on: fc.boolean(), up: fc.boolean() }) },
  { weight: 2, arbitrary: op('rebind', { address: fc.boolean() }) },
  { weight: 1, arbitrary: op('move', { path }) },
  {
    weight: 3,
    arbitrary: op('drop', { path, up: fc.boolean(), count: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 1, arbitrary: op('kill', { silent: fc.boolean() }) },
  { weight: 1, arbitrary: op('suspend', { side, ms: fc.integer({ min: 1, max: 20_000 }) }) },
  { weight: 1, arbitrary: fc.oneof(op('close', { side }), op('abort', { side })) },
);

it('any list of operations ends well', { timeout: 600_000 }, () => {
  const seed = Number(process.env['SEED'] ?? 20_241);
  const numRuns = Number(process.env['RUNS'] ?? 100);
  fc.assert(fc.property(fc.array(anyOp, { maxLength: 60 }), runOperations), { seed, numRuns });
});
