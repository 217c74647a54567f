/**
 * TCP connections as stream carriers; also any other connected byte stream, such as a TLS socket.
 *
 * The rules of the data path, each of which was measured (docs/decisions/0011-tcp-data-path.md):
 * sockets read into one buffer that all of the process share; all that is sent in
 * one drain goes out by one `writev`; and what has left Node's buffer is granted again in the next
 * turn of the event loop, never within this one, so that neither timers nor other sockets starve.
 *
 * @module
 */

import { connect, type NetConnectOpts, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Address, assert, CarrierError } from '../../core/index.js';
import { formatAddress } from '../addresses.js';
import { type Carrier, type CarrierSink, joinChunks } from './carrier.js';
import { adopt, type Inlet, onread, readInto } from './shared-buffer.js';
import { carrierError, endsOf } from './socket-facts.js';

const KIB = 1024;
/**
 * Handed to the socket and not yet taken by the kernel, in bytes: what may be granted at a time, and
 * so also what is sent within one turn of the event loop. Tuning: less costs throughput on loopback,
 * more adds nothing (`benchmarks/tcp-path.mjs`).
 */
export const TCP_BUFFER_BYTES = 512 * KIB;
/** How long a closed carrier waits for the other end to close too, before it cuts the connection. */
export const CLOSE_LINGER_MS = 10_000;
/** Smaller chunks are copied together: each costs a call more than a copy. */
const GATHER_BELOW_BYTES = 1_024;

export interface TcpCarrierOptions {
  /** Bytes that were read from the socket before, and belong to the carrier. */
  readonly head?: Uint8Array;
  /** `tcp` */
  readonly name?: 'tcp' | 'mptcp' | 'ws';
  /** The ends, as `host:port`; by default what the socket says. */
  readonly local?: string;
  readonly remote?: Address;
  /** {@link TCP_BUFFER_BYTES} */
  readonly bufferBytes?: number;
}

export interface DialTcpOptions {
  /** A name is resolved, and its addresses are tried as Node does. */
  readonly host: string;
  readonly port: number;
  /** Where to come from: an address of this machine. */
  readonly localAddress?: string;
  /** How long to wait for the connection, in ms; without limit but the kernel's. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Connects to a server.
 *
 * @throws CarrierError (as rejection) if there is no connection, with the system's code in
 *   `systemCode`: `ECONNREFUSED`, `ETIMEDOUT`, ... If the signal aborts, its reason.
 */
export function dialTcp(options: DialTcpOptions): Promise<TcpCarrier> {
  const { host, port, localAddress, timeoutMs, signal } = options;
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const inlet: Inlet = {};
    const target: NetConnectOpts = {
      host,
      port,
      allowHalfOpen: true,
      noDelay: true,
      onread: onread(inlet),
      ...(localAddress === undefined ? {} : { localAddress }),
    };
    const socket = connect(target);
    adopt(socket, inlet);
    // Nothing is read before the carrier is opened.
    socket.pause();
    const timer = timeoutMs === undefined ? undefined : setTimeout(timedOut, timeoutMs);
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.off('error', failed);
      socket.off('connect', connected);
    };
    const giveUp = (reason: unknown) => {
      stop();
      socket.on('error', () => undefined);
      socket.destroy();
      reject(reason);
    };
    function timedOut(): void {
      const what = `no connection to ${formatAddress(host, port)} within ${timeoutMs} ms`;
      giveUp(new CarrierError(what, { systemCode: 'ETIMEDOUT' }));
    }
    function aborted(): void {
      giveUp(signal?.reason);
    }
    function failed(error: Error): void {
      giveUp(carrierError(error));
    }
    function connected(): void {
      stop();
      resolve(new TcpCarrier(socket));
    }
    signal?.addEventListener('abort', aborted, { once: true });
    socket.once('error', failed);
    socket.once('connect', connected);
  });
}

/**
 * A connected byte stream as carrier. The stream is the carrier's from now on; its errors are heard
 * from the construction on, and told once the carrier is open.
 *
 * If the other end closes its direction, nobody reads what is sent here: the carrier is over.
 */
export class TcpCarrier implements Carrier {
  readonly kind = 'stream';
  readonly name: 'tcp' | 'mptcp' | 'ws';
  readonly local: string;
  readonly remote: Address;
  readonly #socket: Duplex;
  readonly #bufferBytes: number;
  #head: Uint8Array | undefined;
  #sink: CarrierSink | undefined;
  #isClosed = false;
  /** What the sink may still send. */
  #creditBytes = 0;
  /** Taken by the kernel, and not yet told to the sink. */
  #freshCreditBytes: number;
  /** Sent in the present drain. */
  #outbox: Uint8Array[] = [];
  #outboxBytes = 0;
  #hasSent = false;
  #isFlushing = false;
  #immediate: NodeJS.Immediate | undefined;
  #linger: NodeJS.Timeout | undefined;
  /** The stream has ended or failed; then `onClosed` is due. */
  #ending: { readonly error: Error | undefined } | undefined;

