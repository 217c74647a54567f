/**
 * The border between the UDP carrier and the operating system. What is here uses `node:dgram`, one
 * system call a datagram; a native socket that sends and receives many at a time implements the same
 * interface (docs/decisions/0010-udp-sockets.md).
 *
 * @module
 */

import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { type Address, assert, CarrierError } from '../../core/index.js';
import { formatAddress, parseAddress } from '../addresses.js';

const MIB = 1024 * 1024;

/**
 * Asked of the kernel for each direction, in bytes; it gives what it allows. Linux's default of
 * 212,992 holds 92 packets of 1200 bytes, and a burst of more than that is lost.
 */
export const SOCKET_BUFFER_BYTES = 4 * MIB;
/** What the kernel would not take at once; more than this is lost, as in any other queue. */
export const MAX_SEND_QUEUE_BYTES = MIB;
/** Reading failed so often without one datagram between: the socket is broken. */
export const MAX_RECEIVE_ERRORS = 256;
/** Remote addresses whose parts are remembered. */
const MAX_KNOWN_REMOTES = 1_024;
/** Turns of the event loop that `close` waits for what the kernel has not taken yet. */
const MAX_CLOSING_TURNS = 256;
const LARGEST_DATAGRAM_BYTES = 65_535;

export interface DatagramSink {
  /** One datagram and where it came from. The memory is the sink's. */
  onDatagram(bytes: Uint8Array, remote: Address): void;
  /** The last call: the socket is broken. */
  onFailed(error: CarrierError): void;
}

export interface DatagramStatistics {
  /** Datagrams that never left this machine: no route, too long, queue full. */
  readonly unsentCount: number;
  /** Why the last one did not, for example `ENETUNREACH` or `EMSGSIZE`. */
  readonly lastErrorCode: string | undefined;
  /** What the kernel granted for what has arrived and is not read yet, in bytes. */
  readonly receiveBufferBytes: number;
}

/** A bound UDP socket that talks to anyone. */
export interface DatagramSocket {
  /** Where it is bound, with the port that it was given. */
  readonly local: Address;
  readonly statistics: DatagramStatistics;
  /** Begins to deliver; never from within this call. To be called once. */
  open(sink: DatagramSink): void;
  /**
   * Sends the chunks as one datagram, at the latest by the end of this turn of the event loop: an
   * implementation may collect what one turn sends. What cannot be sent is lost and counted.
   */
  send(chunks: readonly Uint8Array[], remote: Address): void;
  /** Whether it keeps the process alive; at first it does. */
  ref(): void;
  unref(): void;
  /** What was sent still leaves. The sink hears nothing more. */
  close(): void;
}

export interface BindOptions {
  /** An IP address; the wildcard address if absent. */
  readonly host?: string | undefined;
  /** 0: any free one. */
  readonly port?: number | undefined;
  /** Without a host: `udp6` takes IPv4 too. */
  readonly type: 'udp4' | 'udp6';
  /** A socket that is bound already, by its file descriptor, instead. */
  readonly fd?: number | undefined;
}

/**
 * @throws CarrierError if it cannot be bound; its `cause` is Node's error, with a `code` such as
 *   `EADDRINUSE`.
 */
export function bindDatagramSocket(options: BindOptions): Promise<DatagramSocket> {
  const { host, port = 0, type, fd } = options;
  const socket = createSocket({ type, lookup: literalLookup });
  return new Promise((resolve, reject) => {
    socket.once('error', (cause) => {
      const where = formatAddress(host ?? '*', port);
      socket.close();
      reject(
        new CarrierError(`cannot open UDP at ${where}: ${cause.message}`, {
          systemCode: codeOf(cause),
          cause,
        }),
      );
    });
    const place = { port, ...(host === undefined ? {} : { address: host }) };
    socket.bind({ ...(fd === undefined ? place : { fd }), exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(new NodeDatagramSocket(socket, type));
    });
  });
}

/** Addresses are literal here. Node's own look-up would put each datagram off to a later tick. */
const literalLookup: NonNullable<SocketOptions['lookup']> = (host, _options, callback) => {
  callback(null, host, host.includes(':') ? 6 : 4);
};

interface Destination {
  readonly host: string;
  readonly port: number;
}

/** Over `node:dgram`. Exported for tests. */
export class NodeDatagramSocket implements DatagramSocket {
  readonly local: Address;
  readonly #socket: Socket;
  readonly #isV6: boolean;
  readonly #destinations = new Map<Address, Destination>();
  readonly #receiveBufferBytes: number;
  #sink: DatagramSink | undefined;
  #isOpened = false;
  #isClosed = false;
  #source: RemoteInfo | undefined;
  #sourceAddress: Address = '';
  /** Where chunks are joined; Node has copied or sent what was there when it takes the next one. */
  #joined: Uint8Array = new Uint8Array(LARGEST_DATAGRAM_BYTES);
  #isAsking = false;
  #receiveErrorCount = 0;
  #unsentCount = 0;
  #lastErrorCode: string | undefined;

