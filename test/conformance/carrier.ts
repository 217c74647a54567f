/**
 * What every carrier must do, whatever it is made of. A test file calls {@link carrierConformance}
 * with a way to make two joined carriers of its kind.
 */
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/core/index.js';
import type { Carrier } from '../../src/node/carriers/carrier.js';
import { TestPrng } from '../helpers/prng.js';

/** Two ends that reach each other, not opened yet. */
export interface CarrierPair {
  readonly a: Carrier;
  readonly b: Carrier;
  /** Datagram carriers: where each end reaches the other. */
  readonly addressOfA?: Address;
  readonly addressOfB?: Address;
}

export type MakePair = () => CarrierPair | Promise<CarrierPair>;

const MAX_TURNS = 100_000;
const STREAM_BYTES = 3_000_000;

/** A sink that writes down what it hears, and notices when it is called at a wrong time. */
class Recorder {
  readonly received: Uint8Array[] = [];
  readonly sources: (Address | undefined)[] = [];
  receivedBytes = 0;
  writableBytes = 0;
  readonly closed: (Error | undefined)[] = [];
  isBusy = false;
  reentrantCalls = 0;
  readonly carrier: Carrier;

  constructor(carrier: Carrier) {
    this.carrier = carrier;
    this.quietly(() =>
      carrier.open({
        onReceive: (bytes, remote) => {
          this.#heard();
          this.received.push(bytes);
          this.sources.push(remote);
          this.receivedBytes += bytes.length;
        },
        onWritable: (bytes) => {
          this.#heard();
          this.writableBytes += bytes;
        },
        onClosed: (error) => {
          this.#heard();
          this.closed.push(error);
        },
      }),
    );
  }

  #heard(): void {
    if (this.isBusy) this.reentrantCalls += 1;
  }

  quietly(action: () => void): void {
    this.isBusy = true;
    action();
    this.isBusy = false;
  }

  send(chunks: readonly Uint8Array[], remote?: Address): void {
    for (const chunk of chunks) this.writableBytes -= chunk.length;
    this.quietly(() => this.carrier.send(chunks, remote));
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.received));
  }
}

/** Waits for something to happen in later turns of the event loop; never for a time. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    if (holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect.fail(`waited in vain for ${what}`);
}

/** Sends all of `bytes` as the sink allows, in chunks of odd sizes. */
async function sendAll(from: Recorder, bytes: Uint8Array): Promise<void> {
  const prng = new TestPrng(1);
  for (let position = 0; position < bytes.length; ) {
    await until(() => from.writableBytes > 0, 'room to send');
    const room = Math.min(bytes.length - position, from.writableBytes, 1 + prng.below(70_000));
    const cut = prng.below(room + 1);
    const piece = bytes.subarray(position, position + room);
    from.send([piece.slice(0, cut), piece.slice(cut)]);
    position += room;
  }
}

export function carrierConformance(title: string, makePair: MakePair): void {
  describe(`${title} as a carrier`, () => {
    async function open(): Promise<{ a: Recorder; b: Recorder; pair: CarrierPair }> {
      const pair = await makePair();
      return { a: new Recorder(pair.a), b: new Recorder(pair.b), pair };
    }

    it('hears nothing before it is opened, nor while it is called', async () => {
      const { a, b, pair } = await open();
      if (pair.a.kind === 'stream') await until(() => a.writableBytes > 0, 'the first grant');
      a.send([Uint8Array.of(1, 2, 3)], pair.addressOfB);
      await until(() => b.receivedBytes === 3, 'what was sent');
      a.quietly(() => pair.a.close());
      b.quietly(() => pair.b.close());
      expect(a.reentrantCalls + b.reentrantCalls).toBe(0);
    });

    it('gives memory to the sink that nobody else uses', async () => {
      const { a, b, pair } = await open();
      if (pair.a.kind === 'stream') await until(() => a.writableBytes > 0, 'the first grant');
      const bytes = Uint8Array.of(1, 2, 3, 4);
      a.send([bytes], pair.addressOfB);
      await until(() => b.receivedBytes === 4, 'what was sent');
      b.received[0]?.fill(9);
      a.send([bytes], pair.addressOfB);
      await until(() => b.receivedBytes === 8, 'what was sent again');
      expect([...bytes]).toEqual([1, 2, 3, 4]);
      expect([...b.bytes.subarray(4)]).toEqual([1, 2, 3, 4]);
    });

    it('closes once, and hears nothing more then', async () => {
      const { a, b, pair } = await open();
      if (pair.a.kind === 'stream') await until(() => a.writableBytes > 0, 'the first grant');
      pair.a.close();
      pair.a.close();
      if (pair.a.kind === 'stream') await until(() => b.closed.length > 0, 'the other end');
      pair.b.close();
      a.send([Uint8Array.of(1)], pair.addressOfB);
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(a.closed).toEqual([]);
      expect(b.closed.length).toBeLessThanOrEqual(1);
      expect(b.receivedBytes).toBe(0);
    });

    it('carries both ways what its kind promises', async () => {
      const { a, b, pair } = await open();
      if (pair.a.kind === 'stream') await checkStream(a, b);
      else await checkDatagrams(a, b, pair);
    });
  });
}

async function checkStream(a: Recorder, b: Recorder): Promise<void> {
  const there = new TestPrng(2).bytes(STREAM_BYTES);
  const back = new TestPrng(3).bytes(STREAM_BYTES / 3);
  await Promise.all([sendAll(a, there), sendAll(b, back)]);
  // In good order: what was sent is delivered before the end.
  a.carrier.close();
  await until(() => b.closed.length > 0, 'the end');
  expect(b.closed).toEqual([undefined]);
  expect(Buffer.compare(b.bytes, there)).toBe(0);
  expect(Buffer.compare(a.bytes, back.subarray(0, a.receivedBytes))).toBe(0);
}

async function checkDatagrams(a: Recorder, b: Recorder, pair: CarrierPair): Promise<void> {
  const largest = pair.a.maxDatagramBytes ?? 0;
  expect(largest).toBeGreaterThanOrEqual(1_200);
  const sent = [1, 2, 700, largest].map((length, i) => new TestPrng(i).bytes(length));
  for (const datagram of sent) {
    a.send([datagram.subarray(0, 1), datagram.subarray(1)], pair.addressOfB);
  }
  await until(() => b.received.length === sent.length, 'all datagrams');
  expect(b.received.map((datagram) => datagram.length)).toEqual([1, 2, 700, largest]);
  expect(Buffer.compare(b.bytes, Buffer.concat(sent))).toBe(0);
  expect(new Set(b.sources)).toEqual(new Set([pair.addressOfA]));
  // To where it came from.
  b.send([Uint8Array.of(7)], b.sources[0]);
  await until(() => a.receivedBytes === 1, 'the answer');
}
