/** Beds for scenarios: links in one line, an established session, transfers with their figures. */
import { expect } from 'vitest';
import {
  Bed,
  type BedEnd,
  type BedOptions,
  type BedPathSpec,
  BulkSender,
  Reader,
  type SenderOptions,
  symmetric,
} from '../../src/sim/index.js';

export type Carrier = 'udp' | 'tcp';
export const CARRIERS: readonly Carrier[] = ['udp', 'tcp'];

/** `way('wifi', 'udp', '50/20')` is a path of 50 Mbit/s with a round trip of 20 ms. */
export function way(
  name: string,
  carrier: Carrier,
  link: string,
  rest: Partial<BedPathSpec> = {},
): BedPathSpec {
  const [rateMbps, rttMs] = link.split('/').map(Number);
  return {
    name,
    carrier,
    link: symmetric({ rateMbps: rateMbps ?? 1, rttMs: rttMs ?? 1 }),
    ...rest,
  };
}

/** A bed with its session established, and half a second to open all paths. */
export function established(options: BedOptions, names?: readonly string[]): Bed {
  const bed = new Bed(options);
  bed.connect({}, names === undefined ? undefined : [...names]);
  expect(bed.establish()).toBe(true);
  bed.world.run({ forMs: 500 });
  return bed;
}

/** A transfer from one end, checked at the other. */
export interface Transfer {
  readonly sender: BulkSender;
  readonly reader: Reader;
}

export function upload(bed: Bed, options: SenderOptions): Transfer {
  return { reader: new Reader(bed.server), sender: new BulkSender(bed.client, options) };
}

export function download(bed: Bed, options: SenderOptions): Transfer {
  return { reader: new Reader(bed.client), sender: new BulkSender(bed.server, options) };
}

/** Runs until a number of bytes was read, and checks that they are the right ones. */
export function runUntilRead(bed: Bed, reader: Reader, bytes: number, forMs: number): void {
  const result = bed.world.run({ until: () => reader.readBytes >= bytes, forMs });
  expect(reader.wrongByteAt, 'the first wrong byte').toBe(-1);
  expect(result, `${reader.readBytes} of ${bytes} bytes in ${forMs} ms`).toBe('done');
}

/** Nobody has accused anybody, and the session goes on. */
export function expectOpen(bed: Bed): void {
  for (const end of [bed.client, bed.server]) {
    expect(end.error?.message).toBeUndefined();
    expect(end.isClosed).toBe(false);
  }
}

export function statesOf(end: BedEnd): string[] {
  return end.session.paths().map(({ pathId, state }) => `${pathId} ${state}`);
}
