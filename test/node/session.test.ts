import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.js';
import { createMemoryCarriers } from '../../src/node/carriers/memory.js';
import { connectInMemory } from '../../src/node/index.js';
import type { RovingSession } from '../../src/node/session.js';
import { MAX_PENDING_STREAMS } from '../../src/node/session-streams.js';
import { collect, joined, turns, withPair } from '../helpers/node-pair.js';

function closeOf(session: RovingSession): Promise<string | undefined> {
  return new Promise((resolve) => session.once('close', (error) => resolve(error?.code)));
}

describe('a session', () => {
  it('is established over all carriers at once', () =>
    withPair({ carriers: 3 }, async ({ client, server }) => {
      await turns(100);
      expect([client.role, server.role]).toEqual(['client', 'server']);
      expect(client.paths.map((path) => path.state)).toEqual(['active', 'active', 'active']);
      expect(client.paths.map((path) => path.local).sort()).toEqual([
        'memory0-client:1',
        'memory1-client:1',
        'memory2-client:1',
      ]);
      expect(server.paths.length).toBe(3);
    }));

  it('says why nothing came of it', async () => {
    const attempt = connectInMemory({ carriers: 0, client: { connectTimeoutMs: 20 } });
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_CONNECT_TIMEOUT' });
  });

  it('goes on over a path that is added, when the first one is cut', () =>
    withPair({ carriers: 2 }, async (pair) => {
      const { client, server, carriers } = pair;
      const changes: string[] = [];
      client.on('path', ({ state, local }) => changes.push(`${state} ${local}`));
      const [ours, theirs] = await joined(pair);
      carriers[0]?.cut();
      ours.write('hello');
      await turns(50);
      expect(changes).toContain('closed undefined');
      expect(client.paths.length).toBe(1);
      expect(theirs.read()?.toString()).toBe('hello');
      expect(server.paths.length).toBe(1);
    }));

  it('closes when everything that was written has arrived, also what had not been taken yet', () =>
    withPair(
      { client: { streamSendBufferBytes: 10_000 }, server: { streamReceiveWindowBytes: 20_000 } },
      async ({ client, server }) => {
        const lengths: Promise<number>[] = [];
        server.on('stream', (stream) => {
          lengths.push(collect(stream).then((bytes) => bytes.length));
        });
        for (let i = 0; i < 5; i++) client.openStream().write(Buffer.alloc(300_000));
        const ends = [closeOf(client), closeOf(server)];
        await client.close();
        expect(await Promise.all(lengths)).toEqual(new Array(5).fill(300_000));
        expect(await Promise.all(ends)).toEqual([undefined, undefined]);
        expect([client.isClosed, server.isClosed]).toEqual([true, true]);
      },
    ));

  it('can be closed again and again, and takes no stream afterwards', () =>
    withPair({}, async ({ client }) => {
      const all = [client.close(), client.close()];
      expect(() => client.openStream()).toThrow(UsageError);
      await Promise.all(all);
      await client.close();
      await client[Symbol.asyncDispose]();
      client.abort();
    }));

  it('what had arrived can be read after the peer has closed', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      ours.end(Buffer.alloc(50_000));
      await pair.client.close();
      await turns(20);
      expect(pair.server.isClosed).toBe(true);
      expect((await collect(theirs)).length).toBe(50_000);
    }));

  it('that is aborted fails at both ends, with the streams on it', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const codes: unknown[] = [];
      for (const stream of [ours, theirs]) {
        stream.on('error', (error: Error & { code?: string }) => codes.push(error.code));
      }
      const ends = [closeOf(pair.client), closeOf(pair.server)];
      pair.client.abort(5, 'enough');
      expect(await Promise.all(ends)).toEqual(['ERR_ABORTED', 'ERR_CLOSED_BY_PEER']);
      await turns(5);
      expect(codes).toEqual(['ERR_ABORTED', 'ERR_CLOSED_BY_PEER']);
      expect([ours.closed, theirs.closed]).toEqual([true, true]);
    }));

  it('rejects a close that the peer cuts short', () =>
    withPair({}, async (pair) => {
      const [ours] = await joined(pair);
      ours.on('error', () => undefined);
      ours.write(Buffer.alloc(30_000_000));
      const closing = pair.client.close();
      pair.server.abort(5);
      await expect(closing).rejects.toMatchObject({ code: 'ERR_CLOSED_BY_PEER', closeCode: 5 });
    }));

  it('lets streams wait until the peer allows more, in the order of their opening', () =>
    withPair({ server: { maxStreamsBidi: 2 } }, async ({ client, server }) => {
      const order: string[] = [];
      server.on('stream', async (stream) => {
        order.push((await collect(stream)).toString());
        stream.end();
      });
      const streams = Array.from({ length: 7 }, (_, i) => client.openStream().end(`stream ${i}`));
      expect(streams.map((stream) => stream.pending)).toEqual([
        false,
        false,
        ...new Array(5).fill(true),
      ]);
      for (const stream of streams) stream.resume();
      await Promise.all(streams.map((stream) => once(stream, 'close')));
      expect(order).toEqual(Array.from({ length: 7 }, (_, i) => `stream ${i}`));
    }));

  it(`lets no more than ${MAX_PENDING_STREAMS} streams wait`, () =>
    withPair({ server: { maxStreamsBidi: 1 } }, async ({ client, server }) => {
      server.on('stream', () => undefined);
      for (let i = 0; i <= MAX_PENDING_STREAMS; i++) client.openStream().on('error', () => {});
      expect(() => client.openStream()).toThrow(UsageError);
    }));

  it('refuses paths at the server', () =>
    withPair({}, async ({ server }) => {
      expect(() => server.addPath(createMemoryCarriers().client)).toThrow(UsageError);
    }));

  it('lets timers and sockets have their turn while it is busy', () =>
    withPair({}, async ({ client, server }) => {
      const received = once(server, 'stream').then(([stream]) => once(stream.resume(), 'end'));
      const stream = client.openStream({ unidirectional: true });
      const piece = Buffer.alloc(65_536);
      for (let i = 0; i < 160; i++) stream.write(piece);
      stream.end();
      let otherTurns = 0;
      let isDone = false;
      const count = (): void => {
        otherTurns += 1;
        if (!isDone) setImmediate(count);
      };
      setImmediate(count);
      await received;
      isDone = true;
      // 10 MB at 256 KiB a turn and carrier: in tens of turns, never in a few long ones.
      expect(otherTurns).toBeGreaterThan(10);
    }));
});
