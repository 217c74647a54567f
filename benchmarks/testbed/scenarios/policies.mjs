/**
 * Behind each kind of middlebox: does it connect, how soon, and does it stay.
 *
 * @module
 */

import { inBed } from '../bed.mjs';
import { converse } from '../chat.mjs';
import { sleep, wallMs } from '../processes.mjs';
import { SERVER, tool } from '../programs.mjs';
import { Roving } from '../roving.mjs';
import { countColumn, MACHINE, spreadColumn } from '../scenario.mjs';

const LINK = 'rate=20M,rtt=40,queue=50ms';
const PROXY = { host: '10.77.1.1', port: 3128 };
const SHORT = '{"udp_timeout":5,"udp_stream_timeout":10,"tcp_timeout":30,"loose":0}';
const PATIENCE_MS = 20_000;

/** A second NAT behind the first. */
const MASQUERADE = `table ip nat {
  chain outbound { type nat hook postrouting priority 100; oifname s1 masquerade fully-random; }
}`;

/**
 * @typedef {object} Policy
 * @property {string} path
 * @property {readonly string[]} [shared]
 * @property {Record<string, string>} [env]
 * @property {(bed: import('../bed.mjs').Bed) => Promise<void>} [prepare]
 */

/** @type {Record<string, Policy>} */
export const POLICIES = {
  'nothing in the way': { path: LINK },
  NAT: { path: `${LINK},nat` },
  'two NATs': {
    path: 'rate=0,nat',
    shared: [LINK],
    prepare: async (bed) => {
      await bed.addRules('mid1', MASQUERADE);
    },
  },
  noudp: { path: `${LINK},policy=noudp` },
  tcp443: { path: `${LINK},policy=tcp443` },
  tcpudp: { path: `${LINK},policy=tcpudp` },
  stripmptcp: { path: `${LINK},policy=stripmptcp` },
  'short NAT timeouts': { path: `${LINK},nat=${SHORT}` },
  'only an HTTP proxy': {
    path: `${LINK},policy=nft drop`,
    env: { HTTPS_PROXY: `http://${PROXY.host}:${PROXY.port}` },
    prepare: async (bed) => {
      const proxy = [process.execPath, tool('proxy.mjs'), PROXY.host, PROXY.port];
      await bed.spawn('box1', proxy).line(/listening/);
    },
  },
};

/**
 * A bed behind a policy, with a server on the usual port and on 443.
 *
 * @template T
 * @param {string} name of the policy
 * @param {(bed: import('../bed.mjs').Bed, roving: Roving) => Promise<T>} use
 */
export async function behind(name, use) {
  const policy = POLICIES[name];
  if (policy === undefined) throw new Error(`no policy ${name}`);
  return inBed([policy.path], { shared: policy.shared ?? [] }, async (bed) => {
    await policy.prepare?.(bed);
    const roving = await Roving.serve(bed, {
      listen: ['0.0.0.0:7600', '0.0.0.0:443'],
      addresses: [`${SERVER}:7600`, `${SERVER}:443`],
      env: policy.env ?? {},
    });
    return use(bed, roving);
  });
}

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  if (!context.options.roving) return;
  await context.subject('roving all', () =>
    behind(context.case, async (bed, roving) => {
      const startMs = wallMs();
      await roving.forward(['9000:127.0.0.1:9000']);
      const readyMs = wallMs() - startMs;
      const { client } = await converse(bed, { host: '127.0.0.1' });
      client.tell('say');
      const answer = await client.firstSince(startMs, PATIENCE_MS);
      await sleep(context.options.idleMinutes * 60_000);
      const againMs = wallMs();
      client.tell('say');
      const late = await client.firstSince(againMs, PATIENCE_MS).catch(() => undefined);
      return {
        readyMs,
        connectMs: answer.atMs - startMs,
        stays: late !== undefined && !client.isClosed,
        againMs: late === undefined ? undefined : late.atMs - againMs,
        lateMs: bed.lateMs(),
      };
    }),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const policies = {
  name: 'policies',
  title: 'Behind middleboxes',
  words:
    'One path of 20 Mbit/s and 40 ms. From the start of `roving forward`, Node included, until it is ready, and until a ' +
    'first message through it, from a program that is started then, has been answered; then silence for `--idle-minutes`, ' +
    'and one more message. No option is given; the proxy is in `HTTPS_PROXY`. Short NAT timeouts: UDP 5 and 10 s, TCP ' +
    '30 s. Asked for: connects within 3 s, stays for 10 idle minutes.',
  needs: [],
  cases: Object.keys(POLICIES),
  carriers: [],
  seconds: 0,
  omit: 0,
  ccs: ['cubic'],
  measure,
  columns: [
    spreadColumn('ready after ms', 'readyMs', 0),
    spreadColumn('first answer after ms', 'connectMs', 0),
    countColumn('stays', 'stays'),
    spreadColumn('answer after idling ms', 'againMs', 0),
    ...MACHINE,
  ],
};
