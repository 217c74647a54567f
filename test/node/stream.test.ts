import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import type { RovingStream } from '../../src/node/stream.js';
import { closed, collect, joined, turns, withPair } from '../helpers/node-pair.js';
import { TestPrng } from '../helpers/prng.js';

const KIB = 1024;

/** What happens to a stream, in order. */
function record(stream: RovingStream): string[] {
  const log: string[] = [];
  for (const name of ['end', 'finish', 'close']) stream.on(name, () => log.push(name));
  stream.on('error', (error: Error & { code?: string }) => log.push(`error ${error.code}`));
  return log;
}

for (const kind of ['stream', 'datagram'] as const) {
  describe(`streams over two ${kind} carriers`, () => {
    const carriers = [{ kind }, { kind }];

    it('deliver every byte in order, both ways at once', () =>
      withPair({ carriers }, async ({ client, server }) => {
        const there = Buffer.from(new TestPrng(1).bytes(2_000_000));
        const back = Buffer.from(new TestPrng(2).bytes(1_500_000));
        const answered = new Promise<Buffer>((resolve) => {
          server.on('stream', (stream) => {
            stream.end(back);
            resolve(collect(stream));
          });
        });
        const stream = client.openStream();
        stream.end(there);
        const [got, gotThere] = await Promise.all([collect(stream), answered]);
        expect(got.equals(back)).toBe(true);
        expect(gotThere.equals(there)).toBe(true);
      }));

    it('work under pipeline and survive the loss of a carrier', () =>
      withPair({ carriers }, async ({ client, server, carriers: [first] }) => {
        const prng = new TestPrng(3);
        const pieces = Array.from({ length: 200 }, () => Buffer.from(prng.bytes(20_000)));
        const received = new Promise<Buffer>((resolve) => {
          server.on('stream', (stream) => resolve(collect(stream)));
        });
        let sent = 0;
        const source = Readable.from(
          (function* () {
            for (const piece of pieces) {
              if (++sent === 100) first?.cut();
              yield piece;
            }
          })(),
        );
        const stream = client.openStream({ unidirectional: true });
        await pipeline(source, stream);
        expect((await received).equals(Buffer.concat(pieces))).toBe(true);
        expect(client.paths.length).toBe(1);
      }));
  });
}

describe('a stream', () => {
  it('takes strings, and memory that its writer uses again', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const reused = Buffer.alloc(10_000);
      for (let i = 1; i <= 3; i++) {
        reused.fill(i);
        await new Promise((resolve) => ours.write(reused, resolve));
      }
      reused.fill(9);
      ours.write('grüße', 'utf8');
      ours.end('00ff', 'hex');
      const got = await collect(theirs);
      for (let i = 0; i < 3; i++) expect(got[i * 10_000]).toBe(i + 1);
      expect(got.subarray(30_000).toString('hex')).toBe(
        `${Buffer.from('grüße').toString('hex')}00ff`,
      );
    }));

  it('holds the writer back until the reader reads, from end to end', () =>
    withPair(
      {
        client: { streamSendBufferBytes: 64 * KIB },
        server: { receiveWindowBytes: 64 * KIB, streamReceiveWindowBytes: 64 * KIB },
      },
      async (pair) => {
        const [ours, theirs] = await joined(pair);
        const piece = Buffer.alloc(16 * KIB);
        let accepted = 0;
        const write = (left: number): void => {
          ours.write(piece, () => {
            accepted += piece.length;
            if (left > 1) write(left - 1);
          });
        };
        write(64);
        // The send buffer, the receive window, and Node's own buffer at the reader fill up.
        while (accepted < 128 * KIB) await turns(1);
        await turns(500);
        expect(ours.writableLength).toBe(piece.length);
        expect(ours.write(Buffer.alloc(64 * KIB))).toBe(false);
        expect(accepted).toBeLessThanOrEqual((64 + 64 + 64) * KIB + 4 * piece.length);
        const drained = once(ours, 'drain');
        theirs.resume();
        await drained;
        while (accepted < 64 * piece.length) await turns(1);
        ours.end();
        await once(theirs, 'end');
      },
    ));

  it('is half-closed by end: the other direction goes on', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const log = record(ours);
      ours.end('question');
      expect((await collect(theirs)).toString()).toBe('question');
      await turns(50);
      expect(log).toEqual(['finish']);
      theirs.write('answer, ');
      await turns(50);
      theirs.end('given late');
      expect((await collect(ours)).toString()).toBe('answer, given late');
      await turns(5);
      expect(log).toEqual(['finish', 'end', 'close']);
      expect(theirs.closed).toBe(true);
    }));

  it('ends by itself when the peer has, if half-open streams are not allowed', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair, { allowHalfOpen: false });
      const log = record(ours);
      ours.resume();
      theirs.resume().end();
      await once(ours, 'close');
      expect(log).toEqual(['end', 'finish', 'close']);
    }));

  it('that is unidirectional can only be read at the other end', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair, { unidirectional: true });
      expect([ours.readable, theirs.writable]).toEqual([false, false]);
      const log = record(ours);
      ours.end('one way');
      expect((await collect(theirs)).toString()).toBe('one way');
      await turns(5);
      expect(log).toEqual(['finish', 'close']);
    }));

  it('when destroyed fails at the peer with its code, and closes once at both ends', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const logs = [record(ours), record(theirs)];
      const failed = once(theirs, 'error');
      ours.reset(42);
      const [error] = (await failed) as [Error & { applicationCode: number }];
      expect(error.applicationCode).toBe(42);
      await turns(50);
      expect(logs).toEqual([['close'], ['error ERR_STREAM_RESET', 'close']]);
    }));

  it('is still readable when the peer wants nothing more of it', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const log = record(ours);
      theirs.end('413 too large');
      await once(theirs, 'finish');
      theirs.reset(7);
      await turns(50);
      ours.write(Buffer.alloc(100_000));
      expect((await collect(ours)).toString()).toBe('413 too large');
      await turns(5);
      expect(log).toEqual(['end', 'error ERR_STREAM_STOPPED', 'close']);
    }));

  it('that only writes fails at once when the peer stops reading', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair, { unidirectional: true });
      const log = record(ours);
      theirs.destroy();
      await closed(ours);
      expect(log).toEqual(['error ERR_STREAM_STOPPED', 'close']);
    }));

  it('calls back a write that it could not take, when it is destroyed', () =>
    withPair({ client: { streamSendBufferBytes: 1_000 } }, async (pair) => {
      const [ours] = await joined(pair);
      const written = new Promise<Error & { code?: string }>((resolve) => {
        ours.write(Buffer.alloc(5_000_000), (error) => resolve(error as Error));
      });
      ours.destroy();
      expect((await written).code).toBe('ERR_ABORTED');
    }));

  it('that nobody listens for is reset', () =>
    withPair({}, async ({ client }) => {
      const stream = client.openStream();
      const log = record(stream);
      stream.write('is there anybody?');
      await closed(stream);
      expect(log).toEqual(['error ERR_STREAM_RESET', 'close']);
    }));
});
