/** A session without packets and a dialler without sockets, for tests of who chooses the paths. */
import { EventEmitter } from 'node:events';
import type { CarrierId, PathId, PathInfo, PathState } from '../../src/core/index.js';
import type { Carrier } from '../../src/node/carriers/carrier.js';
import type { OnGone } from '../../src/node/driver.js';
import type { ManagedSession } from '../../src/node/path-manager.js';
import type { Dial, Dialled } from '../../src/node/route-keeper.js';
import { type Route, routeKey } from '../../src/node/routes.js';

/** An attempt to connect a route, which ends when and as the test says. */
export class Attempt {
  readonly route: Route;
  readonly atMs: number;
  readonly timeoutMs: number;
  readonly carrier: Carrier & { isClosed: boolean };
  readonly isAborted: () => boolean;
  readonly #resolve: (dialled: Dialled) => void;
  readonly #reject: (error: Error) => void;

  constructor(
    route: Route,
    signal: AbortSignal,
    timeoutMs: number,
    settle: { resolve: (dialled: Dialled) => void; reject: (error: Error) => void },
  ) {
    this.route = route;
    this.atMs = performance.now();
    this.timeoutMs = timeoutMs;
    this.isAborted = () => signal.aborted;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
    this.carrier = {
      name: route.carrier,
      kind: route.carrier === 'udp' ? 'datagram' : 'stream',
      local: `${route.local ?? '*'}:1`,
      isClosed: false,
      open: () => undefined,
      send: () => undefined,
      close() {
        this.isClosed = true;
      },
    };
  }

  get key(): string {
    return routeKey(this.route).trim();
  }

  async succeed(): Promise<void> {
    const { carrier, route } = this;
    this.#resolve(
      route.carrier === 'udp' ? { carrier, remote: `${route.host}:${route.port}` } : { carrier },
    );
    await settled();
  }

  async fail(message = 'refused'): Promise<void> {
    this.#reject(new Error(message));
    await settled();
  }
}

/** All that follows in this instant has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

export class FakeDialler {
  readonly attempts: Attempt[] = [];

  readonly dial: Dial = (route, signal, timeoutMs) =>
    new Promise((resolve, reject) => {
      this.attempts.push(new Attempt(route, signal, timeoutMs, { resolve, reject }));
    });

  /** Attempts of the routes whose key begins so. */
  of(key: string): Attempt[] {
    return this.attempts.filter((one) => one.key.startsWith(key));
  }

  latest(key: string): Attempt {
    const last = this.of(key).at(-1);
    if (last === undefined) throw new Error(`${key} was never dialled`);
    return last;
  }
}

interface Held {
  readonly carrier: Carrier;
  readonly onGone: OnGone;
  readonly pathId: PathId;
  state: PathState;
}

export class FakeSession extends EventEmitter {
  isEstablished = false;
  isClosed = false;
  maxPaths = 8;
  readonly probed: PathId[] = [];
  readonly backups = new Map<PathId, boolean>();
  readonly #held = new Map<CarrierId, Held>();
  #next = 0;

  get asManaged(): ManagedSession {
    return this as unknown as ManagedSession;
  }

  get paths(): PathInfo[] {
    const statistics = { sentBytes: 0, receivedBytes: 0, receivedPackets: 0, smoothedRttMs: 20 };
    return [...this.#held].map(
      ([carrierId, { pathId, state }]) =>
        ({ carrierId, pathId, state, statistics }) as unknown as PathInfo,
    );
  }

  attachCarrier(carrier: Carrier, _remote: string | undefined, onGone: OnGone): CarrierId {
    this.#next += 1;
    const pathId = this.#next as PathId;
    this.#held.set(this.#next as CarrierId, { carrier, onGone, pathId, state: 'joining' });
    return this.#next as CarrierId;
  }

  detachCarrier(carrierId: CarrierId): void {
    this.#end(carrierId, undefined);
  }

  abandonPath(pathId: PathId): void {
    for (const [carrierId, held] of this.#held) {
      if (held.pathId === pathId) this.#end(carrierId, undefined);
    }
  }

  probePath(pathId: PathId): void {
    this.probed.push(pathId);
  }

  setPathStatus(pathId: PathId, status: 'available' | 'backup'): void {
    this.backups.set(pathId, status === 'backup');
  }

  #end(carrierId: CarrierId, error: Error | undefined): void {
    const held = this.#held.get(carrierId);
    if (held === undefined) return;
    this.#held.delete(carrierId);
    held.carrier.close();
    held.onGone(error);
    this.emit('path', { carrierId, pathId: held.pathId, state: 'closed', reason: 'test' });
  }

  #find({ carrier }: Attempt): [CarrierId, Held] {
    for (const entry of this.#held) if (entry[1].carrier === carrier) return entry;
    throw new Error('its carrier is not attached');
  }

  /** What the network makes of the connection of an attempt. */
  become(attempt: Attempt, state: 'active' | 'suspect'): PathId {
    const [carrierId, held] = this.#find(attempt);
    held.state = state;
    if (state === 'active' && !this.isEstablished) {
      this.isEstablished = true;
      this.emit('established');
    }
    this.emit('path', { carrierId, pathId: held.pathId, state, reason: 'test' });
    return held.pathId;
  }

  cut(attempt: Attempt): void {
    this.#end(this.#find(attempt)[0], new Error('connection reset'));
  }
}
