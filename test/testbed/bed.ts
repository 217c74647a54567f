/**
 * What the tests in real networks share: the reason why they do not run here, which then stands in
 * their names, and how long they may take. `REAL=1` asks for them: they need root, and set up network
 * namespaces.
 */
import { whyNoRoving, whyNot } from '../../benchmarks/testbed/requirements.mjs';

/** Others use the processors, too: programs run as they come. */
process.env['LAB_NICE'] ??= '0';

/** Only so that what hangs ends. */
export const TIMEOUT_MS = 100_000;

/** The name of a group of tests, and whether it is skipped. */
export function inRealNetworks(name: string, programs: readonly string[] = []) {
  const isWanted = process.env['REAL'] === '1';
  const reason = isWanted ? (whyNot(programs) ?? whyNoRoving()) : 'only with REAL=1';
  if (reason === undefined) return { name, isSkipped: false };
  return { name: `${name} (skipped: ${reason})`, isSkipped: true };
}
