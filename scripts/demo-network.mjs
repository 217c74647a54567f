/** The demonstration's network, and the file's way through it. @module */

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { nodeCrypto } from 'roving';
import { applyFaults, Bed, symmetric } from 'roving/sim';

const WRITE_BYTES = 65_536;
const READ_BYTES = 1 << 20;

/** Unequal in everything: rate, delay, loss, and what carries them. */
export const LINKS = [
  { name: 'fibre', carrier: 'udp', rateMbps: 50, rttMs: 20, queueMs: 50 },
  { name: 'lte', carrier: 'udp', rateMbps: 20, rttMs: 60, queueMs: 200, jitterMs: 8, loss: 0.005 },
  { name: 'dsl', carrier: 'tcp', rateMbps: 10, rttMs: 40, queueMs: 100 },
];

/** A session over all links, with the machine's real cryptography; only the network is made up. */
export function openBed(seed) {
  const paths = LINKS.map(({ name, carrier, ...link }) => ({
    name,
    carrier,
    link: symmetric(link),
  }));
  const bed = new Bed({ seed, crypto: nodeCrypto, paths });
  bed.connect();
  if (!bed.establish()) throw new Error('the session could not be established');
  return bed;
}

/** @param drops what goes black when: `{ path, atMs, forMs }`. */
export function planDrops(bed, drops) {
  const faults = drops.flatMap(({ path, atMs, forMs }) => [
    { at: atMs, type: 'black', path, on: true },
    { at: atMs + forMs, type: 'black', path, on: false },
  ]);
  applyFaults(bed.world, faults);
}

/** Reads a file and writes it to a stream of the client, as fast as the session takes it. */
export class FileSender {
  constructor(bed, path) {
    const { client } = bed;
    this.host = client.host;
    this.session = client.session;
    this.file = openSync(path, 'r');
    this.rest = undefined;
    this.streamId = this.host.command((_core, now) =>
      this.session.openStream({ unidirectional: true }, now),
    );
    client.on((event) => {
      if (event.type === 'writable' && event.streamId === this.streamId) this.write();
    });
    this.write();
  }

  write() {
    this.host.touch();
    while (this.file !== undefined) {
      const piece = this.rest ?? this.read();
      if (piece.length === 0) return this.finish();
      const taken = this.session.write(this.streamId, piece);
      this.rest = taken < piece.length ? piece.subarray(taken) : undefined;
      if (this.rest !== undefined) return;
    }
  }

  read() {
    // Fresh memory each time: the session keeps what it is given.
    const bytes = new Uint8Array(WRITE_BYTES);
    return bytes.subarray(0, readSync(this.file, bytes));
  }

  finish() {
    closeSync(this.file);
    this.file = undefined;
    this.session.finish(this.streamId);
  }
}

/** Writes what arrives at the server into a file, and notices how long nothing came. */
export class FileReceiver {
  receivedBytes = 0;
  isComplete = false;
  longestGapMs = 0;

  constructor(bed, path) {
    this.bed = bed;
    this.file = openSync(path, 'w');
    this.lastAt = undefined;
    bed.server.on((event) => {
      if (event.type === 'readable') this.read(event.streamId);
    });
  }

  read(streamId) {
    const { world, server } = this.bed;
    server.host.touch();
    for (;;) {
      const bytes = server.session.read(streamId, READ_BYTES, world.now);
      if (bytes === undefined) return;
      if (bytes === 'end') {
        closeSync(this.file);
        this.isComplete = true;
        return;
      }
      if (this.lastAt !== undefined) {
        this.longestGapMs = Math.max(this.longestGapMs, world.now - this.lastAt);
      }
      this.lastAt = world.now;
      writeSync(this.file, bytes);
      this.receivedBytes += bytes.length;
    }
  }
}

/** What each link has done, across the paths that ran over it one after the other. */
export class Meter {
  /** Sent by paths that have ended. */
  ended = { sentBytes: 0, reinjectedBytes: 0, lostPackets: 0 };

  constructor(bed) {
    this.bed = bed;
    this.nameOfPath = new Map();
    this.arrived = new Map();
    this.lastArrived = new Map();
    this.lastAt = bed.world.now;
    bed.client.on((event) => {
      if (event.type === 'path' && event.statistics !== undefined) this.add(event.statistics);
    });
  }

  add(statistics) {
    for (const key of Object.keys(this.ended)) this.ended[key] += statistics[key];
  }

  nameOf(pathId, carrierId) {
    for (const [name, id] of this.bed.clientCarriers) {
      if (id === carrierId) this.nameOfPath.set(pathId, name);
    }
    return this.nameOfPath.get(pathId) ?? `path ${pathId}`;
  }

  /** One line for each link, since the last call. */
  sample() {
    const { world, client, server } = this.bed;
    const elapsedMs = Math.max(1, world.now - this.lastAt);
    this.lastAt = world.now;
    const rows = new Map(LINKS.map(({ name }) => [name, { name, state: 'down', bytes: 0 }]));
    const names = client.session.paths().map(({ pathId, carrierId, state, statistics }) => {
      const name = this.nameOf(pathId, carrierId);
      const row = rows.get(name);
      if (row !== undefined) Object.assign(row, { state, rttMs: statistics.smoothedRttMs });
      return name;
    });
    for (const { pathId, statistics } of server.session.paths()) {
      const row = rows.get(this.nameOfPath.get(pathId));
      const before = this.lastArrived.get(pathId) ?? 0;
      this.lastArrived.set(pathId, statistics.receivedBytes);
      if (row !== undefined) row.bytes += statistics.receivedBytes - before;
    }
    const total = [...rows.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const row of rows.values()) {
      row.mbps = (row.bytes * 8) / 1000 / elapsedMs;
      row.share = total === 0 ? 0 : row.bytes / total;
      this.arrived.set(row.name, (this.arrived.get(row.name) ?? 0) + row.bytes);
    }
    return { rows: [...rows.values()], pathCount: names.length };
  }

  /** All that the client has sent, and what of it a second time. */
  totals() {
    const totals = { ...this.ended };
    for (const { statistics } of this.bed.client.session.paths()) {
      for (const key of Object.keys(totals)) totals[key] += statistics[key];
    }
    return totals;
  }
}
