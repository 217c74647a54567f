import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { connectStdio } from '../../src/tunnel/index.js';
import { turns } from '../helpers/node-pair.js';
import { freePort, withTunnel } from '../helpers/tunnel.js';

const HOST = '127.0.0.1';
const MIB = 1024 * 1024;

/** Standard output that takes its time. */
function slowOutput() {
  const chunks: Buffer[] = [];
  const stdout = new Writable({
    highWaterMark: 16,
    write(chunk: Buffer, _encoding, callback) {
      chunks.push(chunk);
      setImmediate(callback);
    },
  });
  return { stdout, taken: () => Buffer.concat(chunks) };
}

describe('standard input and output', () => {
  it('are connected to a host, both ends one by one, and nothing is lost', () =>
    withTunnel({}, async (scene) => {
      const sent = createHash('sha256');
      const heard = createHash('sha256');
      const answer = randomBytes(3 * MIB);
      const port = await scene.serve((socket) => {
        socket.on('data', (chunk) => heard.update(chunk));
        socket.on('end', () => socket.end(answer));
      });
      const stdin = new PassThrough();
      const { stdout, taken } = slowOutput();
      const running = connectStdio(scene.client, HOST, port, { stdin, stdout });
      for (let i = 0; i < 8; i++) {
        const bytes = randomBytes(MIB);
        sent.update(bytes);
        if (!stdin.write(bytes)) await once(stdin, 'drain');
      }
      stdin.end();
      const expected = { sentBytes: 8 * MIB, receivedBytes: 3 * MIB };
      expect(await running).toEqual(expected);
      expect(heard.digest('hex')).toBe(sent.digest('hex'));
      expect(taken().equals(answer)).toBe(true);
      expect(stdout.writableEnded).toBe(false);
    }));

  it('go on to the end of the input when the host has ended first', () =>
    withTunnel({}, async (scene) => {
      const heard: Buffer[] = [];
      const port = await scene.serve((socket) => {
        socket.end('over');
        socket.on('data', (chunk) => heard.push(chunk));
      });
      const { stdout, taken } = slowOutput();
      const stdin = new PassThrough();
      const bytes = randomBytes(4 * MIB);
      const running = connectStdio(scene.client, HOST, port, { stdin, stdout });
      while (taken().length === 0) await turns(1);
      stdin.end(bytes);
      expect(await running).toEqual({ sentBytes: 4 * MIB, receivedBytes: 4 });
      await scene.client.close();
      while (scene.far.connections.counts.openCount > 0) await turns(1);
      expect(Buffer.concat(heard).equals(bytes)).toBe(true);
    }));

  it('are done when the host has ended, though more could be said', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve((socket) => {
        socket.resume();
        socket.end('go away');
      });
      const { stdout, taken } = slowOutput();
      const stdin = new PassThrough();
      await connectStdio(scene.client, HOST, port, { stdin, stdout });
      expect(taken().toString()).toBe('go away');
      expect(stdin.listenerCount('data')).toBe(0);
    }));

  it('say small things at once', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve((socket) => void socket.pipe(socket));
      const stdin = new PassThrough();
      const stdout = new PassThrough();
      const running = connectStdio(scene.client, HOST, port, { stdin, stdout });
      for (const word of ['one', 'two', 'three']) {
        stdin.write(word);
        const [heard] = (await once(stdout, 'data')) as [Buffer];
        expect(heard.toString()).toBe(word);
      }
      stdin.end();
      await running;
    }));

  it('fail with the reason, and nothing written, if the host can not be reached', () =>
    withTunnel({}, async (scene) => {
      const { stdout, taken } = slowOutput();
      const stdin = new PassThrough();
      stdin.write('lost');
      const running = connectStdio(scene.client, HOST, await freePort(), { stdin, stdout });
      await expect(running).rejects.toMatchObject({ systemCode: 'ECONNREFUSED' });
      expect(taken().length).toBe(0);
    }));

  it.each(['host', 'session', 'output'] as const)('fail with the %s', (what) =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve((socket) => {
        socket.write('so far');
        socket.once('data', () => socket.resetAndDestroy());
      });
      const stdin = new PassThrough();
      const stdout = new PassThrough();
      const running = connectStdio(scene.client, HOST, port, { stdin, stdout });
      const failing = expect(running).rejects.toMatchObject({
        code: { host: 'ERR_STREAM_RESET', session: 'ERR_CLOSED_BY_PEER', output: 'EPIPE' }[what],
      });
      await once(stdout, 'data');
      if (what === 'host') stdin.write('x');
      if (what === 'session') scene.server.abort();
      if (what === 'output') {
        stdout.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      }
      await failing;
      while (scene.far.connections.counts.openCount > 0) await turns(1);
    }),
  );
});
