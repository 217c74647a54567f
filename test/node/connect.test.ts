import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection, createServer as createTcpServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { dialWith } from '../../src/node/dial.js';
import { connect, pathsOf, type RovingStream } from '../../src/node/index.js';
import type { Dial } from '../../src/node/route-keeper.js';
import { pathsBecome, withLoopback } from '../helpers/loopback.js';
import { collect } from '../helpers/node-pair.js';

const MIB = 1024 * 1024;

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Echoes all streams of a session. */
function echo(session: { on(event: 'stream', listener: (stream: RovingStream) => void): unknown }) {
  session.on('stream', (stream) => stream.pipe(stream));
}

describe('connect', () => {
  it.each([[['tcp']], [['udp']], [['udp', 'tcp']]] as const)('moves bytes over %j', (carriers) =>
    withLoopback(async ({ connect: dial, accepted }) => {
      const session = await dial({ carriers });
      await pathsBecome(session, (states) => states.filter((one) => one === 'active').length > 0);
      const [server] = accepted;
      if (server === undefined) throw new Error('no session was accepted');
      echo(server);
      const bytes = randomBytes(2 * MIB);
      const stream = session.openStream();
      stream.end(bytes);
      expect(hash(await collect(stream))).toBe(hash(bytes));
      await session.close();
    }),
  );

  it('uses every carrier at once', () =>
    withLoopback(async ({ connect: dial }) => {
      const session = await dial();
      await pathsBecome(session, (states) => states.join() === 'active,active');
      const routes = pathsOf(session)?.routes() ?? [];
      expect(routes.map(({ route }) => route.carrier).sort()).toEqual(['tcp', 'udp']);
    }));

  it('uses the local addresses that it is told to', () =>
    withLoopback(async ({ connect: dial }) => {
      const paths = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
      const session = await dial({ carriers: ['tcp'], paths });
      await pathsBecome(session, (states) => states.join() === 'active,active,active');
      const locals = session.paths.map(({ local }) => local.slice(0, local.lastIndexOf(':')));
      expect(locals.sort()).toEqual(paths);
    }));

  it('says what was tried if nobody answers', () =>
    withLoopback(async ({ ticket }) => {
      const wrong = { ...ticket, secret: new Uint8Array(32) };
      const attempt = connect(wrong, { connectTimeoutMs: 300 });
      await expect(attempt).rejects.toMatchObject({
        code: 'ERR_CONNECT_TIMEOUT',
        message: expect.stringContaining('tcp 127.0.0.1'),
      });
    }));

  it('gives up when its signal is aborted, before and after', () =>
    withLoopback(async ({ ticket, connect: dial }) => {
      const early = connect(
        { ...ticket, secret: new Uint8Array(32) },
        { signal: AbortSignal.timeout(20) },
      );
      await expect(early).rejects.toMatchObject({ name: 'TimeoutError' });
      const controller = new AbortController();
      const session = await dial({ signal: controller.signal });
      const closed = once(session, 'close');
      controller.abort();
      await closed;
      expect(session.isClosed).toBe(true);
    }));

  it('refuses a ticket without addresses', () =>
    withLoopback(async ({ ticket }) => {
      const attempt = connect({ ...ticket, addresses: [] });
      await expect(attempt).rejects.toMatchObject({ code: 'ERR_USAGE' });
    }));
});

/** A dial that lets a test cut what it has connected, or refuses to connect. */
class Cable {
  readonly #relays = new Set<Socket>();
  isCut = false;
  count = 0;

