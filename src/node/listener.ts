/**
 * One TCP port for all stream carriers: Roving's records, WebSockets, and WebSockets in TLS.
 *
 * Whoever has not shown yet what it speaks is a stranger: strangers have one deadline for all that
 * they do, there is a limit to their number, and what they hear is nothing, or what any dull web
 * server would say. A connection that speaks records, and a WebSocket, is handed on as a carrier; from
 * there on the core has limits of its own for those that nobody vouches for.
 *
 * @module
 */

import { constants } from 'node:crypto';
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  TLSSocket,
} from 'node:tls';
import { type Address, CarrierError } from '../core/index.js';
import { formatAddress } from './addresses.js';
import type { Carrier } from './carriers/carrier.js';
import { endsOf } from './carriers/socket-facts.js';
import { TcpCarrier } from './carriers/tcp.js';
import { WsAcceptor } from './carriers/ws.js';
import { type Speech, speechOf } from './first-bytes.js';
import { Descriptors, Strangers } from './strangers.js';

const KIB = 1024;

export interface ListenerLimits {
  /**
   * Connections that have not shown what they speak; 1024. The newest gets the place of the oldest
   * from the prefix that has most, IPv4 /24 or IPv6 /56.
   */
  readonly maxStrangers: number;
  /** From its first moment until it is a carrier, in ms; 10,000. Nothing that arrives prolongs it. */
  readonly strangerTimeoutMs: number;
}

export const DEFAULT_LISTENER_LIMITS: ListenerLimits = {
  maxStrangers: 1_024,
  strangerTimeoutMs: 10_000,
};

/** Headers of a request; a proxy in front adds some of its own. */
const MAX_HEADER_BYTES = 16 * KIB;
const BACKLOG = 1_024;
const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/** The server's certificate, as Node's `tls` takes it: `key` and `cert` in PEM, or `pfx`. */
export type ListenerTls = Pick<
  SecureContextOptions,
  'key' | 'cert' | 'ca' | 'pfx' | 'passphrase' | 'minVersion' | 'ciphers'
>;

export interface ListenTcpOptions {
  /** A local IP address; all of them, IPv6 and IPv4, if absent. */
  readonly host?: string;
  /** At `::`, whether IPv4 is left to others; `false`. */
  readonly ipv6Only?: boolean;
  /** 0, or absent: any free one. */
  readonly port?: number;
  /** A socket that listens already, as a service manager hands it on, instead. */
  readonly fd?: number;
  /** Without it, TLS is one more thing that strangers speak. */
  readonly tls?: ListenerTls;
  /**
   * Where WebSockets are, for example `/live`. If absent, everywhere: a reverse proxy may change the
   * path, and a path that nobody else knows is the only one that hides anything.
   */
  readonly path?: string;
  /** What is taken; both. The other is one more thing that strangers speak. */
  readonly carriers?: readonly ('tcp' | 'ws')[];
  readonly limits?: Partial<ListenerLimits>;
  /** What else gives way when descriptors run out: carriers for which nobody vouches yet. */
  readonly unvouched?: Unvouched;
  /** A connection has become a carrier, `tcp` or `ws`; it is yours. */
  onCarrier(carrier: Carrier): void;
}

export interface Unvouched {
  count(): number;
  /** Closes the oldest. */
  evict(): void;
}

export interface ListenerStatistics {
  /** Connections that have not shown yet what they speak. */
  readonly strangers: number;
  /** Carriers handed on, so far. */
  readonly carrierCount: number;
  /** Strangers that ran out of time. */
  readonly timedOutCount: number;
  /** Strangers that made room for newer ones. */
  readonly evictedCount: number;
  /** Connections that the system could not accept. */
  readonly unacceptedCount: number;
}

export interface TcpListener {
  /** Where it listens, with the port that it was given. */
  readonly address: Address;
  readonly statistics: ListenerStatistics;
  /**
   * Takes another certificate for connections from now on.
   *
   * @throws Error of Node's if it is not a usable one; the old one stays then.
   */
  setTls(tls: ListenerTls): void;
  /** Accepts nothing more, and drops strangers. Carriers that were handed on stay. */
  close(): Promise<void>;
}

/**
 * @throws CarrierError (as rejection) if the port cannot be bound, with the system's code in
 *   `systemCode`. Node's own error, if the certificate is not a usable one.
 */
export async function listenTcp(options: ListenTcpOptions): Promise<TcpListener> {
  const listener = new Listener(options);
  await listener.listen(options);
  return listener;
}

class Listener implements TcpListener {
  address: Address = '';
  readonly #options: ListenTcpOptions;
  readonly #limits: ListenerLimits;
  readonly #server: Server;
  readonly #http;
  readonly #acceptor = new WsAcceptor();
  #secureContext: SecureContext | undefined;
  readonly #strangers = new Strangers();
  readonly #descriptors = new Descriptors();
  /** The connections below those that TLS decrypts. */
  readonly #below = new WeakMap<Duplex, Socket>();
  readonly #counts = { carrier: 0, timedOut: 0, evicted: 0, unaccepted: 0 };

