/**
 * What a server listens on: one port, for TCP and UDP.
 *
 * @module
 */

import type { Address, CarrierId } from '../core/index.js';
import { formatAddress, parseAddress } from './addresses.js';
import type { Carrier } from './carriers/carrier.js';
import { bindUdp, type UdpCarrier } from './carriers/udp.js';
import { InterfaceWatch, localAddresses } from './interfaces.js';
import { type ListenerTls, listenTcp, type TcpListener } from './listener.js';
import type { RouteCarrier } from './routes.js';

/** Ports that are tried for TCP and UDP at once, if any free one will do. */
const MAX_PORT_TRIES = 20;
const WILDCARD = new Set(['0.0.0.0', '::', '*']);

export interface ListenParts {
  readonly host: string | undefined;
  readonly port: number;
  readonly carriers: readonly RouteCarrier[];
  readonly tls: ListenerTls | undefined;
  readonly onCarrier: (carrier: Carrier) => CarrierId;
  readonly onCarrierGone: (carrierId: CarrierId) => void;
  readonly onError: (error: Error) => void;
}

export interface Listening {
  readonly address: Address;
  /** Another certificate for those who come from now on; does nothing where TCP is not listened on. */
  setTls(tls: ListenerTls): void;
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
  const host = parts.host === undefined || WILDCARD.has(parts.host) ? undefined : parts.host;
  let { port } = parts;
  let shown = host ?? '0.0.0.0';
  let listener: TcpListener | undefined;
  if (carriers.includes('tcp') || carriers.includes('ws')) {
    const tcp = await openTcp(host, port, parts);
    listener = tcp;
    closers.push(() => tcp.close());
    const bound = parseAddress(tcp.address);
    if (bound !== undefined) {
      port = bound.port;
      if (host !== undefined) shown = bound.host;
    }
  }
  if (carriers.includes('udp')) {
    const udp = new UdpListener(parts);
    closers.push(() => udp.close());
    port = await udp.open(host === undefined ? undefined : shown, port);
  }
  return {
    address: formatAddress(shown, port),
    setTls: (tls) => listener?.setTls(tls),
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
  { tls, onCarrier, onCarrierGone }: ListenParts,
): Promise<Listening> {
  if (kind === 'udp') {
    const carrier = await bindUdp({ inherited: { fd, family } });
    const carrierId = onCarrier(carrier);
    const close = (): Promise<void> => Promise.resolve(onCarrierGone(carrierId));
    return { address: carrier.local, setTls: () => undefined, close };
  }
  const listener = await listenTcp({
    fd,
    ...(tls === undefined ? {} : { tls }),
    onCarrier: (carrier) => void onCarrier(carrier),
  });
  return {
    address: listener.address,
    setTls: (changed) => listener.setTls(changed),
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
  { carriers, tls, onCarrier }: ListenParts,
): Promise<TcpListener> {
  return listenTcp({
    port,
    carriers: carriers.filter((carrier) => carrier !== 'udp'),
    ...(host === undefined ? {} : { host }),
    ...(tls === undefined ? {} : { tls }),
    onCarrier: (carrier) => void onCarrier(carrier),
  });
}

/**
 * The UDP side of a port. A socket for all addresses would answer from whichever the system
 * likes; so there is one for each address of the machine, and they follow those.
 */
class UdpListener {
  readonly #parts: ListenParts;
  readonly #sockets = new Map<string, CarrierId>();
  #watch: InterfaceWatch | undefined;
  #port = 0;

  constructor(parts: ListenParts) {
    this.#parts = parts;
  }

  /** @returns the port. */
  async open(host: string | undefined, port: number): Promise<number> {
    this.#port = port;
    if (host !== undefined) {
      await this.#bind(host);
      return this.#port;
    }
    for (const { address } of localAddresses()) await this.#bind(address);
    this.#watch = new InterfaceWatch(() => this.#follow());
    return this.#port;
  }

  async #bind(host: string): Promise<void> {
    const carrier: UdpCarrier = await bindUdp({ host, port: this.#port });
    if (this.#port === 0) this.#port = parseAddress(carrier.local)?.port ?? 0;
    this.#sockets.set(host, this.#parts.onCarrier(carrier));
  }

  /** Addresses have come or gone. */
  #follow(): void {
    const present = new Set(localAddresses().map(({ address }) => address));
    for (const [host, carrierId] of this.#sockets) {
      if (present.has(host)) continue;
      this.#sockets.delete(host);
      this.#parts.onCarrierGone(carrierId);
    }
    for (const host of present) {
      if (!this.#sockets.has(host)) this.#bind(host).catch(this.#parts.onError);
    }
  }

  close(): void {
    this.#watch?.close();
    for (const carrierId of this.#sockets.values()) this.#parts.onCarrierGone(carrierId);
    this.#sockets.clear();
  }
}
