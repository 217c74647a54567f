/**
 * A client and a server of the real protocol in a simulated world, joined by any number of paths:
 * what scenarios, benchmarks and the demonstration are built on. The client's side has a small
 * path manager, as a real driver has: it dials again when a TCP connection dies or goes silent.
 *
 * @module
 */

import {
  type CarrierId,
  type CarrierInfo,
  Endpoint,
  type EndpointEvent,
  type EndpointLimits,
  KeyRing,
  type PathId,
  type Session,
  type SessionEvent,
  type SessionOptions,
  type Ticket,
} from '../core/index.js';
import type { CryptoProvider } from '../crypto/index.js';
import { simulatedCrypto } from './crypto.js';
import { SimHost } from './host.js';
import type { Box, LinkHops, SimPath } from './network.js';
import type { LinkPair } from './presets.js';
import type { Prng } from './prng.js';
import type { TcpConnection, TcpOptions } from './tcp.js';
import { World } from './world.js';

export const BED_PORT = 7600;
/** A TCP connection is dialled again after this long, doubling to the maximum. */
const REDIAL_MS = 200;
const REDIAL_MAX_MS = 5_000;

export interface BedPathSpec {
  readonly name: string;
  readonly link: LinkPair;
  readonly carrier: 'tcp' | 'udp';
  readonly boxes?: readonly Box[];
  readonly shared?: readonly LinkHops[];
  readonly maxDatagramBytes?: number;
}

export interface BedOptions {
  readonly seed: number | string;
  readonly paths: readonly BedPathSpec[];
  readonly client?: Partial<SessionOptions>;
  readonly server?: Partial<SessionOptions>;
  readonly limits?: Partial<EndpointLimits>;
  readonly tcp?: TcpOptions;
  /** The fast one of the simulator by default, which is not secure. */
  readonly crypto?: CryptoProvider;
  /** Makes the world itself, for beds that need boxes before their paths. */
  readonly world?: World;
}

type BedHost = SimHost<EndpointEvent, Endpoint>;
type Listener = (event: SessionEvent) => void;

/** A session's events may have several listeners: applications on different streams. */
class Listeners {
  readonly #listeners = new Set<Listener>();
  readonly log: SessionEvent[] = [];

  add(listener: Listener): void {
    this.#listeners.add(listener);
  }

  tell(event: SessionEvent): void {
    if (event.type !== 'readable' && event.type !== 'writable') this.log.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }
}

/** One end of the bed's session. */
export class BedEnd {
  readonly host: BedHost;
  readonly session: Session;
  readonly listeners: Listeners;

  constructor(host: BedHost, session: Session, listeners: Listeners) {
    this.host = host;
    this.session = session;
    this.listeners = listeners;
  }

  on(listener: Listener): void {
    this.listeners.add(listener);
  }

  get events(): readonly SessionEvent[] {
    return this.listeners.log;
  }

  /** The error with which the session ended, `undefined` if it has not, or without one. */
  get error(): Error | undefined {
    const last = this.events.find((event) => event.type === 'closed');
    return last?.type === 'closed' ? last.error : undefined;
  }

  get isClosed(): boolean {
    return this.events.some((event) => event.type === 'closed');
  }
}

export class Bed {
  readonly world: World;
  readonly options: BedOptions;
  readonly ticket: Ticket;
  readonly keyRing: KeyRing;
  clientHost: BedHost;
  serverHost: BedHost;
  readonly paths = new Map<string, SimPath>();
  readonly specs: readonly BedPathSpec[];
  /** Server sessions, in the order in which they were accepted. */
  readonly accepted: BedEnd[] = [];
  readonly onAccepted: ((end: BedEnd) => void)[] = [];
  /** Carriers of the client by the name of their path. */
  readonly clientCarriers = new Map<string, CarrierId>();
  readonly #pathOf = new Map<CarrierId, string>();
  readonly #redials = new Map<string, number>();
  readonly #dialling = new Set<string>();
  readonly #random: Prng;
  #client: BedEnd | undefined;
  /** Whether the client dials again. */
  redials = true;

