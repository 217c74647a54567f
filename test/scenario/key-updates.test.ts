/** Keys that change all the time, under loss and reordering (protocol.md#key-update). */
import { describe, expect, it } from 'vitest';
import { IDEAL_LINK, type LinkParams } from '../../src/sim/index.js';
import {
  type Carrier,
  download,
  established,
  expectOpen,
  runUntilRead,
  upload,
  way,
} from '../helpers/beds.js';

const MIB = 1_048_576;

/** Bad enough that packets of three phases are under way at a time. */
const ROUGH: Partial<LinkParams> = {
  ...IDEAL_LINK,
  rateBitsPerSec: 20e6,
  delayMs: 15,
  jitterMs: 12,
  reorder: true,
  loss: 0.02,
  duplicate: 0.02,
  queueMs: 50,
};

const SETS: readonly (readonly Carrier[])[] = [['udp'], ['tcp'], ['udp', 'udp', 'tcp']];

describe.each(SETS.map((one) => [one.join(', '), one] as const))(
  'keys over %s',
  (_name, carriers) => {
    it.each([
      [50, 50],
      [1, 1],
      [50, 2 ** 22],
      [2 ** 22, 7],
    ])('updated every %i (client) and %i (server) packets lose nothing', (atClient, atServer) => {
      const bed = established({
        seed: `keys ${carriers.join()} ${atClient} ${atServer}`,
        client: { keyUpdatePackets: atClient },
        server: { keyUpdatePackets: atServer },
        paths: carriers.map((carrier, i) => ({
          ...way(`${i}`, carrier, '20/30'),
          link: { up: ROUGH, down: ROUGH },
        })),
      });
      const up = upload(bed, { bytes: MIB });
      const down = download(bed, { bytes: MIB });
      runUntilRead(bed, up.reader, MIB, 60_000);
      runUntilRead(bed, down.reader, MIB, 60_000);
      expectOpen(bed);
      for (const end of [bed.client, bed.server]) {
        for (const { statistics } of end.session.paths()) {
          // What is older than two phases does not open any more; it was repeated long ago.
          const { rejectedPackets, receivedPackets } = statistics;
          expect(rejectedPackets).toBeLessThan(10 + receivedPackets);
        }
      }
    });
  },
);
