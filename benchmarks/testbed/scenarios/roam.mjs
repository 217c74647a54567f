/**
 * The client's address changes, or the NAT forgets: how soon the session speaks again, and mosh.
 *
 * @module
 */

import { inBed } from '../bed.mjs';
import { converse } from '../chat.mjs';
import { sleep, wallMs } from '../processes.mjs';
import { tool } from '../programs.mjs';
import { PYTHON } from '../requirements.mjs';
import { carriersOf, Roving } from '../roving.mjs';
import { eachRoving, MACHINE, spreadColumn } from '../scenario.mjs';

/** Round trip 60 ms. */
const LINK = 'rate=10M,rtt=60,queue=100ms';

/** What happens, and the path to which it happens. @type {Record<string, [string, string]>} */
const EVENTS = {
  'NAT rebinds': ['rebind p1', `${LINK},nat`],
  'NAT has a new address': ['rebind p1 new-ip', `${LINK},nat`],
  'address changes': ['addr p1', LINK],
};

const TALK_EVERY_MS = 20;
const BEFORE_MS = 3_000;
/** In an idle session the first word comes so long after the event. */
const LATER_MS = 1_000;
const PATIENCE_MS = 30_000;
const SETTLE_MS = 1_000;

/** Counts keys where the screen is looked at. */
const ECHO = `
import os, tty
tty.setraw(0); n = 0
while True: os.write(1, b'\\x1b[5;1H%06d ' % n); n += len(os.read(0, 100))
`;
/** Writes the time twenty times a second. */
const CLOCK = `
import sys, time, tty
tty.setraw(0)
while True: sys.stdout.write('\\x1b[5;1H%.1f ' % (time.time() * 1000)); sys.stdout.flush(); time.sleep(.05)
`;

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {string} event
 * @param {string} state `idle`, `busy` or `server first`
 * @param {{ host?: string }} to
 */
async function conversation(bed, event, state, to) {
  const { server, client } = await converse(bed, to);
  const talkers = [server, client];
  for (const talker of talkers) talker.tell(`talk ${TALK_EVERY_MS}`);
  await sleep(BEFORE_MS);
  if (state !== 'busy') for (const talker of talkers) talker.tell('hush');
  if (state !== 'busy') await sleep(BEFORE_MS);
  const { atMs } = await bed.do(event);
  if (state !== 'busy') await sleep(LATER_MS);
  const fromMs = state === 'busy' ? atMs : wallMs();
  if (state === 'idle') client.tell('say');
  if (state === 'server first') server.tell('say');
  const down = await client.firstSince(fromMs, PATIENCE_MS);
  const up = state === 'server first' ? undefined : await server.firstSince(fromMs, PATIENCE_MS);
  // From the event, or from the first word after it.
  const startMs =
    state === 'busy' ? atMs : Math.min(up?.writtenMs ?? down.writtenMs, down.writtenMs);
  return {
    upMs: up === undefined ? undefined : up.atMs - startMs,
    downMs: down.atMs - startMs,
    lateMs: bed.lateMs(),
  };
}

/**
 * @param {import('../bed.mjs').Bed} bed
 * @param {string} event
 * @param {string} state
 */
async function mosh(bed, event, state) {
  const program = state === 'idle' ? ECHO : CLOCK;
  const serve = ['mosh-server', 'new', '-i', '10.77.0.1', '-p', '60001', '--'];
  const utf8 = ['env', 'LC_ALL=C.UTF-8', 'LANG=C.UTF-8'];
  const started = await bed.run('server', [...utf8, ...serve, PYTHON, '-c', program]);
  const [, port = '', key = ''] = /MOSH CONNECT (\d+) (\S+)/.exec(started) ?? [];
  const env = { MOSH_KEY: key, LC_ALL: 'C.UTF-8', LANG: 'C.UTF-8' };
  const client = bed.spawn('client', [PYTHON, tool('mosh.py'), port], { env });
  await client.line(/^shows /m);
  if (state === 'busy') client.tell(`talk ${TALK_EVERY_MS}`);
  await sleep(2 * BEFORE_MS);
  const { atMs } = await bed.do(event);
  if (state === 'idle') {
    await sleep(LATER_MS);
    client.tell('say');
    const [, shown = ''] = await client.line(/^shows 000001 (\S+)/m, 'stdout', PATIENCE_MS);
    const typed = Array.from(client.stdout.matchAll(/^typed (\S+)/gm)).at(-1)?.[1];
    return { downMs: Number(shown) - Number(typed), lateMs: bed.lateMs() };
  }
  // The clock's first time on the screen that was written after the event.
  for (const end = wallMs() + PATIENCE_MS; wallMs() < end; await sleep(20)) {
    const shown = Array.from(client.stdout.matchAll(/^shows (\d+\.\d) (\S+)/gm));
    const fresh = shown.find(([, written]) => Number(written) >= atMs);
    if (fresh !== undefined) return { downMs: Number(fresh[2]) - atMs, lateMs: bed.lateMs() };
  }
  throw new Error('the screen stands still');
}

/** @type {(context: import('../scenario.mjs').Context) => Promise<void>} */
async function measure(context) {
  const [name = '', state = ''] = context.case.split(', ');
  const [event, path] = EVENTS[name] ?? ['', ''];
  if (context.options.peers) {
    await context.subject('mosh', () => inBed([path], {}, (bed) => mosh(bed, event, state)));
  }
  await eachRoving(context, (carriers, subject) =>
    context.subject(subject, () =>
      inBed([path], {}, async (bed) => {
        const roving = await Roving.serve(bed, carriersOf(carriers));
        await roving.forward(['9000:127.0.0.1:9000']);
        await sleep(SETTLE_MS);
        return conversation(bed, event, state, { host: '127.0.0.1' });
      }),
    ),
  );
}

/** @type {import('../scenario.mjs').Scenario} */
export const roam = {
  name: 'roam',
  title: 'Roaming',
  words:
    'One path of 10 Mbit/s and 60 ms. Busy: both sides write 100 bytes 50 times a second; the time from the event to the ' +
    'first bytes that were written after it, in each direction. Idle: silence around the event; a second later the client ' +
    'writes, and the server answers; the time from that writing. Server first: the server writes, and the client says nothing. ' +
    'mosh shows a clock of the server (its client types 50 times a second when busy), or counts keys when idle. Asked for: ' +
    'at most one round trip + 50 ms, that is 110 ms.',
  needs: ['mosh-client', 'mosh-server', 'python:pyte'],
  cases: Object.keys(EVENTS).flatMap((event) =>
    ['busy', 'idle', 'server first'].map((state) => `${event}, ${state}`),
  ),
  carriers: ['udp', 'all'],
  seconds: 0,
  omit: 0,
  ccs: ['cubic'],
  measure,
  columns: [
    spreadColumn('to the server ms', 'upMs', 0),
    spreadColumn('to the client ms', 'downMs', 0),
    ...MACHINE,
  ],
};
