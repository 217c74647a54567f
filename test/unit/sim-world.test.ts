import { describe, expect, it } from 'vitest';
import type { CarrierId } from '../../src/core/contract.js';
import { applyFaults } from '../../src/sim/faults.js';
import { powerOn, SimHost } from '../../src/sim/host.js';
import { Nat, type NatOptions } from '../../src/sim/nat.js';
import type { Box } from '../../src/sim/network.js';
import { pipe } from '../../src/sim/pipe.js';
import { type LinkPair, PRESETS, symmetric } from '../../src/sim/presets.js';
import { World } from '../../src/sim/world.js';
import { Blaster, DummyCore, type DummyEvent } from '../helpers/sim-cores.js';

const LINK = symmetric({ rateMbps: 10, rttMs: 20 });
const hello = (text = 'hello'): Uint8Array => new TextEncoder().encode(text);
const carrierToClose = (event: DummyEvent): CarrierId | undefined =>
  event.type === 'closeCarrier' ? event.carrierId : undefined;

/** A client and an echoing server over one path. */
function pair(
  seed: number | string,
  links: LinkPair = LINK,
  boxes: (world: World) => Box[] = () => [],
) {
  const world = new World({ seed });
  const client = world.machine('client');
  const server = world.machine('server');
  const path = world.path({ name: 'p1', client, server, ...links, boxes: boxes(world) });
  const events: { at: number; event: DummyEvent }[] = [];
  const closures: { id: CarrierId; cause: Error | undefined; requested: boolean }[] = [];
  const a = new SimHost<DummyEvent, DummyCore>(client, new DummyCore(), {
    onEvent: (event, at) => events.push({ at, event }),
    carrierToClose,
    onCarrierClosed: (id, { cause, requested }) => closures.push({ id, cause, requested }),
  });
  const b = new SimHost<DummyEvent, DummyCore>(server, new DummyCore(), { carrierToClose });
  b.core.echo = true;
  b.udp({ port: 443 });
  b.listenTcp(443);
  const target = `${path.serverAddress}:443`;
  return { world, client, server, path, a, b, events, closures, target };
}

describe('datagrams', () => {
  it('come back after a round trip from the address they were sent to', () => {
    const { world, a, events, target } = pair(1);
    const id = a.udp();
    a.command((core) => core.send(id, [hello('he'), hello('llo')], target));
    expect(world.run()).toBe('idle');
    expect(events).toHaveLength(1);
    const { at, event } = events[0] ?? {};
    expect((at ?? 0) - 1000).toBeCloseTo(20 + (2 * 33 * 8) / 10_000, 6);
    expect(event).toEqual({ type: 'received', carrierId: id, bytes: hello() });
    expect(a.core.sources).toEqual([target]);
  });

  it('take the path whose address their socket is bound to', () => {
    const { world, client, server, a, target } = pair(1);
    const second = world.path({ name: 'p2', client, server, ...PRESETS.lte });
    const id = a.udp({ host: second.clientAddress });
    a.command((core) => core.send(id, [hello()], target));
    world.run();
    expect(second.up.stats.deliveredPackets).toBe(1);
    expect(second.down.stats.deliveredPackets).toBe(1);
    expect(world.paths.get('p1')?.up.stats.offeredPackets).toBe(0);
    expect(a.core.carriers.get(id)?.receivedBytes).toBe(5);
  });

  it('share a bottleneck with those of other paths', () => {
    const world = new World({ seed: 1 });
    const server = world.machine('server');
    const bottleneck = world.sharedLink('core', symmetric({ rateMbps: 8, rttMs: 10 }));
    const sink = new SimHost(server, new DummyCore());
    const id = sink.udp({ port: 9 });
    sink.core.reports = false;
    for (const name of ['a', 'b']) {
      const client = world.machine(name);
      const fast = symmetric({ rateMbps: 100, rttMs: 2 });
      const path = world.path({ name, client, server, ...fast, shared: [bottleneck] });
      // 10 Mbit/s each, of which 972 of 1000 bytes are payload.
      new SimHost(client, new Blaster(`${path.serverAddress}:9`, 972, 0.8)).udp();
    }
    world.run({ forMs: 5000 });
    const packets = (sink.core.carriers.get(id)?.receivedBytes ?? 0) / 972;
    expect(packets).toBeGreaterThan(4985);
    expect(packets).toBeLessThanOrEqual(5000);
    expect(bottleneck.up.stats.droppedByQueue).toBeGreaterThan(7000);
  });

  it('reach a server that has an address per path', () => {
    const { world, client, server, a } = pair(1);
    const spec = { name: 'p2', client, server, ...LINK, serverAddress: '10.99.0.1' };
    const second = world.path(spec);
    const id = a.udp({ host: second.clientAddress });
    a.command((core) => core.send(id, [hello()], '10.99.0.1:443'));
    a.command((core) => core.send(id, [hello()], '10.77.0.2:443'));
    world.run();
    expect(a.core.sources).toEqual(['10.99.0.1:443']);
    expect(world.unroutablePackets).toBe(1);
  });
});

