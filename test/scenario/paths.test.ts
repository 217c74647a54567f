/** Paths that come and go, and how data is spread over them. */
import { describe, expect, it } from 'vitest';
import type { PathId } from '../../src/core/index.js';
import { applyFault, type Bed, type BedEnd, contentAt, Reader } from '../../src/sim/index.js';
import {
  CARRIERS,
  download,
  established,
  expectOpen,
  runUntilRead,
  statesOf,
  upload,
  way,
} from '../helpers/beds.js';

const MIB = 1_048_576;

function sentOn(end: BedEnd, pathId: number): number {
  const path = end.session.paths().find((one) => one.pathId === pathId);
  return path?.statistics.sentBytes ?? 0;
}

describe('the only TCP connection', () => {
  it.each(['reset', 'silent'] as const)(
    'that dies (%s) is dialled again, and not a byte is lost',
    (how) => {
      const bed = established({ seed: `dies ${how}`, paths: [way('only', 'tcp', '20/40')] });
      const up = upload(bed, { bytes: 6 * MIB });
      const down = download(bed, { bytes: 6 * MIB });
      for (let i = 0; i < 3; i++) {
        bed.world.run({ forMs: 700 });
        applyFault(bed.world, { type: 'killTcp', path: 'only', how });
      }
      runUntilRead(bed, up.reader, 6 * MIB, 30_000);
      runUntilRead(bed, down.reader, 6 * MIB, 30_000);
      bed.world.run({ forMs: 2_000 });
      expectOpen(bed);
      // Ids are never used twice.
      expect(bed.client.session.paths().every(({ pathId }) => pathId >= 3)).toBe(true);
    },
  );
});

describe.each(CARRIERS)('a second path over %s that joins while the first is busy', (carrier) => {
  it('adds its rate', () => {
    const paths = [way('first', 'udp', '20/30'), way('second', carrier, '20/30')];
    const bed = established({ seed: `joins ${carrier}`, paths }, ['first']);
    const { reader } = upload(bed, { bytes: 40 * MIB });
    bed.world.run({ forMs: 3_000 });
    const alone = reader.readBytes;
    bed.world.run({ forMs: 2_000 });
    const rateAlone = (reader.readBytes - alone) / 2;
    bed.openPath('second');
    bed.world.run({ forMs: 1_000 });
    const joined = reader.readBytes;
    bed.world.run({ forMs: 2_000 });
    const rateOfBoth = (reader.readBytes - joined) / 2;
    expect(rateOfBoth / rateAlone).toBeGreaterThan(1.6);
    runUntilRead(bed, reader, 40 * MIB, 20_000);
  });
});

describe('three paths', () => {
  function three(maxPaths?: number): Bed {
    const paths = [way('a', 'udp', '10/20'), way('b', 'tcp', '10/30'), way('c', 'udp', '10/40')];
    return established({ seed: 'three', paths, ...(maxPaths ? { server: { maxPaths } } : {}) });
  }

  it('are all open at both ends, and all carry data', () => {
    const bed = three();
    const { reader } = upload(bed, { bytes: 8 * MIB });
    runUntilRead(bed, reader, 8 * MIB, 15_000);
    expect(statesOf(bed.client).sort()).toEqual(['0 active', '1 active', '2 active']);
    expect(statesOf(bed.server).sort()).toEqual(['0 active', '1 active', '2 active']);
    for (const id of [0, 1, 2]) expect(sentOn(bed.client, id)).toBeGreaterThan(MIB);
  });

  it('are two where an end allows no more', () => {
    const bed = three(2);
    bed.world.run({ forMs: 1_000 });
    expect(statesOf(bed.client)).toHaveLength(2);
    expect(statesOf(bed.server)).toHaveLength(2);
    expect(bed.openPath('c')).toBeUndefined();
    expect(statesOf(bed.client)).toHaveLength(2);
  });

  it('at the limit a suspect one makes room', () => {
    const bed = three(2);
    const open = bed.client.session.paths().map(({ local }) => local.split(':')[0]);
    const isOpen = (name: string) => open.includes(bed.paths.get(name)?.clientAddress);
    const missing = ['a', 'b', 'c'].find((name) => !isOpen(name)) ?? '';
    const dead = ['a', 'b', 'c'].find(isOpen) ?? '';
    bed.redials = false;
    bed.paths.get(dead)?.set({ black: true });
    const { reader } = upload(bed, { bytes: MIB });
    runUntilRead(bed, reader, MIB, 15_000);
    bed.openPath(missing);
    bed.world.run({ forMs: 3_000 });
    expect(statesOf(bed.client).map((one) => one.split(' ')[1])).toEqual(['active', 'active']);
  });
});