  constructor(socket: Duplex, options: TcpCarrierOptions = {}) {
    this.#socket = socket;
    this.#head = options.head?.length === 0 ? undefined : options.head;
    this.name = options.name ?? 'tcp';
    this.local = options.local ?? endOf(socket, 'local');
    this.remote = options.remote ?? endOf(socket, 'remote');
    this.#bufferBytes = options.bufferBytes ?? TCP_BUFFER_BYTES;
    this.#freshCreditBytes = this.#bufferBytes;
    if (socket instanceof Socket) {
      socket.setNoDelay(true);
      socket.allowHalfOpen = true;
    }
    socket.pause();
    socket.on('error', (error) => this.#ended(carrierError(error)));
    socket.on('end', () => this.#ended(undefined));
    socket.on('close', () => {
      clearTimeout(this.#linger);
      const what = 'the connection was destroyed';
      this.#ended(new CarrierError(what, { systemCode: 'ECONNABORTED' }));
    });
  }

  open(sink: CarrierSink): void {
    assert(this.#sink === undefined && !this.#isClosed, 'a carrier is opened once');
    this.#sink = sink;
    this.#schedule();
    // A stream's own reads come in fresh memory.
    if (!readInto(this.#socket, (bytes) => this.#borrowed(bytes))) {
      this.#socket.on('data', (bytes: Uint8Array) => this.#sink?.onReceive(plain(bytes)));
    }
    // What came before is told before.
    if (this.#head === undefined) this.#socket.resume();
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    for (const chunk of chunks) {
      this.#outbox.push(chunk);
      this.#outboxBytes += chunk.length;
      this.#creditBytes -= chunk.length;
    }
    assert(this.#creditBytes >= 0, 'a stream carrier is sent no more than it asked for');
    this.#hasSent = true;
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    // After the drain, which is one microtask.
    queueMicrotask(() => this.#flush());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#flush();
    this.#release();
    this.#finish();
  }

  /** Keeps the process alive while the connection is open, as it does at first. */
  ref(): this {
    if (this.#socket instanceof Socket) this.#socket.ref();
    return this;
  }

  unref(): this {
    if (this.#socket instanceof Socket) this.#socket.unref();
    return this;
  }

  /** What has been sent and is still in Node's buffer, in bytes. */
  get bufferedBytes(): number {
    return this.#bufferBytes - this.#creditBytes - this.#freshCreditBytes;
  }

  #borrowed(bytes: Uint8Array): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    sink.onReceive(sink.borrows === true ? bytes : bytes.slice());
  }

  /** One call into the kernel for all that was sent in one drain. */
  #flush(): void {
    this.#isFlushing = false;
    const chunks = this.#outbox;
    const bytes = this.#outboxBytes;
    if (chunks.length === 0) return;
    this.#outbox = [];
    this.#outboxBytes = 0;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    const parts = gather(chunks);
    const last = parts.pop() as Uint8Array;
    if (parts.length > 0) socket.cork();
    for (const part of parts) socket.write(part);
    socket.write(last, (error) => {
      if (error === undefined || error === null) this.#taken(chunks, bytes);
    });
    if (parts.length > 0) socket.uncork();
  }

  /** The kernel has taken this, so that as much may follow. */
  #taken(chunks: readonly Uint8Array[], bytes: number): void {
    if (this.#isClosed) return;
    this.#sink?.onSent?.(chunks);
    this.#freshCreditBytes += bytes;
    this.#schedule();
  }

  #ended(error: Error | undefined): void {
    if (this.#ending !== undefined) return;
    this.#ending = { error };
    this.#schedule();
  }

  #schedule(): void {
    if (this.#sink === undefined || this.#immediate !== undefined) return;
    this.#immediate = setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#immediate = undefined;
    const credit = this.#freshCreditBytes;
    this.#freshCreditBytes = 0;
    this.#creditBytes += credit;
    const head = this.#head;
    this.#head = undefined;
    if (credit > 0) this.#sink?.onWritable(credit);
    if (head !== undefined) this.#sink?.onReceive(plain(head));
    if (this.#ending === undefined) {
      if (head !== undefined && !this.#isClosed) this.#socket.resume();
      return;
    }
    const { error } = this.#ending;
    const sink = this.#sink;
    this.#release();
    this.#finish();
    sink?.onClosed(error);
  }

  /** The sink hears nothing more. */
  #release(): void {
    this.#isClosed = true;
    this.#sink = undefined;
    this.#head = undefined;
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }

  /**
   * Ends our direction, and reads what still comes: a socket that is closed with unread bytes in it
   * is reset, and what was sent last would be lost on the way. What lasts too long is cut.
   */
  #finish(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    // Where nothing was sent, nothing has to arrive, and the descriptor is free at once.
    const isIdle = socket instanceof Socket && !this.#hasSent;
    if (this.#ending?.error !== undefined || isIdle) {
      socket.destroy();
      return;
    }
    socket.end(() => this.unref());
    socket.resume();
    // It is destroyed by itself once both directions have ended.
    this.#linger = setTimeout(() => socket.destroy(), CLOSE_LINGER_MS);
    this.#linger.unref();
  }
}

/** Runs of small chunks, headers and tags mostly, in one piece each. */
function gather(chunks: readonly Uint8Array[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  const flush = () => {
    if (small.length === 0) return;
    parts.push(small.length === 1 ? (small[0] as Uint8Array) : joinChunks(small));
    small = [];
  };
  for (const chunk of chunks) {
    if (chunk.length < GATHER_BELOW_BYTES) {
      small.push(chunk);
    } else {
      flush();
      parts.push(chunk);
    }
  }
  flush();
  return parts;
}

function endOf(socket: Duplex, end: 'local' | 'remote'): Address {
  return socket instanceof Socket ? endsOf(socket)[end] : `${end}:0`;
}

/** The same memory; the layers below must not meet a Buffer, whose `slice` does not copy. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
