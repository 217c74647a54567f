/**
 * The programs that measure. None of them knows Roving: they get a host and a port, which may be a
 * forward's.
 *
 * @module
 */

import { fileURLToPath } from 'node:url';
import { cpuTimes, idleShare } from './bed.mjs';
import { sleep, wallMs } from './processes.mjs';
import { PYTHON } from './requirements.mjs';

/** The server's address, by whatever path. */
export const SERVER = '10.77.0.1';

/** @param {string} name */
export const tool = (name) => fileURLToPath(new URL(`tools/${name}`, import.meta.url));

/**
 * @typedef {object} IperfOptions
 * @property {number} seconds measured
 * @property {number} omit seconds of start that do not count
 * @property {string} [host] where the client connects to
 * @property {string} [source] address to bind to
 * @property {number} [port] of the client's connection, and of the server
 * @property {boolean} [mptcp]
 * @property {boolean} [reverse] the server sends
 */

/**
 * @typedef {object} Goodput
 * @property {number} mbps payload at the receiver, in Mbit/s
 * @property {Record<string, number>} wires what each wire carried meanwhile, Mbit/s of IP packets
 * @property {number} retransmits of the sender's own TCP connection
 * @property {number} lateMs by how much a wire was late at most
 * @property {number} idle share of the processors, 0 to 1
 */

/**
 * One run of iperf3 from client to server.
 *
 * @param {import('./bed.mjs').Bed} bed
 * @param {IperfOptions} options
 * @returns {Promise<Goodput>}
 */
export async function iperf(bed, options) {
  const { seconds, omit, host = SERVER, port = 5201 } = options;
  const before = options.mptcp ? ['mptcpize', 'run'] : [];
  const listen = [...before, 'iperf3', '-s', '-1', '-p', port, '--forceflush'];
  const server = bed.spawn('server', listen);
  await server.line(/listening/i);
  const sinceMs = wallMs();
  const cpu = cpuTimes();
  const times = ['-t', seconds, '-O', omit];
  const from = options.source === undefined ? [] : ['-B', options.source];
  const command = [...before, 'iperf3', '-J', '-c', host, '-p', port, ...times, ...from];
  const client = bed.spawn('client', options.reverse ? [...command, '-R'] : command);
  await sleep((omit + 0.3) * 1000);
  const first = await bed.counts();
  await sleep((seconds - 1) * 1000);
  const last = await bed.counts();
  const text = await client.done(60_000).catch((error) => {
    throw new Error(iperfError(client.stdout) ?? error.message);
  });
  await server.stop();
  const { end } = JSON.parse(text);
  /** @type {Record<string, number>} */
  const wires = {};
  for (const name of bed.wires) {
    wires[name] = rate(first[name], last[name], options.reverse ? 'down' : 'up');
  }
  return {
    mbps: end.sum_received.bits_per_second / 1e6,
    wires,
    retransmits: end.sum_sent.retransmits ?? 0,
    lateMs: bed.lateMs(sinceMs),
    idle: idleShare(cpu),
  };
}

/** @param {string} text */
function iperfError(text) {
  try {
    return `iperf3: ${JSON.parse(text).error}`;
  } catch {
    return undefined;
  }
}

/**
 * @param {import('./bed.mjs').WireCounts | undefined} first
 * @param {import('./bed.mjs').WireCounts | undefined} last
 * @param {'up' | 'down'} way
 */
function rate(first, last, way) {
  if (first === undefined || last === undefined) return 0;
  const mbit = (last[way].out_bytes - first[way].out_bytes) * 8e-6;
  return Math.round((100 * mbit) / (last.t - first.t)) / 100;
}

/**
 * What the receiver of a transfer saw; all times in ms of the machine's clock.
 *
 * @typedef {object} Received
 * @property {number} bytes
 * @property {string} sha256
 * @property {boolean} isWhole it ended as it should
 * @property {string} error
 * @property {number} firstMs
 * @property {number} lastMs
 * @property {[number, number][]} gaps pauses of 20 ms and more: when they began, how long
 * @property {[number, number][]} bins bytes in each tenth of a second
 * @property {[number, number][]} messages when each was written and read
 */

