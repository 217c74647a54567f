/**
 * Sessions over kernel TCP and UDP between network namespaces, with programs that know nothing of
 * Roving. Nothing here looks at a clock: what counts is what arrived, and by which paths.
 */
import { describe, expect, it } from 'vitest';
import { inBed } from '../../benchmarks/testbed/bed.mjs';
import { converse } from '../../benchmarks/testbed/chat.mjs';
import { iperf, transfer } from '../../benchmarks/testbed/programs.mjs';
import { carriersOf, Roving } from '../../benchmarks/testbed/roving.mjs';
import { inRealNetworks, TIMEOUT_MS } from './bed.js';

const TWO = Array(2).fill('rate=20M,rtt=20,queue=50ms');
const NAT = 'rate=20M,rtt=20,queue=50ms,nat';
/** How long a message may be on its way before it counts as lost. */
const PATIENCE_MS = 30_000;

const real = inRealNetworks('two paths between two hosts', ['iperf3']);

describe.skipIf(real.isSkipped)(real.name, { timeout: TIMEOUT_MS }, () => {
  it('both carry what iperf3 sends through a forward', async () => {
    await inBed(TWO, {}, async (bed) => {
      const roving = await Roving.serve(bed);
      await roving.forward(['5201:127.0.0.1:5201']);
      await iperf(bed, { seconds: 4, omit: 1, host: '127.0.0.1' });
      const { p1, p2 } = await bed.counts();
      expect(p1?.up.out_bytes).toBeGreaterThan(1e6);
      expect(p2?.up.out_bytes).toBeGreaterThan(1e6);
    });
  });

  it.each(['tcp', 'udp'])(
    'one of two over %s goes dark, and every byte arrives',
    async (carrier) => {
      await inBed(TWO, {}, async (bed) => {
        const roving = await Roving.serve(bed, carriersOf(carrier));
        await roving.forward(['9000:127.0.0.1:9000']);
        const events = [{ atMs: 1_500, act: () => bed.do('set p1 black=1') }];
        const { received, sent, isEqual } = await transfer(bed, {
          seconds: 4,
          host: '127.0.0.1',
          events,
        });
        expect(received.bytes).toBe(sent.sent);
        expect(isEqual).toBe(true);
        expect((await bed.counts())['p2']?.up.out_bytes).toBeGreaterThan(1e6);
      });
    },
  );

  it('all are dark for a while, and the transfer goes on', async () => {
    await inBed(TWO, {}, async (bed) => {
      const roving = await Roving.serve(bed);
      await roving.forward(['9000:127.0.0.1:9000']);
      const all = (black: number) => async () => {
        for (const name of bed.paths) await bed.do(`set ${name} black=${black}`);
      };
      const events = [
        { atMs: 1_500, act: all(1) },
        { atMs: 4_500, act: all(0) },
      ];
      const { isEqual } = await transfer(bed, { seconds: 6, host: '127.0.0.1', events });
      expect(isEqual).toBe(true);
    });
  });
});

const roams = inRealNetworks('a client behind a NAT');

describe.skipIf(roams.isSkipped)(roams.name, { timeout: TIMEOUT_MS }, () => {
  it.each([
    ['the NAT forgets it', NAT, 'rebind p1'],
    ['the NAT has a new address', NAT, 'rebind p1 new-ip'],
    ['its own address changes', 'rate=20M,rtt=20,queue=50ms', 'addr p1'],
  ])('goes on in the same connection when %s', async (_name, path, event) => {
    await inBed([path], {}, async (bed) => {
      const roving = await Roving.serve(bed);
      await roving.forward(['9000:127.0.0.1:9000']);
      const { server, client } = await converse(bed, { host: '127.0.0.1' });
      client.tell('say');
      await client.firstSince(0, PATIENCE_MS);
      const { atMs } = await bed.do(event);
      client.tell('say');
      await server.firstSince(atMs, PATIENCE_MS);
      await client.firstSince(atMs, PATIENCE_MS);
      expect([server.isClosed, client.isClosed]).toEqual([false, false]);
    });
  });
});
