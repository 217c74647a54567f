/** JOINs that arrive before anything on path 0, and say what no ordinary client would. */
import { describe, expect, it, vi } from 'vitest';
import type { PathId } from '../../src/core/index.js';
import type { Frame } from '../../src/wire/index.js';
import { ServerBench } from '../helpers/bench.js';
import { RogueClient } from '../helpers/rogue-peer.js';

function abandon(pathId: number): Frame {
  return { type: 'pathAbandon', pathId, code: 0 };
}

/** A client that has an ACCEPT and has sent nothing since. */
function halfOpen(carrier: 'tcp' | 'udp'): { bench: ServerBench; rogue: RogueClient } {
  const bench = new ServerBench();
  const rogue = new RogueClient(bench, { carrier });
  expect(rogue.handshake()).toBe('accepted');
  return { bench, rogue };
}

function pathIds(bench: ServerBench): number[] {
  return bench.session.paths().map((path) => path.pathId);
}

describe.each(['tcp', 'udp'] as const)(
  'the JOIN that makes a session, HELLO over %s',
  (carrier) => {
    it.each(['tcp', '10.0.0.50:50'])(
      'gives up path 0, of which nothing has come, via %s',
      (via) => {
        const { bench, rogue } = halfOpen(carrier);
        rogue.join(1, via, [abandon(0)]);
        expect(pathIds(bench)).toEqual([1]);
        expect(bench.session.lifecycle).toBe('established');
        if (carrier === 'tcp') expect([...bench.closedCarriers.keys()]).toEqual([rogue.carrierId]);
      },
    );

    it('gives up a hundred paths to come, and path 0 among them', () => {
      const { bench, rogue } = halfOpen(carrier);
      const ids = Array.from({ length: 100 }, (_, index) => 2 * index + 10);
      rogue.join(1, '10.0.0.50:50', [...ids.map(abandon), abandon(0)]);
      expect(pathIds(bench)).toEqual([1]);
      rogue.join(2, '10.0.0.50:50');
      expect(bench.session.isOpen).toBe(true);
    });

    it('gives up its own path: path 0 is left', () => {
      const { bench, rogue } = halfOpen(carrier);
      rogue.join(1, '10.0.0.50:50', [abandon(1)]);
      expect(pathIds(bench)).toEqual([0]);
      rogue.send(0, [{ type: 'ping' }]);
      bench.advance(100);
      expect(rogue.listen().some(({ pathId }) => pathId === 0)).toBe(true);
    });

    it('makes none if it is not authentic: path 0 makes it later', () => {
      const { bench, rogue } = halfOpen(carrier);
      const path = rogue.addPath(1, bench.udp, '10.0.0.50:50');
      const packet = rogue.sealJoin(1, [abandon(0)]);
      packet.set([(packet.at(-1) ?? 0) ^ 1], packet.length - 1);
      rogue.raw(path.carrierId, packet, path.remote);
      expect(bench.sessions).toHaveLength(0);
      rogue.send(0, [{ type: 'ping' }]);
      expect(pathIds(bench)).toEqual([0]);
    });
  },
);

describe('a stream carrier', () => {
  it('R-JOIN-4 has one path: a JOIN on the one of the HELLO makes no second', () => {
    const { bench, rogue } = halfOpen('tcp');
    rogue.addPath(1, rogue.carrierId, undefined);
    rogue.raw(rogue.carrierId, rogue.sealJoin(1, [{ type: 'ping' }]), undefined);
    expect(bench.sessions).toHaveLength(0);
  });

  it('that brings the second packet of a path first makes no path', () => {
    const { bench, rogue } = halfOpen('udp');
    const path = rogue.addPath(1, bench.tcp(), undefined);
    path.nextNumber = 1;
    rogue.raw(path.carrierId, rogue.sealJoin(1, [{ type: 'ping' }]), undefined);
    expect(bench.sessions).toHaveLength(0);
    rogue.send(0, [{ type: 'ping' }]);
    expect(pathIds(bench)).toEqual([0]);
  });
});

describe('a path to which too many forgeries came', () => {
  it('R-KEY-UPDATE-6 is closed also by one that is a JOIN', () => {
    const { bench, rogue } = halfOpen('udp');
    rogue.send(0, [{ type: 'ping' }]);
    rogue.join(1, '10.0.0.50:50');
    const opener = bench.session.pathById(1 as PathId)?.opener;
    if (opener === undefined) throw new Error('there is no path 1');
    const exhausted = vi.spyOn(opener, 'exhausted', 'get').mockReturnValue(true);
    rogue.raw(bench.udp, rogue.sealJoin(1, [{ type: 'ping' }]), '10.0.0.50:50');
    exhausted.mockRestore();
    expect(pathIds(bench)).toEqual([0]);
  });
});