describe('a backup', () => {
  it('carries data only while no available path does', () => {
    const paths = [way('main', 'udp', '10/30'), way('spare', 'udp', '50/10')];
    const bed = established({ seed: 'backup', paths });
    const spare = bed.client.session
      .paths()
      .find(({ local }) => local.startsWith(`${bed.paths.get('spare')?.clientAddress}:`))
      ?.pathId as PathId;
    bed.clientHost.command(() => bed.client.session.setPathStatus(spare, 'backup'));
    bed.world.run({ forMs: 500 });
    const used = () => sentOn(bed.client, spare) + sentOn(bed.server, spare);
    const atFirst = used();
    const { reader } = upload(bed, { bytes: 8 * MIB });
    const back = download(bed, { bytes: MIB });
    bed.world.run({ forMs: 2_000 });
    expect(reader.readBytes).toBeGreaterThan(MIB);
    expect(back.reader.readBytes).toBe(MIB);
    expect(used() - atFirst, 'on the backup').toBeLessThan(5_000);

    bed.paths.get('main')?.set({ black: true });
    bed.world.run({ forMs: 500 });
    const inNeed = used() - atFirst;
    expect(inNeed).toBeGreaterThan(500_000);
    bed.paths.get('main')?.set({ black: false });
    bed.world.run({ forMs: 1_000 });
    const again = used();
    runUntilRead(bed, reader, 8 * MIB, 15_000);
    expect(used() - again, 'on the backup').toBeLessThan(60_000);
    expectOpen(bed);
  });

  it('is used like any other when it is made available', () => {
    const paths = [way('a', 'udp', '10/30'), way('b', 'udp', '10/30')];
    const bed = established({ seed: 'available', paths });
    const set = (end: BedEnd, status: 'backup' | 'available') =>
      end.host.command(() => end.session.setPathStatus(1 as PathId, status));
    set(bed.server, 'backup');
    bed.world.run({ forMs: 200 });
    expect(bed.client.session.paths().find(({ pathId }) => pathId === 1)?.isBackup).toBe(true);
    set(bed.server, 'available');
    bed.world.run({ forMs: 200 });
    const { reader } = upload(bed, { bytes: 4 * MIB });
    runUntilRead(bed, reader, 4 * MIB, 10_000);
    expect(sentOn(bed.client, 1)).toBeGreaterThan(MIB);
  });
});

describe.each(CARRIERS)(
  'a path over %s that is abandoned in the middle of a transfer',
  (carrier) => {
    it.each(['client', 'server'] as const)('by the %s: its data arrives on the other', (who) => {
      const paths = [way('goes', carrier, '10/30'), way('stays', 'udp', '10/50')];
      const bed = established({ seed: `abandon ${carrier}`, paths });
      bed.redials = false;
      const { reader } = upload(bed, { bytes: 6 * MIB });
      bed.world.run({ forMs: 1_000 });
      const end = who === 'client' ? bed.client : bed.server;
      const address = bed.paths.get('goes')?.clientAddress;
      const goes = bed.client.session.paths().find(({ local }) => local.startsWith(`${address}:`));
      end.host.command(() => end.session.abandonPath(goes?.pathId as PathId));
      reader.resetGap();
      runUntilRead(bed, reader, 6 * MIB, 15_000);
      expect(reader.longestGapMs).toBeLessThan(200);
      expect(statesOf(bed.client)).toHaveLength(1);
      expect(statesOf(bed.server)).toHaveLength(1);
      expectOpen(bed);
    });
  },
);

describe.each(CARRIERS)('a path over %s that was gone for a while', (carrier) => {
  it('comes back also while a stream is open and says nothing', () => {
    const paths = [way('stays', 'udp', '20/40'), way('returns', carrier, '20/30')];
    const bed = established({ seed: 'quiet', client: { keepAliveMs: 1_000 }, paths });
    bed.redials = false;
    const reader = new Reader(bed.server);
    bed.clientHost.command((_core, now) => {
      const id = bed.client.session.openStream({}, now) ?? -1;
      bed.client.session.write(id, contentAt(0, 1_000));
    });
    bed.paths.get('returns')?.set({ black: true });
    bed.world.run({ forMs: 5_000 });
    expect(reader.readBytes).toBe(1_000);
    expect(statesOf(bed.client).join()).toContain('suspect');
    bed.paths.get('returns')?.set({ black: false });
    // A TCP connection's own back-off is about as long as the silence was.
    bed.world.run({ forMs: 8_000 });
    expect(statesOf(bed.client).join()).not.toContain('suspect');
    expect(statesOf(bed.server).join()).not.toContain('suspect');
    expect(bed.client.session.streamCount).toBe(1);
  });
});
