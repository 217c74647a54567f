/**
 * WebSockets as stream carriers, for networks that let nothing else pass. The bytes of the stream are
 * cut into binary messages at will: the borders of messages mean nothing.
 *
 * @module
 */

import type { IncomingMessage } from 'node:http';
import { isIP, Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { type ClientOptions, type RawData, WebSocket, WebSocketServer } from 'ws';
import { type Address, assert, CarrierError } from '../../core/index.js';
import { formatAddress } from '../addresses.js';
import { withDeadline } from '../deadline.js';
import { dialThroughProxy } from '../proxy.js';
import { type Carrier, type CarrierSink, joinChunks } from './carrier.js';
import { carrierError, endsOf } from './socket-facts.js';

const KIB = 1024;
/** Sent and not yet taken by the kernel, in bytes: what may be granted at a time. */
export const WS_BUFFER_BYTES = 512 * KIB;
/**
 * The longest message, in bytes, ours and the peer's. A message is held until it is whole, and so is
 * that of a stranger: this bounds what one can make us hold. Longer ones would not be faster.
 */
export const WS_MAX_MESSAGE_BYTES = 48 * KIB;
/** Pieces in which a message may come. */
export const WS_MAX_FRAGMENTS = 64;
/** How long a closed WebSocket waits for the other end to close too. */
const CLOSE_LINGER_MS = 3_000;
const CLOSE_NORMAL = 1_000;
const CLOSE_GOING_AWAY = 1_001;
const CLOSE_WITHOUT_CODE = 1_005;
const CLOSE_NOT_BINARY = 1_003;

/** At both ends. What is sealed cannot be compressed. */
const SETTINGS = {
  perMessageDeflate: false,
  maxPayload: WS_MAX_MESSAGE_BYTES,
  maxFragments: WS_MAX_FRAGMENTS,
  maxBufferedChunks: 4 * WS_MAX_FRAGMENTS,
  skipUTF8Validation: true,
  closeTimeout: CLOSE_LINGER_MS,
} as const;

/** What is trusted, and what is shown, in a `wss:` connection. */
export type WsTlsOptions = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername' | 'minVersion'
>;

export interface DialWsOptions {
  /** `ws://HOST/PATH` or `wss://HOST/PATH`. */
  readonly url: string;
  /** Connect to this IP address instead of looking up the host of the URL. */
  readonly address?: string;
  /** Where to come from: an address of this machine. */
  readonly localAddress?: string;
  /** URL of a proxy ({@link dialThroughProxy}). */
  readonly via?: string;
  /** How long all of it may take, in ms; without limit but the system's. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly tls?: WsTlsOptions;
}

/**
 * Connects to a server at a WebSocket URL. Redirections are not followed.
 *
 * @throws CarrierError (as rejection) if there is no connection, with the system's code in
 *   `systemCode` where there is one. If the signal aborts, its reason.
 */
export async function dialWs(options: DialWsOptions): Promise<WsCarrier> {
  const url = parseUrl(options.url);
  return await withDeadline(`no WebSocket at ${url.host}`, options, async (signal) => {
    const proxied = await proxySocket(url, options, signal);
    return await openClient(url, options, signal, proxied);
  });
}

function parseUrl(text: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Told below.
  }
  if (url === undefined || !['ws:', 'wss:'].includes(url.protocol)) {
    throw new CarrierError('not a WebSocket address: it must look like wss://HOST/PATH');
  }
  url.hash = '';
  return url;
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'wss:' ? 443 : 80) : Number(url.port);
}

