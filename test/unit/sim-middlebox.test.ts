import { describe, expect, it } from 'vitest';
import type { CarrierId } from '../../src/core/contract.js';
import { SimHost } from '../../src/sim/host.js';
import {
  delay,
  dropAll,
  dropNth,
  hold,
  Middlebox,
  noUdp,
  type Policy,
  type TapRecord,
  tamper,
  tap,
  tcpPortOnly,
} from '../../src/sim/middlebox.js';
import type { Packet } from '../../src/sim/packet.js';
import { symmetric } from '../../src/sim/presets.js';
import { World } from '../../src/sim/world.js';
import { DummyCore, type DummyEvent } from '../helpers/sim-cores.js';

const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** A client that hears what an echoing server sends back, with a middlebox between them. */
function attacked(...policies: Policy[]) {
  const world = new World({ seed: 1 });
  const client = world.machine('client');
  const server = world.machine('server');
  const box = new Middlebox(world, ...policies);
  const links = symmetric({ rateMbps: 10, rttMs: 20 });
  const path = world.path({ name: 'p1', client, server, ...links, boxes: [box] });
  const heard: number[][] = [];
  const atServer: number[][] = [];
  const listen = (list: number[][]) => (event: DummyEvent) => {
    if (event.type === 'received') list.push([...event.bytes]);
  };
  const a = new SimHost(client, new DummyCore(), { onEvent: listen(heard) });
  const b = new SimHost(server, new DummyCore(), { onEvent: listen(atServer) });
  b.core.echo = true;
  b.udp({ port: 443 });
  b.listenTcp(443);
  b.listenTcp(80);
  const udp = a.udp({ port: 5000 });
  const target = `${path.serverAddress}:443`;
  const say = (...values: number[]): void =>
    a.command((core) => core.send(udp, [bytesOf(...values)], target));
  return { world, box, a, b, heard, atServer, target, say, path };
}

describe('middlebox', () => {
  it('blocks UDP, or everything but one port', () => {
    const { world, box, a, b, target, say, path } = attacked(noUdp());
    say(1);
    a.connectTcp(target);
    a.connectTcp(`${path.serverAddress}:80`);
    world.run({ forMs: 500 });
    expect(b.core.sources).toHaveLength(0);
    expect(b.core.carriers.size).toBe(3);
    box.setPolicies(tcpPortOnly(443));
    a.connectTcp(target);
    a.connectTcp(`${path.serverAddress}:80`);
    world.run({ forMs: 500 });
    expect(b.core.carriers.size).toBe(4);
  });

  it('drops the nth packet, or every nth', () => {
    const { world, box, heard, say } = attacked(dropNth(2, { direction: 'up' }));
    for (let i = 1; i <= 4; i++) say(i);
    world.run();
    expect(heard.flat()).toEqual([1, 3, 4]);
    box.setPolicies(dropNth(2, { direction: 'down' }, true));
    for (let i = 5; i <= 8; i++) say(i);
    world.run();
    expect(heard.flat()).toEqual([1, 3, 4, 5, 7]);
  });

  it('flips bits of datagrams and of TCP bytes', () => {
    const { world, a, b, atServer, target, say } = attacked(
      tamper(-1, { direction: 'up', payload: true }),
    );
    say(1, 2);
    const opened: CarrierId[] = [];
    a.connectTcp(target, { onOpen: (id) => opened.push(id) });
    world.run({ forMs: 100 });
    expect(atServer).toEqual([[1, 2 | 0x80]]);
    a.command((core) => core.send(opened[0] as CarrierId, [bytesOf(3, 4)]));
    a.command((core) => core.send(opened[0] as CarrierId, [bytesOf(5)]));
    world.run({ forMs: 1000 });
    expect(atServer.flat()).toEqual([1, 2 | 0x80, 3, 4, 5 | 0x80]);
    expect(b.machine.droppedPackets).toBe(0);
  });

  it('taps, replays and forges datagrams', () => {
    const records: TapRecord[] = [];
    const { world, box, b, atServer, target, say } = attacked(tap(records, { direction: 'up' }));
    say(1, 2, 3);
    world.run();
    const [record] = records;
    if (record === undefined) throw new Error('nothing tapped');
    expect([...record.bytes]).toEqual([1, 2, 3]);
    expect(record).toMatchObject({ source: '10.77.1.2:5000', destination: target });
    box.replay(record);
    box.replay(record, '10.77.1.99:77');
    const bytes = bytesOf(9);
    box.injectDatagram({ direction: 'up', source: '1.2.3.4:5', destination: target, bytes });
    world.run();
    expect(atServer).toEqual([[1, 2, 3], [1, 2, 3], [1, 2, 3], [9]]);
    expect(b.core.sources.slice(1)).toEqual(['10.77.1.2:5000', '10.77.1.99:77', '1.2.3.4:5']);
    expect(world.unroutablePackets).toBe(2); // the echoes to the forged sources
  });

  it('injects TCP bytes and resets', () => {
    const records: TapRecord[] = [];
    const { world, box, a, b, atServer, target } = attacked(
      tap(records, { protocol: 'tcp', direction: 'up', payload: true }),
    );
    b.core.echo = false;
    a.connectTcp(target);
    world.run({ forMs: 100 });
    a.command((core) => core.send(1 as CarrierId, [bytesOf(1, 2, 3)]));
    world.run({ forMs: 100 });
    const [record] = records;
    if (record === undefined) throw new Error('nothing tapped');
    box.injectBytes(record, bytesOf(66, 67));
    world.run({ forMs: 100 });
    expect(atServer.flat()).toEqual([1, 2, 3, 66, 67]);
    // The real sender's next bytes: the first two are taken for a repetition.
    a.command((core) => core.send(1 as CarrierId, [bytesOf(4, 5, 6)]));
    world.run({ forMs: 1000 });
    expect(atServer.flat()).toEqual([1, 2, 3, 66, 67, 6]);
    box.injectReset(records.at(-1) ?? record);
    world.run({ forMs: 100 });
    expect(b.core.closed.map(({ cause }) => cause?.message)).toEqual(['ECONNRESET']);
  });

  it('delays, holds and releases', () => {
    const kept: Packet[] = [];
    const first = (packet: Packet): boolean => packet.payload?.[0] === 1;
    const { world, box, atServer, say } = attacked(delay(50, { direction: 'up', where: first }));
    say(1);
    say(2);
    world.run();
    expect(atServer.flat()).toEqual([2, 1]);
    box.setPolicies(hold(kept, { direction: 'up', where: first }), dropAll({ direction: 'down' }));
    say(1);
    say(3);
    world.run();
    expect(atServer.flat()).toEqual([2, 1, 3]);
    for (const packet of kept) box.release(packet);
    world.run();
    expect(atServer.flat()).toEqual([2, 1, 3, 1]);
  });
});
