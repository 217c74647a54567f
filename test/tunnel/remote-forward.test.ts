import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { connectInMemory, type RovingSession, StreamResetError } from '../../src/node/index.js';
import { openService, ServiceHost } from '../../src/service/index.js';
import { type Bind, type ForwardKey, RemoteForward } from '../../src/tunnel/index.js';
import { turns } from '../helpers/node-pair.js';
import {
  fate,
  freePort,
  readAll,
  readBytes,
  type TunnelScene,
  withTunnel,
} from '../helpers/tunnel.js';

const LOOPBACK: Bind = { host: undefined, port: 0 };
const KEY: ForwardKey = { id: 'k1', name: 'laptop' };
const echo = (socket: Socket): void => void socket.pipe(socket);

function remote(scene: TunnelScene, port: number, bind: Bind = LOOPBACK): RemoteForward {
  const target = { host: '127.0.0.1', port };
  return scene.add(new RemoteForward(scene.client, { bind, target }));
}

describe('a remote forward', () => {
  it('has the other end listen at a port that it chooses, on loopback', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve((socket) => {
        socket.on('end', () => socket.end('the answer'));
        socket.resume();
      });
      const forward = remote(scene, port);
      const address = await forward.start();
      expect(address.host).toBe('127.0.0.1');
      expect(address.port).toBeGreaterThan(0);
      expect(forward.address).toEqual(address);
      const socket = scene.dial(address.port);
      socket.end('the question');
      expect((await readAll(socket)).toString()).toBe('the answer');
      while (forward.connections.counts.openCount > 0) await turns(1);
      const expected = { totalCount: 1, failedCount: 0, sentBytes: 10, receivedBytes: 12 };
      expect(forward.connections.counts).toMatchObject(expected);
    }));

  it('carries many connections of many listeners at a time', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      const forwards = Array.from({ length: 4 }, () => remote(scene, port));
      const addresses = await Promise.all(forwards.map((forward) => forward.start()));
      await Promise.all(
        addresses.flatMap((address, i) =>
          Array.from({ length: 25 }, async (_, j) => {
            const socket = scene.dial(address.port);
            const text = `listener ${i}, connection ${j}`;
            socket.end(text);
            expect((await readAll(socket)).toString()).toBe(text);
          }),
        ),
      );
      expect(scene.far.connections.counts.totalCount).toBe(100);
    }));

  it('resets what nobody here takes, and hands on resets', () =>
    withTunnel({}, async (scene) => {
      const forward = remote(scene, await freePort());
      const { port } = await forward.start();
      expect(await fate(scene.dial(port))).toBe('ECONNRESET');
      const angry = await scene.serve((socket) => socket.resetAndDestroy());
      const other = await remote(scene, angry).start();
      expect(await fate(scene.dial(other.port))).toBe('ECONNRESET');
    }));

  it('frees the port when it is closed, and when its session ends', () =>
    withTunnel({}, async (scene) => {
      const forward = remote(scene, 1);
      const { port } = await forward.start();
      const over = once(forward, 'end');
      const free = once(scene.far, 'unlistening');
      forward.close();
      expect(await over).toEqual([undefined]);
      await free;
      expect(await fate(scene.dial(port))).toBe('ECONNREFUSED');

      const other = remote(scene, 1);
      const address = await other.start();
      const alsoOver = once(other, 'end');
      const alsoFree = once(scene.far, 'unlistening');
      scene.client.abort();
      expect((await alsoOver)[0]).toBeInstanceOf(Error);
      await alsoFree;
      expect(await fate(scene.dial(address.port))).toBe('ECONNREFUSED');
    }));

  it('asks for the same port again over the next session', () =>
    withTunnel({ keyOf: () => KEY }, async (scene) => {
      const port = await scene.serve(echo);
      let session: RovingSession = scene.client;
      const source = () => session;
      const target = { host: '127.0.0.1', port };
      const forward = scene.add(new RemoteForward(source, { bind: LOOPBACK, target }));
      const first = await forward.start();
      const next = await connectInMemory();
      try {
        new ServiceHost(scene.far.services).attach(next.server, ['forward']);
        session = next.client;
        const again = once(forward, 'listening');
        scene.server.abort();
        expect(await again).toEqual([first]);
        const socket = scene.dial(first.port);
        socket.write('hello');
        expect((await readBytes(socket, 5)).toString()).toBe('hello');
      } finally {
        next.client.abort();
      }
    }));

  it('takes its port over from an older session of the same key, which does not fight for it', () =>
    withTunnel({ keyOf: () => KEY }, async (scene) => {
      const old = remote(scene, 1);
      const { port } = await old.start();
      const superseded = once(old, 'end');
      const next = await connectInMemory();
      try {
        new ServiceHost(scene.far.services).attach(next.server, ['forward']);
        const target = { host: '127.0.0.1', port: await scene.serve(echo) };
        const bind = { host: undefined, port };
        const young = scene.add(new RemoteForward(next.client, { bind, target }));
        expect((await young.start()).port).toBe(port);
        expect((await superseded)[0]).toBeInstanceOf(StreamResetError);
        const socket = scene.dial(port);
        socket.end('mine');
        expect((await readAll(socket)).toString()).toBe('mine');
      } finally {
        next.client.abort();
      }
    }));
});

describe('listening for the other end is refused', () => {
  it.each([
    [['forward'], { host: '*', port: 0 }, 'listen:*:0'],
    [['forward'], { host: '0.0.0.0', port: 8080 }, 'listen:0.0.0.0:8080'],
    [['forward'], { host: undefined, port: 80 }, 'listen:80'],
    [['forward:localhost:*'], LOOPBACK, 'listen:0'],
    [[], LOOPBACK, 'listen:0'],
  ])('with %j at %j: it would need %s', (grants, bind, needed) =>
    withTunnel({ grants }, async (scene) => {
      const told = once(scene.far, 'denied');
      const starting = remote(scene, 1, bind).start();
      await expect(starting).rejects.toMatchObject({ code: 'ERR_SERVICE_DENIED' });
      await expect(starting).rejects.toThrow(`--allow ${needed}`);
      await told;
    }),
  );

  it('with the code of the system if the port is in use', () =>
    withTunnel({}, async (scene) => {
      const port = await scene.serve(echo);
      const starting = remote(scene, 1, { host: undefined, port }).start();
      const expected = { code: 'ERR_SERVICE_FAILED', systemCode: 'EADDRINUSE' };
      await expect(starting).rejects.toMatchObject(expected);
    }));

  it("at the server's own port, and beyond a number of ports", () => {
    const own = 47_600;
    return withTunnel({ ownPorts: () => [own], maxListeners: 2 }, async (scene) => {
      const bind = { host: undefined, port: own };
      const denied = { code: 'ERR_SERVICE_DENIED' };
      await expect(remote(scene, 1, bind).start()).rejects.toMatchObject(denied);
      const first = remote(scene, 1);
      await first.start();
      await remote(scene, 1).start();
      const third = remote(scene, 1);
      await expect(third.start()).rejects.toMatchObject({ systemCode: 'EMFILE' });
      const free = once(scene.far, 'unlistening');
      first.close();
      await free;
      await third.start();
    });
  });

  it('to a connection that nobody has asked to listen for', () =>
    withTunnel({}, async (scene) => {
      await remote(scene, 1).start();
      const request = { service: 'tcp-accepted', listener: 99 };
      const opening = openService(scene.server, request);
      await expect(opening).rejects.toMatchObject({ code: 'ERR_SERVICE_DENIED' });
    }));
});
