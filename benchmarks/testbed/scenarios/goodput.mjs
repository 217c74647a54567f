/**
 * Goodput over paths without loss, against the sum of what plain TCP has on each, and kernel MPTCP.
 *
 * @module
 */

import { inBed } from '../bed.mjs';
import { iperf } from '../programs.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { eachRoving, MACHINE, numbers, percent, spreadColumn } from '../scenario.mjs';
import { median } from '../statistics.mjs';

/** @type {Record<string, readonly string[]>} */
const PATHS = {
  '50/20 + 50/20': ['rate=50M,rtt=20,queue=50ms', 'rate=50M,rtt=20,queue=50ms'],
  '50/20 + 10/100': ['rate=50M,rtt=20,queue=50ms', 'rate=10M,rtt=100,queue=100ms'],
  '30/2 + 10/100': ['rate=30M,rtt=2,queue=50ms', 'rate=10M,rtt=100,queue=100ms'],
  '4 x 25/20': Array(4).fill('rate=25M,rtt=20,queue=50ms'),
  '80/16 + 20/80, 0.5 %': ['rate=80M,rtt=16,queue=50ms', 'rate=20M,rtt=80,queue=50ms,loss=0.005'],
  '40/70 + 20/640, 0.5 %': ['rate=40M,rtt=70,queue=50ms', 'rate=20M,rtt=640,queue=50ms,loss=0.005'],
  '25/40 + 25/40, 2 %': Array(2).fill('rate=25M,rtt=40,queue=50ms,loss=0.02'),
  '20/100 + 20/100, jitter 50': Array(2).fill('rate=20M,rtt=100,jitter=50,queue=100ms'),
};

const SETTLE_MS = 1_000;

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const { options, cc } = context;
  const { seconds, omit } = options;
  const paths = PATHS[context.case] ?? [];
  await inBed(paths, { cc }, async (bed) => {
    if (options.peers) {
      for (const [i, name] of bed.paths.entries()) {
        const source = `10.77.${i + 1}.2`;
        await context.subject(`tcp ${name}`, () => result(bed, { seconds, omit, source }));
      }
    }
  });
  if (options.peers) {
    await inBed(paths, { cc }, async (bed) => {
      await bed.addMptcp();
      await context.subject('mptcp', () => result(bed, { seconds, omit, mptcp: true }));
    });
  }
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed(paths, { cc }, async (bed) => {
        const roving = await Roving.serve(bed, carriersOf(carriers));
        await roving.forward(['5201:127.0.0.1:5201']);
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
        return result(bed, { seconds, omit, host: '127.0.0.1' });
      }),
    ),
  );
}

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {import('../programs.mjs').IperfOptions} options
 */
async function result(bed, options) {
  const { mbps, wires, lateMs, idle, retransmits } = await iperf(bed, options);
  return { mbps, lateMs, idle, retransmits, ...wires };
}

/**
 * The medians of plain TCP on each path of the same case.
 *
 * @param {readonly import('../scenario.mjs').Row[]} all
 */
function alone(all) {
  const names = new Set(all.map((row) => row.subject).filter((name) => name.startsWith('tcp ')));
  return [...names].map((name) =>
    median(
      numbers(
        all.filter((row) => row.subject === name),
        'mbps',
      ),
    ),
  );
}

/** @type {import('../scenario.mjs').Column[]} */
const columns = [
  spreadColumn('goodput Mbit/s', 'mbps', 2),
  {
    head: 'of the sum alone',
    of: (rows, all) => {
      const sum = alone(all).reduce((total, value) => total + value, 0);
      return sum === 0 ? '-' : percent(median(numbers(rows, 'mbps')) / sum);
    },
  },
  {
    head: 'of the better alone',
    of: (rows, all) => {
      const plain = alone(all);
      if (plain.length === 0) return '-';
      return percent(median(numbers(rows, 'mbps')) / Math.max(...plain));
    },
  },
  {
    head: 'of mptcp',
    of: (rows, all) => {
      const mptcp = all.filter((row) => row.subject === 'mptcp');
      return percent(median(numbers(rows, 'mbps')) / median(numbers(mptcp, 'mbps')));
    },
  },
  {
    head: 'on the wires',
    of: (rows) =>
      ['p1', 'p2', 'p3', 'p4']
        .map((name) => numbers(rows, name))
        .filter((values) => values.length > 0)
        .map((values) => median(values).toFixed(1))
        .join(' + '),
  },
  ...MACHINE,
];

const COMMON = { needs: ['iperf3', 'mptcpize'], ccs: ['cubic', 'bbr'], measure, columns };

/** @type {import('../scenario.mjs').Scenario} */
export const goodput = {
  ...COMMON,
  name: 'goodput',
  title: 'Goodput over clean paths',
  words:
    'iperf3, start not counted. Asked for: at least 97 % of the sum of plain TCP on each path alone ' +
    "over TCP, 95 % over UDP, and not less than kernel MPTCP's.",
  cases: ['50/20 + 50/20', '50/20 + 10/100', '30/2 + 10/100', '4 x 25/20'],
  carriers: ['tcp', 'udp', 'all'],
  seconds: 10,
  omit: 4,
};

/** @type {import('../scenario.mjs').Scenario} */
export const unequal = {
  ...COMMON,
  name: 'unequal',
  title: 'Unequal paths with loss or jitter',
  words:
    'Loss on the slower path; jitter on both, each packet up to 50 ms earlier or later, in order. ' +
    'Asked for: never below 95 % of plain TCP on the better path alone.',
  cases: ['80/16 + 20/80, 0.5 %', '40/70 + 20/640, 0.5 %', '20/100 + 20/100, jitter 50'],
  carriers: ['tcp', 'udp', 'all'],
  seconds: 20,
  omit: 6,
};

/** @type {import('../scenario.mjs').Scenario} */
export const lossy = {
  ...COMMON,
  name: 'lossy',
  title: 'Loss of 2 % on both paths',
  words:
    'Asked for over UDP: at least 90 % of the rate of the links after loss, that is of ' +
    '47.3 Mbit/s of payload (1448 bytes of each packet of 1500).',
  cases: ['25/40 + 25/40, 2 %'],
  carriers: ['udp', 'tcp', 'all'],
  seconds: 15,
  omit: 5,
  columns: [
    ...columns.slice(0, 1),
    {
      head: 'of the rate after loss',
      of: (rows) => percent(median(numbers(rows, 'mbps')) / (50 * 0.98 * (1448 / 1500))),
    },
    ...columns.slice(3),
  ],
};
