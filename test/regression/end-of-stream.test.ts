/**
 * How a stream ends must be told as it was. Three faults, found by random worlds (seeds 1, 7, 15)
 * and by reading:
 *
 * - `read` gave `'end'` for a stream that was gone. A reset removes the stream at once, so that an
 *   application which read before it had heard of the reset took the truncated data for all of it.
 * - A reset whose final size is what had arrived was taken for the end, and nobody was told.
 * - The same after `stopSending` left the stream in the table for ever.
 */
import { describe, expect, it } from 'vitest';
import { Bed, symmetric } from '../../src/sim/index.js';

function bed(): Bed {
  const made = new Bed({
    seed: 'ends',
    paths: [{ name: 'only', carrier: 'udp', link: symmetric({ rateMbps: 50, rttMs: 10 }) }],
  });
  made.connect();
  expect(made.establish()).toBe(true);
  return made;
}

/** The client opens a stream, writes, and the server has it all without having read it. */
function written(made: Bed, bytes: number): number {
  const { client, clientHost, world } = made;
  const id = clientHost.command((_core, now) =>
    client.session.openStream({ unidirectional: true }, now),
  );
  if (id === undefined) throw new Error('no stream');
  clientHost.command(() => client.session.write(id, new Uint8Array(bytes)));
  world.run({ forMs: 100 });
  return id;
}

describe('a stream that is reset', () => {
  it('never looks finished to a reader who has not heard of it yet', () => {
    const made = bed();
    const { client, clientHost, server, world } = made;
    const id = written(made, 1_000);
    const seen: unknown[] = [];
    // Reads at each event, before it looks at what the event is.
    server.on(() => seen.push(server.session.read(id, 100, world.now)));
    clientHost.command(() => client.session.reset(id, 7));
    world.run({ forMs: 100 });
    expect(seen).not.toContain('end');
    expect(server.events).toContainEqual({ type: 'streamReset', streamId: id, code: 7 });
  });

  it('is told as reset also if every byte before the reset had been read', () => {
    const made = bed();
    const { client, clientHost, server, world } = made;
    const id = written(made, 1_000);
    expect(server.session.read(id, 10_000, world.now)).toHaveLength(1_000);
    clientHost.command(() => client.session.reset(id, 7));
    world.run({ forMs: 100 });
    expect(server.events).toContainEqual({ type: 'streamReset', streamId: id, code: 7 });
    expect(server.session.streamCount).toBe(0);
    expect(client.session.streamCount).toBe(0);
  });
});

describe('a stream that its reader stopped', () => {
  it('leaves nothing behind at either end', () => {
    const made = bed();
    const { client, server, world } = made;
    const id = written(made, 1_000);
    server.host.command((_core, now) => server.session.stopSending(id, 9, now));
    world.run({ forMs: 1_000 });
    expect(client.events).toContainEqual({ type: 'streamStopped', streamId: id, code: 9 });
    expect(server.session.streamCount).toBe(0);
    expect(client.session.streamCount).toBe(0);
  });
});

describe('a stream that is finished', () => {
  it('tells its end although the end comes alone, after all was read', () => {
    const made = bed();
    const { client, clientHost, server, world } = made;
    const id = written(made, 1_000);
    expect(server.session.read(id, 10_000, world.now)).toHaveLength(1_000);
    expect(server.session.read(id, 10_000, world.now)).toBeUndefined();
    clientHost.command(() => client.session.finish(id));
    world.run({ forMs: 100 });
    expect(server.session.streamCount).toBe(1);
    expect(server.session.read(id, 10_000, world.now)).toBe('end');
    expect(server.session.streamCount).toBe(0);
    expect(server.session.read(id, 10_000, world.now)).toBeUndefined();
  });
});
