/**
 * `npm test`: installs what is missing, builds, and runs the whole suite. Arguments go to vitest:
 * `npm test -- test/unit/wire-varint.test.ts`.
 *
 * @module
 */

import { prepare, runTool } from './prepare.mjs';

prepare();
process.exitCode = runTool('vitest/vitest.mjs', ['run', ...process.argv.slice(2)]);
