/** A running transfer over attacked paths, and what "unaffected" means (the threat tests). */
import { expect } from 'vitest';
import type { SessionEvent, SessionOptions } from '../../src/core/index.js';
import { BED_PORT, Bed, type BedOptions, type BedPathSpec } from '../../src/sim/bed.js';
import {
  BulkSender,
  type LinkPair,
  Middlebox,
  Reader,
  symmetric,
  type TapRecord,
  tap,
  World,
} from '../../src/sim/index.js';

export interface SceneOptions {
  readonly seed?: number;
  readonly carriers: readonly ('tcp' | 'udp')[];
  /** For all paths, or one each. */
  readonly links?: readonly LinkPair[];
  readonly bed?: Partial<BedOptions>;
  readonly connect?: Partial<SessionOptions>;
}

export const DEFAULT_LINK = symmetric({ rateMbps: 20, rttMs: 20 });

/** Paths `p1`, `p2`, ... with a box on each, through which the attacker works. */
export class Scene {
  readonly bed: Bed;
  readonly boxes: Middlebox[];
  readonly #options: SceneOptions;
  #sender: BulkSender | undefined;
  #reader: Reader | undefined;
  #eventsBefore: [number, number] = [0, 0];
  startedAt = 0;

  constructor(options: SceneOptions) {
    this.#options = options;
    const seed = options.seed ?? 1;
    const world = new World({ seed });
    this.boxes = options.carriers.map(() => new Middlebox(world));
    const paths = options.carriers.map(
      (carrier, index): BedPathSpec => ({
        name: `p${index + 1}`,
        carrier,
        link: options.links?.[index] ?? options.links?.[0] ?? DEFAULT_LINK,
        boxes: [this.box(index)],
      }),
    );
    this.bed = new Bed({ seed, world, paths, ...options.bed });
  }

  box(index = 0): Middlebox {
    const box = this.boxes[index];
    if (box === undefined) throw new Error(`there is no path ${index}`);
    return box;
  }

  get sender(): BulkSender {
    if (this.#sender === undefined) throw new Error('begin() comes first');
    return this.#sender;
  }

  get reader(): Reader {
    if (this.#reader === undefined) throw new Error('begin() comes first');
    return this.#reader;
  }

  /** Establishes the session and starts a transfer from one end. */
  begin(bytes: number, from: 'server' | 'client' = 'server'): this {
    this.establish();
    this.transfer(bytes, from);
    this.run(200);
    this.mark();
    return this;
  }

  establish(): this {
    this.bed.connect({ ...this.#options.connect });
    expect(this.bed.establish()).toBe(true);
    this.run(300);
    return this;
  }

  transfer(bytes: number, from: 'server' | 'client' = 'server'): void {
    const { client, server } = this.bed;
    this.#reader = new Reader(from === 'server' ? client : server);
    this.#sender = new BulkSender(from === 'server' ? server : client, { bytes });
    this.startedAt = this.bed.world.now;
  }

  /** From here on the application shall see nothing. */
  mark(): void {
    this.#eventsBefore = [this.bed.client.events.length, this.bed.server.events.length];
  }

  run(forMs: number): void {
    this.bed.world.run({ forMs });
  }

  /** Runs until all has arrived. Returns how long the transfer took, in ms. */
  finish(forMs = 120_000): number {
    const { reader, sender } = this;
    const isThere = () => reader.readBytes >= sender.totalBytes && reader.endedStreams > 0;
    const result = this.bed.world.run({ until: isThere, forMs });
    expect(result, `${reader.readBytes} of ${sender.totalBytes} bytes`).toBe('done');
    expect(reader.wrongByteAt).toBe(-1);
    expect(reader.readBytes).toBe(sender.totalBytes);
    expect(reader.endedStreams).toBe(1);
    return this.bed.world.now - this.startedAt;
  }

  /** What the applications were told since {@link mark}, but for the streams that end. */
  news(): SessionEvent[] {
    const { client, server } = this.bed;
    const [a, b] = this.#eventsBefore;
    const all = [...client.events.slice(a), ...server.events.slice(b)];
    return all.filter((event) => event.type !== 'stream' && event.type !== 'streamClosed');
  }

  /** All bytes arrive as they were sent, and the applications hear of nothing. */
  expectUnaffected(forMs = 120_000): number {
    const took = this.finish(forMs);
    expect(this.news()).toEqual([]);
    return took;
  }

  serverAddress(index = 0): string {
    return `${this.path(index).serverAddress}:${BED_PORT}`;
  }

  path(index = 0) {
    const path = this.bed.paths.get(`p${index + 1}`);
    if (path === undefined) throw new Error(`there is no path ${index}`);
    return path;
  }

  /** Everything that the box sees from now on. */
  tap(index = 0): TapRecord[] {
    const records: TapRecord[] = [];
    const box = this.box(index);
    box.policies.push(tap(records));
    return records;
  }

  /** Makes the server's packets to a host pass through the box, so that they can be counted. */
  reachable(host: string, index = 0): void {
    this.path(index).announce(host);
  }
}

/** UDP payload bytes to an address. */
export function bytesTo(records: readonly TapRecord[], address: string): number {
  let sum = 0;
  for (const one of records) if (one.destination === address) sum += one.bytes.length;
  return sum;
}

export function bytesFrom(records: readonly TapRecord[], address: string): number {
  let sum = 0;
  for (const one of records) if (one.source === address) sum += one.bytes.length;
  return sum;
}
