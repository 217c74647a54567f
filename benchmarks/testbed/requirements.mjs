/**
 * What a measurement needs of the machine. Each is checked before anything is set up, so that a
 * machine that lacks something is told what, by name.
 *
 * @module
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The command line tool: `$ROVING_CLI`, else as it is built here. */
export const CLI = process.env['ROVING_CLI'] ?? join(ROOT, 'dist/cli/main.js');

/** What every bed needs. */
const BED_PROGRAMS = ['cc', 'ip', 'nft', 'iptables', 'ethtool', 'conntrack', 'nsenter', 'sysctl'];

/** The folder with `bed` and `wire.c`: `$ROVING_TESTBED`, else beside the repository. */
export function testbedFolder() {
  return resolve(process.env['ROVING_TESTBED'] ?? join(ROOT, '../shared/testbed'));
}

/** Python as the system's packages know it; `bed` starts faster with it, too. */
export const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/**
 * Why the testbed can not be used here, or `undefined` if it can.
 *
 * @param {readonly string[]} [programs] what is needed besides
 * @returns {string | undefined}
 */
export function whyNot(programs = []) {
  const folder = testbedFolder();
  for (const file of ['bed', 'wire.c']) {
    if (!existsSync(join(folder, file))) return `no testbed: ${join(folder, file)} is not there`;
  }
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  const missing = [PYTHON, ...BED_PROGRAMS, ...programs].filter((name) => !isInstalled(name));
  if (missing.length > 0) return `missing: ${missing.join(', ')}`;
  const added = spawnSync('ip', ['netns', 'add', `lab-probe-${process.pid}`], { encoding: 'utf8' });
  if (added.status !== 0) return `no network namespaces: ${added.stderr.trim()}`;
  spawnSync('ip', ['netns', 'delete', `lab-probe-${process.pid}`]);
  return undefined;
}

/** Why Roving's own tools can not be measured, or `undefined`. */
export function whyNoRoving() {
  return existsSync(CLI) ? undefined : `${CLI} is not there: npm run build`;
}

/** @param {string} name of a program, or `python:MODULE` */
function isInstalled(name) {
  if (name.startsWith('python:')) {
    return spawnSync(PYTHON, ['-c', `import ${name.slice(7)}`]).status === 0;
  }
  if (name.includes('/')) return existsSync(name);
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':');
  return folders.some((folder) => existsSync(join(folder, name)));
}

/**
 * A copy of the testbed with its wire compiled, since the original may be read-only. Made once for
 * each content of `bed` and `wire.c`.
 *
 * @returns {string} the path of `bed`
 */
export function builtBed() {
  const folder = testbedFolder();
  const hash = createHash('sha256');
  for (const file of ['bed', 'wire.c']) hash.update(readFileSync(join(folder, file)));
  const name = `roving-testbed-${process.getuid?.() ?? 0}-${hash.digest('hex').slice(0, 12)}`;
  const built = join(tmpdir(), name);
  if (existsSync(join(built, 'bed'))) return join(built, 'bed');
  const part = `${built}.${process.pid}`;
  mkdirSync(part, { recursive: true, mode: 0o700 });
  for (const file of ['bed', 'wire.c']) copyFileSync(join(folder, file), join(part, file));
  execFileSync('cc', ['-O2', '-o', join(part, 'wire'), join(part, 'wire.c')]);
  try {
    renameSync(part, built);
  } catch {
    // Another process was first: its copy is as good, and ours is used this once.
    return join(existsSync(join(built, 'bed')) ? built : part, 'bed');
  }
  return join(built, 'bed');
}
