/**
 * The far end of forwards: connects where the other end asks to, and listens for it, as far as its
 * key allows.
 *
 * @module
 */

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { RovingSession, RovingStream } from '../node/index.js';
import { type Service, type ServiceCall, ServiceError, startService } from '../service/index.js';
import { formatHostPort, type HostPort, isHost, isPort, parseIp } from './address.js';
import { TunnelConnections } from './connections.js';
import { DIAL_TIMEOUT_MS, dial, type Resolver, systemResolver } from './dial.js';
import { originOf } from './forward.js';
import { Gate } from './gate.js';
import { Listener, type ListenPlace, resolveBind } from './listener.js';
import { denied, ForwardRules } from './rules.js';
import { splice } from './splice.js';
import { ACCEPTED_SERVICE, LISTEN_SERVICE, SUPERSEDED_CODE, TCP_SERVICE } from './tunnel.js';

/** Targets that are being connected to for one session at a time; the others wait. */
export const MAX_DIALS = 64;
/** Those that wait; further ones are refused with `EAGAIN`. */
export const MAX_WAITING_DIALS = 1_024;
/** Ports that one session may have listened on. */
export const MAX_LISTENERS = 64;

/** With which key the other end has come. */
export interface ForwardKey {
  /** Tells keys apart. */
  readonly id: string;
  /** For people. */
  readonly name: string;
}

export interface ForwardServerOptions {
  /** Where this program itself listens: no forward may lead there, whatever the key allows (T49). */
  readonly ownPorts?: () => readonly number[];
  /**
   * With which key a session has come: a newer one takes over the ports of an older one with the
   * same key; `session.key`.
   */
  readonly keyOf?: (session: RovingSession) => ForwardKey | undefined;
  /** From the request to the connection, in ms; {@link DIAL_TIMEOUT_MS}. */
  readonly dialTimeoutMs?: number;
  readonly maxDials?: number;
  readonly maxWaitingDials?: number;
  readonly maxListeners?: number;
  /** How names are resolved; as the system does. */
  readonly resolver?: Resolver;
}

export interface ForwardServerEvents {
  /** A key was not allowed to do what its session asked for. */
  denied: [what: string, key: ForwardKey | undefined];
  listening: [address: HostPort, key: ForwardKey | undefined];
  /** The port is free again. */
  unlistening: [address: HostPort, key: ForwardKey | undefined];
}

/** What a session has under way. */
interface SessionState {
  readonly rules: ForwardRules;
  readonly dials: Gate;
  listenerCount: number;
}

/** A port that is listened on for a session. */
interface HeldPort {
  readonly session: RovingSession;
  readonly listener: Listener;
  readonly stream: RovingStream;
}

/** The services for forwards; one object serves all sessions. */
export class ForwardServer extends EventEmitter<ForwardServerEvents> {
  /** To be offered by a `ServiceHost`. */
  readonly services: readonly Service[];
  readonly connections = new TunnelConnections();
  readonly #options: ForwardServerOptions;
  readonly #states = new WeakMap<RovingSession, SessionState>();
  /** By key and address. */
  readonly #ports = new Map<string, HeldPort>();

  constructor(options: ForwardServerOptions = {}) {
    super();
    this.#options = options;
    this.services = [
      { name: TCP_SERVICE, grant: 'forward', handle: (call) => this.#connect(call) },
      // `forward` and `listen` both allow it, so that it checks the grants itself.
      { name: LISTEN_SERVICE, handle: (call) => this.#listen(call) },
    ];
  }

  #stateOf({ session, grants }: ServiceCall): SessionState {
    let state = this.#states.get(session);
    if (state === undefined) {
      const { maxDials = MAX_DIALS, maxWaitingDials = MAX_WAITING_DIALS } = this.#options;
      const dials = new Gate(maxDials, maxWaitingDials);
      state = { rules: ForwardRules.of(grants), dials, listenerCount: 0 };
      this.#states.set(session, state);
    }
    return state;
  }

  #keyOf(session: RovingSession): ForwardKey | undefined {
    return (this.#options.keyOf ?? keyOfSession)(session);
  }

  get #ownPorts(): readonly number[] {
    return this.#options.ownPorts?.() ?? [];
  }