  constructor(options: ListenTcpOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LISTENER_LIMITS, ...options.limits };
    if (options.tls !== undefined) this.setTls(options.tls);
    // An end of its own for each direction, as carriers want it.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true });
    this.#server.on('connection', (socket) => this.#accepted(socket));
    // It never listens: connections are given to it.
    this.#http = createHttp({ maxHeaderSize: MAX_HEADER_BYTES, keepAlive: false });
    this.#http.on('request', refuse);
    this.#http.on('upgrade', (request, _socket, head) => this.#upgrade(request, head));
    this.#http.on('clientError', (_error, socket) => socket.destroy());
  }

  get statistics(): ListenerStatistics {
    const { carrier, timedOut, evicted, unaccepted } = this.#counts;
    return {
      strangers: this.#strangers.size,
      carrierCount: carrier,
      timedOutCount: timedOut,
      evictedCount: evicted,
      unacceptedCount: unaccepted,
    };
  }

  setTls(tls: ListenerTls): void {
    const secureOptions = constants.SSL_OP_NO_RENEGOTIATION;
    this.#secureContext = createSecureContext({ minVersion: 'TLSv1.2', ...tls, secureOptions });
  }

  listen({ host, ipv6Only = false, port = 0, fd }: ListenTcpOptions): Promise<void> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const where = formatAddress(host ?? '*', port);
        const { code: systemCode, message } = cause;
        const text = `cannot listen on TCP at ${where}: ${message}`;
        reject(new CarrierError(text, { systemCode, cause }));
      });
      const at = host === undefined ? { port } : { port, host, ipv6Only };
      const place = fd === undefined ? at : { fd };
      server.listen({ ...place, backlog: BACKLOG }, () => {
        server.removeAllListeners('error');
        // One connection less, no reason to stop.
        server.on('error', () => {
          this.#counts.unaccepted += 1;
        });
        const bound = server.address();
        if (bound !== null && typeof bound === 'object') {
          this.address = formatAddress(bound.address, bound.port);
        }
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    // Its callback would wait for the carriers, too.
    this.#server.close();
    for (const socket of this.#strangers.all()) socket.destroy();
    await new Promise((resolve) => setImmediate(resolve));
  }

  #accepted(socket: Socket): void {
    socket.on('error', () => undefined);
    if (this.#strangers.size >= this.#limits.maxStrangers) this.#evict();
    for (let n = this.#descriptors.missing(socket); n > 0; n--) this.#freeDescriptor();
    const timer = setTimeout(() => {
      this.#counts.timedOut += 1;
      socket.destroy();
    }, this.#limits.strangerTimeoutMs);
    this.#strangers.add(socket, timer);
    socket.once('close', () => this.#strangers.delete(socket));
    this.#listenTo(socket);
  }

  #evict(): void {
    const socket = this.#strangers.next();
    if (socket === undefined) return;
    this.#counts.evicted += 1;
    this.#strangers.delete(socket);
    socket.destroy();
  }

  /** Whichever are more give way: a client is among those whom nobody vouches for only briefly. */
  #freeDescriptor(): void {
    const { unvouched } = this.#options;
    if (unvouched !== undefined && unvouched.count() > this.#strangers.size) unvouched.evict();
    else this.#evict();
  }

  /** Reads until it is clear what this is. */
  #listenTo(socket: Socket): void {
    let head: Uint8Array = new Uint8Array();
    const onEnd = () => socket.destroy();
    const onData = (bytes: Uint8Array) => {
      head = head.length === 0 ? bytes : Buffer.concat([head, bytes]);
      const speech = speechOf(head);
      if (speech === undefined) return;
      socket.off('data', onData);
      if (!this.#isWelcome(speech)) {
        // To it, this port looks like one that waits for something else.
        socket.resume();
        return;
      }
      socket.off('end', onEnd);
      socket.pause();
      if (speech === 'roving') this.#records(socket, head);
      else this.#speaksHttp(socket, head, speech === 'tls' ? this.#secureContext : undefined);
    };
    socket.on('data', onData);
    socket.on('end', onEnd);
  }

  #isWelcome(speech: Speech): boolean {
    const { carriers } = this.#options;
    if (speech === 'unknown' || (speech === 'tls' && this.#secureContext === undefined))
      return false;
    return carriers === undefined || carriers.includes(speech === 'roving' ? 'tcp' : 'ws');
  }

  #records(socket: Socket, head: Uint8Array): void {
    this.#strangers.delete(socket);
    this.#handOn(new TcpCarrier(socket, { head, ...endsOf(socket) }));
  }

  #speaksHttp(socket: Socket, head: Uint8Array, secureContext: SecureContext | undefined): void {
    socket.unshift(head);
    if (secureContext === undefined) {
      this.#below.set(socket, socket);
      this.#http.emit('connection', socket);
      socket.resume();
      return;
    }
    const ALPNProtocols = ['http/1.1'];
    const secured = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols });
    secured.on('error', () => secured.destroy());
    // A handshake that fails is told in this way only.
    secured.on('close', () => socket.destroy());
    this.#below.set(secured, socket);
    this.#http.emit('connection', secured);
  }

  #upgrade(request: IncomingMessage, head: Buffer): void {
    const { path } = this.#options;
    const [asked] = (request.url ?? '').split('?');
    const socket = this.#below.get(request.socket);
    if (socket === undefined || (path !== undefined && path !== asked)) {
      request.socket.end(NOT_FOUND);
      return;
    }
    this.#acceptor.accept(request, head, endsOf(socket), (carrier) => {
      this.#strangers.delete(socket);
      this.#handOn(carrier);
    });
  }

  #handOn(carrier: Carrier): void {
    this.#counts.carrier += 1;
    this.#options.onCarrier(carrier);
  }
}

/** What any web server says of what it does not have. */
function refuse(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  response.writeHead(404, { 'Content-Type': 'text/plain', Connection: 'close' });
  response.end('Not Found\n');
}
