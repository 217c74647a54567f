/** Networks that go away: for long, one of two, both at once. */
import { describe, expect, it } from 'vitest';
import { MessageSender, Nat, Reader, World } from '../../src/sim/index.js';
import {
  CARRIERS,
  type Carrier,
  download,
  established,
  expectOpen,
  runUntilRead,
  upload,
  way,
} from '../helpers/beds.js';

const MIB = 1_048_576;
const TEN_MINUTES_MS = 600_000;

/** One path behind a NAT goes black for 10 minutes, and comes back under another address. */
function tenMinutes(carrier: Carrier, transfer: typeof upload) {
  const world = new World({ seed: `ten minutes ${carrier}` });
  const nat = new Nat(world);
  const paths = [way('only', carrier, '20/40', { boxes: [nat] })];
  // A dialler that gives each attempt some seconds: a kernel's own patience would be minutes.
  const bed = established({ seed: 1, world, paths, tcp: { synRetries: 2 } });
  const { reader } = transfer(bed, { bytes: 4 * MIB });
  world.run({ forMs: 500 });
  expect(reader.readBytes).toBeGreaterThan(0);
  const path = bed.paths.get('only');
  path?.set({ black: true });
  world.run({ forMs: TEN_MINUTES_MS });
  nat.rebind({ address: true, port: true });
  path?.set({ black: false });
  const before = reader.readBytes;
  const backAt = world.now;
  const passed = () => path?.up.stats.deliveredPackets ?? 0;
  const passedBefore = passed();
  world.run({ until: () => passed() > passedBefore, forMs: 60_000 });
  const throughAt = world.now;
  world.run({ until: () => reader.readBytes > before, forMs: 60_000 });
  const resumedAt = world.now;
  runUntilRead(bed, reader, 4 * MIB, 30_000);
  expectOpen(bed);
  return {
    waitedMs: throughAt - backAt,
    afterMs: resumedAt - throughAt,
    inAllMs: resumedAt - backAt,
  };
}

describe('the only path, black for 10 minutes and back with another address', () => {
  it('over udp goes on towards the server a round trip after the first packet that came through', () => {
    const { waitedMs, afterMs } = tenMinutes('udp', upload);
    expect(waitedMs).toBeLessThan(5_100);
    expect(afterMs).toBeLessThan(45);
  });

  it('over udp goes on towards the client when the server has checked the new address', () => {
    const { waitedMs, afterMs } = tenMinutes('udp', download);
    expect(waitedMs).toBeLessThan(5_100);
    expect(afterMs).toBeLessThan(2 * 40 + 5);
  });

  it.each([
    ['server', upload],
    ['client', download],
  ] as const)('over tcp goes on towards the %s when it has been dialled anew', (_end, transfer) => {
    expect(tenMinutes('tcp', transfer).inAllMs).toBeLessThan(13_000);
  });
});

const PAIRS: readonly (readonly [Carrier, Carrier])[] = [
  ['udp', 'udp'],
  ['tcp', 'tcp'],
  ['udp', 'tcp'],
  ['tcp', 'udp'],
];

describe.each(PAIRS)('a %s path that dies silently beside a %s path', (dying, staying) => {
  const RTT_MS = 40;

  it('costs bulk data three round trips at most', () => {
    const bed = established({
      seed: `bulk ${dying} ${staying}`,
      paths: [way('dying', dying, `20/${RTT_MS}`), way('staying', staying, `20/${RTT_MS}`)],
    });
    const { reader } = upload(bed, { bytes: 12 * MIB });
    bed.world.run({ forMs: 1_500 });
    reader.resetGap();
    bed.paths.get('dying')?.set({ black: true });
    runUntilRead(bed, reader, 12 * MIB, 20_000);
    expect(reader.longestGapMs).toBeLessThan(3 * RTT_MS);
  });

  it('costs a hundred small writes a second three round trips at most', () => {
    const bed = established({
      seed: `small ${dying} ${staying}`,
      paths: [way('dying', dying, `20/${RTT_MS}`), way('staying', staying, `20/${RTT_MS}`)],
    });
    const reader = new Reader(bed.server);
    new MessageSender(bed.client, { messageBytes: 100, intervalMs: 10 });
    bed.world.run({ forMs: 2_000 });
    expect(reader.readBytes).toBeGreaterThan(18_000);
    reader.resetGap();
    bed.paths.get('dying')?.set({ black: true });
    bed.world.run({ forMs: 5_000 });
    expect(reader.wrongByteAt).toBe(-1);
    expect(reader.readBytes).toBeGreaterThan(68_000);
    expect(reader.longestGapMs).toBeLessThan(3 * RTT_MS);
  });
});

describe.each(PAIRS)('a %s and a %s path that are both black for 5 seconds', (first, second) => {
  it('deliver everything, and soon after the first of them is back', () => {
    const bed = established({
      seed: `both ${first} ${second}`,
      paths: [way('first', first, '20/40'), way('second', second, '10/80')],
    });
    const { reader } = upload(bed, { bytes: 8 * MIB });
    bed.world.run({ forMs: 1_000 });
    for (const path of bed.paths.values()) path.set({ black: true });
    bed.world.run({ forMs: 5_000 });
    for (const path of bed.paths.values()) path.set({ black: false });
    const before = reader.readBytes;
    const backAt = bed.world.now;
    runUntilRead(bed, reader, before + 1, 20_000);
    // A datagram path is probed each 50 ms; a kernel's own back-off may be as long as the outage.
    const hasUdp = first === 'udp' || second === 'udp';
    expect(bed.world.now - backAt).toBeLessThan(hasUdp ? 250 : 6_000);
    runUntilRead(bed, reader, 8 * MIB, 20_000);
    expectOpen(bed);
  });
});

describe.each(CARRIERS)('the fastest of three %s paths, black for 1.5 seconds', (carrier) => {
  it('carries data again when it is back, and so do the others', () => {
    const bed = established({
      seed: `three ${carrier}`,
      paths: [
        way('fibre', carrier, '60/10'),
        way('lte', carrier, '25/50'),
        way('dsl', carrier, '15/24'),
      ],
    });
    const { reader } = upload(bed, { bytes: 48 * MIB });
    bed.world.run({ forMs: 1_000 });
    bed.paths.get('fibre')?.set({ black: true });
    bed.world.run({ forMs: 1_500 });
    bed.paths.get('fibre')?.set({ black: false });
    // A stream carrier comes back when the kernel next sends again.
    bed.world.run({ forMs: 2_000 });
    const deliveredBytes = () =>
      [...bed.paths.values()].map((path) => path.up.stats.deliveredBytes);
    const before = deliveredBytes();
    bed.world.run({ forMs: 500 });
    const shares = deliveredBytes().map((bytes, index) => {
      const rateMbps = [60, 25, 15][index] ?? 0;
      return ((bytes - (before[index] ?? 0)) * 8) / (rateMbps * 500 * 1_000);
    });
    for (const share of shares) expect(share).toBeGreaterThan(0.8);
    runUntilRead(bed, reader, 48 * MIB, 20_000);
    expectOpen(bed);
  });
});
