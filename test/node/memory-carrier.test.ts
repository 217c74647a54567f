import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../src/core/index.js';
import { createMemoryCarriers } from '../../src/node/carriers/memory.js';
import { carrierConformance } from '../conformance/carrier.js';

for (const kind of ['stream', 'datagram'] as const) {
  carrierConformance(`memory, ${kind}`, () => {
    const { client, server } = createMemoryCarriers({ kind });
    if (kind === 'stream') return { a: client, b: server };
    return { a: client, b: server, addressOfA: client.local, addressOfB: server.local };
  });
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const nobody = { onReceive() {}, onWritable() {}, onClosed() {} };

describe('memory carriers', () => {
  it('a stream carrier asks for no more than its buffer holds, until that is delivered', async () => {
    const { client, server } = createMemoryCarriers({ bufferBytes: 1_000, bytesPerTurn: 300 });
    const grants: number[] = [];
    client.open({ ...nobody, onWritable: (bytes) => grants.push(bytes) });
    await turn();
    expect(grants).toEqual([1_000]);
    for (let i = 0; i < 4; i++) client.send([new Uint8Array(250)]);
    await turn();
    expect(grants).toEqual([1_000]);
    expect(() => client.send([new Uint8Array(1)])).toThrow(InvariantError);
    let received = 0;
    const perTurn: number[] = [];
    server.open({ ...nobody, onReceive: (bytes) => (received += bytes.length) });
    for (let last = 0; received < 1_000; last = received) {
      await turn();
      if (received > last) perTurn.push(received - last);
    }
    await turn();
    expect(perTurn).toEqual([500, 500]);
    expect(grants).toEqual([1_000, 500, 500]);
  });

  it('a datagram carrier drops what does not fit, and what is too long', async () => {
    const pair = createMemoryCarriers({ kind: 'datagram', bufferBytes: 2_500 });
    pair.client.open(nobody);
    for (let i = 0; i < 4; i++) pair.client.send([new Uint8Array(1_000)]);
    expect(pair.droppedCount).toBe(2);
    const lengths: number[] = [];
    pair.server.open({ ...nobody, onReceive: (bytes) => lengths.push(bytes.length) });
    await turn();
    pair.client.send([new Uint8Array(1_201)]);
    pair.client.send([new Uint8Array(600), new Uint8Array(600)]);
    await turn();
    expect(lengths).toEqual([1_000, 1_000, 1_200]);
    expect(pair.droppedCount).toBe(3);
  });

  it('a cut is told to both ends once, and loses what was under way', async () => {
    const pair = createMemoryCarriers();
    const told: string[] = [];
    let received = 0;
    pair.client.open({ ...nobody, onClosed: (error) => told.push(`client: ${error?.message}`) });
    pair.server.open({
      ...nobody,
      onReceive: (bytes) => (received += bytes.length),
      onClosed: (error) => told.push(`server: ${error?.message}`),
    });
    await turn();
    pair.client.send([new Uint8Array(10)]);
    pair.cut(new Error('pulled'));
    pair.cut(new Error('pulled again'));
    for (let i = 0; i < 5; i++) await turn();
    expect(told.sort()).toEqual(['client: pulled', 'server: pulled']);
    expect(received).toBe(0);
  });

  it('a blocked one delivers nothing and tells nobody, and then goes on', async () => {
    const pair = createMemoryCarriers();
    let received = 0;
    pair.client.open(nobody);
    pair.server.open({ ...nobody, onReceive: (bytes) => (received += bytes.length) });
    await turn();
    pair.isBlocked = true;
    pair.client.send([new Uint8Array(10)]);
    for (let i = 0; i < 5; i++) await turn();
    expect([received, pair.isBlocked]).toEqual([0, true]);
    pair.isBlocked = false;
    await turn();
    expect(received).toBe(10);
  });
});
