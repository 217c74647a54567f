import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { openService, ServiceError } from '../../src/service/index.js';
import { openTunnel } from '../../src/tunnel/index.js';
import { collect, turns } from '../helpers/node-pair.js';
import { freePort, type TunnelScene, withTunnel } from '../helpers/tunnel.js';

function refusalOf(scene: TunnelScene, host: string, port: number): Promise<unknown> {
  return openTunnel(scene.client, { host, port }).connected.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('the far end', () => {
  it('resolves names itself, and tries all addresses that a name has', async () => {
    const asked: string[] = [];
    const resolver = (name: string) => {
      asked.push(name);
      return Promise.resolve(['::1', '127.0.0.9', '127.0.0.1']);
    };
    await withTunnel({ resolver }, async (scene) => {
      const port = await scene.serve((socket) => socket.end('found'));
      const { stream, connected } = openTunnel(scene.client, { host: 'only.there.example', port });
      await connected;
      expect((await collect(stream)).toString()).toBe('found');
      expect(asked).toEqual(['only.there.example']);
    });
  });

  it('tells what the system says of a host that can not be reached', () =>
    withTunnel({ resolver: () => Promise.resolve([]) }, async (scene) => {
      const refused = await refusalOf(scene, '127.0.0.1', await freePort());
      expect(refused).toMatchObject({ code: 'ERR_SERVICE_FAILED', systemCode: 'ECONNREFUSED' });
      expect(await refusalOf(scene, 'nothing.example', 80)).toMatchObject({
        systemCode: 'ENOTFOUND',
      });
    }));

  it('gives up a host that does not answer in time', () =>
    withTunnel(
      { dialTimeoutMs: 20, resolver: () => new Promise(() => undefined) },
      async (scene) => {
        expect(await refusalOf(scene, 'slow.example', 80)).toMatchObject({
          systemCode: 'ETIMEDOUT',
        });
        expect(scene.far.connections.counts).toMatchObject({ openCount: 0, failedCount: 1 });
      },
    ));

  it('makes some connections at a time, has some wait, and refuses more', async () => {
    const release: (() => void)[] = [];
    const resolver = () =>
      new Promise<string[]>((resolve) => release.push(() => resolve(['127.0.0.1'])));
    await withTunnel({ resolver, maxDials: 2, maxWaitingDials: 1 }, async (scene) => {
      const port = await scene.serve((socket) => socket.end());
      const outcomes: string[] = [];
      const tries = ['a', 'b', 'c', 'd'].map(async (host) => {
        const refusal = await refusalOf(scene, `${host}.example`, port);
        outcomes.push(refusal instanceof ServiceError ? `${refusal.systemCode}` : 'connected');
      });
      while (outcomes.length < 1) await turns(1);
      expect(outcomes).toEqual(['EAGAIN']);
      expect(release.length).toBe(2);
      for (const next of release.splice(0)) next();
      while (release.length === 0) await turns(1);
      for (const next of release.splice(0)) next();
      await Promise.all(tries);
      expect(outcomes).toEqual(['EAGAIN', 'connected', 'connected', 'connected']);
    });
  });

  it('gives up connecting when nobody waits for it any more, also in the queue', async () => {
    let askedCount = 0;
    const resolver = () => {
      askedCount += 1;
      return new Promise<string[]>(() => undefined);
    };
    await withTunnel({ resolver, maxDials: 1 }, async (scene) => {
      const first = openTunnel(scene.client, { host: 'a.example', port: 1 });
      while (askedCount === 0) await turns(1);
      const second = openTunnel(scene.client, { host: 'b.example', port: 1 });
      for (const { connected } of [first, second]) connected.catch(() => undefined);
      while (scene.far.connections.counts.openCount < 2) await turns(1);
      second.stream.destroy();
      await once(scene.far.connections, 'close');
      first.stream.destroy();
      await once(scene.far.connections, 'close');
      expect(askedCount).toBe(1);
      expect(scene.far.connections.counts).toMatchObject({ openCount: 0, failedCount: 2 });
    });
  });

  it.each([
    { host: '', port: 80 },
    { host: 'a b', port: 80 },
    { host: 'a\0b', port: 80 },
    { host: 'x'.repeat(256), port: 80 },
    { host: 7, port: 80 },
    { host: 'a', port: 0 },
    { host: 'a', port: 65_536 },
    { host: 'a', port: '80' },
    {},
  ])('refuses a request for %j', (fields) =>
    withTunnel({}, async (scene) => {
      const opening = openService(scene.client, { service: 'tcp', ...fields });
      await expect(opening).rejects.toMatchObject({ code: 'ERR_SERVICE_MESSAGE' });
    }),
  );
});

describe('T49: a session can not be used to reach', () => {
  it('a denied address by a name that resolves to it, also beside an allowed one', async () => {
    const resolver = (name: string) =>
      Promise.resolve(name === 'only.example' ? ['169.254.169.254'] : ['0.0.0.0', '127.0.0.1']);
    await withTunnel({ resolver }, async (scene) => {
      const port = await scene.serve((socket) => socket.end());
      const told = once(scene.far, 'denied');
      const denied = await refusalOf(scene, 'only.example', port);
      expect(denied).toMatchObject({ code: 'ERR_SERVICE_DENIED' });
      expect((denied as Error).message).not.toContain('169.254');
      expect((await told)[0]).toContain('only.example');
      expect(await refusalOf(scene, 'both.example', port)).toBeUndefined();
    });
  });

  it('a network by a name that answers otherwise the second time', async () => {
    let askedCount = 0;
    const resolver = () => {
      askedCount += 1;
      return Promise.resolve([askedCount === 1 ? '127.0.0.1' : '10.0.0.1']);
    };
    await withTunnel({ resolver, grants: ['forward:localhost:*'] }, async (scene) => {
      const port = await scene.serve((socket) => socket.end());
      expect(await refusalOf(scene, 'rebound.example', port)).toBeUndefined();
      expect(askedCount).toBe(1);
      const denied = await refusalOf(scene, 'rebound.example', port);
      expect(denied).toMatchObject({ code: 'ERR_SERVICE_DENIED' });
    });
  });

  it("the server's own port", async () => {
    const own: number[] = [];
    await withTunnel({ ownPorts: () => own }, async (scene) => {
      const port = await scene.serve((socket) => socket.end());
      own.push(port);
      for (const host of ['127.0.0.1', 'localhost', '::ffff:127.0.0.1', '127.1', '2130706433']) {
        const refusal = await refusalOf(scene, host, port);
        expect(refusal, host).toMatchObject({ code: 'ERR_SERVICE_DENIED' });
      }
    });
  });

  it('a name that no grant allows, which is not even resolved', async () => {
    const resolver = (name: string) => Promise.reject(new Error(`asked for ${name}`));
    await withTunnel({ resolver, grants: ['forward:*.example:443'] }, async (scene) => {
      const refusal = await refusalOf(scene, 'internal.example.net', 443);
      expect(refusal).toMatchObject({ code: 'ERR_SERVICE_DENIED' });
    });
  });

  it('anything without a grant', () =>
    withTunnel({ grants: ['files:/srv', 'listen'] }, async (scene) => {
      const refusal = await refusalOf(scene, '127.0.0.1', 1);
      expect(refusal).toMatchObject({ code: 'ERR_SERVICE_DENIED' });
    }));
});
