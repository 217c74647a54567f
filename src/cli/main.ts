#!/usr/bin/env node
/**
 * `roving`: reads the arguments, runs one verb, and ends with an exit code after `sysexits.h`.
 *
 * @module
 */

import { run } from './run.js';

await run(process.argv.slice(2));
