import { describe, expect, it } from 'vitest';
import type { LinkHops, Machine } from '../../src/sim/network.js';
import type { LinkPair } from '../../src/sim/presets.js';
import { symmetric } from '../../src/sim/presets.js';
import { Prng } from '../../src/sim/prng.js';
import { connectTcp, type TcpConnection, TcpListener, type TcpOptions } from '../../src/sim/tcp.js';
import { World } from '../../src/sim/world.js';

const CHUNK = new Uint8Array(65_536).map((_, i) => i * 7);

interface Flow {
  readonly world: World;
  readonly sender: TcpConnection;
  receivedBytes: number;
  openedAt: number;
  /** The receiver has seen the end. */
  closed: boolean;
  senderClosed: Error | undefined;
}

type Source = (room: number) => Uint8Array | undefined;

const endless: Source = (room) => CHUNK.subarray(0, room);

/** A client and a server over one path, see {@link flowIn}. */
function flow(
  seed: number,
  links: LinkPair,
  onData: (bytes: Uint8Array) => void = () => {},
  source: Source = endless,
  options: TcpOptions = {},
  serverOptions: TcpOptions = {},
): Flow {
  const world = new World({ seed });
  return flowIn(world, 'p1', world.machine('server'), links, {
    onData,
    source,
    options,
    serverOptions,
  });
}

interface FlowParts {
  readonly onData?: (bytes: Uint8Array) => void;
  readonly source?: Source;
  readonly options?: TcpOptions;
  readonly serverOptions?: TcpOptions;
}

/** A client of that name that sends as much as its socket takes; the server counts. */
function flowIn(
  world: World,
  name: string,
  server: Machine,
  links: LinkPair & { shared?: readonly LinkHops[] },
  parts: FlowParts = {},
): Flow {
  const client = world.machine(name);
  const path = world.path({ name, client, server, ...links });
  const port = 443 + world.paths.size;
  const counter = {
    onOpen(): void {},
    onData(bytes: Uint8Array): void {
      state.receivedBytes += bytes.length;
      parts.onData?.(bytes);
    },
    onSpace(): void {},
    onClosed(): void {
      state.closed = true;
    },
  };
  new TcpListener(server, { port }, () => counter, parts.serverOptions);
  const source = parts.source ?? endless;
  const fill = (): void => {
    for (let room = sender.sendSpace; room > 0; room = sender.sendSpace) {
      const bytes = source(Math.min(room, CHUNK.length));
      if (bytes === undefined) return;
      sender.send([bytes]);
    }
  };
  const owner = {
    onOpen(): void {
      state.openedAt = world.now;
      fill();
    },
    onData(): void {},
    onSpace: fill,
    onClosed(cause: Error | undefined): void {
      state.senderClosed = cause;
    },
  };
  const sender = connectTcp(client, `${path.serverAddress}:${port}`, owner, parts.options);
  const state: Flow = {
    world,
    sender,
    receivedBytes: 0,
    openedAt: 0,
    closed: false,
    senderClosed: undefined,
  };
  return state;
}

const payloadShare = 1448 / 1500;
const mbps = (bytes: number, ms: number): number => (bytes * 8) / ms / 1000;

