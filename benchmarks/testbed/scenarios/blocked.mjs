/**
 * A middlebox that changes its mind: UDP blocked, all but TCP 443 blocked, everything open again.
 *
 * @module
 */

import { cpuTimes, idleShare, inBed } from '../bed.mjs';
import { sleep, wallMs } from '../processes.mjs';
import { longestGapMs, SERVER, transfer } from '../programs.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { countColumn, eachRoving, MACHINE, spreadColumn } from '../scenario.mjs';

const PATH = 'rate=20M,rtt=40,queue=50ms,box';
const PHASE_MS = 10_000;
const OPEN_AGAIN_MS = 35_000;
const SAMPLE_MS = 500;
const SETTLE_MS = 2_000;

/** Counts what the client sends, by protocol. */
const COUNTERS = `table ip lab {
  counter byudp {}
  counter bytcp {}
  chain out {
    type filter hook output priority 0;
    oifname p1 meta l4proto udp counter name byudp
    oifname p1 meta l4proto tcp counter name bytcp
  }
}`;

/**
 * What the client sends by UDP and by TCP, each half a second, until told to stop.
 *
 * @param {import('../bed.mjs').Bed} bed
 */
function watchCarriers(bed) {
  /** @type {{ atMs: number, udp: number, tcp: number }[]} */
  const samples = [];
  let isOver = false;
  const run = async () => {
    while (!isOver) {
      const { byudp = 0, bytcp = 0 } = await bed.countersOf('client');
      samples.push({ atMs: wallMs(), udp: byudp, tcp: bytcp });
      await sleep(SAMPLE_MS);
    }
  };
  const done = run();
  return {
    async stop() {
      isOver = true;
      await done;
    },
    /** The share of UDP between two times, 0 to 1. @param {number} fromMs @param {number} toMs */
    share(fromMs, toMs) {
      const within = samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
      const [first, last] = [within[0], within.at(-1)];
      if (first === undefined || last === undefined) return 0;
      const udp = last.udp - first.udp;
      return udp / Math.max(1, udp + last.tcp - first.tcp);
    },
    /** When UDP first had a share in two samples that follow each other, after a time. */
    firstShare(/** @type {number} */ sinceMs, /** @type {number} */ share) {
      for (const [i, sample] of samples.entries()) {
        const next = samples[i + 1];
        if (sample.atMs < sinceMs || next === undefined) continue;
        if (this.share(sample.atMs, next.atMs) >= share) return next.atMs - sinceMs;
      }
      return undefined;
    },
  };
}

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {number} messagesPerSecond
 */
async function phases(bed, messagesPerSecond) {
  await bed.addRules('client', COUNTERS);
  const cpu = cpuTimes();
  const events = ['noudp', 'tcp443', 'none'].map((policy, i) => ({
    atMs: (i + 1) * PHASE_MS,
    act: () => bed.do(`policy p1 ${policy}`),
  }));
  const carriers = watchCarriers(bed);
  const seconds = (events.length * PHASE_MS + OPEN_AGAIN_MS) / 1000;
  const result = await transfer(bed, { seconds, messagesPerSecond, host: '127.0.0.1', events });
  await carriers.stop();
  const { received } = result;
  const [noUdpMs = 0, only443Ms = 0, openMs = 0] = result.eventsMs;
  const endMs = openMs + OPEN_AGAIN_MS;
  const udpBefore = carriers.share(noUdpMs - PHASE_MS / 2, noUdpMs - 300);
  return {
    noUdpGapMs: longestGapMs(received, noUdpMs - 300, only443Ms - 400),
    only443GapMs: longestGapMs(received, only443Ms - 300, openMs - 400),
    openGapMs: longestGapMs(received, openMs - 300, endMs - 1_000),
    udpBefore: 100 * udpBefore,
    udpAfter: 100 * carriers.share(endMs - PHASE_MS / 2, endMs),
    udpBackMs: udpBefore > 0 ? carriers.firstShare(openMs, udpBefore / 2) : undefined,
    equal: result.isEqual,
    idle: idleShare(cpu),
    lateMs: bed.lateMs(),
  };
}

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const { cc } = context;
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed([context.case.includes('loss') ? `${PATH},loss=0.01` : PATH], { cc }, async (bed) => {
        const roving = await Roving.serve(bed, {
          ...carriersOf(carriers),
          listen: ['0.0.0.0:7600', '0.0.0.0:443'],
          addresses: [`${SERVER}:7600`, `${SERVER}:443`],
        });
        await roving.forward(['9000:127.0.0.1:9000']);
        await sleep(SETTLE_MS);
        return phases(bed, context.case === 'messages' ? 100 : 0);
      }),
    ),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const blocked = {
  name: 'blocked',
  title: 'UDP blocked, all but TCP 443 blocked, open again',
  words:
    'One path of 20 Mbit/s and 40 ms through a box whose policy changes each 10 s in mid-transfer. UDP stands by where ' +
    'TCP is as good; with loss it is what carries. What is sent by both is counted by nftables at the client. Asked for: gaps of ' +
    'at most 2 s; back on UDP within 30 s without a gap.',
  needs: [],
  cases: ['bulk', 'bulk, 1 % loss', 'messages'],
  carriers: ['all'],
  seconds: 0,
  omit: 0,
  ccs: ['cubic'],
  measure,
  columns: [
    spreadColumn('UDP blocked: gap ms', 'noUdpGapMs', 0),
    spreadColumn('only TCP 443: gap ms', 'only443GapMs', 0),
    spreadColumn('open again: gap ms', 'openGapMs', 0),
    spreadColumn('UDP before %', 'udpBefore', 0),
    spreadColumn('after %', 'udpAfter', 0),
    spreadColumn('half of that again after ms', 'udpBackMs', 0),
    countColumn('bytes equal', 'equal'),
    ...MACHINE,
  ],
};
