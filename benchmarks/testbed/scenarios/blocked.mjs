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

const PATHS = ['rate=20M,rtt=40,queue=50ms,box'];
const PHASE_MS = 10_000;
const OPEN_AGAIN_MS = 35_000;
const SAMPLE_MS = 500;
const SETTLE_MS = 2_000;

/** Counts what the client sends, by protocol. */
const COUNTERS = `table ip lab {
  counter udp {}
  counter tcp {}
  chain out {
    type filter hook output priority 0;
    oifname p1 meta l4proto udp counter name udp
    oifname p1 meta l4proto tcp counter name tcp
  }
}`;

/**
 * Bytes that have left the client by each protocol.
 *
 * @param {import('../bed.mjs').Bed} bed
 */
async function sentBy(bed) {
  const text = await bed.run('client', ['nft', '-j', 'list', 'counters']);
  /** @type {{ nftables: { counter?: { name: string, bytes: number } }[] }} */
  const { nftables } = JSON.parse(text);
  /** @param {string} name */
  const of = (name) => nftables.find(({ counter }) => counter?.name === name)?.counter?.bytes ?? 0;
  return { udp: of('udp'), tcp: of('tcp') };
}

/**
 * How long after a time the client sends more by UDP than by TCP; `undefined` if never.
 *
 * @param {import('../bed.mjs').Bed} bed
 * @param {number} sinceMs
 */
async function backOnUdp(bed, sinceMs) {
  let last = await sentBy(bed);
  while (wallMs() - sinceMs < OPEN_AGAIN_MS - SAMPLE_MS) {
    await sleep(SAMPLE_MS);
    const now = await sentBy(bed);
    if (now.udp - last.udp > now.tcp - last.tcp) return wallMs() - sinceMs;
    last = now;
  }
  return undefined;
}

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {number} messagesPerSecond
 */
async function phases(bed, messagesPerSecond) {
  await bed.run('client', ['nft', COUNTERS]);
  const cpu = cpuTimes();
  /** @type {Promise<number | undefined>} */
  let udpBack = Promise.resolve(undefined);
  const events = ['noudp', 'tcp443', 'none'].map((policy, i) => ({
    atMs: (i + 1) * PHASE_MS,
    act: async () => {
      await bed.do(`policy p1 ${policy}`);
      if (policy === 'none') udpBack = backOnUdp(bed, wallMs());
    },
  }));
  const seconds = (events.length * PHASE_MS + OPEN_AGAIN_MS) / 1000;
  const result = await transfer(bed, { seconds, messagesPerSecond, host: '127.0.0.1', events });
  const [noUdpMs = 0, only443Ms = 0, openMs = 0] = result.eventsMs;
  return {
    noUdpGapMs: longestGapMs(result.received, noUdpMs - 300, only443Ms - 400),
    only443GapMs: longestGapMs(result.received, only443Ms - 300, openMs - 400),
    openGapMs: longestGapMs(result.received, openMs - 300, openMs + OPEN_AGAIN_MS - 1_000),
    udpBackMs: await udpBack,
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
      inBed(PATHS, { cc }, async (bed) => {
        const roving = await Roving.serve(bed, {
          ...carriersOf(carriers),
          listen: ['0.0.0.0:7600', '0.0.0.0:443'],
          addresses: [`${SERVER}:7600`, `${SERVER}:443`],
        });
        await roving.forward(['9000:127.0.0.1:9000']);
        await sleep(SETTLE_MS);
        return phases(bed, context.case === 'bulk' ? 0 : 100);
      }),
    ),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const blocked = {
  name: 'blocked',
  title: 'UDP blocked, all but TCP 443 blocked, open again',
  words:
    'One path of 20 Mbit/s and 40 ms through a box whose policy changes each 10 s in mid-transfer. Asked for: gaps of at ' +
    'most 2 s; back on UDP within 30 s without a gap. What is sent by UDP and TCP is counted by nftables at the client.',
  needs: [],
  cases: ['bulk', 'messages'],
  carriers: ['all'],
  seconds: 0,
  omit: 0,
  ccs: ['cubic'],
  measure,
  columns: [
    spreadColumn('UDP blocked: gap ms', 'noUdpGapMs', 0),
    spreadColumn('only TCP 443: gap ms', 'only443GapMs', 0),
    spreadColumn('open again: gap ms', 'openGapMs', 0),
    spreadColumn('on UDP again after ms', 'udpBackMs', 0),
    countColumn('bytes equal', 'equal'),
    ...MACHINE,
  ],
};