/** Without the brackets of IPv6. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

async function proxySocket(
  url: URL,
  options: DialWsOptions,
  signal: AbortSignal,
): Promise<Socket | undefined> {
  const { via, localAddress } = options;
  if (via === undefined) return undefined;
  const host = options.address ?? hostOf(url);
  return dialThroughProxy(via, host, portOf(url), {
    signal,
    ...(localAddress === undefined ? {} : { localAddress }),
  });
}

function openClient(
  url: URL,
  options: DialWsOptions,
  signal: AbortSignal,
  proxied: Socket | undefined,
): Promise<WsCarrier> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, clientOptions(url, options, proxied));
    const stop = () => {
      signal.removeEventListener('abort', aborted);
      socket.off('error', failed);
    };
    function aborted(): void {
      stop();
      socket.on('error', () => undefined);
      socket.terminate();
      proxied?.destroy();
      reject(signal.reason);
    }
    function failed(error: Error): void {
      stop();
      socket.on('error', () => undefined);
      proxied?.destroy();
      reject(carrierError(error));
    }
    signal.addEventListener('abort', aborted, { once: true });
    socket.once('error', failed);
    socket.once('upgrade', (response) => {
      // Until `open`, which follows at once, the response is the only one to know the socket.
      const ends = endsOf(response.socket);
      const remote = proxied === undefined ? ends.remote : formatAddress(hostOf(url), portOf(url));
      socket.once('open', () => {
        stop();
        resolve(new WsCarrier(socket, { ...ends, remote, connection: response.socket }));
      });
    });
    if (signal.aborted) aborted();
  });
}

function clientOptions(url: URL, options: DialWsOptions, proxied: Socket | undefined) {
  const { address, localAddress, tls = {} } = options;
  const isSecure = url.protocol === 'wss:';
  const servername = tls.servername ?? (isIP(hostOf(url)) === 0 ? hostOf(url) : '');
  const settings: ClientOptions & { autoSelectFamily?: boolean } = {
    ...SETTINGS,
    ...tls,
    ...(localAddress === undefined ? {} : { localAddress, family: isIP(localAddress) }),
  };
  if (isSecure) settings.generateMask = noMask;
  if (proxied !== undefined) {
    const secured = () => connectTls({ ...tls, servername, socket: proxied, ALPNProtocols: ALPN });
    settings.createConnection = isSecure ? secured : () => proxied;
  } else if (address !== undefined) {
    const lookup = literalLookup(address);
    Object.assign(settings, { lookup });
  }
  return settings;
}

const ALPN = ['http/1.1'];

/** Answers each question with the one address. */
function literalLookup(address: string) {
  const family = isIP(address);
  return (
    _host: string,
    options: { all?: boolean },
    callback: (error: null, found: unknown, family?: number) => void,
  ): void => {
    if (options.all === true) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };
}

/**
 * Masks keep a hostile page from writing what it likes to a wire where a proxy might take it for HTTP
 * (RFC 6455 §10.3). What we write is sealed already, and in TLS nobody on the wire sees it: there the
 * mask of zeros, which changes nothing, saves most of the cost of a WebSocket.
 */
function noMask(mask: Buffer): void {
  mask.fill(0);
}

export interface WsCarrierOptions {
  /** The ends, as `host:port`. */
  readonly local: string;
  readonly remote: Address;
  /** What the WebSocket runs over. */
  readonly connection?: Socket;
}

/** An open WebSocket as carrier. It is the carrier's from now on. */
export class WsCarrier implements Carrier {
  readonly kind = 'stream';
  readonly name = 'ws';
  readonly local: string;
  readonly remote: Address;
  readonly #socket: WebSocket;
  readonly #connection: Socket | undefined;
  #sink: CarrierSink | undefined;
  #isClosed = false;
  /** What the sink may still send. */
  #creditBytes = 0;
  /** Taken by the kernel, and not yet told to the sink. */
  #freshCreditBytes = WS_BUFFER_BYTES;
  /** Sent in the present drain. */
  #outbox: Uint8Array[] = [];
  #isFlushing = false;
  #immediate: NodeJS.Immediate | undefined;
  /** It has ended or failed; then `onClosed` is due. */
  #ending: { readonly error: Error | undefined } | undefined;
  #error: CarrierError | undefined;

