/**
 * What every stream does, whatever state it is in: one `close`, last; errors at most once, before it;
 * callbacks that are always called; nothing left behind.
 */
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import type { InMemoryPair, RovingStream } from '../../src/node/index.js';
import { closed, collect, joined, turns, withPair } from '../helpers/node-pair.js';
import { TestPrng } from '../helpers/prng.js';

type CodedError = Error & { readonly code?: string };

function record(stream: RovingStream): string[] {
  const log: string[] = [];
  for (const name of ['end', 'finish', 'close']) stream.on(name, () => log.push(name));
  stream.on('error', (error: CodedError) => log.push(`error ${error.code}`));
  return log;
}

/** The states in which a stream can be, each with who brings it there. */
const STATES: Readonly<Record<string, (pair: InMemoryPair) => Promise<RovingStream>>> = {
  'is waiting for the peer to allow it': async ({ client }) => {
    for (let i = 0; i < 2; i++) client.openStream();
    return client.openStream();
  },
  'is waiting, with something written and ended': async ({ client }) => {
    for (let i = 0; i < 2; i++) client.openStream();
    return client.openStream().end('unsent');
  },
  'has just been opened': async ({ client }) => client.openStream(),
  'is open': async (pair) => (await joined(pair))[0],
  'was accepted': async (pair) => (await joined(pair))[1],
  'has a write that was not taken': async (pair) => {
    const [ours] = await joined(pair);
    ours.write(Buffer.alloc(1_000_000));
    return ours;
  },
  'is ending, with a write that was not taken': async (pair) => {
    const [ours] = await joined(pair);
    return ours.end(Buffer.alloc(1_000_000));
  },
  'has ended its side': async (pair) => {
    const [ours] = await joined(pair);
    await once(ours.end(), 'finish');
    return ours;
  },
  'has unread data': async (pair) => {
    const [ours, theirs] = await joined(pair);
    theirs.write('unread');
    await once(ours, 'readable');
    return ours;
  },
  'has read to the end': async (pair) => {
    const [ours, theirs] = await joined(pair);
    theirs.end();
    await once(ours.resume(), 'end');
    return ours;
  },
  'only writes': async (pair) => (await joined(pair, { unidirectional: true }))[0],
  'only reads': async (pair) => (await joined(pair, { unidirectional: true }))[1],
};

const SMALL = {
  client: { streamSendBufferBytes: 10_000 },
  server: { maxStreamsBidi: 2, streamReceiveWindowBytes: 10_000 },
};

describe.each(Object.entries(STATES))('a stream that %s', (_name, bring) => {
  it.each([
    ['destroy', (stream: RovingStream) => stream.destroy(), []],
    ['an error', (stream: RovingStream) => stream.destroy(codedError()), ['error MINE']],
    ['reset', (stream: RovingStream) => stream.reset(5), []],
  ] as const)('closes once by %s, however often', (_by, act, errors) =>
    withPair(SMALL, async (pair) => {
      const stream = await bring(pair);
      const log = record(stream);
      const gone = closed(stream);
      act(stream);
      act(stream);
      stream.destroy();
      await gone;
      await turns(30);
      expect(log).toEqual([...errors, 'close']);
      expect([stream.destroyed, stream.closed, stream.connecting]).toEqual([true, true, false]);
    }),
  );

  it('calls back a write after destroy with an error, and emits nothing more', () =>
    withPair(SMALL, async (pair) => {
      const stream = await bring(pair);
      stream.destroy();
      await closed(stream);
      const log = record(stream);
      const code = await new Promise((resolve) => {
        stream.write('late', (error) => resolve((error as CodedError | null)?.code));
      });
      await turns(5);
      expect(code).toMatch(/^ERR_STREAM_(DESTROYED|WRITE_AFTER_END)$/);
      expect(log).toEqual([]);
      expect(stream.setTimeout(1).ref().unref().setNoDelay().destroyed).toBe(true);
    }));

  it('closes once when its session is aborted, at either end', () =>
    withPair(SMALL, async (pair) => {
      const stream = await bring(pair);
      const log = record(stream);
      const gone = closed(stream);
      pair.client.abort(5);
      await gone;
      await turns(30);
      expect(log.filter((one) => one === 'close')).toEqual(['close']);
      expect(log.at(-1)).toBe('close');
      expect(log[0]).toMatch(/^error ERR_(ABORTED|CLOSED_BY_PEER)$/);
      expect(log.length).toBe(2);
    }));
});

function codedError(): CodedError {
  return Object.assign(new Error('mine'), { code: 'MINE' });
}

describe('a stream', () => {
  it('fails by a write after its end, and the peer gets what was before', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const log = record(ours);
      ours.end('whole');
      ours.write('too much');
      expect((await collect(theirs)).toString()).toBe('whole');
      await turns(5);
      expect(log).toEqual(['finish', 'error ERR_STREAM_WRITE_AFTER_END', 'close']);
    }));

  it('keeps to itself an error that comes after its close', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const log = record(ours);
      theirs.resume().end();
      ours.resume().end();
      await once(ours, 'close');
      ours.destroy(codedError());
      pair.client.abort();
      await turns(20);
      expect([...log].sort()).toEqual(['close', 'end', 'finish']);
      expect(log.at(-1)).toBe('close');
    }));

  it('is a link of a pipeline both ways', () =>
    withPair({}, async ({ client, server }) => {
      server.on('stream', (stream) => pipeline(stream, stream).catch(() => undefined));
      const body = Buffer.from(new TestPrng(1).bytes(500_000));
      const pieces = Array.from({ length: 50 }, (_, i) =>
        body.subarray(i * 10_000, (i + 1) * 10_000),
      );
      const sink = new PassThrough();
      const got = sink.toArray();
      await pipeline(Readable.from(pieces), client.openStream(), sink);
      expect(Buffer.concat(await got).equals(body)).toBe(true);
      await turns(20);
      expect(client.statistics.streamCount).toBe(0);
    }));

  it('fails a pipeline at the other end, when one end of it fails', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const sink = new PassThrough();
      const piping = pipeline(theirs, sink);
      ours.write('some');
      await once(sink, 'readable');
      ours.destroy(codedError());
      await expect(piping).rejects.toMatchObject({ code: 'ERR_STREAM_RESET' });
      expect(sink.destroyed).toBe(true);
    }));

  it('is left by the break of an iteration, and the peer hears of it', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      ours.write('first');
      for await (const chunk of theirs) {
        expect(chunk.toString()).toBe('first');
        break;
      }
      expect(theirs.destroyed).toBe(true);
      await closed(ours);
      expect(ours.errored).toMatchObject({ code: 'ERR_STREAM_RESET' });
    }));

  it('leaves nothing behind: ten thousand, one after the other', () =>
    withPair({ carriers: 1 }, async ({ client, server }) => {
      server.on('stream', (stream) => stream.resume().end());
      for (let i = 0; i < 100; i++) {
        const streams = Array.from({ length: 100 }, () => client.openStream());
        await Promise.all(streams.map((stream) => closed(stream.resume().end('.'))));
      }
      await turns(50);
      const nothing = { streamCount: 0, pendingStreamCount: 0, bufferedBytes: 0 };
      expect(client.statistics).toMatchObject(nothing);
      expect(server.statistics).toMatchObject(nothing);
    }));
});
