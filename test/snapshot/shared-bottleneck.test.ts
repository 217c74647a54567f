/**
 * Our datagram paths in company: against plain TCP (CUBIC) at one bottleneck, and where each path
 * has a bottleneck of its own (docs/measurements.md).
 */

import { describe, expect, it } from 'vitest';
import {
  Bed,
  BulkSender,
  type LinkHops,
  PlainTcpFlow,
  Reader,
  symmetric,
  World,
} from '../../src/sim/index.js';
import { round, table } from './measure.js';

const FULL = process.env['FULL'] === '1';
const LONG = FULL ? '' : ' (skipped: takes minutes, set FULL=1)';
/** What is measured begins when everyone has found its place. */
const SETTLE_MS = 10_000;
const MEASURE_MS = 30_000;

interface Company {
  readonly congestionControl: 'bbr' | 'cubic';
  readonly paths: number;
  /** One bottleneck for all, or one for each path; with a plain flow at each. */
  readonly bottlenecks: 'one' | 'each';
  readonly rttMs?: number;
  readonly queueMs?: number;
  /** Of the second path's access, in ms of round trip. */
  readonly extraMs?: number;
  readonly lossPercent?: number;
}

interface Outcome {
  /** Of all that was carried, in percent. */
  readonly plainShare: number;
  readonly totalMbps: number;
  /** Of the paths, at the end. */
  readonly flowShares: readonly number[];
}

function compete(company: Company): Outcome {
  const { congestionControl, rttMs = 20, queueMs = 50, lossPercent = 0 } = company;
  const world = new World({ seed: 'company' });
  const cores: LinkHops[] = [];
  const core = (index: number): LinkHops => {
    const at = company.bottlenecks === 'one' ? 0 : index;
    cores[at] ??= world.sharedLink(
      `core${at}`,
      symmetric({ rateMbps: 50, rttMs, queueMs, loss: lossPercent / 100 }),
    );
    return cores[at];
  };
  const access = (extraMs: number) => symmetric({ rateMbps: 1000, rttMs: 0.2 + extraMs });
  const paths = Array.from({ length: company.paths }, (_, index) => ({
    name: `p${index}`,
    carrier: 'udp' as const,
    link: access(index * (company.extraMs ?? 0)),
    shared: [core(index)],
  }));
  const session = { congestionControl };
  const bed = new Bed({ seed: 1, world, paths, client: session, server: session });
  bed.connect();
  if (!bed.establish()) throw new Error('the session was not established');
  world.run({ forMs: 200 });
  const reader = new Reader(bed.server);
  new BulkSender(bed.client);
  const server = world.machine('server');
  const flows = cores.map(
    (shared, index) =>
      new PlainTcpFlow(world, { name: `plain${index}`, server, link: access(0), shared: [shared] }),
  );
  const plainBytes = () => flows.reduce((sum, flow) => sum + flow.receivedBytes, 0);
  world.run({ forMs: SETTLE_MS });
  const before = { plain: plainBytes(), ours: reader.readBytes };
  world.run({ forMs: MEASURE_MS });
  const plain = plainBytes() - before.plain;
  const ours = reader.readBytes - before.ours;
  expect(reader.wrongByteAt).toBe(-1);
  return {
    plainShare: (100 * plain) / (plain + ours),
    totalMbps: ((plain + ours) * 8) / (MEASURE_MS * 1000),
    flowShares: bed.client.session.paths().map((path) => path.statistics.bottleneckShare),
  };
}

const HEAD = [
  'bottleneck 50 Mbit/s',
  'paths',
  'plain TCP keeps',
  'Mbit/s in all',
  'parts of a flow',
];

function row(company: Company, outcome: Outcome): string[] {
  const { rttMs = 20, queueMs = 50, extraMs, bottlenecks, congestionControl } = company;
  const where = bottlenecks === 'one' ? 'one' : 'one for each path';
  const extra = extraMs === undefined ? '' : `, second path ${rttMs + extraMs} ms`;
  return [
    `${where}, ${rttMs} ms, queue ${queueMs} ms${extra}`,
    `${company.paths} udp ${congestionControl}`,
    `${round(outcome.plainShare, 1)} %`,
    round(outcome.totalMbps, 1),
    outcome.flowShares.map((share) => round(share, 2)).join(' '),
  ];
}

const TARGET: Company = { congestionControl: 'bbr', paths: 2, bottlenecks: 'one' };
const APART: Company = { congestionControl: 'bbr', paths: 2, bottlenecks: 'each' };

describe('a plain TCP flow beside our paths', () => {
  it('keeps about half of a bottleneck that it shares with two of them', async () => {
    const outcome = compete(TARGET);
    await expect(table(HEAD, [row(TARGET, outcome)])).toMatchFileSnapshot('shared-bottleneck.txt');
    expect(outcome.plainShare).toBeGreaterThan(35);
    expect(outcome.plainShare).toBeLessThan(65);
    expect(outcome.totalMbps).toBeGreaterThan(47);
    for (const share of outcome.flowShares) expect(share).toBeLessThan(0.8);
  }, 300_000);

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
        { ...TARGET, paths: 1 },
        { ...TARGET, paths: 4 },
        { ...TARGET, extraMs: 40 },
        { ...TARGET, rttMs: 60 },
        { ...TARGET, queueMs: 100 },
        { ...TARGET, congestionControl: 'cubic' },
        { ...APART, congestionControl: 'cubic' },
      ];
      const rows = companies.map((company) => row(company, compete(company)));
      await expect(table(HEAD, rows)).toMatchFileSnapshot('shared-bottleneck-others.txt');
    },
    900_000,
  );
});
