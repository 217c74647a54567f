/**
 * One measurement at a time on this machine: two would measure each other.
 *
 * @module
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from './processes.mjs';

const FILE = join(tmpdir(), 'roving-testbed.lock');
const LOOK_MS = 1_000;

/** Waits for whoever measures now. @returns {Promise<() => void>} gives the turn to the next */
export async function takeTurn() {
  for (;;) {
    try {
      writeFileSync(FILE, `${process.pid}`, { flag: 'wx' });
      // Once only: afterwards it is another's.
      const release = () => {
        if (holder() === process.pid) rmSync(FILE, { force: true });
      };
      process.on('exit', release);
      return release;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    }
    if (!isAlive(holder())) rmSync(FILE, { force: true });
    else await sleep(LOOK_MS);
  }
}

function holder() {
  try {
    return Number(readFileSync(FILE, 'utf8'));
  } catch {
    return 0;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
