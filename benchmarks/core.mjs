// What the protocol costs on top of its cipher: two endpoints in one process, joined by a stream
// carrier without any driver, against sealing and opening packets of the same size alone.
//
//   npm run build && node benchmarks/core.mjs [SECONDS]
//
// Ratios within one run count; absolute figures are this machine's, at this moment.

import { randomBytes } from 'node:crypto';
import { drain, Endpoint, KeyRing } from '../dist/core/index.js';
import { PacketOpener, PacketSealer } from '../dist/crypto/index.js';
import { nodeCrypto } from '../dist/node/crypto.js';

const SECONDS = Number(process.argv[2] ?? 0.7);
const random = (length) => new Uint8Array(randomBytes(length));

function sealingAlone(packetBytes, cipher, seconds) {
  const secret = random(32);
  const sealer = new PacketSealer(nodeCrypto, cipher, secret);
  const opener = new PacketOpener(nodeCrypto, cipher, secret);
  const header = new Uint8Array(5);
  const payload = random(packetBytes - 21);
  let number = 0;
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    for (let i = 0; i < 64; i++) {
      const chunks = sealer.seal(number, header, [payload]);
      const sealed = joined(chunks);
      if (opener.open(0, number, header, sealed) === undefined) throw new Error('not authentic');
      number += 1;
    }
  }
  return (number * payload.length) / 1e3 / (performance.now() - start);
}

function joined(chunks) {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** What a stream carrier holds at most, as a socket's buffer does. */
const BUFFER_BYTES = 512 * 1024;

/** Two endpoints whose carriers lead straight into each other. */
class Pair {
  constructor(options, kind) {
    const ring = new KeyRing(random(32), random(32));
    const ticket = { keyId: random(8), secret: random(32), doorKey: ring.doorKey, addresses: [] };
    ring.add({ ...ticket, name: 'bench', grants: [] });
    const config = { crypto: nodeCrypto, random, session: options };
    this.ends = [new Endpoint(config), new Endpoint({ ...config, keyRing: ring })];
    const info = {
      name: 'memory',
      kind,
      local: 'memory',
      maxDatagramBytes: options.maxPacketBytes,
    };
    this.ids = this.ends.map((end) => end.carrierOpened(info, performance.now()));
    for (const [i, end] of kind === 'stream' ? this.ends.entries() : []) {
      end.grantSend(this.ids[i], BUFFER_BYTES, performance.now());
    }
    this.queues = [[], []];
    this.events = [[], []];
    this.hosts = this.ends.map((_end, i) => ({
      send: (transmit) => this.queues[1 - i].push(joined(transmit.chunks)),
      emit: (event) => this.onEvent?.(i, event),
      wakeAt: (at) => {
        this.wake ??= [];
        this.wake[i] = at;
      },
    }));
    this.session = this.ends[0].connect(ticket, {}, performance.now());
    this.ends[0].openPath(this.session, this.ids[0], 'memory:1', performance.now());
  }

  turn() {
    for (const i of [0, 1]) {
      const now = performance.now();
      if (this.wake?.[i] !== undefined && now >= this.wake[i]) this.ends[i].handleTimeout(now);
      for (const bytes of this.queues[i].splice(0)) {
        this.ends[i].receive(this.ids[i], bytes, now, 'memory:2');
        this.ends[1 - i].grantSend(this.ids[1 - i], bytes.length, now);
      }
      drain(this.ends[i], this.hosts[i], now);
    }
  }
}

function whole(packetBytes, cipher, seconds, kind) {
  const options = { ciphers: [cipher], maxPacketBytes: packetBytes, keepAliveMs: 0 };
  const pair = new Pair(options, kind);
  const payload = random(1 << 20);
  let received = 0;
  let streamId;
  const write = () => {
    while (pair.session.write(streamId, payload) === payload.length);
  };
  pair.onEvent = (i, event) => {
    if (event.type !== 'session') return;
    const inner = event.event;
    if (i === 0 && inner.type === 'established') {
      streamId = pair.session.openStream({ unidirectional: true }, performance.now());
      write();
    }
    if (i === 0 && inner.type === 'writable') write();
    if (i === 1 && inner.type === 'readable') {
      for (;;) {
        const bytes = event.session.read(inner.streamId, 1 << 20, performance.now());
        if (bytes === undefined || bytes === 'end') break;
        received += bytes.length;
      }
    }
    if (inner.type === 'closed') throw inner.error ?? new Error('closed');
  };
  const warm = performance.now();
  while (performance.now() - warm < 700) pair.turn();
  received = 0;
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) pair.turn();
  const elapsed = performance.now() - start;
  const path = pair.session.paths()[0].statistics;
  return { rate: received / 1e3 / elapsed, packetBytes: path.sentBytes / path.sentPackets };
}

/** The middle one, its input sorted on the way. */
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const PAIRS = 7;

const rows = [];
for (const cipher of ['AES-256-GCM', 'ChaCha20-Poly1305']) {
  for (const [packetBytes, kind] of [
    [1_472, 'datagram'],
    [16_384, 'stream'],
    [65_535, 'stream'],
  ]) {
    const alone = [];
    const all = [];
    const overheads = [];
    let size = 0;
    for (let pair = 0; pair < PAIRS; pair++) {
      // One right after the other: this machine's speed drifts.
      const a = sealingAlone(packetBytes, cipher, SECONDS);
      const result = whole(packetBytes, cipher, SECONDS, kind);
      alone.push(a);
      all.push(result.rate);
      overheads.push(100 * (a / result.rate - 1));
      size = result.packetBytes;
    }
    const middle = median(overheads);
    const spread = `${overheads[0].toFixed(0)} .. ${overheads[PAIRS - 1].toFixed(0)}`;
    rows.push([
      cipher,
      kind,
      packetBytes,
      Math.round(size),
      median(alone).toFixed(0),
      median(all).toFixed(0),
      `${middle.toFixed(0)} % (${spread})`,
    ]);
  }
}
console.log(
  'cipher | carrier | packet limit, bytes | mean packet sent | seal and open alone, MB/s | whole protocol, MB/s | overhead, median of pairs (least .. most)',
);
for (const row of rows) console.log(row.join(' | '));
