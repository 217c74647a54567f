/**
 * Goodput against the sum of the links and against the better path alone (docs/measurements.md).
 * `npx vitest run test/snapshot -u` writes the tables anew.
 */

import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/sim/index.js';
import {
  bedOf,
  bulk,
  type Kind,
  type LinkSpec,
  nameOf,
  payloadMbps,
  round,
  table,
} from './measure.js';

const KINDS: readonly Kind[] = ['udp bbr', 'udp cubic', 'tcp'];
/** Loss is CUBIC's weakness on any path: that table would show nothing else. */
const LOSS_KINDS: readonly Kind[] = ['udp bbr', 'tcp'];
/** The long tables take minutes: `npm run tables` sets FULL=1, `npm test` does not. */
const FULL = process.env['FULL'] === '1';
const LONG = FULL ? '' : ' (skipped: takes minutes, set FULL=1)';
const HEAD = ['network', 'carriers', 'Mbit/s', 'of sum', 'of better', 'longest gap', 'sent again'];
const SECONDS = 40;
const LONG_SECONDS = 60;
const PAIR_SECONDS = 60;

const CLEAN: readonly (readonly LinkSpec[])[] = [
  [
    { rateMbps: 50, rttMs: 20 },
    { rateMbps: 50, rttMs: 20 },
  ],
  [
    { rateMbps: 50, rttMs: 20 },
    { rateMbps: 10, rttMs: 100 },
  ],
  [
    { rateMbps: 30, rttMs: 2 },
    { rateMbps: 10, rttMs: 100 },
  ],
  Array.from({ length: 4 }, () => ({ rateMbps: 25, rttMs: 20 })),
];

const UNEQUAL: readonly (readonly LinkSpec[])[] = [
  [
    { rateMbps: 80, rttMs: 16 },
    { rateMbps: 20, rttMs: 80, loss: 0.005 },
  ],
  [
    { rateMbps: 40, rttMs: 70 },
    { rateMbps: 20, rttMs: 640, loss: 0.005 },
  ],
  [
    { rateMbps: 20, rttMs: 40 },
    { rateMbps: 20, rttMs: 40, jitterMs: 50 },
  ],
];

interface Row {
  readonly cells: readonly string[];
  readonly ofSum: number;
  readonly ofBetter: number;
  readonly againPercent: number;
}

const alone = new Map<string, number>();

/** What the session reaches over one of the links alone. */
function goodputAlone(link: LinkSpec, kind: Kind, seconds: number, seed: number): number {
  const key = JSON.stringify([link, kind, seconds, seed]);
  let known = alone.get(key);
  if (known === undefined) {
    known = bulk(bedOf([link], kind, {}, seed), seconds).mbps;
    alone.set(key, known);
  }
  return known;
}

function measure(
  links: readonly LinkSpec[],
  kind: Kind,
  seconds: number,
  seed = 1,
  compares = true,
): Row {
  const result = bulk(bedOf(links, kind, {}, seed), seconds);
  const ofSum = result.mbps / payloadMbps(links);
  const each = compares ? links.map((link) => goodputAlone(link, kind, seconds, seed)) : [];
  const better = Math.max(...each);
  const ofBetter = result.mbps / better;
  return {
    cells: [
      nameOf(links),
      kind,
      round(result.mbps, 2),
      `${round(100 * ofSum, 1)} %`,
      compares ? `${round(100 * ofBetter, 1)} %` : '',
      `${round(result.longestGapMs, 0)} ms`,
      `${round(result.againPercent, 2)} %`,
    ],
    ofSum,
    ofBetter,
    againPercent: result.againPercent,
  };
}

function text(rows: readonly Row[]): string {
  return table(
    HEAD,
    rows.map((row) => row.cells),
  );
}

