/**
 * Our paths in company: against plain TCP (CUBIC) at one bottleneck, and where each path
 * has a bottleneck of its own (docs/measurements.md).
 */

import { describe, expect, it } from 'vitest';
import { type Company, type CompanyOutcome, compete } from './company.js';
import { round, table } from './measure.js';

const FULL = process.env['FULL'] === '1';
const LONG = FULL ? '' : ' (skipped: takes minutes, set FULL=1)';

const HEAD = [
  'bottleneck 50 Mbit/s',
  'paths',
  'plain TCP keeps',
  'Mbit/s in all',
  'parts of a flow',
];

function row(company: Company, outcome: CompanyOutcome): string[] {
  const { rttMs = 20, queueMs = 50, extraMs, bottlenecks, congestionControl = 'bbr' } = company;
  const { carriers, locals, plainFlows = 1, lossPercent = 0 } = company;
  const where = bottlenecks === 'one' ? 'one' : 'one for each path';
  const extra = extraMs === undefined ? '' : `, second path ${rttMs + extraMs} ms`;
  const loss = lossPercent === 0 ? '' : `, loss ${lossPercent} %`;
  const others = plainFlows === 1 ? '' : `, ${plainFlows} plain`;
  const control = carriers.includes('udp') ? ` ${congestionControl}` : '';
  return [
    `${where}, ${rttMs} ms, queue ${queueMs} ms${extra}${loss}${others}`,
    `${locals} ${carriers.join('+')}${control}`,
    `${round(outcome.plainShare, 1)} %`,
    round(outcome.totalMbps, 1),
    outcome.flowShares.map((share) => round(share, 2)).join(' '),
  ];
}

const UDP: Company = { carriers: ['udp'], locals: 2, bottlenecks: 'one' };
const TCP: Company = { ...UDP, carriers: ['tcp'] };
const ALL: Company = { ...UDP, carriers: ['tcp', 'udp'] };
const APART: Company = { ...UDP, bottlenecks: 'each' };

describe('a plain TCP flow beside our paths', () => {
  it('keeps about half of a bottleneck that it shares with two of them, over any carrier', async () => {
    const outcomes = [UDP, TCP, ALL].map((company) => ({ company, outcome: compete(company) }));
    const rows = outcomes.map(({ company, outcome }) => row(company, outcome));
    await expect(table(HEAD, rows)).toMatchFileSnapshot('shared-bottleneck.txt');
    for (const { outcome } of outcomes) {
      expect(outcome.plainShare).toBeGreaterThan(35);
      expect(outcome.plainShare).toBeLessThan(65);
      expect(outcome.totalMbps).toBeGreaterThan(47);
    }
    for (const share of outcomes[0]?.outcome.flowShares ?? []) expect(share).toBeLessThan(0.8);
  }, 600_000);

  it('is met as by a flow of its own where each path has its own bottleneck', async () => {
    const outcome = compete(APART);
    await expect(table(HEAD, [row(APART, outcome)])).toMatchFileSnapshot('own-bottlenecks.txt');
    expect(outcome.plainShare).toBeGreaterThan(35);
    expect(outcome.plainShare).toBeLessThan(65);
    expect(outcome.flowShares).toEqual([1, 1]);
  }, 300_000);

  it.skipIf(!FULL)(
    `keeps its share with other queues, round trips and numbers of paths${LONG}`,
    async () => {
      const companies: Company[] = [
        { ...UDP, locals: 1 },
        { ...UDP, locals: 4 },
        { ...UDP, extraMs: 40 },
        { ...UDP, rttMs: 60 },
        { ...UDP, queueMs: 100 },
        { ...UDP, congestionControl: 'cubic' },
        { ...APART, congestionControl: 'cubic' },
        { ...TCP, locals: 1 },
        { ...TCP, plainFlows: 2 },
        { ...TCP, queueMs: 20 },
        { ...TCP, bottlenecks: 'each' },
        { ...ALL, locals: 1 },
        { ...ALL, plainFlows: 2 },
        { ...ALL, rttMs: 60 },
        { ...ALL, queueMs: 100 },
        { ...ALL, queueMs: 20 },
        { ...ALL, bottlenecks: 'each' },
      ];
      const rows = companies.map((company) => row(company, compete(company)));
      await expect(table(HEAD, rows)).toMatchFileSnapshot('shared-bottleneck-others.txt');
    },
    900_000,
  );
});

describe('paths that nobody else uses', () => {
  it('are full, and two carriers on each make no difference', () => {
    const alone = { ...ALL, bottlenecks: 'each', plainFlows: 0 } as const;
    expect(compete(alone).totalMbps).toBeGreaterThan(95);
  }, 300_000);

  it('are given UDP beside TCP where that is limited by loss', () => {
    const lossy = { ...ALL, locals: 1, plainFlows: 0, lossPercent: 2 } as const;
    const outcome = compete(lossy);
    expect(outcome.totalMbps).toBeGreaterThan(42);
    const { mostInUse } = compete({ ...lossy, carriers: ['tcp'] });
    expect(mostInUse).toBeGreaterThan(2);
  }, 300_000);
});
