/**
 * Carriers within one process: what is sent at one end is delivered at the other in a later turn of
 * the event loop. For examples and tests, and for two parts of a program that want to talk by
 * sessions.
 *
 * @module
 */

import type { Address } from '../../core/index.js';
import { assert } from '../../core/index.js';
import { type Carrier, type CarrierSink, joinChunks } from './carrier.js';

const KIB = 1024;

export interface MemoryCarrierOptions {
  /** `stream` */
  readonly kind?: 'stream' | 'datagram';
  /** What the ends call themselves; `memory`. */
  readonly name?: string;
  /**
   * Sent and not yet delivered, each way, in bytes; 256 KiB. A stream carrier asks for no more, a
   * datagram carrier drops what does not fit, as a network does.
   */
  readonly bufferBytes?: number;
  /** Delivered within one turn of the event loop, each way, in bytes; 256 KiB. */
  readonly bytesPerTurn?: number;
  /** Datagram carriers: 1200 bytes. Larger ones are dropped. */
  readonly maxDatagramBytes?: number;
}

/** Two carriers, joined. */
export interface MemoryCarriers {
  readonly client: Carrier;
  readonly server: Carrier;
  /** Cuts them: what is under way is lost, and both ends hear of it. */
  cut(error?: Error): void;
  /** While `true`, nothing is delivered, and nobody is told: a black hole. */
  isBlocked: boolean;
  /** Datagrams that did not fit, both ways. */
  readonly droppedCount: number;
}

const DEFAULTS = {
  kind: 'stream',
  name: 'memory',
  bufferBytes: 256 * KIB,
  bytesPerTurn: 256 * KIB,
  maxDatagramBytes: 1_200,
} as const;

export function createMemoryCarriers(options: MemoryCarrierOptions = {}): MemoryCarriers {
  const settings = { ...DEFAULTS, ...options };
  const client = new MemoryEnd(settings, `${settings.name}-client:1`, `${settings.name}-server:1`);
  const server = new MemoryEnd(settings, `${settings.name}-server:1`, `${settings.name}-client:1`);
  client.join(server);
  server.join(client);
  return {
    client,
    server,
    cut(error = new Error('the memory carrier was cut')) {
      client.fail(error);
      server.fail(error);
    },
    get isBlocked() {
      return client.isBlocked;
    },
    set isBlocked(isBlocked: boolean) {
      client.block(isBlocked);
      server.block(isBlocked);
    },
    get droppedCount() {
      return client.droppedCount + server.droppedCount;
    },
  };
}

/**
 * One end. It owns the queue of what is on its way to it. Delivery is by `setImmediate`, at most
 * `bytesPerTurn` at a time: neither timers nor sockets starve beside it.
 */
class MemoryEnd implements Carrier {
  readonly name = 'memory';
  readonly kind: 'stream' | 'datagram';
  readonly local: string;
  readonly remote?: Address;
  readonly maxDatagramBytes?: number;
  readonly #bufferBytes: number;
  readonly #bytesPerTurn: number;
  /** Datagram carriers: where everything comes from. */
  readonly #source: Address | undefined;
  #peer: MemoryEnd | undefined;
  #sink: CarrierSink | undefined;
  #isClosed = false;
  /** The sender's budget: what it may still send. */
  #creditBytes = 0;
  /** Not told to the sink yet. */
  #freshCreditBytes: number;
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  /** The other end will send nothing more; then `onClosed` is due. */
  #ending: { readonly error: Error | undefined } | undefined;
  #immediate: NodeJS.Immediate | undefined;
  isBlocked = false;
  droppedCount = 0;

  constructor(options: Required<MemoryCarrierOptions>, local: Address, remote: Address) {
    this.kind = options.kind;
    this.local = local;
    if (options.kind === 'stream') this.remote = remote;
    else this.maxDatagramBytes = options.maxDatagramBytes;
    this.#source = options.kind === 'stream' ? undefined : remote;
    this.#bufferBytes = options.bufferBytes;
    this.#bytesPerTurn = options.bytesPerTurn;
    this.#freshCreditBytes = options.kind === 'stream' ? options.bufferBytes : 0;
  }

  join(peer: MemoryEnd): void {
    this.#peer = peer;
  }

  open(sink: CarrierSink): void {
    assert(this.#sink === undefined && !this.#isClosed, 'a carrier is opened once');
    this.#sink = sink;
    this.#schedule();
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    const bytes = joinChunks(chunks);
    if (this.kind === 'stream') {
      this.#creditBytes -= bytes.length;
      assert(this.#creditBytes >= 0, 'a stream carrier is sent no more than it asked for');
    }
    this.#peer?.take(bytes);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#release();
    this.#peer?.end(undefined);
  }

  /** What is on its way here is lost, and the sink hears why. */
  fail(error: Error): void {
    if (this.#isClosed) return;
    this.#inbox = [];
    this.#inboxBytes = 0;
    this.end(error);
  }

  block(isBlocked: boolean): void {
    this.isBlocked = isBlocked;
    this.#schedule();
  }

  /** The other end has sent this. */
  take(bytes: Uint8Array): void {
    if (this.#isClosed || this.#ending !== undefined) return;
    if (this.kind === 'datagram' && !this.#hasRoom(bytes.length)) {
      this.droppedCount += 1;
      return;
    }
    this.#inbox.push(bytes);
    this.#inboxBytes += bytes.length;
    this.#schedule();
  }

  #hasRoom(bytes: number): boolean {
    const fits = bytes <= (this.maxDatagramBytes ?? 0);
    return fits && this.#inboxBytes + bytes <= this.#bufferBytes;
  }

  /** The other end sends nothing more. */
  end(error: Error | undefined): void {
    this.#ending ??= { error };
    this.#schedule();
  }

  #schedule(): void {
    const isIdle =
      this.#freshCreditBytes === 0 && this.#inbox.length === 0 && this.#ending === undefined;
    if (isIdle || this.#sink === undefined || this.#immediate !== undefined) return;
    if (this.isBlocked && this.#ending?.error === undefined) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      this.#turn();
      this.#schedule();
    });
  }

  #turn(): void {
    const credit = this.#freshCreditBytes;
    this.#freshCreditBytes = 0;
    this.#creditBytes += credit;
    if (credit > 0) this.#sink?.onWritable(credit);
    this.#deliver();
    if (this.#ending === undefined || this.#inbox.length > 0) return;
    const { error } = this.#ending;
    const sink = this.#sink;
    this.#release();
    this.#peer?.end(undefined);
    sink?.onClosed(error);
  }

  #deliver(): void {
    let delivered = 0;
    let count = 0;
    for (const bytes of this.#inbox) {
      if (delivered >= this.#bytesPerTurn || this.#isClosed) break;
      delivered += bytes.length;
      count += 1;
      this.#sink?.onReceive(bytes, this.#source);
    }
    if (this.#isClosed) return;
    this.#inbox.splice(0, count);
    this.#inboxBytes -= delivered;
    if (this.kind === 'stream') this.#peer?.credit(delivered);
  }

  /** What this end had sent was delivered. */
  credit(bytes: number): void {
    if (this.#isClosed || bytes === 0) return;
    this.#freshCreditBytes += bytes;
    this.#schedule();
  }

  #release(): void {
    this.#isClosed = true;
    this.#sink = undefined;
    this.#inbox = [];
    this.#inboxBytes = 0;
    this.#freshCreditBytes = 0;
    this.#ending = undefined;
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }
}
