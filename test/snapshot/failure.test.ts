/**
 * Paths that die, come back, flap and jitter (docs/measurements.md).
 * `npx vitest run test/snapshot -u` writes the tables anew.
 */

import { describe, expect, it } from 'vitest';
import { type Bed, MessageSender, Reader } from '../../src/sim/index.js';
import { bedOfAll } from './company.js';
import { bedOf, bulk, gaps, type Kind, type LinkSpec, round, table } from './measure.js';

/** The long tables take minutes: `npm run tables` sets FULL=1, `npm test` does not. */
const FULL = process.env['FULL'] === '1';
const LONG = FULL ? '' : ' (skipped: takes minutes, set FULL=1)';
const KINDS: readonly Kind[] = ['udp bbr', 'tcp'];
const TWO: readonly LinkSpec[] = [
  { rateMbps: 20, rttMs: 40 },
  { rateMbps: 20, rttMs: 40 },
];
/** The second link, whatever its carriers. */
const FLAPPING = ['p2', 'tcp 1', 'udp 1'];
const RTT_MS = 40;
/** Moments of darkness, spread over a round trip. */
const MOMENTS_MS = [5_000, 5_007, 5_013, 5_021, 5_029, 5_037];

describe('paths that fail', () => {
  it('costs at most three round trips when one of two paths dies in silence', async () => {
    const lines: string[][] = [];
    for (const kind of KINDS) {
      for (const load of ['bulk', 'messages'] as const) {
        let dark = 0;
        let back = 0;
        for (const atMs of MOMENTS_MS) {
          for (const name of ['p1', 'p2']) {
            const result = gaps(bedOf(TWO, kind), { load, dark: [name], atMs, darkMs: 5_000 });
            dark = Math.max(dark, result.darkGapMs);
            back = Math.max(back, result.returnGapMs);
          }
        }
        lines.push([
          `one of 2 x 20/40, ${load}`,
          kind,
          `${round(dark, 0)} ms`,
          `${round(back, 0)} ms`,
        ]);
        expect(dark, `${kind} ${load}`).toBeLessThanOrEqual(3 * RTT_MS);
      }
    }
    const head = ['dark for 5 s', 'carriers', 'longest gap', 'gap when it returns'];
    await expect(table(head, lines)).toMatchFileSnapshot('failure-one-dark.txt');
  }, 300_000);

  it('goes on within a round trip of the first packet through when all paths were dark', async () => {
    const lines: string[][] = [];
    for (const kind of KINDS) {
      for (const darkMs of [5_000, 60_000, 600_000]) {
        const options = { load: 'bulk', dark: ['p1', 'p2'], atMs: 5_000, darkMs } as const;
        const result = gaps(bedOf(TWO, kind, { keepAliveMs: 0 }), options);
        lines.push([`${darkMs / 1000} s`, kind, `${round(result.returnGapMs, 0)} ms`]);
      }
    }
    const head = ['both of 2 x 20/40 dark for', 'carriers', 'light to first data'];
    await expect(table(head, lines)).toMatchFileSnapshot('failure-all-dark.txt');
  }, 300_000);

  it('takes neither loss nor jitter for death', async () => {
    const hours = 0.1;
    const lines: string[][] = [];
    for (const kind of KINDS) {
      for (const [loss, jitterMs] of [
        [0.02, 0],
        [0, 50],
        [0.02, 50],
      ] as const) {
        const links = [1, 2].map(() => ({ rateMbps: 20, rttMs: 100, loss, jitterMs }));
        const bed = bedOf(links, kind, {}, 7);
        new Reader(bed.server);
        let alarms = 0;
        for (const end of [bed.client, bed.server]) {
          end.on((event) => {
            if (event.type === 'path' && event.state === 'suspect') alarms += 1;
          });
        }
        new MessageSender(bed.client, { messageBytes: 200, intervalMs: 10 });
        bed.world.run({ forMs: hours * 3_600_000 });
        const name = `2 x 20/100, loss ${100 * loss} %, jitter ${jitterMs} ms, 100 messages a second`;
        lines.push([name, kind, round(alarms / hours, 0)]);
        if (kind !== 'tcp') expect(alarms, name).toBe(0);
      }
    }
    const head = ['network', 'carriers', 'false alarms an hour'];
    await expect(table(head, lines)).toMatchFileSnapshot('failure-false-alarms.txt');
  }, 300_000);

  it.skipIf(!FULL)(
    `keeps the better path busy while the other flaps between 100 and 1200 ms${LONG}`,
    async () => {
      const links = [
        { rateMbps: 20, rttMs: 40 },
        { rateMbps: 10, rttMs: 100 },
      ];
      const lines: string[][] = [];
      for (const kind of [...KINDS, 'all'] as const) {
        const seconds = 60;
        const bedWith = (some: readonly LinkSpec[]): Bed =>
          kind === 'all' ? bedOfAll(some) : bedOf(some, kind);
        const flapping = bulk(bedWith(links), seconds, (bed) => {
          for (let n = 0; n < 4; n++) {
            const delayMs = n % 2 === 0 ? 600 : 50;
            bed.world.schedule(bed.world.now + 7_500 + n * 15_000, () => {
              for (const name of FLAPPING) bed.paths.get(name)?.set({ delayMs });
            });
          }
        });
        const one = bulk(bedWith(links.slice(0, 1)), seconds);
        const ratio = flapping.mbps / one.mbps;
        lines.push([
          kind,
          round(one.mbps, 2),
          round(flapping.mbps, 2),
          `${round(100 * ratio, 1)} %`,
          `${round(flapping.longestGapMs, 0)} ms`,
          `${flapping.stalls}`,
          `${round(flapping.againPercent, 2)} %`,
        ]);
        expect(ratio, kind).toBeGreaterThanOrEqual(0.97);
        expect(flapping.stalls, kind).toBe(0);
      }
      const head = [
        '20/40 + 10/100 that flaps',
        '20/40 alone',
        'both',
        'ratio',
        'longest gap',
        'stalls',
        'sent again',
      ];
      await expect(table(head, lines)).toMatchFileSnapshot('failure-flapping.txt');
    },
    300_000,
  );
});

describe('schedulers compared', () => {
  it.skipIf(!FULL)(
    `prints what each of them reaches${LONG}`,
    async () => {
      const networks: readonly (readonly LinkSpec[])[] = [
        TWO,
        [
          { rateMbps: 20, rttMs: 20 },
          { rateMbps: 5, rttMs: 200 },
        ],
      ];
      const lines: string[][] = [];
      for (const links of networks) {
        for (const scheduler of [
          'earliestArrival',
          'minRtt',
          'roundRobin',
          'redundant',
          'backup',
        ] as const) {
          for (const kind of KINDS) {
            const result = bulk(bedOf(links, kind, { scheduler }), 20);
            const name = links.map((link) => `${link.rateMbps}/${link.rttMs}`).join(' + ');
            lines.push([
              name,
              scheduler,
              kind,
              round(result.mbps, 2),
              `${round(result.longestGapMs, 0)} ms`,
              `${round(result.againPercent, 2)} %`,
              `${round(result.heldMb, 1)} MB`,
            ]);
          }
        }
      }
      const head = [
        'network',
        'scheduler',
        'carriers',
        'Mbit/s',
        'longest gap',
        'sent again',
        'held',
      ];
      await expect(table(head, lines)).toMatchFileSnapshot('schedulers.txt');
      expect(lines.length).toBe(20);
    },
    300_000,
  );
});