describe('NAT', () => {
  function natted(options: NatOptions = {}) {
    const made: Nat[] = [];
    const setup = pair(1, LINK, (world) => {
      const nat = new Nat(world, options);
      made.push(nat);
      return [nat];
    });
    const [nat] = made;
    if (nat === undefined) throw new Error('no NAT');
    return { ...setup, nat };
  }

  it('shows the server its own address and lets answers in', () => {
    const { world, a, b, target } = natted();
    const id = a.udp({ port: 5000 });
    a.command((core) => core.send(id, [hello()], target));
    world.run();
    expect(b.core.sources).toEqual(['10.78.1.2:5000']);
    expect(a.core.carriers.get(id)?.receivedBytes).toBe(5);
  });

  it('lets nobody in whom the inside has not written to', () => {
    const { world, a, b, nat } = natted();
    const id = a.udp({ port: 5000 });
    b.command((core) => core.send(0 as CarrierId, [hello()], '10.78.1.2:5000'));
    b.command((core) => core.send(0 as CarrierId, [hello()], '10.77.1.2:5000'));
    world.run();
    expect(a.core.carriers.get(id)?.receivedBytes).toBe(0);
    expect(nat.droppedPackets).toBe(2);
  });

  it('gives a new port after its timeout and after a rebinding, a new address if told to', () => {
    const { world, a, b, nat, target } = natted({ udpTimeoutMs: 1000, udpStreamTimeoutMs: 2000 });
    const id = a.udp({ port: 5000 });
    const ping = (): void => {
      a.command((core) => core.send(id, [hello()], target));
      world.run({ forMs: 500 });
    };
    ping();
    nat.rebind({ port: true });
    b.command((core) => core.send(0 as CarrierId, [hello()], '10.78.1.2:5000'));
    world.run({ forMs: 500 });
    expect(a.core.sources).toHaveLength(1);
    ping();
    nat.rebind({ address: true });
    ping();
    world.run({ forMs: 2500 });
    ping();
    const [first, rebound, moved, timedOut] = b.core.sources;
    expect(first).toBe('10.78.1.2:5000');
    expect(rebound).toMatch(/^10\.78\.1\.2:/);
    expect(rebound).not.toBe(first);
    expect(moved).toBe(`10.78.1.4:${rebound?.split(':')[1]}`);
    expect(timedOut).not.toBe(moved);
    expect(a.core.sources).toHaveLength(4);
  });

  it('maps per destination when symmetric and once when endpoint-independent', () => {
    for (const mapping of ['symmetric', 'endpointIndependent'] as const) {
      const { world, a, b, path, nat } = natted({ mapping, preservePorts: false });
      b.udp({ port: 444 });
      const id = a.udp();
      for (const port of [443, 444]) {
        a.command((core) => core.send(id, [hello()], `${path.serverAddress}:${port}`));
      }
      world.run();
      expect(new Set(b.core.sources).size).toBe(mapping === 'symmetric' ? 2 : 1);
      expect(nat.mappingCount).toBe(mapping === 'symmetric' ? 2 : 1);
      expect(a.core.sources).toHaveLength(2);
    }
  });

  it('kills TCP silently by a rebinding', () => {
    const { world, a, nat, target, events, closures } = natted();
    let id = -1 as CarrierId;
    const connection = a.connectTcp(target, {
      onOpen: (opened) => {
        id = opened;
      },
    });
    world.run({ forMs: 100 });
    a.command((core) => core.send(id, [hello()]));
    world.run({ forMs: 100 });
    expect(events).toHaveLength(1);
    nat.rebind({ port: true });
    a.command((core) => core.send(id, [hello()]));
    world.run({ forMs: 20_000 });
    expect(events).toHaveLength(1);
    expect(closures).toHaveLength(0);
    expect(connection.unackedBytes).toBe(5);
  });
});