  constructor(options: BedOptions) {
    this.options = options;
    this.world = options.world ?? new World({ seed: options.seed });
    this.specs = options.paths;
    this.#random = this.world.prng.fork('bed');
    const secrets = this.#random.fork('secrets');
    this.keyRing = new KeyRing(secrets.bytes(32), secrets.bytes(32));
    this.ticket = {
      keyId: secrets.bytes(8),
      secret: secrets.bytes(32),
      doorKey: this.keyRing.doorKey,
      addresses: [],
    };
    this.keyRing.add({ ...this.ticket, name: 'bed', grants: ['forward'] });
    const server = this.world.machine('server');
    const client = this.world.machine('client');
    for (const spec of options.paths) {
      const path = this.world.path({
        name: spec.name,
        client,
        server,
        ...spec.link,
        ...(spec.boxes === undefined ? {} : { boxes: spec.boxes }),
        ...(spec.shared === undefined ? {} : { shared: spec.shared }),
      });
      this.paths.set(spec.name, path);
    }
    this.serverHost = this.startServer();
    this.clientHost = this.startClient();
  }

  /** Starts a server on the server's machine, also after a crash. */
  startServer(): BedHost {
    const endpoint = new Endpoint({
      crypto: this.options.crypto ?? simulatedCrypto,
      random: this.#generator('server'),
      keyRing: this.keyRing,
      ...(this.options.limits === undefined ? {} : { limits: this.options.limits }),
      session: { ...this.options.server },
    });
    const host: BedHost = new SimHost(this.world.machine('server'), endpoint, {
      carrierToClose,
      onEvent: (event) => this.#serverEvent(host, event),
    });
    host.udp({ port: BED_PORT });
    host.listenTcp(BED_PORT, this.options.tcp);
    this.serverHost = host;
    return host;
  }

  /** Starts a client endpoint on the client's machine, also after a crash. */
  startClient(): BedHost {
    const endpoint = new Endpoint({
      crypto: this.options.crypto ?? simulatedCrypto,
      random: this.#generator('client'),
      session: { ...this.options.client },
    });
    const host: BedHost = new SimHost(this.world.machine('client'), endpoint, {
      carrierToClose,
      onEvent: (event) => this.#clientEvent(event),
      onCarrierClosed: (carrierId) => this.#clientCarrierClosed(carrierId),
    });
    this.clientHost = host;
    return host;
  }