  constructor(socket: WebSocket, options: WsCarrierOptions) {
    this.#socket = socket;
    this.#connection = options.connection;
    this.local = options.local;
    this.remote = options.remote;
    // Nothing is read before the carrier is opened.
    socket.pause();
    socket.on('error', (error) => {
      this.#error ??= carrierError(error);
    });
    socket.on('message', (data, isBinary) => this.#received(data, isBinary));
    socket.on('close', (code) => this.#ended(code));
  }

  open(sink: CarrierSink): void {
    assert(this.#sink === undefined && !this.#isClosed, 'a carrier is opened once');
    this.#sink = sink;
    this.#schedule();
    this.#socket.resume();
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.#isClosed) return;
    for (const chunk of chunks) {
      this.#outbox.push(chunk);
      this.#creditBytes -= chunk.length;
    }
    assert(this.#creditBytes >= 0, 'a stream carrier is sent no more than it asked for');
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    // After the drain, which is one microtask.
    queueMicrotask(() => this.#flush());
  }

  unref(): void {
    if (this.#connection instanceof Socket) this.#connection.unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#flush();
    this.#release();
    this.#socket.close(CLOSE_NORMAL);
    // What still comes is read up to the other end's farewell.
    this.#socket.resume();
  }

  /** Handed to the WebSocket and not yet taken by the kernel, in bytes. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  #flush(): void {
    this.#isFlushing = false;
    const chunks = this.#outbox;
    this.#outbox = [];
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    let message: Uint8Array[] = [];
    let bytes = 0;
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) {
        const part = chunk.subarray(at, at + WS_MAX_MESSAGE_BYTES - bytes);
        message.push(part);
        at += part.length;
        bytes += part.length;
        if (bytes < WS_MAX_MESSAGE_BYTES) continue;
        this.#sendMessage(message, bytes);
        message = [];
        bytes = 0;
      }
    }
    if (bytes > 0) this.#sendMessage(message, bytes);
  }

  #sendMessage(parts: readonly Uint8Array[], bytes: number): void {
    const [first] = parts;
    const message = parts.length === 1 && first !== undefined ? first : joinChunks(parts);
    this.#socket.send(message, (error) => {
      if (error !== undefined && error !== null) return;
      this.#freshCreditBytes += bytes;
      this.#schedule();
    });
  }

  #received(data: RawData, isBinary: boolean): void {
    if (this.#isClosed) return;
    if (!isBinary || !(data instanceof Uint8Array)) {
      this.#error ??= new CarrierError('the other end of the WebSocket sent text');
      this.#socket.close(CLOSE_NOT_BINARY);
      return;
    }
    if (this.#error !== undefined || data.length === 0) return;
    this.#sink?.onReceive(new Uint8Array(data.buffer, data.byteOffset, data.length));
  }

  #ended(code: number): void {
    const isGraceful = [CLOSE_NORMAL, CLOSE_GOING_AWAY, CLOSE_WITHOUT_CODE].includes(code);
    const text = `the WebSocket was closed with code ${code}`;
    const cut = isGraceful ? undefined : new CarrierError(text, { systemCode: 'ECONNABORTED' });
    const error = this.#error ?? cut;
    this.#ending ??= { error };
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
    if (credit > 0) this.#sink?.onWritable(credit);
    if (this.#ending === undefined) return;
    const { error } = this.#ending;
    const sink = this.#sink;
    this.#release();
    sink?.onClosed(error);
  }

  /** The sink hears nothing more. */
  #release(): void {
    this.#isClosed = true;
    this.#sink = undefined;
    this.#outbox = [];
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }
}

/** Turns upgrade requests of an HTTP server into carriers. */
export class WsAcceptor {
  readonly #server = new WebSocketServer({ noServer: true, clientTracking: false, ...SETTINGS });

  constructor() {
    // As any server of HTTP would, and without the words that tell which one this is.
    this.#server.on('wsClientError', (_error, socket) => {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
  }

  /** For the event `upgrade`; `onCarrier` is called at once, or never if the request is not a good one. */
  accept(
    request: IncomingMessage,
    head: Buffer,
    ends: WsCarrierOptions,
    onCarrier: (carrier: WsCarrier) => void,
  ): void {
    this.#server.handleUpgrade(request, request.socket, head, (socket) => {
      onCarrier(new WsCarrier(socket, { ...ends, connection: request.socket }));
    });
  }
}