describe('simulated TCP', () => {
  it('fills 50 Mbit/s with a round trip of 20 ms and a queue of 50 ms', () => {
    const run = flow(1, symmetric({ rateMbps: 50, rttMs: 20 }));
    run.world.run({ forMs: 20_000 });
    const share = mbps(run.receivedBytes, 20_000) / (50 * payloadShare);
    expect(share).toBeGreaterThan(0.95);
    expect(share).toBeLessThanOrEqual(1);
    expect(run.sender.stats.timeouts).toBe(0);
    expect(run.openedAt - 1000).toBeCloseTo(20 + (2 * 60 * 8) / 50_000, 6);
  });

  it.each([1, 2, 3])('gets only what CUBIC gets at 2 %% loss, seed %i', (seed) => {
    const run = flow(seed, symmetric({ rateMbps: 25, rttMs: 40, loss: 0.02 }));
    run.world.run({ forMs: 60_000 });
    const rate = mbps(run.receivedBytes, 60_000);
    expect(rate).toBeGreaterThan(1);
    expect(rate).toBeLessThan(4);
  });

  it('takes seconds to notice that a blackout of 5 s is over, as kernels do', () => {
    const run = flow(1, symmetric({ rateMbps: 20, rttMs: 40 }));
    run.world.run({ forMs: 10_000 });
    const path = run.world.paths.get('p1');
    path?.set({ black: true });
    const start = run.world.now;
    run.world.run({ forMs: 5000 });
    path?.set({ black: false });
    const before = run.receivedBytes;
    run.world.run({ forMs: 60_000, until: () => run.receivedBytes > before });
    // Linux takes 8.7 s in a network of this shape.
    expect(run.world.now - start).toBeGreaterThan(7000);
    expect(run.world.now - start).toBeLessThan(10_000);
    const back = run.receivedBytes;
    run.world.run({ forMs: 5000 });
    expect(mbps(run.receivedBytes - back, 5000)).toBeGreaterThan(0.9 * 20 * payloadShare);
  });

  it.each([1, 2, 3, 4, 5])('delivers every byte once and in order, seed %i', (seed) => {
    const prng = new Prng(seed).fork('bytes');
    const params = {
      ...symmetric({ rateMbps: 25, rttMs: 40, loss: 0.03, jitterMs: 10 }).up,
      reorder: true,
      duplicate: 0.02,
    };
    const sent: Uint8Array[] = [];
    const received: Uint8Array[] = [];
    let left = 2_000_000;
    const run = flow(
      seed,
      { up: params, down: params },
      (bytes) => {
        received.push(bytes.slice());
        bytes.fill(0); // what has been received belongs to the receiver
      },
      (room) => {
        if (left <= 0) {
          run.sender.close();
          return undefined;
        }
        const bytes = prng.bytes(Math.min(room, left, prng.integer(1, 20_000)));
        left -= bytes.length;
        sent.push(bytes);
        return bytes;
      },
      { sendBufferBytes: 100_000 },
    );
    expect(run.world.run({ forMs: 120_000 })).toBe('idle');
    expect(run.closed).toBe(true);
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
    for (const machine of run.world.machines.values()) {
      expect(machine.tcpConnections()).toHaveLength(0);
    }
  });

  it('sends no more than the receive window', () => {
    const links = symmetric({ rateMbps: 100, rttMs: 100 });
    const run = flow(1, links, undefined, undefined, {}, { receiveWindowBytes: 65_536 });
    run.world.run({ forMs: 10_000 });
    const most = mbps(65_536, 100);
    expect(mbps(run.receivedBytes, 10_000)).toBeLessThanOrEqual(most);
    expect(mbps(run.receivedBytes, 10_000)).toBeGreaterThan(0.9 * most);
  });

  it('shares a link with another flow', () => {
    const world = new World({ seed: 1 });
    const shared = world.sharedLink('core', symmetric({ rateMbps: 20, rttMs: 30 }));
    const server = world.machine('server');
    const links = symmetric({ rateMbps: 100, rttMs: 2 });
    const flows = ['a', 'b'].map((name) =>
      flowIn(world, name, server, { ...links, shared: [shared] }),
    );
    world.run({ forMs: 60_000 });
    const rates = flows.map((run) => mbps(run.receivedBytes, 60_000));
    const total = (rates[0] ?? 0) + (rates[1] ?? 0);
    expect(total).toBeGreaterThan(0.95 * 20 * payloadShare);
    for (const rate of rates) expect(rate / total).toBeGreaterThan(0.2);
  });

  it('repeats a lost SYN after 1 s, then after 2 s', () => {
    const run = flow(1, symmetric({ rateMbps: 50, rttMs: 20 }));
    const path = run.world.paths.get('p1');
    path?.set({ black: true });
    run.world.schedule(3500, () => path?.set({ black: false }));
    run.world.run({ forMs: 3500 });
    expect(Math.round(run.openedAt - 1000)).toBe(3020);
  });

  it('gives up after its last retransmission', () => {
    const run = flow(1, symmetric({ rateMbps: 50, rttMs: 20 }));
    run.world.run({ forMs: 1000 });
    run.world.paths.get('p1')?.set({ black: true });
    run.world.run({ until: () => run.senderClosed !== undefined });
    expect(run.senderClosed?.message).toBe('ETIMEDOUT');
    // Linux: 15 retries from 200 ms take at least 924.6 s.
    expect(run.world.now).toBeGreaterThan(924_600);
    expect(run.world.now).toBeLessThan(1_100_000);
  });
});
