/**
 * Makes a fresh clone ready to run: installs what is missing, then builds. Needs only node and npm.
 *
 * @module
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** Package whose presence shows that everything has been installed, development tools included. */
const WITNESSES = ['typescript', 'vitest', '@noble/curves'];

/** Runs a command in the project's folder with our own terminal. @returns its exit code. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options });
  if (error !== undefined) throw error;
  return status ?? 1;
}

/** Runs a tool of `node_modules` by its script, which needs no shell on any system. */
export function runTool(script, args = []) {
  return run(process.execPath, [`${ROOT}node_modules/${script}`, ...args]);
}

/** Exits with the tool's code if something goes wrong. */
export function prepare() {
  const isInstalled = WITNESSES.every((name) => existsSync(`${ROOT}node_modules/${name}`));
  if (!isInstalled) install();
  exitUnless(runTool('typescript/bin/tsc', ['-b']), 'the build has failed');
}

/**
 * Not `npm ci`: that refuses a lock file without the tools' binaries for every other system, and not
 * every registry has all of those. Versions and hashes are the lock file's all the same.
 */
function install() {
  console.error('installing, once');
  const args = ['install', '--no-save', '--include=dev', '--no-audit', '--no-fund'];
  const npm = process.env['npm_execpath'];
  const code =
    npm?.endsWith('.js') === true
      ? run(process.execPath, [npm, ...args], { stdio: ['inherit', 2, 'inherit'] })
      : run('npm', args, { shell: process.platform === 'win32' });
  exitUnless(code, 'the installation has failed');
}

function exitUnless(code, message) {
  if (code === 0) return;
  console.error(message);
  process.exit(code);
}
