import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { connectInMemory, type RovingSession, UsageError } from '../../src/node/index.js';
import { ServiceHost } from '../../src/service/index.js';
import { LocalForward, type TunnelConnection } from '../../src/tunnel/index.js';
import { turns } from '../helpers/node-pair.js';
import {
  fate,
  freePort,
  readAll,
  readBytes,
  type TunnelScene,
  withTunnel,
} from '../helpers/tunnel.js';

const MIB = 1024 * 1024;
const LOOPBACK = { host: undefined, port: 0 };
const echo = (socket: Socket): void => void socket.pipe(socket);

async function forwardTo(scene: TunnelScene, port: number, host = '127.0.0.1') {
  const forward = scene.add(
    new LocalForward(scene.client, { bind: LOOPBACK, target: { host, port } }),
  );
  const { port: localPort } = await forward.start();
  return { forward, localPort };
}

function ended(forward: LocalForward): Promise<[TunnelConnection, Error | undefined]> {
  return once(forward.connections, 'close') as Promise<[TunnelConnection, Error | undefined]>;
}

describe('a local forward', () => {
  it('carries both directions, and their ends one by one', () =>
    withTunnel({}, async (scene) => {
      const heard: string[] = [];
      const port = await scene.serve((socket) => {
        socket.on('data', (chunk) => heard.push(chunk.toString()));
        socket.on('end', () => socket.end('and here is my answer'));
      });
      const { forward, localPort } = await forwardTo(scene, port);
      const closed = ended(forward);
      const socket = scene.dial(localPort);
      socket.end('that was all I had to say');
      expect((await readAll(socket)).toString()).toBe('and here is my answer');
      expect(heard.join('')).toBe('that was all I had to say');
      const [connection, error] = await closed;
      expect(error).toBeUndefined();
      expect(connection).toMatchObject({ state: 'open', sentBytes: 25, receivedBytes: 21 });
    }));

  it('hands on an end of the far side while the near one still speaks', () =>
    withTunnel({}, async (scene) => {
      let all: Promise<Buffer> | undefined;
      const port = await scene.serve((socket) => {
        socket.end('greeting');
        all = readAll(socket);
      });
      const { localPort } = await forwardTo(scene, port);
      const socket = scene.dial(localPort);
      expect((await readAll(socket)).toString()).toBe('greeting');
      socket.write('still ');
      await turns(20);
      socket.end('here');
      while (all === undefined) await turns(1);
      expect((await all).toString()).toBe('still here');
    }));

  it('carries 24 MiB there and back at the same time, byte for byte', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      const { localPort } = await forwardTo(scene, port);
      const socket = scene.dial(localPort);
      const sent = createHash('sha256');
      const got = createHash('sha256');
      let gotBytes = 0;
      socket.on('data', (chunk) => {
        got.update(chunk);
        gotBytes += chunk.length;
      });
      const over = once(socket, 'end');
      for (let i = 0; i < 24; i++) {
        const bytes = randomBytes(MIB);
        sent.update(bytes);
        if (!socket.write(bytes)) await once(socket, 'drain');
      }
      socket.end();
      await over;
      expect(gotBytes).toBe(24 * MIB);
      expect(got.digest('hex')).toBe(sent.digest('hex'));
    }));

  it('carries 200 connections at a time', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      const { forward, localPort } = await forwardTo(scene, port);
      const sockets = Array.from({ length: 200 }, () => scene.dial(localPort));
      await Promise.all(
        sockets.map(async (socket, i) => {
          const text = `connection ${i} `.repeat(50);
          socket.write(text);
          expect((await readBytes(socket, text.length)).toString()).toBe(text);
        }),
      );
      expect(forward.connections.counts).toMatchObject({ openCount: 200, failedCount: 0 });
      expect(scene.far.connections.counts.openCount).toBe(200);
      await Promise.all(sockets.map((socket) => readAll(socket.end())));
      while (forward.connections.counts.openCount > 0) await turns(1);
      expect(forward.connections.counts).toMatchObject({ totalCount: 200, failedCount: 0 });
    }));

  it('holds back whoever writes to a host that does not read, and goes on when it does', () =>
    withTunnel({}, async (scene) => {
      let host: Socket | undefined;
      const port = await scene.serve((socket) => {
        host = socket.pause();
      });
      const { forward, localPort } = await forwardTo(scene, port);
      const socket = scene.dial(localPort);
      const bytes = Buffer.alloc(128 * MIB);
      let isTaken = false;
      socket.end(bytes, () => {
        isTaken = true;
      });
      let before = -1;
      for (;;) {
        const { sentBytes } = forward.connections.counts;
        if (sentBytes > 0 && sentBytes === before) break;
        before = sentBytes;
        await turns(2000);
      }
      expect(isTaken).toBe(false);
      expect(before).toBeLessThan(bytes.length - 32 * MIB);
      while (host === undefined) await turns(1);
      expect((await readAll(host)).length).toBe(bytes.length);
    }));
});

describe('programs that do not read', () => {
  it('hold up no other connection of their session', () =>
    withTunnel({}, async (scene) => {
      const bytes = Buffer.alloc(48 * MIB);
      const flood = await scene.serve((socket) => void socket.end(bytes));
      const echoPort = await scene.serve(echo);
      const stalled = await forwardTo(scene, flood);
      const lively = await forwardTo(scene, echoPort);
      for (let i = 0; i < 2; i++) scene.dial(stalled.localPort).pause();
      let before = -1;
      for (;;) {
        const { sentBytes } = scene.far.connections.counts;
        if (sentBytes > 0 && sentBytes === before) break;
        before = sentBytes;
        await turns(2000);
      }
      expect(before).toBeLessThan(2 * bytes.length);
      const socket = scene.dial(lively.localPort);
      socket.write('still here');
      expect((await readBytes(socket, 10)).toString()).toBe('still here');
    }));
});

