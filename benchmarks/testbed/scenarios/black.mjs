/**
 * Paths that go dark in silence: one of two, or all of them, with the client's address changed.
 *
 * @module
 */

import { cpuTimes, idleShare, inBed } from '../bed.mjs';
import { sleep, wallMs } from '../processes.mjs';
import { firstAfterMs, longestGapMs, mbpsBetween, transfer } from '../programs.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { countColumn, eachRoving, MACHINE, spreadColumn } from '../scenario.mjs';

const TWO = ['rate=20M,rtt=40,queue=50ms', 'rate=20M,rtt=40,queue=50ms'];
const FLAPPING = ['rate=20M,rtt=40,queue=50ms', 'rate=10M,rtt=100,queue=50ms'];
const FAILS_AT_MS = 5_000;
/** For how long a path that comes back is watched. */
const AFTER_MS = 6_000;
const SETTLE_MS = 1_000;
/** What is not ours and has not come back by then is called hung. */
const PEER_PATIENCE_MS = 40_000;
/** A pause from here on is one that a person sees. */
const STALL_MS = 250;
/** The second half of a run that flaps: each change after so long. */
const FLAP_MS = 15_000;

/** @typedef {import('../scenario.mjs').Context} Context */
/** @typedef {import('../bed.mjs').Bed} Bed */
/** @typedef {Omit<import('../programs.mjs').TransferOptions, 'host' | 'mptcp'>} Transfer */

/**
 * The transfer of a context with each subject in a bed of its own: kernel MPTCP, then Roving.
 *
 * @param {Context} context
 * @param {readonly string[]} paths
 * @param {(bed: Bed) => Transfer} plan
 * @param {(result: Awaited<ReturnType<typeof transfer>>) => Record<string, number | undefined>} look
 */
async function eachSubject(context, paths, plan, look) {
  const { cc, options } = context;
  /**
   * @param {Bed} bed
   * @param {{ host?: string, mptcp?: boolean, patienceMs?: number }} how
   */
  const values = async (bed, how) => {
    const cpu = cpuTimes();
    const sinceMs = wallMs();
    const result = await transfer(bed, { ...plan(bed), ...how });
    const machine = { idle: idleShare(cpu), lateMs: bed.lateMs(sinceMs) };
    return { equal: result.isEqual, ...look(result), ...machine };
  };
  if (options.peers) {
    await context.subject('mptcp', () =>
      inBed(paths, { cc }, async (bed) => {
        await bed.addMptcp();
        return values(bed, { mptcp: true, patienceMs: PEER_PATIENCE_MS });
      }),
    );
  }
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed(paths, { cc }, async (bed) => {
        const roving = await Roving.serve(bed, carriersOf(carriers));
        await roving.forward(['9000:127.0.0.1:9000']);
        await sleep(SETTLE_MS);
        return values(bed, { host: '127.0.0.1' });
      }),
    ),
  );
}

