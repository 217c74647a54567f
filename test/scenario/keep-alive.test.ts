/** Idle sessions behind NATs that forget (protocol.md#silence). */

import { describe, expect, it } from 'vitest';
import { BulkSender, Nat, Reader, World } from '../../src/sim/index.js';
import { download, established, expectOpen, runUntilRead, way } from '../helpers/beds.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

function idleBehind(timeoutMs: number, preservePorts: boolean) {
  const world = new World({ seed: `nat ${timeoutMs} ${preservePorts}` });
  const times = { udpTimeoutMs: timeoutMs, udpStreamTimeoutMs: timeoutMs };
  const nat = new Nat(world, { ...times, preservePorts });
  const bed = established({ seed: 1, world, paths: [way('p', 'udp', '10/40', { boxes: [nat] })] });
  const remote = () => bed.server.session.paths()[0]?.remote;
  const sent = () => bed.client.session.paths()[0]?.statistics.sentPackets ?? 0;
  return { world, bed, remote, sent };
}

describe('a session that is idle for hours', () => {
  it.each([20_000, 30_000, 60_000, 120_000, 300_000])(
    'behind a NAT that forgets after %i ms loses its port a few times at most, and stays reachable',
    (timeoutMs) => {
      const { world, bed, remote, sent } = idleBehind(timeoutMs, false);
      let moves = 0;
      let last = remote();
      for (let passed = 0; passed < 3 * HOUR_MS; passed += 5_000) {
        world.run({ forMs: 5_000 });
        if (remote() !== last) moves += 1;
        last = remote();
      }
      // What was learnt is put to the test again once an hour.
      expect(moves).toBeLessThanOrEqual(4);
      const before = sent();
      world.run({ forMs: HOUR_MS });
      // At least every ten seconds, at most every minute: a keep-alive, and answers to challenges.
      expect(sent() - before).toBeLessThanOrEqual(370);
      if (timeoutMs > 60_000) expect(sent() - before).toBeLessThanOrEqual(70);
      const { reader } = download(bed, { bytes: 5_000 });
      runUntilRead(bed, reader, 5_000, 1_000);
      expectOpen(bed);
    },
    120_000,
  );

  it('learns of a NAT that keeps the port but forgets who may come in', () => {
    const { world, bed } = idleBehind(25_000, true);
    world.run({ forMs: 10 * MINUTE_MS });
    // By now the interval is longer than the NAT's memory: some words come late. Later ones do not.
    let worstMs = 0;
    const reader = new Reader(bed.client);
    for (let i = 0; i < 40; i++) {
      new BulkSender(bed.server, { bytes: 300 });
      const startedAt = world.now;
      world.run({ until: () => reader.readBytes >= 300 * (i + 1), forMs: MINUTE_MS });
      if (i >= 20) worstMs = Math.max(worstMs, world.now - startedAt);
      world.run({ forMs: 70_000 + 1_700 * i });
    }
    expect(worstMs).toBeLessThan(2_000);
    expectOpen(bed);
  });

  it('asks a path that only stands by a quarter as often', () => {
    const bed = established({
      seed: 3,
      paths: [way('p', 'udp', '10/40'), way('q', 'udp', '10/40')],
    });
    const [, second] = bed.client.session.paths();
    if (second === undefined) throw new Error('there is no second path');
    bed.clientHost.command(() => bed.client.session.setPathStatus(second.pathId, 'backup'));
    bed.world.run({ forMs: 20 * MINUTE_MS });
    const before = bed.client.session.paths().map((path) => path.statistics.sentPackets);
    bed.world.run({ forMs: HOUR_MS });
    const after = bed.client.session.paths().map((path) => path.statistics.sentPackets);
    const [main = 0, backup = 0] = after.map((count, i) => count - (before[i] ?? 0));
    expect(main).toBeGreaterThanOrEqual(55);
    expect(backup).toBeLessThanOrEqual(20);
    expect(backup).toBeGreaterThanOrEqual(10);
  });
});
