/**
 * Simulated measurements: everything in them follows from the seed, so each figure is exact and a
 * change of behaviour shows as a difference in the tables beside this file.
 */

import type { SessionOptions } from '../../src/core/index.js';
import {
  Bed,
  type BedPathSpec,
  BulkSender,
  MessageSender,
  Reader,
  symmetric,
} from '../../src/sim/index.js';

export type Kind = 'udp bbr' | 'udp cubic' | 'tcp';

/** A link as `Mbit/s / RTT ms`, both ways alike, with a queue of 50 ms. */
export interface LinkSpec {
  readonly rateMbps: number;
  readonly rttMs: number;
  readonly loss?: number;
  readonly jitterMs?: number;
}

/** What one TCP connection carries of a link's rate: 1448 bytes of each packet of 1500. */
export function payloadMbps(links: readonly LinkSpec[]): number {
  return links.reduce((sum, link) => sum + link.rateMbps * (1448 / 1500), 0);
}

export function nameOf(links: readonly LinkSpec[]): string {
  return links
    .map(({ rateMbps, rttMs, loss, jitterMs }) => {
      const extra = [
        loss === undefined ? '' : ` loss ${round(100 * loss, 2)} %`,
        jitterMs === undefined ? '' : ` jitter ${jitterMs}`,
      ];
      return `${rateMbps}/${rttMs}${extra.join('')}`;
    })
    .join(' + ');
}

export function round(value: number, digits: number): string {
  return value.toFixed(digits);
}

export function pathsOf(links: readonly LinkSpec[], kind: Kind): BedPathSpec[] {
  return links.map((link, index) => ({
    name: `p${index + 1}`,
    carrier: kind === 'tcp' ? 'tcp' : 'udp',
    maxDatagramBytes: 1472,
    link: symmetric(link),
  }));
}

export function bedOf(
  links: readonly LinkSpec[],
  kind: Kind,
  options: Partial<SessionOptions> = {},
  seed = 1,
): Bed {
  const session: Partial<SessionOptions> = {
    congestionControl: kind === 'udp cubic' ? 'cubic' : 'bbr',
    ...options,
  };
  const bed = new Bed({ seed, paths: pathsOf(links, kind), client: session, server: session });
  bed.connect();
  if (!bed.establish()) throw new Error('the session was not established');
  return bed;
}

/** From here on a pause is seen. */
const STALL_MS = 250;

export interface Bulk {
  readonly mbps: number;
  readonly longestGapMs: number;
  /** Pauses of {@link STALL_MS} and more in what is read. */
  readonly stalls: number;
  /** Stream bytes sent again, of all sent, in percent. */
  readonly againPercent: number;
  /** Most that the sender held for the reader at the end, in MB. */
  readonly heldMb: number;
}

/** One stream as fast as it goes, from the moment the session is established. */
export function bulk(bed: Bed, seconds: number, during: (bed: Bed) => void = () => {}): Bulk {
  let stalls = 0;
  let lastAt = Number.POSITIVE_INFINITY;
  const reader = new Reader(bed.server, (_id, _offset, _length, now) => {
    if (now - lastAt >= STALL_MS) stalls += 1;
    lastAt = now;
  });
  new BulkSender(bed.client);
  let heldBytes = 0;
  const startedAt = bed.world.now;
  during(bed);
  for (let second = 0; second < seconds; second++) {
    bed.world.run({ untilMs: startedAt + (second + 1) * 1000 });
    heldBytes = Math.max(heldBytes, bed.client.session.bufferedBytes);
  }
  const { sentNewBytes, sentAgainBytes } = bed.client.session.counters;
  if (reader.wrongByteAt >= 0) throw new Error(`wrong byte at ${reader.wrongByteAt}`);
  if (bed.client.isClosed) throw bed.client.error ?? new Error('the session was closed');
  return {
    mbps: (reader.readBytes * 8) / (seconds * 1e6),
    longestGapMs: reader.longestGapMs,
    stalls,
    againPercent: (100 * sentAgainBytes) / Math.max(1, sentNewBytes + sentAgainBytes),
    heldMb: heldBytes / 1e6,
  };
}

export interface GapOptions {
  readonly load: 'bulk' | 'messages';
  readonly dark: readonly string[];
  readonly atMs: number;
  readonly darkMs: number;
}

export interface Gaps {
  /** Longest time between two reads from the moment of darkness until the end of it. */
  readonly darkGapMs: number;
  /** From the end of darkness to the first data, if nothing came before. */
  readonly returnGapMs: number;
}

/** Paths go dark in silence and come back. */
export function gaps(bed: Bed, options: GapOptions): Gaps {
  const reader = new Reader(bed.server);
  if (options.load === 'bulk') new BulkSender(bed.client);
  else new MessageSender(bed.client, { messageBytes: 200, intervalMs: 10 });
  bed.world.run({ untilMs: options.atMs });
  reader.resetGap();
  for (const name of options.dark) bed.paths.get(name)?.set({ black: true });
  bed.world.run({ forMs: options.darkMs });
  const last = Math.max(reader.longestGapMs, 0);
  const silentMs = bed.world.now - reader.lastReadAt;
  const lightAt = bed.world.now;
  reader.resetGap();
  let firstAt = Number.NaN;
  const before = reader.readBytes;
  for (const name of options.dark) bed.paths.get(name)?.set({ black: false });
  bed.world.run({ until: () => reader.readBytes > before, forMs: 60_000 });
  firstAt = reader.lastReadAt;
  bed.world.run({ forMs: 5_000 });
  if (reader.wrongByteAt >= 0) throw new Error(`wrong byte at ${reader.wrongByteAt}`);
  const isAllDark = options.dark.length === bed.paths.size;
  return {
    darkGapMs: isAllDark ? silentMs : last,
    returnGapMs: isAllDark ? firstAt - lightAt : reader.longestGapMs,
  };
}

/** A table as text, columns aligned, one row a line. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return `${[line(head), ...rows.map(line)].join('\n')}\n`;
}