describe('simulated driver', () => {
  it('wakes the core exactly when it asks', () => {
    const { world, a } = pair(1);
    a.command((core) => {
      core.wakeTimes = [1003, 1010, 1500.5];
    });
    expect(world.run()).toBe('idle');
    expect(a.core.wakes).toEqual([1003, 1010, 1500.5]);
  });

  it('grants what the send buffer takes, and no more', () => {
    const { world, a, target } = pair(1);
    const opened: CarrierId[] = [];
    const options = { sendBufferBytes: 50_000, onOpen: (id: CarrierId) => opened.push(id) };
    const connection = a.connectTcp(target, options);
    world.run({ forMs: 100 });
    const id = opened[0] as CarrierId;
    const granted = (): number => a.core.carriers.get(id)?.grantedBytes ?? -1;
    expect(granted()).toBe(50_000);
    a.command((core) => core.send(id, [new Uint8Array(50_000)]));
    world.run({ forMs: 15 });
    expect(granted()).toBe(0);
    expect(connection.sendSpace).toBe(0);
    world.run({ forMs: 2000 });
    expect(granted()).toBe(50_000);
    expect(connection.unackedBytes + connection.unsentBytes).toBe(0);
    expect(() => connection.send([new Uint8Array(50_001)])).toThrow(RangeError);
  });

  it('closes a carrier that the core wants closed, and tells the other end', () => {
    const { world, a, b, target, closures } = pair(1);
    const opened: CarrierId[] = [];
    a.connectTcp(target, { onOpen: (id) => opened.push(id) });
    world.run({ forMs: 100 });
    a.command((core) => core.askToClose(opened[0] as CarrierId));
    expect(world.run()).toBe('idle');
    expect(closures).toEqual([{ id: opened[0], cause: undefined, requested: true }]);
    expect(b.core.closed).toHaveLength(1);
    expect(b.core.closed[0]?.cause).toBeUndefined();
    expect(a.machine.tcpConnections()).toHaveLength(0);
    expect(b.machine.tcpConnections()).toHaveLength(0);
  });

  it('says when nobody listens, and when nobody answers', () => {
    const { world, a, path } = pair(1);
    const failures: (string | undefined)[] = [];
    const onFailed = (cause: Error | undefined): void => {
      failures.push(`${cause?.message} ${Math.round(world.now - 1000)}`);
    };
    a.connectTcp(`${path.serverAddress}:80`, { onFailed });
    world.run({ forMs: 1000 });
    path.set({ black: true });
    a.connectTcp(`${path.serverAddress}:443`, { onFailed, synRetries: 3 });
    world.run();
    expect(failures).toEqual(['ECONNREFUSED 20', 'ETIMEDOUT 16000']);
    expect(() => a.connectTcp('10.1.1.1:443')).toThrow(RangeError);
  });

  it('loses everything in a crash; a new host takes the machine over', () => {
    const { world, a, b, server, target, closures } = pair(1);
    a.connectTcp(target);
    world.run({ forMs: 100 });
    b.crash('reset');
    world.run({ forMs: 100 });
    expect(closures.map(({ cause }) => cause?.message)).toEqual(['ECONNRESET']);
    const next = new SimHost<DummyEvent, DummyCore>(server, new DummyCore());
    next.listenTcp(443);
    a.connectTcp(target);
    world.run({ forMs: 100 });
    expect(next.core.carriers.size).toBe(1);
    next.crash();
    a.command((core) => core.send(1 as CarrierId, [hello()]));
    world.run({ forMs: 2000 });
    expect(closures).toHaveLength(1);
    powerOn(server);
    world.run({ forMs: 5000 });
    expect(closures.map(({ cause }) => cause?.message)).toEqual(['ECONNRESET', 'ECONNRESET']);
  });

  it('hears nothing while it sleeps and catches up with its timers after', () => {
    const { world, a, target, events } = pair(1);
    const id = a.udp();
    a.command((core) => {
      core.send(id, [hello()], target);
      core.wakeTimes = [1010, 9000];
    });
    a.suspend(5000);
    world.run({ forMs: 4999 });
    expect(a.core.wakes).toEqual([]);
    world.run();
    expect(a.core.wakes).toEqual([6000, 9000]);
    // What it had wanted to send went out when it woke.
    expect(events.map(({ at }) => Math.round(at))).toEqual([6020]);
  });

  it.each(['stream', 'datagram'] as const)('joins two hosts by an ideal %s pipe', (kind) => {
    const { world, a, b, events } = pair(1);
    const joined = pipe(a, b, { kind, grantBytes: 100 });
    a.command((core) => {
      core.send(
        joined.a,
        [hello('he'), hello('llo')],
        kind === 'stream' ? undefined : joined.addressB,
      );
    });
    expect(world.run()).toBe('idle');
    expect(events.map(({ at, event }) => [at, event.type])).toEqual([[1000, 'received']]);
    if (kind === 'stream') expect(a.core.carriers.get(joined.a)?.grantedBytes).toBe(100);
    a.closeCarrier(joined.a);
    world.run();
    expect(b.core.closed.map(({ carrierId }) => carrierId)).toContain(joined.b);
  });
});

