import { describe, expect, it } from 'vitest';
import type { CarrierId } from '../../src/core/contract.js';
import { applyFaults, type Fault } from '../../src/sim/faults.js';
import { SimHost } from '../../src/sim/host.js';
import { Nat } from '../../src/sim/nat.js';
import { PRESETS, type PresetName } from '../../src/sim/presets.js';
import { Prng } from '../../src/sim/prng.js';
import { World } from '../../src/sim/world.js';
import { DummyCore, type DummyEvent } from '../helpers/sim-cores.js';

const seeds =
  process.env['SEED'] === undefined
    ? Array.from({ length: 20 }, (_, i) => i + 1)
    : [Number(process.env['SEED'])];

const TOTAL_BYTES = 500_000;
const FAULTY_MS = 8000;
const DATA = Uint8Array.from({ length: TOTAL_BYTES }, (_, n) => n * 31 + (n >> 8));

/** Sends DATA over a TCP carrier in random pieces, as the grants allow. */
function pump(host: SimHost<DummyEvent, DummyCore>, id: CarrierId, prng: Prng): void {
  let sent = 0;
  const step = (): void => {
    const carrier = host.core.carriers.get(id);
    if (carrier === undefined || sent === TOTAL_BYTES) return;
    const length = Math.min(carrier.grantedBytes, TOTAL_BYTES - sent, prng.integer(1, 40_000));
    if (length > 0) host.command((core) => core.send(id, [DATA.subarray(sent, sent + length)]));
    sent += length;
    host.world.schedule(host.world.now + 1, step);
  };
  step();
}

function randomFaults(name: string, prng: Prng): Fault[] {
  const faults: Fault[] = [];
  for (let i = 0; i < 4; i++) {
    const at = prng.integer(0, FAULTY_MS);
    const direction = prng.pick(['up', 'down'] as const);
    const until = at + prng.integer(1, 2000);
    const rateBitsPerSec = prng.pick([0, 1e6, 50e6]);
    const params = { rateBitsPerSec, delayMs: prng.integer(1, 100) };
    faults.push({ at, type: 'black', path: name, on: true, direction });
    faults.push({ at: until, type: 'black', path: name, on: false });
    faults.push({ at: prng.integer(0, FAULTY_MS), type: 'set', path: name, params });
  }
  return faults;
}

/** A world of one to three paths, a TCP connection over each. Returns what came, and the hash. */
function run(seed: number): { received: Uint8Array[]; wanted: number; hash: string } {
  const world = new World({ seed });
  const prng = new Prng(seed).fork('plan');
  const client = world.machine('client');
  const server = world.machine('server');
  const received = new Map<CarrierId, Uint8Array[]>();
  const onEvent = (event: DummyEvent): void => {
    if (event.type !== 'received') return;
    const list = received.get(event.carrierId) ?? [];
    received.set(event.carrierId, [...list, event.bytes]);
  };
  const b = new SimHost(server, new DummyCore(), { onEvent });
  const a = new SimHost(client, new DummyCore());
  b.listenTcp(443, { receiveWindowBytes: prng.integer(5000, 1_000_000) });
  const names = ['p1', 'p2', 'p3'].slice(0, prng.integer(1, 3));
  for (const name of names) {
    const preset = PRESETS[prng.pick(Object.keys(PRESETS) as PresetName[])];
    const harm = {
      reorder: prng.chance(0.5),
      duplicate: prng.chance(0.3) ? 0.02 : 0,
      loss: prng.chance(0.5) ? 0.02 : 0,
    };
    const boxes = prng.chance(0.5) ? [new Nat(world)] : [];
    const links = { up: { ...preset.up, ...harm }, down: { ...preset.down, ...harm } };
    const path = world.path({ name, client, server, ...links, boxes });
    a.connectTcp(`${path.serverAddress}:443`, {
      host: path.clientAddress,
      sendBufferBytes: prng.integer(20_000, 1_000_000),
      onOpen: (id) => pump(a, id, prng.fork(name)),
    });
    applyFaults(world, randomFaults(name, prng));
  }
  world.run({ forMs: 600_000 });
  const lists = [...received.values()];
  const bytes = lists.map((list) => Uint8Array.from(Buffer.concat(list)));
  return { received: bytes, wanted: names.length, hash: world.traceHash() };
}

describe.each(seeds)('random world, seed %i', (seed) => {
  it('delivers every byte of every connection once its faults have healed, and can be replayed', () => {
    const first = run(seed);
    expect(first.received).toHaveLength(first.wanted);
    for (const bytes of first.received) {
      expect(bytes).toHaveLength(TOTAL_BYTES);
      expect(Buffer.compare(bytes, DATA)).toBe(0);
    }
    expect(run(seed).hash).toBe(first.hash);
  });
});
