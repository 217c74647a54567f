import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/core/index.js';
import { splitAddress } from '../../src/node/socket-surface.js';
import { closed, collect, joined, turns, withPair } from '../helpers/node-pair.js';

const MIB = 1 << 20;

describe('a stream as a socket', () => {
  it('says when it is open, to the end that opened it', () =>
    withPair({}, async ({ client, server }) => {
      const log: string[] = [];
      server.on('stream', (stream) => {
        for (const name of ['connect', 'ready']) stream.on(name, () => log.push(`theirs ${name}`));
      });
      const stream = client.openStream();
      expect([stream.pending, stream.connecting, stream.readyState]).toEqual([
        false,
        false,
        'open',
      ]);
      for (const name of ['connect', 'ready']) stream.on(name, () => log.push(name));
      stream.write('.');
      await turns(20);
      expect(log).toEqual(['connect', 'ready']);
    }));

  it('is connecting while it waits for the peer to allow it', () =>
    withPair({ server: { maxStreamsBidi: 1 } }, async (pair) => {
      const [first, theirs] = await joined(pair);
      const second = pair.client.openStream();
      expect([second.pending, second.connecting, second.readyState]).toEqual([
        true,
        true,
        'opening',
      ]);
      const open = once(second, 'connect');
      first.end();
      theirs.end();
      first.resume();
      theirs.resume();
      await open;
      expect([second.pending, second.connecting, second.readyState]).toEqual([
        false,
        false,
        'open',
      ]);
      second.destroy();
      expect([second.connecting, second.readyState]).toEqual([false, 'closed']);
    }));

  it('names the directions that are open', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      ours.end();
      await once(ours, 'finish');
      expect(ours.readyState).toBe('readOnly');
      await once(theirs.resume(), 'end');
      expect(theirs.readyState).toBe('writeOnly');
    }));

  it('has the addresses of the best path, and none when there is no path', () =>
    withPair({ carriers: 2 }, async (pair) => {
      const [ours, theirs] = await joined(pair);
      for (const path of pair.client.paths) {
        if (path.local.startsWith('memory0')) pair.client.setPathStatus(path.pathId, 'backup');
      }
      await turns(50);
      expect([ours.localAddress, ours.localPort, ours.localFamily]).toEqual([
        'memory1-client',
        1,
        undefined,
      ]);
      expect([theirs.remoteAddress, theirs.remotePort, theirs.remoteFamily]).toEqual([
        'memory1-client',
        1,
        undefined,
      ]);
      expect(ours.address()).toEqual({});
      for (const { pathId } of pair.client.paths) pair.client.abandonPath(pathId);
      expect(ours.remoteAddress).toBeUndefined();
    }));

  it.each([
    ['192.0.2.1:80', { host: '192.0.2.1', port: 80 }],
    ['[2001:db8::1]:443', { host: '2001:db8::1', port: 443 }],
    ['2001:db8::1', { host: '2001:db8:', port: 1 }],
    ['wifi', { host: 'wifi', port: undefined }],
  ])('reads the address %s', (text, expected) => {
    expect(splitAddress(text)).toEqual(expected);
  });

  it('counts what it has read and written, taken or not', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const writtenBefore = ours.bytesWritten;
      expect([writtenBefore, theirs.bytesRead]).toEqual([1, 1]);
      ours.write(Buffer.alloc(9 * MIB));
      ours.write(Buffer.alloc(1_000));
      expect(ours.bytesWritten).toBe(1 + 9 * MIB + 1_000);
      // What the session takes before it knows how fast its paths are.
      expect(ours.unacknowledgedBytes).toBeGreaterThanOrEqual(MIB / 4);
      ours.end();
      const got = await collect(theirs);
      expect([got.length, theirs.bytesRead]).toEqual([9 * MIB + 1_000, 1 + got.length]);
      // The last acknowledgement waits for a timer.
      while (ours.unacknowledgedBytes > 0) await turns(1);
      expect(ours.bytesWritten).toBe(1 + got.length);
    }));

  it('takes what it need not do without complaint', () =>
    withPair({}, async ({ client }) => {
      const stream = client.openStream();
      expect(stream.setNoDelay(true).setKeepAlive(true, 1_000)).toBe(stream);
      expect(stream.ref().unref().unref().ref()).toBe(stream);
    }));

  it('ends and then closes by destroySoon, with all that was written delivered', () =>
    withPair({ client: { streamSendBufferBytes: 10_000 } }, async (pair) => {
      const [ours, theirs] = await joined(pair);
      ours.write(Buffer.alloc(300_000));
      ours.destroySoon();
      expect(ours.destroyed).toBe(false);
      expect((await collect(theirs)).length).toBe(300_000);
      await turns(5);
      expect([ours.destroyed, theirs.destroyed, theirs.errored]).toEqual([true, true, null]);
    }));

  it('fails at the peer by resetAndDestroy', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      const failed = once(theirs, 'error');
      expect(ours.resetAndDestroy()).toBe(ours);
      expect((await failed)[0]).toMatchObject({ code: 'ERR_STREAM_RESET' });
    }));

  it('is destroyed by its signal, before it is open and later', () =>
    withPair({ server: { maxStreamsBidi: 1 } }, async (pair) => {
      const codes: unknown[] = [];
      const listen = (signal: AbortSignal) =>
        pair.client
          .openStream({ signal })
          .on('error', (error: Error & { code?: string }) => codes.push(error.code));
      const early = listen(AbortSignal.abort());
      const controller = new AbortController();
      const open = listen(controller.signal);
      const waiting = listen(controller.signal);
      expect([early.pending, open.pending, waiting.pending]).toEqual([true, false, true]);
      controller.abort();
      await closed(waiting);
      expect(codes).toEqual(['ABORT_ERR', 'ABORT_ERR', 'ABORT_ERR']);
      expect(pair.client.statistics).toMatchObject({ streamCount: 0, pendingStreamCount: 0 });
    }));

  it('is disposed of, finished or not', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      await ours[Symbol.asyncDispose]();
      await ours[Symbol.asyncDispose]();
      await closed(theirs);
      expect([ours.errored, theirs.errored]).toMatchObject([null, { code: 'ERR_STREAM_RESET' }]);
    }));
});