  async #connect(call: ServiceCall): Promise<void> {
    const target = toTarget(call);
    const key = this.#keyOf(call.session);
    const connection = this.connections.begin('served', key?.name);
    connection.describe(formatHostPort(target));
    try {
      const socket = await this.#dial(call, target);
      connection.describe(formatHostPort(target), socket);
      connection.opened();
      void splice(socket, call.accept()).then((error) => connection.ended(error));
    } catch (error) {
      connection.ended(error as Error);
      this.#tellDenied(error, key);
      throw error;
    }
  }

  async #dial(call: ServiceCall, target: HostPort): Promise<Socket> {
    const { rules, dials } = this.#stateOf(call);
    rules.checkTarget(target);
    if (!(await dials.enter(call.signal))) {
      throw new ServiceError('ERR_SERVICE_FAILED', 'too many connections are being made', 'EAGAIN');
    }
    try {
      const ownPorts = this.#ownPorts;
      return await dial(target, {
        mayDial: (address) => rules.mayDial(target, address, ownPorts),
        refusal: () => denied(target),
        resolver: this.#options.resolver ?? systemResolver,
        timeoutMs: this.#options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
        signal: call.signal,
      });
    } finally {
      dials.leave();
    }
  }

  #tellDenied(error: unknown, key: ForwardKey | undefined): void {
    if (error instanceof ServiceError && error.code === 'ERR_SERVICE_DENIED') {
      this.emit('denied', error.message, key);
    }
  }

  async #listen(call: ServiceCall): Promise<void> {
    const key = this.#keyOf(call.session);
    try {
      const { host, port, id } = toListenRequest(call);
      const place = await resolveBind({ host, port });
      this.#checkListen(call, place);
      const state = this.#stateOf(call);
      const { maxListeners = MAX_LISTENERS } = this.#options;
      if (state.listenerCount >= maxListeners) {
        const text = `a session may have ${maxListeners} ports listened on`;
        throw new ServiceError('ERR_SERVICE_FAILED', text, 'EMFILE');
      }
      state.listenerCount += 1;
      const leave = (): void => {
        state.listenerCount -= 1;
      };
      await this.#openPort(call, place, id, leave).catch((error: unknown) => {
        leave();
        throw error;
      });
    } catch (error) {
      this.#tellDenied(error, key);
      throw error;
    }
  }

  #checkListen(call: ServiceCall, { hosts, port, isLoopback }: ListenPlace): void {
    const host = hosts.length > 1 ? '*' : parseIp(hosts[0] ?? '')?.toString();
    this.#stateOf(call).rules.checkListen({ host: isLoopback ? undefined : host, port });
    // Some systems would let a more particular address take over the port.
    if (port !== 0 && this.#ownPorts.includes(port)) {
      throw new ServiceError('ERR_SERVICE_DENIED', `port ${port} is the server's own`);
    }
  }

  async #openPort(call: ServiceCall, place: ListenPlace, id: number, leave: () => void) {
    const key = this.#keyOf(call.session);
    const older = key && this.#ports.get(portName(key, place));
    if (older !== undefined && older.session !== call.session) {
      older.listener.close();
      older.stream.reset(SUPERSEDED_CODE);
    }
    const onConnection = (socket: Socket): void => this.#accepted(call.session, id, socket);
    const listener = await Listener.open(place, onConnection);
    if (call.signal.aborted) {
      listener.close();
      throw new ServiceError('ERR_SERVICE_FAILED', 'nobody waits for the port any more');
    }
    const { address } = listener;
    const held = { session: call.session, listener, stream: call.accept({ ...address }) };
    const name = key && portName(key, { ...place, port: address.port });
    if (name !== undefined) this.#ports.set(name, held);
    this.emit('listening', address, key);
    const free = (): void => {
      listener.close();
      leave();
      if (name !== undefined && this.#ports.get(name) === held) this.#ports.delete(name);
      this.emit('unlistening', address, key);
    };
    // The port is held as long as the stream is: not beyond its session.
    call.signal.addEventListener('abort', free, { once: true });
    held.stream.once('end', () => held.stream.end());
    held.stream.resume();
  }

  #accepted(session: RovingSession, id: number, socket: Socket): void {
    const connection = this.connections.begin('remote', originOf(socket));
    const origin = originOf(socket);
    connection.describe(`listener ${id}`, socket);
    try {
      const request = { service: ACCEPTED_SERVICE, listener: id, origin };
      const { stream, answered } = startService(session, request);
      answered.then(
        () => connection.opened(),
        () => undefined,
      );
      void splice(socket, stream, answered).then((error) => connection.ended(error));
    } catch (error) {
      socket.resetAndDestroy();
      connection.ended(error as Error);
    }
  }
}

function keyOfSession({ key }: RovingSession): ForwardKey | undefined {
  return key && { id: Buffer.from(key.keyId).toString('hex'), name: key.name };
}

function portName(key: ForwardKey, { hosts, port }: Pick<ListenPlace, 'hosts' | 'port'>): string {
  return `${key.id} ${hosts.join(',')} ${port}`;
}

function toTarget({ request }: ServiceCall): HostPort {
  const { host, port } = request;
  if (isHost(host) && isPort(port)) return { host, port };
  throw new ServiceError('ERR_SERVICE_MESSAGE', 'the request names no host and port');
}

function toListenRequest({ request }: ServiceCall) {
  const { host, port, listener: id } = request;
  const isKnown = host === undefined || host === '*' || isHost(host);
  if (isKnown && isPort(port, 0) && Number.isSafeInteger(id)) {
    return { host, port, id: id as number };
  }
  throw new ServiceError('ERR_SERVICE_MESSAGE', 'the request names no place to listen');
}
