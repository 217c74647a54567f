/** OpenSSH through `roving connect` as its ProxyCommand, while paths are cut. */
import { describe, expect, it } from 'vitest';
import { inBed } from '../../benchmarks/testbed/bed.mjs';
import { carriersOf, Roving } from '../../benchmarks/testbed/roving.mjs';
import { sessionAndCopy, ssh } from '../../benchmarks/testbed/scenarios/ssh.mjs';
import { inRealNetworks, TIMEOUT_MS } from './bed.js';

const TWO = Array(2).fill('rate=20M,rtt=20,queue=50ms');
const SEED = Number(process.env['SEED'] ?? 1);

const real = inRealNetworks('ssh and scp with ProxyCommand roving connect', ssh.needs);

describe.skipIf(real.isSkipped)(real.name, { timeout: TIMEOUT_MS }, () => {
  it(`survive while paths are cut and restored, seed ${SEED}`, async () => {
    await inBed(TWO, {}, async (bed) => {
      const roving = await Roving.serve(bed, carriersOf('all'));
      const options = { seconds: 5, seed: SEED, proxy: roving.proxyCommand() };
      const result = await sessionAndCopy(bed, options);
      expect(result.isCopyEqual).toBe(true);
      expect(result.isEchoWhole).toBe(true);
    });
  });
});