describe('goodput over several paths', () => {
  for (const links of CLEAN) {
    const network = nameOf(links);
    const isLong = payloadMbps(links) > 80;
    const name = `fills ${network} to 97 %, and sends hardly anything twice`;
    it.skipIf(isLong && !FULL)(
      `${name}${isLong ? LONG : ''}`,
      async () => {
        const rows = KINDS.map((kind) => measure(links, kind, SECONDS, 1, false));
        const file = `goodput-clean-${network.replaceAll('/', '-').replaceAll(' + ', '+')}.txt`;
        await expect(text(rows)).toMatchFileSnapshot(file);
        for (const row of rows.filter((one) => one.cells[1] !== 'udp cubic')) {
          expect(row.ofSum, row.cells.join(' ')).toBeGreaterThanOrEqual(0.97);
          expect(row.againPercent, row.cells.join(' ')).toBeLessThan(0.5);
        }
      },
      300_000,
    );
  }

  it.skipIf(!FULL)(
    `is never slower than the better path alone, however bad the other one is${LONG}`,
    async () => {
      const rows = UNEQUAL.flatMap((links) =>
        LOSS_KINDS.map((kind) => measure(links, kind, LONG_SECONDS)),
      );
      await expect(text(rows)).toMatchFileSnapshot('goodput-unequal.txt');
      for (const row of rows) {
        expect(row.ofBetter, row.cells.join(' ')).toBeGreaterThanOrEqual(0.97);
        if (row.cells[1] === 'udp bbr') {
          // Jitter piles packets up in front of the queue, and some are lost there.
          const asked = row.cells[0]?.includes('jitter') === true ? 0.8 : 0.9;
          expect(row.ofSum, row.cells.join(' ')).toBeGreaterThanOrEqual(asked);
        }
      }
    },
    600_000,
  );

  it.skipIf(!FULL)(
    `is never slower than the better path alone on random pairs${LONG}`,
    async () => {
      const prng = new Prng('random pairs');
      const rows: Row[] = [];
      for (let index = 0; index < 16; index++) {
        const draw = (): LinkSpec => ({
          rateMbps: prng.pick([2, 5, 10, 20]),
          rttMs: prng.pick([5, 20, 50, 100, 250, 500]),
          loss: prng.pick([0, 0, 0.001, 0.005, 0.02]),
        });
        const links = [draw(), draw()];
        for (const kind of LOSS_KINDS) {
          rows.push(measure(links, kind, PAIR_SECONDS, index + 1));
        }
      }
      await expect(text(rows)).toMatchFileSnapshot('goodput-random-pairs.txt');
      for (const row of rows) {
        expect(row.ofBetter, row.cells.join(' ')).toBeGreaterThanOrEqual(0.97);
      }
    },
    600_000,
  );

  it.skipIf(!FULL)(
    `keeps 90 % of the rate after loss where 2 % of datagrams are lost${LONG}`,
    async () => {
      const links = [1, 2].map(() => ({ rateMbps: 25, rttMs: 40, loss: 0.02 }));
      const rows = KINDS.map((kind) => measure(links, kind, SECONDS));
      await expect(text(rows)).toMatchFileSnapshot('goodput-lossy.txt');
      expect(rows[0]?.ofSum).toBeGreaterThanOrEqual(0.9 * 0.98);
    },
    300_000,
  );

  it('is not held up by a slow path when the receive window is small', async () => {
    const window = {
      receiveWindowBytes: 262_144,
      maxReceiveWindowBytes: 262_144,
      streamReceiveWindowBytes: 262_144,
      maxStreamReceiveWindowBytes: 262_144,
    };
    const fast = { rateMbps: 50, rttMs: 20 };
    const rows = KINDS.map((kind) => {
      const both = bulk(bedOf([fast, { rateMbps: 10, rttMs: 200 }], kind, window), SECONDS);
      const one = bulk(bedOf([fast], kind, window), SECONDS);
      return { kind, both: both.mbps, one: one.mbps, gap: both.longestGapMs };
    });
    const lines = rows.map(({ kind, both, one, gap }) => [
      kind,
      round(one, 2),
      round(both, 2),
      `${round((100 * both) / one, 1)} %`,
      `${round(gap, 0)} ms`,
    ]);
    const head = [
      'window of 256 KiB, 50/20 + 10/200',
      '50/20 alone',
      'both',
      'ratio',
      'longest gap',
    ];
    await expect(table(head, lines)).toMatchFileSnapshot('goodput-small-window.txt');
    for (const { kind, both, one } of rows) expect(both / one, kind).toBeGreaterThanOrEqual(0.95);
  }, 300_000);
});
