/**
 * `close()` reported success although the peer never got the data: a CLOSE without an error ended
 * the session as if all was well, also if it came while the other end had data under way.
 */
import { describe, expect, it } from 'vitest';
import { UndeliveredError } from '../../src/core/index.js';
import { CARRIERS, download, established, way } from '../helpers/beds.js';

/** A stream takes so much at once, however slow the path. */
const BYTES = 200 * 1024;

describe.each(CARRIERS)('a graceful close by the peer over %s', (carrier) => {
  it('is an error for who has data under way, with how far it came', () => {
    const bed = established({ seed: `lost ${carrier}`, paths: [way('only', carrier, '2/40')] });
    const { client, server, world } = bed;
    const { sender } = download(bed, { bytes: BYTES });
    world.run({ forMs: 10 });
    server.host.command((_core, now) => server.session.close(now));
    world.run({ forMs: 200 });
    expect([client.isClosed, server.isClosed]).toEqual([false, false]);
    client.host.command((_core, now) => client.session.close(now));
    world.run({ forMs: 1_000 });
    expect([client.isClosed, client.error]).toEqual([true, undefined]);
    expect(server.error).toBeInstanceOf(UndeliveredError);
    const { streams } = server.error as UndeliveredError;
    expect(streams.map(({ streamId }) => streamId)).toEqual([sender.streamId]);
    expect(streams[0]?.writtenBytes).toBe(BYTES);
    expect(streams[0]?.acknowledgedBytes).toBeLessThan(BYTES);
  });

  it('is none if only the end of a stream is not acknowledged', () => {
    const bed = established({ seed: `end ${carrier}`, paths: [way('only', carrier, '20/40')] });
    const { client, server, world } = bed;
    const { session } = client;
    const streamId =
      client.host.command((_core, now) => session.openStream({ unidirectional: true }, now)) ?? -1;
    client.host.command(() => session.write(streamId, new Uint8Array(5_000)));
    const written = world.run({ until: () => session.bufferedBytes === 0, forMs: 1_000 });
    expect(written).toBe('done');
    client.host.command(() => session.finish(streamId));
    server.host.command((_core, now) => server.session.close(now));
    world.run({ forMs: 1_000 });
    expect([client.isClosed, client.error]).toEqual([true, undefined]);
  });
});

describe('who has read all of it and closes at once', () => {
  it('says so with the CLOSE, also of what came by a slower path', () => {
    for (let run = 0; run < 20; run++) {
      const bed = established({
        seed: `at once ${run}`,
        paths: [way('fast', 'udp', '10/10'), way('slow', 'udp', '10/90')],
      });
      const { client, server, world } = bed;
      const bytes = 200_000 + run * 777;
      const { reader } = download(bed, { bytes });
      const read = world.run({ until: () => reader.readBytes >= bytes, forMs: 5_000 });
      expect(read).toBe('done');
      client.host.command((_core, now) => client.session.close(now));
      world.run({ forMs: 2_000 });
      expect([client.isClosed, client.error?.message]).toEqual([true, undefined]);
      expect([server.isClosed, server.error?.message]).toEqual([true, undefined]);
    }
  });
});
