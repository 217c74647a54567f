/** A client behind each kind of middlebox finds a way through, with no option given. */
import { describe, expect, it } from 'vitest';
import { converse } from '../../benchmarks/testbed/chat.mjs';
import { behind, POLICIES } from '../../benchmarks/testbed/scenarios/policies.mjs';
import { inRealNetworks, TIMEOUT_MS } from './bed.js';

const PATIENCE_MS = 30_000;

const real = inRealNetworks('a client behind a middlebox');

describe.skipIf(real.isSkipped)(real.name, { timeout: TIMEOUT_MS }, () => {
  it.each(Object.keys(POLICIES))('connects: %s', async (policy) => {
    await behind(policy, async (bed, roving) => {
      await roving.forward(['9000:127.0.0.1:9000']);
      const { client } = await converse(bed, { host: '127.0.0.1' });
      client.tell('say');
      await client.firstSince(0, PATIENCE_MS);
      expect(client.heard()).toHaveLength(1);
    });
  });
});