/** @type {(context: Context) => Promise<void>} */
async function measureOne(context) {
  const [path = 'p1', kind] = context.case.split(', ');
  const darkMs = context.options.seconds * 1000;
  await eachSubject(
    context,
    TWO,
    (bed) => ({
      seconds: (FAILS_AT_MS + darkMs + AFTER_MS) / 1000,
      messagesPerSecond: kind === 'bulk' ? 0 : 100,
      events: [
        { atMs: FAILS_AT_MS, act: () => bed.do(`set ${path} black=1`) },
        { atMs: FAILS_AT_MS + darkMs, act: () => bed.do(`set ${path} black=0`) },
      ],
    }),
    ({ received, eventsMs: [downMs = 0, upMs = 0] }) => ({
      beforeGapMs: longestGapMs(received, downMs - 3_000, downMs - 100),
      gapMs: longestGapMs(received, downMs - 20, upMs - 100),
      backGapMs: longestGapMs(received, upMs - 20, upMs + AFTER_MS - 500),
      beforeMbps: mbpsBetween(received, downMs - 2_000, downMs),
      duringMbps: mbpsBetween(received, downMs + 1_000, upMs),
    }),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const black = {
  name: 'black',
  title: 'One of two paths goes dark in silence',
  words:
    'Two paths of 20 Mbit/s and 40 ms; one drops everything for some seconds. The longest pause in what the ' +
    'receiving program reads: as fast as it goes, and with 100 small writes a second. Asked for: at most 120 ms.',
  needs: ['mptcpize'],
  cases: ['p1, bulk', 'p1, messages', 'p2, bulk', 'p2, messages'],
  carriers: ['tcp', 'udp', 'all'],
  seconds: 8,
  omit: 0,
  ccs: ['cubic', 'bbr'],
  measure: measureOne,
  columns: [
    spreadColumn('longest gap ms', 'gapMs', 0),
    spreadColumn('when it returns', 'backGapMs', 0),
    spreadColumn('before it fails', 'beforeGapMs', 0),
    spreadColumn('Mbit/s before', 'beforeMbps'),
    spreadColumn('Mbit/s on one', 'duringMbps'),
    countColumn('bytes equal', 'equal'),
    ...MACHINE,
  ],
};

/** @type {(context: Context) => Promise<void>} */
async function measureOutage(context) {
  const outageMs = context.options.outage * 1000;
  const dark = context.case !== 'address changes';
  const moves = context.case !== 'dark';
  await eachSubject(
    context,
    TWO,
    (bed) => {
      /** @param {string} command */
      const both = async (command) => {
        await bed.do(command.replace('PATH', 'p1'));
        await bed.do(command.replace('PATH', 'p2'));
      };
      const middleMs = FAILS_AT_MS + (dark ? outageMs / 2 : 0);
      const events = [
        { atMs: FAILS_AT_MS, act: () => both('set PATH black=1'), isWanted: dark },
        { atMs: middleMs, act: () => both('addr PATH'), isWanted: moves },
        { atMs: FAILS_AT_MS + outageMs, act: () => both('set PATH black=0'), isWanted: dark },
      ];
      return {
        seconds: (FAILS_AT_MS + (dark ? outageMs : 0) + 2 * AFTER_MS) / 1000,
        patienceMs: 150_000,
        events: events.filter((event) => event.isWanted),
      };
    },
    ({ received, eventsMs }) => {
      const backMs = eventsMs.at(-1) ?? 0;
      return {
        firstMs: firstAfterMs(received, backMs),
        gapMs: longestGapMs(received, eventsMs[0] ?? 0, backMs + 2 * AFTER_MS),
        afterMbps: mbpsBetween(received, backMs + 3_000, backMs + 8_000),
      };
    },
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const outage = {
  ...black,
  name: 'outage',
  title: 'All paths go dark, addresses change',
  words:
    'Both of two paths of 20 Mbit/s and 40 ms drop everything for 60 s, the client gets new addresses ' +
    'on both, or both happens, the addresses in the middle of the dark. Asked for: goes on by itself, every byte as it was ' +
    "sent; first bytes within 1 s of the paths' return.",
  cases: ['dark', 'address changes', 'dark, address changes'],
  ccs: ['cubic'],
  measure: measureOutage,
  columns: [
    spreadColumn('first bytes after ms', 'firstMs', 0),
    spreadColumn('longest gap ms', 'gapMs', 0),
    spreadColumn('Mbit/s after', 'afterMbps'),
    countColumn('bytes equal', 'equal'),
    ...MACHINE,
  ],
};

/** @type {(context: Context) => Promise<void>} */
async function measureFlapping(context) {
  const { seconds } = context.options;
  await eachSubject(
    context,
    context.case === 'better path alone' ? FLAPPING.slice(0, 1) : FLAPPING,
    (bed) => ({
      seconds,
      events:
        context.case === 'better path alone'
          ? []
          : Array.from({ length: Math.floor((seconds * 1000) / FLAP_MS) }, (_, i) => ({
              atMs: FLAP_MS / 2 + i * FLAP_MS,
              act: () => bed.do(`set p2 rtt=${i % 2 === 0 ? 1200 : 100}`),
            })),
    }),
    ({ received }) => {
      const startMs = received.firstMs + 2_000;
      const endMs = received.firstMs + seconds * 1000 - 500;
      const stalls = received.gaps.filter(
        ([atMs, lengthMs]) => lengthMs >= STALL_MS && atMs > startMs && atMs < endMs,
      );
      return {
        mbps: mbpsBetween(received, startMs, endMs),
        stallsPerMinute: (stalls.length * 60_000) / (endMs - startMs),
        gapMs: longestGapMs(received, startMs, endMs),
      };
    },
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const flapping = {
  ...black,
  name: 'flapping',
  title: 'A path that flaps',
  words:
    '20 Mbit/s, 40 ms, and 10 Mbit/s, whose round trip goes from 100 to 1200 ms and back every 15 s. A stall is a ' +
    'pause of 250 ms and more in what the program reads. Asked for: at least 95 % of the better path alone, less than ' +
    'one stall a minute.',
  cases: ['better path alone', 'flapping'],
  ccs: ['cubic'],
  carriers: ['tcp', 'udp', 'all'],
  seconds: 60,
  measure: measureFlapping,
  columns: [
    spreadColumn('goodput Mbit/s', 'mbps', 2),
    spreadColumn('stalls a minute', 'stallsPerMinute', 2),
    spreadColumn('longest gap ms', 'gapMs', 0),
    countColumn('bytes equal', 'equal'),
    ...MACHINE,
  ],
};