/** @typedef {{ sent: number, sha256: string, startMs: number, error: string }} Sent */

/**
 * @typedef {object} TransferOptions
 * @property {number} seconds
 * @property {number} [messagesPerSecond] of 100 bytes each; 0, the default: as fast as it goes
 * @property {string} [host]
 * @property {number} [port]
 * @property {boolean} [mptcp]
 * @property {number} [patienceMs] how much longer than `seconds` it may take
 * @property {readonly { atMs: number, act: () => Promise<unknown> }[]} [events]
 */

/**
 * A transfer from client to server, with things that happen meanwhile, counted from its start.
 *
 * @param {import('./bed.mjs').Bed} bed
 * @param {TransferOptions} options
 * @returns {Promise<{ received: Received, sent: Sent, eventsMs: number[], isEqual: boolean }>}
 */
export async function transfer(bed, options) {
  const { seconds, messagesPerSecond = 0, host = SERVER, port = 9000 } = options;
  const mptcp = options.mptcp ? ['mptcp'] : [];
  const kind = messagesPerSecond > 0 ? 'messages' : 'bulk';
  const stream = [PYTHON, tool('stream.py')];
  const receiver = bed.spawn('server', [...stream, 'receive', port, kind, ...mptcp]);
  await receiver.line(/listening/);
  const what = ['send', host, port, seconds, messagesPerSecond, ...mptcp];
  const sender = bed.spawn('client', [...stream, ...what]);
  const startMs = wallMs();
  /** @type {number[]} */
  const eventsMs = [];
  for (const { atMs, act } of options.events ?? []) {
    await sleep(startMs + atMs - wallMs());
    await act();
    eventsMs.push(wallMs());
  }
  const patienceMs = seconds * 1000 + (options.patienceMs ?? 60_000);
  const sent = /** @type {Sent} */ (lastLine(await sender.done(patienceMs)));
  const received = /** @type {Received} */ (lastLine(await receiver.done(60_000)));
  const isEqual = received.sha256 === sent.sha256 && sent.error === '' && received.isWhole;
  return { received, sent, eventsMs, isEqual };
}

/** The JSON in the last line of an output. @param {string} text @returns {unknown} */
export function lastLine(text) {
  return JSON.parse(text.trimEnd().split('\n').at(-1) ?? '');
}

/**
 * The longest pause that begins in a span of time or reaches into it, in ms; 0 if none was long
 * enough to be logged.
 *
 * @param {Received} received
 * @param {number} fromMs
 * @param {number} toMs
 */
export function longestGapMs(received, fromMs, toMs) {
  let longest = 0;
  for (const [atMs, lengthMs] of received.gaps) {
    if (atMs + lengthMs >= fromMs && atMs < toMs) longest = Math.max(longest, lengthMs);
  }
  return longest;
}

/**
 * Payload in Mbit/s between two times.
 *
 * @param {Received} received
 * @param {number} fromMs
 * @param {number} toMs
 */
export function mbpsBetween(received, fromMs, toMs) {
  let bytes = 0;
  for (const [bin, count] of received.bins) {
    if (bin * 100 >= fromMs && bin * 100 < toMs) bytes += count;
  }
  return (bytes * 8) / 1000 / (toMs - fromMs);
}

/**
 * When the first bytes after a time were read, in ms after it.
 *
 * @param {Received} received
 * @param {number} sinceMs
 */
export function firstAfterMs(received, sinceMs) {
  for (const [atMs, lengthMs] of received.gaps) {
    if (atMs <= sinceMs && atMs + lengthMs > sinceMs) return atMs + lengthMs - sinceMs;
  }
  return received.lastMs > sinceMs ? 0 : undefined;
}