  constructor(socket: Socket, type: 'udp4' | 'udp6') {
    this.#socket = socket;
    this.#isV6 = type === 'udp6';
    const { address, port } = socket.address();
    this.local = formatAddress(address, port);
    this.#receiveBufferBytes = growBuffers(socket);
    socket.on('error', (error) => this.#receiveFailed(error));
  }

  get statistics(): DatagramStatistics {
    return {
      unsentCount: this.#unsentCount,
      lastErrorCode: this.#lastErrorCode,
      receiveBufferBytes: this.#receiveBufferBytes,
    };
  }

  open(sink: DatagramSink): void {
    assert(!this.#isOpened && !this.#isClosed, 'a socket is opened once');
    this.#isOpened = true;
    this.#sink = sink;
    this.#socket.on('message', (bytes, source) => this.#received(bytes, source));
  }

  #received(bytes: Buffer, source: RemoteInfo): void {
    this.#receiveErrorCount = 0;
    // Nobody can be answered at port 0; only a forger sends from there.
    if (source.port === 0) return;
    const last = this.#source;
    if (last === undefined || last.port !== source.port || last.address !== source.address) {
      this.#source = source;
      this.#sourceAddress = formatAddress(source.address, source.port);
    }
    const own = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#sink?.onDatagram(own, this.#sourceAddress);
  }

  send(chunks: readonly Uint8Array[], remote: Address): void {
    if (this.#isClosed) return;
    const destination = this.#destination(remote);
    if (destination === undefined) return this.#unsent('EINVAL');
    const bytes = this.#join(chunks);
    if (bytes === undefined) return this.#unsent('EMSGSIZE');
    if (this.#socket.getSendQueueSize() > MAX_SEND_QUEUE_BYTES) return this.#unsent('ENOBUFS');
    const { host, port } = destination;
    // An answer for each one would cost a tick each; what keeps one from leaving keeps the next, too.
    if (this.#isAsking) {
      this.#socket.send(bytes, 0, bytes.length, port, host);
    } else {
      this.#isAsking = true;
      this.#socket.send(bytes, 0, bytes.length, port, host, (error) => {
        this.#isAsking = false;
        if (error !== null) this.#unsent(codeOf(error));
      });
    }
    // The kernel was not ready: the memory is in use until it is.
    const isHeld = bytes.buffer === this.#joined.buffer && this.#socket.getSendQueueCount() > 0;
    if (isHeld) this.#joined = new Uint8Array(LARGEST_DATAGRAM_BYTES);
  }

  #join(chunks: readonly Uint8Array[]): Uint8Array | undefined {
    const [first] = chunks;
    if (chunks.length === 1) return first;
    let length = 0;
    for (const chunk of chunks) {
      if (length + chunk.length > LARGEST_DATAGRAM_BYTES) return undefined;
      this.#joined.set(chunk, length);
      length += chunk.length;
    }
    return this.#joined.subarray(0, length);
  }

  #destination(remote: Address): Destination | undefined {
    const known = this.#destinations.get(remote);
    if (known !== undefined) return known;
    const parsed = parseAddress(remote);
    if (parsed === undefined || parsed.port === 0) return undefined;
    const isV6 = parsed.host.includes(':');
    if (isV6 && !this.#isV6) return undefined;
    const host = this.#isV6 && !isV6 ? `::ffff:${parsed.host}` : parsed.host;
    if (this.#destinations.size >= MAX_KNOWN_REMOTES) this.#destinations.clear();
    const destination = { host, port: parsed.port };
    this.#destinations.set(remote, destination);
    return destination;
  }

  #unsent(code: string): void {
    this.#unsentCount += 1;
    this.#lastErrorCode = code;
  }

  /**
   * Some systems report here what ICMP says of an earlier datagram, and anyone can forge ICMP: it
   * means nothing, unless nothing else comes.
   */
  #receiveFailed(error: Error): void {
    this.#lastErrorCode = codeOf(error);
    this.#receiveErrorCount += 1;
    if (this.#receiveErrorCount < MAX_RECEIVE_ERRORS) return;
    const sink = this.#sink;
    this.close();
    sink?.onFailed(
      new CarrierError(`the UDP socket is broken: ${error.message}`, {
        systemCode: codeOf(error),
        cause: error,
      }),
    );
  }

  ref(): void {
    if (!this.#isClosed) this.#socket.ref();
  }

  unref(): void {
    if (!this.#isClosed) this.#socket.unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#sink = undefined;
    this.#socket.removeAllListeners('message');
    this.#closeWhenSent(MAX_CLOSING_TURNS);
  }

  #closeWhenSent(turnsLeft: number): void {
    if (turnsLeft === 0 || this.#socket.getSendQueueCount() === 0) this.#socket.close();
    else setImmediate(() => this.#closeWhenSent(turnsLeft - 1));
  }
}

/** @returns what the kernel gives to receive, in bytes. */
function growBuffers(socket: Socket): number {
  try {
    socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
  } catch {
    // Some systems refuse what is too much instead of giving less.
  }
  return socket.getRecvBufferSize();
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}