  #generator(name: string): (length: number) => Uint8Array {
    const prng = this.#random.fork(`${name}/${this.accepted.length}/${this.world.now}`);
    return (length) => prng.bytes(length);
  }

  /** The client's end of the last session that was begun. */
  get client(): BedEnd {
    if (this.#client === undefined) throw new Error('call connect() first');
    return this.#client;
  }

  /** The server's end of the last session that was accepted. */
  get server(): BedEnd {
    const end = this.accepted[this.accepted.length - 1];
    if (end === undefined) throw new Error('no session has been accepted yet');
    return end;
  }

  /** Begins a session over the named paths, or all of them. */
  connect(options: Partial<SessionOptions> = {}, names = [...this.paths.keys()]): BedEnd {
    const session = this.clientHost.command((core, now) => core.connect(this.ticket, options, now));
    this.#client = new BedEnd(this.clientHost, session, new Listeners());
    for (const name of names) this.openPath(name);
    return this.#client;
  }

  /** Opens a carrier of the client on a path, and gives it to the session. */
  openPath(name: string): TcpConnection | undefined {
    const spec = this.specs.find((one) => one.name === name);
    const path = this.paths.get(name);
    if (spec === undefined || path === undefined) throw new Error(`there is no path ${name}`);
    const remote = `${path.serverAddress}:${BED_PORT}`;
    if (spec.carrier === 'udp') {
      const carrierId = this.clientHost.udp({
        host: path.clientAddress,
        ...(spec.maxDatagramBytes === undefined ? {} : { maxDatagramBytes: spec.maxDatagramBytes }),
      });
      this.#useCarrier(name, carrierId, remote);
      return undefined;
    }
    this.#dialling.add(name);
    return this.clientHost.connectTcp(remote, {
      ...this.options.tcp,
      host: path.clientAddress,
      onOpen: (carrierId) => {
        this.#dialling.delete(name);
        this.#useCarrier(name, carrierId, undefined);
      },
      onFailed: () => {
        this.#dialling.delete(name);
        this.#redialLater(name);
      },
    });
  }

  #useCarrier(name: string, carrierId: CarrierId, remote: string | undefined): void {
    const { session } = this.client;
    if (!session.isOpen) return;
    this.clientCarriers.set(name, carrierId);
    this.#pathOf.set(carrierId, name);
    this.clientHost.command((core, now) => core.openPath(session, carrierId, remote, now));
  }

  #redialLater(name: string): void {
    if (!this.redials || this.#client?.session.isOpen !== true) return;
    const tries = this.#redials.get(name) ?? 0;
    this.#redials.set(name, tries + 1);
    const delay =
      Math.min(REDIAL_MAX_MS, REDIAL_MS * 2 ** tries) * (0.75 + this.#random.float() / 2);
    this.world.schedule(this.world.now + delay, () => {
      const isOpen = this.#client?.session.isOpen === true && this.clientHost.isAlive;
      if (isOpen && !this.#dialling.has(name)) this.openPath(name);
    });
  }

  #clientCarrierClosed(carrierId: CarrierId): void {
    const name = this.#pathOf.get(carrierId);
    this.#pathOf.delete(carrierId);
    const hasOther = [...this.#pathOf.values()].some((other) => other === name);
    if (name !== undefined && !hasOther) this.#redialLater(name);
  }

  #clientEvent(event: EndpointEvent): void {
    const client = this.#client;
    if (event.type !== 'session' || event.session !== client?.session) return;
    if (event.event.type === 'path') this.#pathEvent(event.event);
    client.listeners.tell(event.event);
  }

  /** A silent TCP connection may outlast the fault, since the kernel backs off: dial anew. */
  #pathEvent(event: SessionEvent & { type: 'path' }): void {
    const name = this.#pathOf.get(event.carrierId);
    if (name === undefined) return;
    if (event.state === 'suspect' && this.#isStream(name) && !this.#dialling.has(name)) {
      this.#redialLater(name);
    }
    if (event.state === 'active') {
      this.#redials.delete(name);
      this.#abandonOlder(name, event.carrierId, event.pathId);
    }
  }

  #isStream(name: string): boolean {
    return this.specs.find((one) => one.name === name)?.carrier === 'tcp';
  }

  /** A new connection works: either it or the one before it is given up. */
  #abandonOlder(name: string, carrierId: CarrierId, pathId: PathId): void {
    if (!this.#isStream(name)) return;
    for (const [other, otherName] of [...this.#pathOf]) {
      if (otherName !== name || other === carrierId) continue;
      const info = this.client.session.paths().find((one) => one.carrierId === other);
      if (info === undefined || info.pathId === pathId) continue;
      // One connection a path: the older one if it has come back meanwhile, else the new one.
      const useless = info.state === 'suspect' ? info.pathId : pathId;
      this.clientHost.command(() => this.client.session.abandonPath(useless));
      if (useless === pathId) return;
    }
  }

  #serverEvent(host: BedHost, event: EndpointEvent): void {
    if (event.type === 'accepted') {
      const end = new BedEnd(host, event.session, new Listeners());
      this.accepted.push(end);
      for (const listener of this.onAccepted) listener(end);
    } else if (event.type === 'session') {
      const end = this.accepted.find((one) => one.session === event.session);
      end?.listeners.tell(event.event);
    }
  }

  /** Runs until both ends know of the session. */
  establish(forMs = 10_000): boolean {
    const isThere = () =>
      this.client.session.lifecycle === 'established' && this.accepted.length > 0;
    return this.world.run({ until: isThere, forMs }) === 'done';
  }

  carrierInfo(carrierId: CarrierId): CarrierInfo | undefined {
    return this.clientHost.carriers.get(carrierId)?.info;
  }
}

function carrierToClose(event: EndpointEvent): CarrierId | undefined {
  return event.type === 'closeCarrier' ? event.carrierId : undefined;
}
