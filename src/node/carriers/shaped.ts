/**
 * A link with a rate, a delay and a queue, made of timers: carriers that are wrapped in it share
 * it, as sockets share a cable. For demonstrations, examples and tests on machines whose own
 * network has no limits. What the wrapped carrier sends takes its time on the link; what it
 * receives takes the delay only.
 *
 * @module
 */

import type { Address } from '../../core/index.js';
import { type Carrier, type CarrierSink, joinChunks } from './carrier.js';

const BITS = 8;
const NEVER = Number.POSITIVE_INFINITY;
const DEFAULT_QUEUE_MS = 50;
/** A stream carrier may hold this much even on the slowest link. */
const MIN_BUFFER_BYTES = 16 * 1024;

export interface ShapedLinkOptions {
  /** Megabits a second, above 0. */
  readonly rateMbps: number;
  /** One way, in ms; 0. */
  readonly delayMs?: number;
  /** Longest queue in front of the link, in ms at its rate; 50. Datagrams that find it full are lost. */
  readonly queueMs?: number;
}

/** One link, for any number of carriers. */
export class ShapedLink {
  readonly rateBytesPerMs: number;
  readonly delayMs: number;
  readonly queueMs: number;
  readonly #ends = new Set<ShapedCarrier>();
  #isBlack = false;
  /** When the link has sent all that it was given. */
  #freeAt = 0;
  /** Bytes that have entered the link. */
  sentBytes = 0;

  constructor({ rateMbps, delayMs = 0, queueMs = DEFAULT_QUEUE_MS }: ShapedLinkOptions) {
    this.rateBytesPerMs = (rateMbps * 1_000) / BITS;
    this.delayMs = delayMs;
    this.queueMs = queueMs;
  }

  /** While `true`, nothing gets through either way, and nobody is told. */
  get isBlack(): boolean {
    return this.#isBlack;
  }

