/**
 * Two of our paths against one plain TCP flow in one bottleneck.
 *
 * @module
 */

import { inBed } from '../bed.mjs';
import { sleep } from '../processes.mjs';
import { iperf } from '../programs.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { eachRoving, MACHINE, spreadColumn } from '../scenario.mjs';

const SHARED = ['rate=50M,rtt=20,queue=50ms'];
const ACCESS = Array(3).fill('rate=200M,delay=0,queue=100ms');
const SETTLE_MS = 1_000;

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const { options, cc } = context;
  const { seconds, omit } = options;
  /**
   * @param {import('../bed.mjs').Bed} bed
   * @param {Partial<import('../programs.mjs').IperfOptions>} rival
   */
  const versus = async (bed, rival) => {
    const [plain, other] = await Promise.all([
      iperf(bed, { seconds, omit, source: '10.77.3.2', port: 5201 }),
      iperf(bed, { seconds, omit, port: 5202, ...rival }),
    ]);
    const share = plain.mbps / (plain.mbps + other.mbps);
    const { idle, lateMs } = plain;
    return { plain: plain.mbps, rival: other.mbps, share: 100 * share, idle, lateMs };
  };
  if (options.peers) {
    await context.subject('tcp', () =>
      inBed(ACCESS, { cc, shared: SHARED }, (bed) => versus(bed, { source: '10.77.2.2' })),
    );
    await context.subject('mptcp', () =>
      inBed(ACCESS, { cc, shared: SHARED }, async (bed) => {
        await bed.addMptcp(['p2']);
        return versus(bed, { mptcp: true });
      }),
    );
  }
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed(ACCESS, { cc, shared: SHARED }, async (bed) => {
        const paths = ['10.77.1.2', '10.77.2.2'];
        const roving = await Roving.serve(bed, { ...carriersOf(carriers), paths });
        await roving.forward(['5202:127.0.0.1:5202']);
        await sleep(SETTLE_MS);
        return versus(bed, { host: '127.0.0.1' });
      }),
    ),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const fairness = {
  name: 'fairness',
  title: 'A shared bottleneck',
  words:
    'One plain TCP flow and a rival with two paths through one link of 50 Mbit/s, 20 ms, queue 50 ms, started at once; ' +
    'the first seconds do not count. Asked for: against CUBIC the plain flow keeps 35 to 65 % after 10 s.',
  needs: ['iperf3', 'mptcpize'],
  cases: ['2 paths, one link of 50/20'],
  carriers: ['udp', 'tcp', 'all'],
  seconds: 20,
  omit: 10,
  ccs: ['cubic', 'bbr'],
  measure,
  columns: [
    spreadColumn('plain Mbit/s', 'plain', 2),
    spreadColumn('rival Mbit/s', 'rival', 2),
    spreadColumn('plain flow keeps %', 'share'),
    ...MACHINE,
  ],
};