describe('a reset', () => {
  it('of the host is a reset for the program', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve((socket) => {
        socket.once('data', () => socket.resetAndDestroy());
      });
      const { forward, localPort } = await forwardTo(scene, port);
      const closed = ended(forward);
      const socket = scene.dial(localPort);
      socket.write('reset me');
      expect(await fate(socket)).toBe('ECONNRESET');
      expect((await closed)[1]).toMatchObject({ code: 'ERR_STREAM_RESET' });
    }));

  it('of the program is a reset for the host', () =>
    withTunnel({}, async (scene) => {
      const accepted = new Promise<Socket>((resolve) => {
        void scene.serve(resolve).then((port) => start(port));
        const start = async (port: number): Promise<void> => {
          const { localPort } = await forwardTo(scene, port);
          const socket = scene.dial(localPort);
          socket.write('x');
          await once(scene.far.connections, 'open');
          socket.resetAndDestroy();
        };
      });
      expect(await fate(await accepted)).toBe('ECONNRESET');
    }));

  it('is what a program gets if the host refuses, does not exist, or is denied', () =>
    withTunnel({ grants: ['forward:*:1-1023', 'forward:localhost:*'] }, async (scene) => {
      const nobody = await freePort();
      const cases = [
        [{ host: '127.0.0.1', port: nobody }, { systemCode: 'ECONNREFUSED' }],
        [{ host: 'no-such-name.invalid', port: 80 }, { code: 'ERR_SERVICE_FAILED' }],
        [{ host: '192.0.2.1', port: 8080 }, { code: 'ERR_SERVICE_DENIED' }],
      ] as const;
      for (const [{ host, port }, expected] of cases) {
        const { forward, localPort } = await forwardTo(scene, port, host);
        const closed = ended(forward);
        const socket = scene.dial(localPort);
        socket.write('lost');
        expect(await fate(socket)).toBe('ECONNRESET');
        expect((await closed)[1]).toMatchObject(expected);
        expect(forward.connections.counts).toMatchObject({ openCount: 0, failedCount: 1 });
      }
    }));
});

describe('a session', () => {
  it('may lose all its paths, and connections go on over new ones', () =>
    withTunnel({ carriers: [{ name: 'one' }, { name: 'two' }] }, async (scene) => {
      const port = await scene.serve(echo);
      const { localPort } = await forwardTo(scene, port);
      const socket = scene.dial(localPort);
      socket.write('before');
      expect((await readBytes(socket, 6)).toString()).toBe('before');
      scene.carriers[0]?.cut();
      socket.write('after');
      expect((await readBytes(socket, 5)).toString()).toBe('after');
    }));

  it('that ends resets its connections, and new ones take the next session', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      let session: RovingSession = scene.client;
      const forward = scene.add(
        new LocalForward(() => session, {
          bind: LOOPBACK,
          target: { host: '127.0.0.1', port },
        }),
      );
      const { port: localPort } = await forward.start();
      const old = scene.dial(localPort);
      old.write('x');
      await readBytes(old, 1);
      scene.server.abort();
      expect(await fate(old)).toBe('ECONNRESET');

      const next = await connectInMemory();
      try {
        new ServiceHost(scene.far.services).attach(next.server, ['forward']);
        session = next.client;
        const young = scene.dial(localPort);
        young.write('hello again');
        expect((await readBytes(young, 11)).toString()).toBe('hello again');
      } finally {
        next.client.abort();
      }
    }));

  it('that the source does not get resets the connection that wanted it', () =>
    withTunnel({}, async (scene) => {
      const source = () => Promise.reject(new Error('no network'));
      const options = { bind: LOOPBACK, target: { host: 'localhost', port: 1 } };
      const forward = scene.add(new LocalForward(source, options));
      const { port } = await forward.start();
      const closed = ended(forward);
      expect(await fate(scene.dial(port))).toBe('ECONNRESET');
      expect((await closed)[1]?.message).toBe('no network');
    }));
});

describe('listening', () => {
  it('T47: where others reach it is refused, unless that is asked for', () =>
    withTunnel({}, async (scene) => {
      const target = { host: 'localhost', port: 80 };
      for (const host of ['*', '0.0.0.0', '::', '192.0.2.1']) {
        const options = { bind: { host, port: 0 }, target };
        const refused = new LocalForward(scene.client, options).start();
        await expect(refused, host).rejects.toThrow(UsageError);
        await expect(refused, host).rejects.toThrow('gateway ports');
      }
      const options = { bind: { host: '0.0.0.0', port: 0 }, target, gatewayPorts: true };
      const open = scene.add(new LocalForward(scene.client, options));
      expect((await open.start()).host).toBe('0.0.0.0');
    }));

  it('at a port that is in use is an error that says so', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      const options = { bind: { host: undefined, port }, target: { host: 'localhost', port: 1 } };
      const starting = new LocalForward(scene.client, options).start();
      await expect(starting).rejects.toMatchObject({ code: 'EADDRINUSE' });
    }));

  it('ends with the forward, and so do its connections', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      const { forward, localPort } = await forwardTo(scene, port);
      const socket = scene.dial(localPort);
      socket.write('x');
      await readBytes(socket, 1);
      forward.close();
      expect(await fate(socket)).toBe('ECONNRESET');
      expect(await fate(scene.dial(localPort))).toBe('ECONNREFUSED');
    }));
});
