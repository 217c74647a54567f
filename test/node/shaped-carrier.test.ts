import { describe, expect, it } from 'vitest';
import { createMemoryCarriers } from '../../src/node/carriers/memory.js';
import { ShapedLink } from '../../src/node/carriers/shaped.js';
import { carrierConformance } from '../conformance/carrier.js';

const FAST = { rateMbps: 10_000, queueMs: 1_000 };

for (const kind of ['stream', 'datagram'] as const) {
  carrierConformance(`shaped ${kind}`, () => {
    const link = new ShapedLink(FAST);
    const { client, server } = createMemoryCarriers({ kind });
    const addresses =
      kind === 'datagram' ? { addressOfA: client.local, addressOfB: server.local } : {};
    return { a: link.wrap(client), b: link.wrap(server), ...addresses };
  });
}

describe('a shaped link', () => {
  it('takes its time for what is given to it, one after the other', () => {
    const link = new ShapedLink({ rateMbps: 8 });
    expect(link.enter(10_000, 100)).toBe(110);
    expect(link.enter(5_000, 100)).toBe(115);
    expect(link.queuedMs(112)).toBe(3);
    expect(link.enter(1_000, 200)).toBe(201);
    expect(link.sentBytes).toBe(16_000);
  });

  it('loses datagrams that find its queue full', async () => {
    const link = new ShapedLink({ rateMbps: 0.008, queueMs: 1_500 });
    const { client, server } = createMemoryCarriers({ kind: 'datagram' });
    const shaped = link.wrap(client);
    const arrived: number[] = [];
    server.open({
      onReceive: (bytes) => arrived.push(bytes.length),
      onWritable: () => undefined,
      onClosed: () => undefined,
    });
    shaped.open({
      onReceive: () => undefined,
      onWritable: () => undefined,
      onClosed: () => undefined,
    });
    for (let i = 0; i < 10; i++) shaped.send([new Uint8Array(1_000)], server.local);
    // One byte a millisecond: the third finds more than 1500 in front of it.
    expect(link.sentBytes).toBe(2_000);
    shaped.close();
    server.close();
  });

  it('keeps what a stream carrier sends while it is black, and delivers it afterwards', async () => {
    const link = new ShapedLink(FAST);
    const { client, server } = createMemoryCarriers({ kind: 'stream' });
    const shaped = link.wrap(client);
    let received = 0;
    const arrived = new Promise<void>((resolve) => {
      server.open({
        onReceive: (bytes) => {
          received += bytes.length;
          if (received === 1_000) resolve();
        },
        onWritable: () => undefined,
        onClosed: () => undefined,
      });
    });
    await new Promise<void>((resolve) => {
      shaped.open({
        onReceive: () => undefined,
        onWritable: () => resolve(),
        onClosed: () => undefined,
      });
    });
    link.isBlack = true;
    shaped.send([new Uint8Array(1_000)]);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(received).toBe(0);
    link.isBlack = false;
    await arrived;
    shaped.close();
    server.close();
  });
});