describe('the timeout of a stream', () => {
  it('is told, once for each time of silence, and ends nothing', () =>
    withPair({}, async (pair) => {
      const [ours] = await joined(pair);
      let told = 0;
      ours.on('timeout', () => (told += 1));
      const first = new Promise<void>((resolve) => ours.setTimeout(5, resolve));
      expect(ours.timeout).toBe(5);
      await first;
      await turns(20);
      expect([told, ours.destroyed]).toEqual([1, false]);
      const second = once(ours, 'timeout');
      ours.write('again');
      await second;
      expect(told).toBe(2);
    }));

  it('does not come while the peer acknowledges what was written long ago', () =>
    withPair({}, async (pair) => {
      const [ours, theirs] = await joined(pair);
      await turns(50);
      let goOff = (): void => undefined;
      let refreshes = 0;
      const timer = { unref: () => undefined, refresh: () => (refreshes += 1) };
      vi.spyOn(globalThis, 'setTimeout').mockImplementationOnce((callback) => {
        goOff = callback;
        return timer as unknown as NodeJS.Timeout;
      });
      let told = 0;
      ours.setTimeout(1_000).on('timeout', () => (told += 1));
      ours.write(Buffer.alloc(MIB));
      await once(theirs, 'readable');
      while (ours.unacknowledgedBytes > 0) await turns(1);
      refreshes = 0;
      goOff();
      expect([refreshes, told]).toEqual([1, 0]);
      goOff();
      expect([refreshes, told]).toEqual([1, 1]);
      theirs.resume();
    }));

  it('is taken back by 0, and does not outlive the stream', () =>
    withPair({}, async ({ client }) => {
      const [stream, other] = [client.openStream(), client.openStream()];
      const told: string[] = [];
      const listener = (): void => {
        told.push('first');
      };
      stream.setTimeout(1, listener).setTimeout(0, listener);
      expect([stream.listenerCount('timeout'), stream.timeout]).toEqual([0, 0]);
      other.setTimeout(1, () => told.push('second')).destroy();
      other.setTimeout(1, () => told.push('third'));
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(told).toEqual([]);
    }));

  it('takes no nonsense', () =>
    withPair({}, async ({ client }) => {
      const stream = client.openStream();
      for (const value of [-1, Number.NaN, '5']) {
        expect(() => stream.setTimeout(value as number)).toThrow(UsageError);
      }
    }));
});

describe('diagnostics channels', () => {
  it('tell of sessions, paths and streams', async () => {
    const names = ['session:established', 'session:closed', 'path:state', 'stream:open'] as const;
    const all = [...names, 'stream:close'].map((name) => `roving:${name}`);
    const heard: string[] = [];
    const listener = (_message: unknown, name: string | symbol): void => {
      heard.push(String(name));
    };
    for (const name of all) subscribe(name, listener);
    try {
      await withPair({ carriers: 1 }, async (pair) => {
        const [ours, theirs] = await joined(pair);
        theirs.resume().end();
        await once(ours.resume().end(), 'close');
        await pair.client.close();
        await pair.server.closed;
      });
    } finally {
      for (const name of all) unsubscribe(name, listener);
    }
    const counts = all.map((name) => heard.filter((one) => one === name).length);
    expect(counts.slice(0, 2)).toEqual([2, 2]);
    expect(counts[2]).toBeGreaterThanOrEqual(2);
    expect(counts.slice(3)).toEqual([2, 2]);
  });
});
