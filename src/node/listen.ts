/**
 * What a server listens on: one port, for TCP and UDP.
 *
 * @module
 */

import { lookup } from 'node:dns/promises';
import type { Address, CarrierId } from '../core/index.js';
import { formatAddress, parseAddress } from './addresses.js';
import type { Carrier } from './carriers/carrier.js';
import { bindUdp, type UdpCarrier } from './carriers/udp.js';
import type { OnGone } from './driver.js';
import { InterfaceWatch, localAddresses } from './interfaces.js';
import { type ListenerTls, listenTcp, type TcpListener, type Unvouched } from './listener.js';
import type { RouteCarrier } from './routes.js';

/** Ports that are tried for TCP and UDP at once, if any free one will do. */
const MAX_PORT_TRIES = 20;
/** When what could not be bound is tried again. */
export const BIND_RETRY_MS = 1_000;
/** Failures of one address in a row after which it is told: a new one of IPv6 needs some. */
export const FAILURES_TO_TELL = 5;
/** All addresses of one family: the other one may be listened on beside it, at the same port. */
const ALL_OF: ReadonlyMap<string, 4 | 6> = new Map([
  ['0.0.0.0', 4],
  ['::', 6],
]);

export interface ListenParts {
  readonly host: string | undefined;
  readonly port: number;
  readonly carriers: readonly RouteCarrier[];
  readonly tls: ListenerTls | undefined;
  readonly onCarrier: (carrier: Carrier, onGone?: OnGone) => CarrierId;
  readonly onCarrierGone: (carrierId: CarrierId) => void;
  readonly onError: (error: Error) => void;
  readonly unvouched?: Unvouched;
  /** Instead of real sockets, for tests. */
  readonly bind?: typeof bindUdp;
}

export interface Listening {
  readonly address: Address;
  /** Another certificate for those who come from now on; does nothing where TCP is not listened on. */
  setTls(tls: ListenerTls): void;
  /** Takes no more connections; what is open goes on. */
  stop(): void;
  close(): Promise<void>;
}

/** @throws the system's error if the port is taken, or the address is not this machine's. */
export async function listen(parts: ListenParts): Promise<Listening> {
  for (let left = MAX_PORT_TRIES; ; left--) {
    const closers: (() => Promise<void> | void)[] = [];
    try {
      return await listenOnce(parts, closers);
    } catch (error) {
      for (const close of closers) await close();
      // The port that TCP was given may be taken for UDP.
      if (parts.port !== 0 || left === 0 || !isInUse(error)) throw systemError(error);
    }
  }
}

async function listenOnce(
  parts: ListenParts,
  closers: (() => Promise<void> | void)[],
): Promise<Listening> {
  const { carriers } = parts;
  const family = ALL_OF.get(parts.host ?? '');
  const host = parts.host === '*' || family !== undefined ? undefined : parts.host;
  let { port } = parts;
  let shown = host ?? (family === 6 ? '::' : '0.0.0.0');
  let listener: TcpListener | undefined;
  if (carriers.includes('tcp') || carriers.includes('ws')) {
    const tcp = await openTcp(family === undefined ? host : parts.host, port, parts);
    listener = tcp;
    closers.push(() => tcp.close());
    const bound = parseAddress(tcp.address);
    if (bound !== undefined) {
      port = bound.port;
      if (host !== undefined) shown = bound.host;
    }
  }
  if (carriers.includes('udp')) {
    const udp = new UdpListener(parts, family);
    closers.push(() => udp.close());
    if (host !== undefined && listener === undefined) shown = (await lookup(host)).address;
    port = await udp.open(host === undefined ? undefined : shown, port);
  }
  return {
    address: formatAddress(shown, port),
    setTls: (tls) => listener?.setTls(tls),
    stop: () => void listener?.close(),
    close: async () => {
      for (const close of closers) await close();
    },
  };
}

/** A socket that somebody else has opened for this process. */
export interface InheritedSocket {
  readonly fd: number;
  readonly kind: 'tcp' | 'udp';
  readonly family: 4 | 6;
}

/** @throws the system's error if the descriptor is not what it is said to be. */
export async function listenInherited(
  { fd, kind, family }: InheritedSocket,
  { tls, unvouched, onCarrier, onCarrierGone }: ListenParts,
): Promise<Listening> {
  if (kind === 'udp') {
    const carrier = await bindUdp({ inherited: { fd, family } });
    const carrierId = onCarrier(carrier);
    carrier.ref();
    const close = (): Promise<void> => Promise.resolve(onCarrierGone(carrierId));
    const nothing = (): void => undefined;
    return { address: carrier.local, setTls: nothing, stop: nothing, close };
  }
  const listener = await listenTcp({
    fd,
    ...(tls === undefined ? {} : { tls }),
    ...(unvouched === undefined ? {} : { unvouched }),
    onCarrier: (carrier) => void onCarrier(carrier),
  });
  return {
    address: listener.address,
    setTls: (changed) => listener.setTls(changed),
    stop: () => void listener.close(),
    close: () => listener.close(),
  };
}

