import { it } from 'vitest';
import { bedOf, bulk, payloadMbps } from './measure.js';

it('x', () => {
  const links = [
    { rateMbps: 20, rttMs: 40, jitterMs: 50 },
    { rateMbps: 20, rttMs: 40, jitterMs: 50 },
  ];
  for (const seed of [1, 2]) {
    const bed = bedOf(links, 'udp bbr', {}, seed);
    const r = bulk(bed, 40);
    console.log(
      process.env.TAG,
      seed,
      r.mbps / payloadMbps(links),
      r.longestGapMs,
      JSON.stringify(bed.client.session.counters),
      bed.client.session
        .paths()
        .map((p) => [
          p.statistics.lostPackets,
          p.statistics.spuriousLosses,
          p.statistics.suspectCount,
          Math.round(p.statistics.bandwidth),
          Math.round(p.statistics.congestionWindowBytes),
          p.statistics.bottleneckShare,
        ])
        .join(' | '),
    );
  }
}, 300000);
