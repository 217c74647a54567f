import { networkInterfaces } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CarrierError, type CarrierId } from '../../src/core/index.js';
import type { Carrier } from '../../src/node/carriers/carrier.js';
import { bindUdp } from '../../src/node/carriers/udp.js';
import { connect, createKeyRing, createServer, pathsOf, Ticket } from '../../src/node/index.js';
import { localAddresses } from '../../src/node/interfaces.js';
import { BIND_RETRY_MS, FAILURES_TO_TELL, listen } from '../../src/node/listen.js';
import { withLoopback } from '../helpers/loopback.js';

/** Listens for UDP with sockets that can be bound only when `isUsable` says so. */
class UdpScene {
  readonly carriers = new Map<CarrierId, { carrier: Carrier; onGone: (() => void) | undefined }>();
  readonly errors: Error[] = [];
  /** How often each address was tried. */
  readonly tried = new Map<string, number>();
  /** Resolves when all attempts up to now have ended. */
  binding: Promise<unknown> = Promise.resolve();
  isUsable: (host: string) => boolean = () => true;

  listen(host?: string) {
    return listen({
      host,
      port: 0,
      carriers: ['udp'],
      tls: undefined,
      onCarrier: (carrier, onGone) => {
        const id = this.carriers.size as CarrierId;
        this.carriers.set(id, { carrier, onGone: onGone && (() => onGone(undefined)) });
        return id;
      },
      onCarrierGone: (id) => this.carriers.get(id)?.carrier.close(),
      onError: (error) => this.errors.push(error),
      bind: (options = {}) => {
        const attempt = this.#bind(options.host ?? '', options);
        this.binding = Promise.allSettled([this.binding, attempt]);
        return attempt;
      },
    });
  }

  async #bind(host: string, options: Parameters<typeof bindUdp>[0]) {
    this.tried.set(host, (this.tried.get(host) ?? 0) + 1);
    if (this.isUsable(host)) return bindUdp(options);
    throw new CarrierError('cannot open UDP', { systemCode: 'EADDRNOTAVAIL' });
  }

  /** The next attempts are made, and have ended. */
  async retry(): Promise<void> {
    vi.advanceTimersByTime(BIND_RETRY_MS);
    await this.binding;
    await Promise.resolve();
  }
}

describe('UDP at all addresses', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  it('waits for an address that cannot be bound yet', async () => {
    const scene = new UdpScene();
    const addresses = localAddresses().map(({ address }) => address);
    const last = addresses.at(-1) ?? '';
    scene.isUsable = (host) => host !== last;
    const listening = await scene.listen();
    for (let count = 1; count < FAILURES_TO_TELL - 1; count++) await scene.retry();
    expect(scene.errors).toEqual([]);
    await scene.retry();
    expect(scene.errors.length).toBe(1);
    expect(scene.tried.get(last)).toBe(FAILURES_TO_TELL);
    scene.isUsable = () => true;
    await scene.retry();
    expect(scene.carriers.size).toBe(addresses.length);
    expect(scene.errors.length).toBe(1);
    await listening.close();
  });

  it('opens a socket again that broke, and none after it was closed', async () => {
    const scene = new UdpScene();
    const listening = await scene.listen('127.0.0.1');
    for (const { carrier, onGone } of [...scene.carriers.values()]) {
      carrier.close();
      onGone?.();
    }
    await scene.retry();
    expect(scene.carriers.size).toBe(2);
    await listening.close();
    scene.carriers.get(1 as CarrierId)?.onGone?.();
    await scene.retry();
    expect(scene.carriers.size).toBe(2);
  });

  it('fails at once if the only address cannot be bound', async () => {
    const scene = new UdpScene();
    scene.isUsable = () => false;
    await expect(scene.listen('127.0.0.1')).rejects.toMatchObject({ systemCode: 'EADDRNOTAVAIL' });
  });

  it('resolves a name', async () => {
    const listening = await new UdpScene().listen('localhost');
    expect(listening.address).toMatch(/^(127\.0\.0\.1|\[::1\]):\d+$/);
    await listening.close();
  });
});

describe('the addresses of the machine', () => {
  it('are those of before while the system does not tell', () => {
    const known = localAddresses(networkInterfaces);
    const failing = (): never => {
      throw new Error('too many open files');
    };
    expect(localAddresses(failing)).toEqual(known);
  });
});

describe('a server that closes', () => {
  it('listens no more', () =>
    withLoopback(async ({ server }) => {
      await server.close();
      await expect(server.listen({ port: 0 })).rejects.toMatchObject({ code: 'ERR_USAGE' });
    }));

  it('begins no session with who comes meanwhile', () =>
    withLoopback(async ({ server, ticket, accepted, connect: open }) => {
      const first = await open();
      // It is not read: the server has to wait for it.
      accepted[0]?.openStream().write(new Uint8Array(16 * 1024 * 1024));
      const closing = server.close();
      const late = connect(ticket, { carriers: ['udp'], connectTimeoutMs: 300 });
      await expect(late).rejects.toMatchObject({ code: 'ERR_CONNECT_TIMEOUT' });
      expect(accepted.length).toBe(1);
      first.abort();
      await closing;
    }));
});

describe('a client', () => {
  it('dials no more routes than the server allows paths', async () => {
    const keys = createKeyRing();
    const server = createServer({ keys, session: { maxPaths: 1 } }, () => undefined);
    await server.listen({ host: '127.0.0.1', port: 0 });
    const session = await connect(
      Ticket.issue(keys, { name: 'test', addresses: server.addresses }),
    );
    await vi.waitUntil(() => pathsOf(session)?.routes().length === 1);
    session.abort();
    await server.close();
  });
});