  set isBlack(isBlack: boolean) {
    this.#isBlack = isBlack;
    for (const end of this.#ends) end.pump();
  }

  /** @returns a carrier that uses the link; `carrier` must not be opened yet. */
  wrap(carrier: Carrier): Carrier {
    const end = new ShapedCarrier(carrier, this, () => this.#ends.delete(end));
    this.#ends.add(end);
    return end;
  }

  /** How long the queue is, in ms. */
  queuedMs(now: number): number {
    return Math.max(0, this.#freeAt - now);
  }

  /** @returns when `bytes` that are given now have left the queue. */
  enter(bytes: number, now: number): number {
    this.#freeAt = Math.max(this.#freeAt, now) + bytes / this.rateBytesPerMs;
    this.sentBytes += bytes;
    return this.#freeAt;
  }
}

interface Travelling {
  readonly bytes: Uint8Array;
  readonly remote: Address | undefined;
  readonly leavesAt: number;
  hasLeft: boolean;
}

interface Arriving {
  readonly bytes: Uint8Array;
  readonly remote: Address | undefined;
  readonly at: number;
}

class ShapedCarrier implements Carrier {
  readonly name: Carrier['name'];
  readonly kind: Carrier['kind'];
  readonly local: string;
  readonly remote?: Address;
  readonly maxDatagramBytes?: number;
  readonly #inner: Carrier;
  readonly #link: ShapedLink;
  readonly #onEnd: () => void;
  #sink: CarrierSink | undefined;
  /** What the wrapped carrier takes. */
  #innerGrantBytes = 0;
  readonly #outgoing: Travelling[] = [];
  readonly #incoming: Arriving[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** The owner has closed it: what was sent is still delivered. */
  #isClosing = false;
  /** The wrapped carrier has ended: what it had received is still handed on. */
  #ending: { readonly error: Error | undefined } | undefined;
  #isOver = false;

  constructor(inner: Carrier, link: ShapedLink, onEnd: () => void) {
    this.name = inner.name;
    this.kind = inner.kind;
    this.local = inner.local;
    if (inner.remote !== undefined) this.remote = inner.remote;
    if (inner.maxDatagramBytes !== undefined) this.maxDatagramBytes = inner.maxDatagramBytes;
    this.#inner = inner;
    this.#link = link;
    this.#onEnd = onEnd;
  }

  open(sink: CarrierSink): void {
    this.#sink = sink;
    this.#inner.open({
      onReceive: (bytes, remote) => {
        // Stream carriers keep what the darkness holds up, datagrams are lost in it.
        if (this.kind === 'datagram' && this.#link.isBlack) return;
        const at = performance.now() + this.#link.delayMs;
        this.#incoming.push({ bytes: Uint8Array.from(bytes), remote, at });
        this.pump();
      },
      onWritable: (bytes) => {
        this.#innerGrantBytes += bytes;
        this.pump();
      },
      onClosed: (error) => {
        this.#ending = { error };
        this.#outgoing.length = 0;
        this.pump();
      },
    });
    if (this.kind !== 'stream') return;
    const { rateBytesPerMs, queueMs } = this.#link;
    const bufferBytes = Math.max(MIN_BUFFER_BYTES, Math.floor(rateBytesPerMs * queueMs));
    setImmediate(() => this.#sink?.onWritable(bufferBytes));
  }

  send(chunks: readonly Uint8Array[], remote?: Address): void {
    if (this.#isClosing || this.#ending !== undefined) return;
    const bytes = joinChunks(chunks);
    const now = performance.now();
    const isLost = this.#link.isBlack || this.#link.queuedMs(now) > this.#link.queueMs;
    if (this.kind === 'datagram' && isLost) return;
    const leavesAt = this.#link.enter(bytes.length, now);
    this.#outgoing.push({ bytes, remote, leavesAt, hasLeft: false });
    this.#arm();
  }

  unref(): void {
    this.#inner.unref?.();
  }

  close(): void {
    if (this.#isOver) return;
    this.#isClosing = true;
    this.#sink = undefined;
    this.#incoming.length = 0;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#ending !== undefined && this.#incoming.length === 0) {
      const sink = this.#sink;
      const { error } = this.#ending;
      this.#release();
      // Never from within a call of the owner's.
      setImmediate(() => sink?.onClosed(error));
    } else if (this.#isClosing && this.#outgoing.length === 0) {
      this.#release();
      this.#inner.close();
    }
  }

  /** Moves on what is due. */
  pump(): void {
    if (this.#isOver) return;
    if (!this.#link.isBlack) {
      const now = performance.now();
      this.#leave(now);
      this.#arrive(now);
      this.#deliver(now);
      this.#endIfDone();
    }
    this.#arm();
  }

  /** The queue has room again. */
  #leave(now: number): void {
    if (this.kind !== 'stream') return;
    for (const item of this.#outgoing) {
      if (item.leavesAt > now) break;
      if (item.hasLeft) continue;
      item.hasLeft = true;
      const { length } = item.bytes;
      setImmediate(() => this.#sink?.onWritable(length));
    }
  }

  #arrive(now: number): void {
    for (;;) {
      const [first] = this.#outgoing;
      if (first === undefined || first.leavesAt + this.#link.delayMs > now) return;
      if (this.kind === 'stream' && first.bytes.length > this.#innerGrantBytes) return;
      this.#outgoing.shift();
      this.#innerGrantBytes -= first.bytes.length;
      this.#inner.send([first.bytes], first.remote);
    }
  }

  #deliver(now: number): void {
    for (;;) {
      const [first] = this.#incoming;
      if (first === undefined || first.at > now) return;
      this.#incoming.shift();
      this.#sink?.onReceive(first.bytes, first.remote);
    }
  }

  #arm(): void {
    if (this.#isOver || this.#timer !== undefined || this.#link.isBlack) return;
    const next = Math.min(this.#nextLeaving, this.#nextArrival, this.#incoming[0]?.at ?? NEVER);
    if (next === NEVER) return;
    const delayMs = Math.max(1, next - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.pump();
    }, delayMs);
    this.#timer.unref();
  }

  get #nextLeaving(): number {
    if (this.kind !== 'stream') return NEVER;
    return this.#outgoing.find((item) => !item.hasLeft)?.leavesAt ?? NEVER;
  }

  /** What waits for the wrapped carrier's grant is looked at when that comes. */
  get #nextArrival(): number {
    const [first] = this.#outgoing;
    if (first === undefined) return NEVER;
    if (this.kind === 'stream' && first.bytes.length > this.#innerGrantBytes) return NEVER;
    return first.leavesAt + this.#link.delayMs;
  }

  #release(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#outgoing.length = 0;
    this.#incoming.length = 0;
    this.#sink = undefined;
    this.#onEnd();
  }
}