describe('faults', () => {
  it('come at their times', () => {
    const { world, a, b, closures, target, path } = pair(1);
    const id = a.udp();
    a.connectTcp(target);
    applyFaults(world, [
      { at: 1000, type: 'black', path: 'p1', on: true, direction: 'up' },
      { at: 2000, type: 'black', path: 'p1', on: false },
      { at: 3000, type: 'readdress', path: 'p1' },
      { at: 4000, type: 'killTcp', path: 'p1', how: 'reset' },
      { at: 5000, type: 'set', path: 'p1', params: { delayMs: 50 }, direction: 'down' },
    ]);
    for (let t = 0; t < 6; t++) {
      world.schedule(1500 + t * 1000, () => {
        a.command((core) => core.send(id, [hello()], target));
      });
    }
    world.run({ forMs: 10_000 });
    expect(b.core.sources).toEqual([0, 0, 1, 1, 1].map((n) => `10.77.1.${2 + n}:49152`));
    expect(path.clientAddress).toBe('10.77.1.3');
    expect(closures).toHaveLength(0); // the connection was bound to the old address
    expect(path.down.link.params.delayMs).toBe(50);
    const unknown = { at: 1, type: 'readdress', path: 'p9' } as const;
    expect(() => applyFaults(world, [unknown])).toThrow(RangeError);
  });

  it('kills TCP with a word or without one', () => {
    for (const how of ['reset', 'silent'] as const) {
      const { world, a, b, closures, target } = pair(1);
      a.connectTcp(target);
      applyFaults(world, [{ at: 100, type: 'killTcp', path: 'p1', how }]);
      world.run({ forMs: 200 });
      expect(closures).toHaveLength(how === 'reset' ? 1 : 0);
      a.command((core) => core.send(0 as CarrierId, [hello()]));
      world.run({ forMs: 5000 });
      expect(b.core.sources).toHaveLength(0);
    }
  });
});

describe('trace', () => {
  function run(seed: number): string {
    const links = { up: { ...LINK.up, loss: 0.1, jitterMs: 5 }, down: { ...LINK.down, loss: 0.1 } };
    const { world, a, target } = pair(seed, links, (w) => [new Nat(w)]);
    const id = a.udp();
    a.connectTcp(target, {
      onOpen: (tcp) => a.core.send(tcp, [new Uint8Array(200_000).fill(7)]),
    });
    for (let t = 0; t < 1000; t += 10) {
      world.schedule(1000 + t, () => a.command((core) => core.send(id, [hello()], target)));
    }
    world.run({ forMs: 10_000 });
    return world.traceHash();
  }

  it('has the same hash for the same seed, and another for another', () => {
    const hash = run(1);
    expect(hash).toMatch(/^[0-9a-f]{16}$/);
    expect(run(1)).toBe(hash);
    expect(new Set([hash, run(2), run(3)]).size).toBe(3);
  });

  it('keeps events when asked to', () => {
    const world = new World({ seed: 1, trace: { keepEvents: 2, bytes: 'all' } });
    const client = world.machine('c');
    const path = world.path({ name: 'p', client, server: world.machine('s'), ...LINK });
    new SimHost(client, new Blaster(`${path.serverAddress}:1`, 100, 10)).udp();
    world.run({ forMs: 100 });
    expect(world.trace.events).toHaveLength(2);
    expect(world.trace.events[0]).toMatchObject({ type: 'sent', protocol: 'udp', sizeBytes: 128 });
    expect(world.trace.sentPackets).toBe(11);
  });
});
