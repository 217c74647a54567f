/**
 * When the session's send buffer was full, `writable` was told only to the stream whose bytes were
 * acknowledged. A stream that had nothing under way itself, and was refused because of what others
 * had written, never heard of the room again. Found by reading.
 */
import { expect, it } from 'vitest';
import { Bed, symmetric } from '../../src/sim/index.js';

function bed(): Bed {
  const made = new Bed({
    seed: 'writable',
    client: { sendBufferBytes: 10_000 },
    paths: [{ name: 'only', carrier: 'udp', link: symmetric({ rateMbps: 50, rttMs: 10 }) }],
  });
  made.connect();
  expect(made.establish()).toBe(true);
  return made;
}

/** A stream whose buffer fills the session, and one that is refused for it. */
function fill(made: Bed): [number, number] {
  const { client, clientHost } = made;
  return clientHost.command((_core, now) => {
    const greedy = client.session.openStream({ unidirectional: true }, now) ?? -1;
    const modest = client.session.openStream({ unidirectional: true }, now) ?? -1;
    expect(client.session.write(greedy, new Uint8Array(20_000))).toBe(10_000);
    expect(client.session.write(modest, new Uint8Array(10))).toBe(0);
    return [greedy, modest];
  });
}

it('a stream that others had crowded out is told when there is room again', () => {
  const made = bed();
  const told: number[] = [];
  made.client.on((event) => {
    if (event.type === 'writable') told.push(event.streamId);
  });
  const [, modest] = fill(made);
  made.world.run({ forMs: 1_000 });
  expect(told).toContain(modest);
});

it('also when the room comes from a reset', () => {
  const made = bed();
  const told: number[] = [];
  made.client.on((event) => {
    if (event.type === 'writable') told.push(event.streamId);
  });
  made.paths.get('only')?.set({ black: true });
  const [greedy, modest] = fill(made);
  made.clientHost.command(() => made.client.session.reset(greedy, 1));
  made.world.run({ forMs: 10 });
  expect(told).toEqual([modest]);
});