function isInUse(error: unknown): boolean {
  return (systemError(error) as NodeJS.ErrnoException).code === 'EADDRINUSE';
}

/** The error that carries the system's code, which may be the cause of another. */
function systemError(error: unknown): Error {
  const { cause } = error as Error;
  return cause instanceof Error ? cause : (error as Error);
}

function openTcp(
  host: string | undefined,
  port: number,
  { carriers, tls, unvouched, onCarrier }: ListenParts,
): Promise<TcpListener> {
  return listenTcp({
    port,
    carriers: carriers.filter((carrier) => carrier !== 'udp'),
    ...(host === undefined ? {} : { host, ipv6Only: true }),
    ...(tls === undefined ? {} : { tls }),
    ...(unvouched === undefined ? {} : { unvouched }),
    onCarrier: (carrier) => void onCarrier(carrier),
  });
}

/**
 * The UDP side of a port. A socket for all addresses would answer from whichever the system
 * likes; so there is one for each address of the machine, and they follow those.
 */
class UdpListener {
  readonly #parts: ListenParts;
  readonly #family: 4 | 6 | undefined;
  readonly #sockets = new Map<string, CarrierId>();
  readonly #binding = new Set<string>();
  /** How often each address could not be bound, since it last was. */
  readonly #failures = new Map<string, number>();
  /** The only address; `undefined`: all that the machine has. */
  #host: string | undefined;
  #watch: InterfaceWatch | undefined;
  #retry: NodeJS.Timeout | undefined;
  #port = 0;
  #isClosed = false;

  /** @param family of all addresses only those; both if absent. */
  constructor(parts: ListenParts, family: 4 | 6 | undefined) {
    this.#parts = parts;
    this.#family = family;
  }

  /**
   * An address that cannot be bound yet, as a new one of IPv6 for a second or two, is tried again
   * later; but a port that is taken is told at once.
   *
   * @returns the port.
   */
  async open(host: string | undefined, port: number): Promise<number> {
    this.#port = port;
    this.#host = host;
    for (const address of this.#wanted()) {
      try {
        await this.#bind(address);
      } catch (error) {
        if (host !== undefined || isInUse(error)) throw error;
        this.#failed(address, error as Error);
      }
    }
    if (host === undefined) this.#watch = new InterfaceWatch(() => this.#follow());
    return this.#port;
  }

  #wanted(): ReadonlySet<string> {
    if (this.#host !== undefined) return new Set([this.#host]);
    const own = localAddresses().filter(({ family }) => family === (this.#family ?? family));
    return new Set(own.map(({ address }) => address));
  }

  async #bind(host: string): Promise<void> {
    const { bind = bindUdp, onCarrier } = this.#parts;
    this.#binding.add(host);
    let carrier: UdpCarrier;
    try {
      carrier = await bind({ host, port: this.#port });
    } finally {
      this.#binding.delete(host);
    }
    if (this.#isClosed) return carrier.close();
    if (this.#port === 0) this.#port = parseAddress(carrier.local)?.port ?? 0;
    this.#failures.delete(host);
    const id = onCarrier(carrier, () => {
      if (this.#sockets.get(host) !== id) return;
      this.#sockets.delete(host);
      this.#retryLater();
    });
    // Who listens has something to wait for.
    carrier.ref();
    this.#sockets.set(host, id);
  }

  #failed(host: string, error: Error): void {
    const count = (this.#failures.get(host) ?? 0) + 1;
    this.#failures.set(host, count);
    if (count === FAILURES_TO_TELL) this.#parts.onError(error);
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#isClosed || this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#follow();
    }, BIND_RETRY_MS);
    this.#retry.unref();
  }

  /** Addresses have come or gone, or one could not be bound before. */
  #follow(): void {
    const wanted = this.#wanted();
    for (const [host, carrierId] of this.#sockets) {
      if (wanted.has(host)) continue;
      this.#sockets.delete(host);
      this.#parts.onCarrierGone(carrierId);
    }
    for (const host of this.#failures.keys()) if (!wanted.has(host)) this.#failures.delete(host);
    for (const host of wanted) {
      if (this.#sockets.has(host) || this.#binding.has(host)) continue;
      this.#bind(host).catch((error: Error) => this.#failed(host, error));
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
    clearTimeout(this.#retry);
    const carrierIds = [...this.#sockets.values()];
    this.#sockets.clear();
    for (const carrierId of carrierIds) this.#parts.onCarrierGone(carrierId);
  }
}
