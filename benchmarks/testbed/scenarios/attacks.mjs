/**
 * Somebody on the way copies packets and sends the copies first, from another address.
 *
 * @module
 */

import { inBed } from '../bed.mjs';
import { sleep } from '../processes.mjs';
import { iperf, SERVER, tool } from '../programs.mjs';
import { PYTHON } from '../requirements.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { MACHINE, numbers, percent, spreadColumn } from '../scenario.mjs';
import { median } from '../statistics.mjs';

/** One way 20 ms: by so much a copy from behind the wire is ahead of the original. */
const PATH = 'rate=20M,rtt=40,queue=50ms,box';
const SPOOFED = '10.78.1.66';
const SETTLE_MS = 1_000;
/** For how long the server may send to the spoofed address after the client has fallen silent. */
const WATCH_MS = 10_000;

/** Counts what the server sends to the spoofed address. */
const COUNTER = `table ip lab {
  counter spoofed {}
  chain out { type filter hook output priority 0; ip daddr ${SPOOFED} counter name spoofed; }
}`;
/** From here on nothing of the client gets through. */
const SILENCE = `table ip silence {
  chain through { type filter hook forward priority -50; iifname p1 drop; }
}`;

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {'once' | 'race'} how
 */
async function startAttacker(bed, how) {
  const where = [bed.netns('client'), 'p1', bed.netns('box1')];
  const command = [PYTHON, tool('attacker.py'), ...where, SPOOFED, SERVER, 7600, how];
  const attacker = bed.spawn('box1', command);
  await attacker.line(/watching/);
  return attacker;
}

/**
 * The server has endless data for the client; one packet of the client comes from elsewhere, first,
 * and the client falls silent.
 *
 * @param {import('../bed.mjs').Bed} bed
 */
async function onePacket(bed) {
  await bed.addRules('server', COUNTER);
  const attacker = await startAttacker(bed, 'once');
  const watchSeconds = WATCH_MS / 1000 + 5;
  const options = { seconds: watchSeconds, omit: 0, host: '127.0.0.1', reverse: true };
  const load = iperf(bed, options).catch(() => undefined);
  await sleep(3_000);
  attacker.tell('now');
  const [, copied = '0'] = await attacker.line(/copied (\d+)/);
  await bed.addRules('box1', SILENCE);
  await sleep(WATCH_MS);
  const { spoofed = 0 } = await bed.countersOf('server');
  const lateMs = bed.lateMs();
  await bed.down();
  await load;
  return { copied: Number(copied), spoofed, times: spoofed / Number(copied), lateMs };
}

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {import('../scenario.mjs').Options} options
 * @param {boolean} isAttacked
 * @param {boolean} reverse
 */
async function race(bed, { seconds, omit }, isAttacked, reverse) {
  await bed.addRules('server', COUNTER);
  if (isAttacked) await startAttacker(bed, 'race');
  const { mbps, idle, lateMs } = await iperf(bed, { seconds, omit, host: '127.0.0.1', reverse });
  const { spoofed = 0 } = await bed.countersOf('server');
  return { mbps, spoofed, idle, lateMs };
}

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const { options, cc } = context;
  if (!options.roving) return;
  /** @param {(bed: import('../bed.mjs').Bed) => Promise<import('../scenario.mjs').Row['values']>} use */
  const withForward = (use) =>
    inBed([PATH], { cc }, async (bed) => {
      const roving = await Roving.serve(bed, carriersOf('udp'));
      await roving.forward(['5201:127.0.0.1:5201']);
      await sleep(SETTLE_MS);
      return use(bed);
    });
  if (context.case === 'one packet') {
    await context.subject('roving udp', () => withForward((bed) => onePacket(bed)));
    return;
  }
  const reverse = context.case.endsWith('down');
  for (const isAttacked of [false, true]) {
    const subject = isAttacked ? 'roving udp, attacked' : 'roving udp';
    await context.subject(subject, () =>
      withForward((bed) => race(bed, options, isAttacked, reverse)),
    );
  }
}

/** @type {import('../scenario.mjs').Scenario} */
export const attacks = {
  name: 'attacks',
  title: 'Copies of packets from another address',
  words:
    'One UDP path of 20 Mbit/s and 40 ms. One packet: the server has endless data for the client, one of whose packets ' +
    'comes from a spoofed address, too, 20 ms before the original; then nothing of the client gets through any more; bytes of IP ' +
    'packets that the server sends to the spoofed address within 10 s. Asked for: at most 3 times those of the copy. Race: each packet of the ' +
    'client is copied like that; the copies do not pass the link, so they can bring more than it does. Asked for: goodput at least 50 %.',
  needs: ['iperf3'],
  cases: ['one packet', 'race, up', 'race, down'],
  carriers: ['udp'],
  seconds: 10,
  omit: 3,
  ccs: ['cubic'],
  measure,
  columns: [
    spreadColumn('bytes copied', 'copied', 0),
    spreadColumn('bytes to the spoofed address', 'spoofed', 0),
    spreadColumn('times', 'times', 2),
    spreadColumn('goodput Mbit/s', 'mbps', 2),
    {
      head: 'of the goodput in peace',
      of: (rows, all) => {
        const peace = all.filter((row) => row.subject === 'roving udp');
        return percent(median(numbers(rows, 'mbps')) / median(numbers(peace, 'mbps')));
      },
    },
    ...MACHINE,
  ],
};