  readonly dial: Dial = async (route, signal, timeoutMs) => {
    if (this.isCut) throw new Error('the cable is cut');
    this.count += 1;
    const relay = createTcpServer((near) => {
      const far = connectTcp(route.host, route.port);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#relays.add(from);
        from.on('error', () => undefined);
        from.pipe(to);
        from.on('close', () => to.destroy());
      }
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const address = relay.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const dialled = await dialWith()({ ...route, host: '127.0.0.1', port }, signal, timeoutMs);
    relay.close();
    return dialled;
  };

  cut(): void {
    this.isCut = true;
    for (const socket of this.#relays) socket.resetAndDestroy();
    this.#relays.clear();
  }
}

function connectTcp(host: string, port: number): Socket {
  return createConnection({ host, port });
}

describe('the path manager', () => {
  it('dials again when every path has been cut, and no byte is lost', () =>
    withLoopback(async ({ connect: dial, accepted }) => {
      const cable = new Cable();
      const session = await dial({ carriers: ['tcp'], dial: cable.dial });
      const [server] = accepted;
      if (server === undefined) throw new Error('no session was accepted');
      echo(server);
      const stream = session.openStream();
      const bytes = randomBytes(4 * MIB);
      stream.write(bytes.subarray(0, MIB));
      cable.cut();
      await pathsBecome(session, (states) => states.length === 0);
      cable.isCut = false;
      stream.end(bytes.subarray(MIB));
      expect(hash(await collect(stream))).toBe(hash(bytes));
      expect(cable.count).toBeGreaterThan(1);
    }));

  it('dials at once when it is told to', () =>
    withLoopback(async ({ connect: dial }) => {
      const cable = new Cable();
      const session = await dial({ carriers: ['tcp'], dial: cable.dial });
      cable.cut();
      await pathsBecome(session, (states) => states.length === 0);
      cable.isCut = false;
      pathsOf(session)?.redial();
      await pathsBecome(session, (states) => states.join() === 'active');
    }));

  it('keeps one connection a route', () =>
    withLoopback(async ({ connect: dial }) => {
      const session = await dial({ carriers: ['tcp'] });
      pathsOf(session)?.redial();
      pathsOf(session)?.redial();
      await new Promise((resolve) => setImmediate(resolve));
      expect(session.paths.length).toBe(1);
    }));
});

describe('a server that tells its addresses', () => {
  it('is joined at those, too', () =>
    withLoopback(async ({ server, accepted, connect: dial }) => {
      await server.listen({ host: '127.0.0.1', port: 0, carriers: ['tcp'] });
      const session = await dial({ carriers: ['tcp'] });
      const [first = '', second = ''] = server.addresses;
      expect(session.paths.map(({ remote }) => remote)).toEqual([first]);
      accepted[0]?.tellAddresses([second, 'no address: at all']);
      await pathsBecome(session, (states) => states.join() === 'active,active');
      expect(session.paths.map(({ remote }) => remote).sort()).toEqual([first, second].sort());
    }));
});

describe('a server', () => {
  it('listens on all of IPv4 and on all of IPv6, one beside the other', () =>
    withLoopback(async ({ server }) => {
      await server.listen({ host: '0.0.0.0', port: 0 });
      const port = Number(server.addresses.at(-1)?.split(':').at(-1));
      await server.listen({ host: '::', port });
      expect(server.addresses.slice(-2)).toEqual([`0.0.0.0:${port}`, `[::]:${port}`]);
    }));

  it('listens on one port for TCP and UDP, and frees it when it is closed', () =>
    withLoopback(async ({ server }) => {
      const [address = ''] = server.addresses;
      const port = Number(address.slice(address.lastIndexOf(':') + 1));
      await expect(server.listen({ host: '127.0.0.1', port })).rejects.toMatchObject({
        code: 'EADDRINUSE',
      });
      await server.close();
      const free = createTcpServer();
      await new Promise<void>((resolve) => free.listen(port, '127.0.0.1', resolve));
      await new Promise((resolve) => free.close(resolve));
    }));

  it('lets nobody in any more while it closes, and gives those who try no answer', () =>
    withLoopback(async ({ server, ticket, connect: dial, accepted }) => {
      const session = await dial();
      // Nobody reads it: the server waits for that before it goes.
      session.on('stream', (unread) => unread.on('error', () => undefined));
      const stream = accepted[0]?.openStream();
      stream?.on('error', () => undefined);
      stream?.end(randomBytes(4 * MIB));
      await once(session, 'stream');
      const closing = server.close();
      const late = connect(ticket, { carriers: ['udp'], connectTimeoutMs: 300 });
      await expect(late).rejects.toMatchObject({ code: 'ERR_CONNECT_TIMEOUT' });
      session.abort();
      await closing;
    }));

  it('tells its clients when it closes', () =>
    withLoopback(async ({ server, connect: dial }) => {
      const session = await dial();
      const closed = once(session, 'close');
      await server.close();
      await closed;
    }));

  it('ends the sessions of a key that is revoked', () =>
    withLoopback(async ({ server, ticket, connect: dial }) => {
      const session = await dial();
      const closed = once(session, 'close');
      expect(server.revoke(ticket.keyId)).toBe(true);
      const [error] = await closed;
      expect(error).toMatchObject({ code: 'ERR_REVOKED' });
      const again = connect(ticket, { connectTimeoutMs: 200 });
      await expect(again).rejects.toMatchObject({ code: 'ERR_CONNECT_TIMEOUT' });
    }));
});
