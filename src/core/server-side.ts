/**
 * The accepting side of an endpoint: HELLOs become half-open sessions, half-open sessions become
 * sessions, JOINs become paths (protocol.md#handshake, protocol.md#join-path).
 *
 * @module
 */

import { EnvelopeKey, envelopeKey, toHex } from '../crypto/index.js';
import {
  connectionIdKey,
  type DataPacket,
  ECHO_BYTES,
  ENVELOPE_NONCE_BYTES,
  encodeGone,
  expandPacketNumber,
  type HelloPacket,
  type JoinPacket,
  type Parameters,
  SPEC_MAX_PACKET_BYTES,
} from '../wire/index.js';
import type { Carrier } from './carrier.js';
import type { Address, CarrierId, Instant, PathId } from './contract.js';
import type { EndpointContext } from './endpoint-context.js';
import { RevokedError, SupersededError } from './errors.js';
import { type HalfOpen, ServerHandshakes } from './handshake-server.js';
import type { KeyRing } from './key-ring.js';
import type { Path } from './path.js';
import { TOO_MANY_FORGERIES } from './receiver.js';
import { Session } from './session.js';
import type { KeyEntry } from './ticket.js';

const FIRST_PATH = 0 as PathId;

interface Held {
  readonly session: Session;
  readonly entry: KeyEntry;
  readonly idKey: string;
  readonly instance: string | undefined;
  readonly epoch: number;
}

/** The session of an instance, or when the last takeover was. */
interface Instance {
  held: Held;
  takenOverAt: number;
}

export class ServerSide {
  readonly #context: EndpointContext;
  readonly #ring: KeyRing;
  readonly #envelopeKey: EnvelopeKey;
  readonly #handshakes: ServerHandshakes;
  readonly #sessions = new Map<string, Held>();
  readonly #heldOf = new WeakMap<Session, Held>();
  readonly #perKey = new Map<string, number>();
  readonly #instances = new Map<string, Instance>();
  readonly #halfOpenByConnectionId = new Map<string, HalfOpen>();
  readonly #halfOpenByCarrier = new Map<CarrierId, HalfOpen>();
  readonly #halfOpenBySessionId = new Map<string, HalfOpen>();
  /** Accepted stream carriers without a path, oldest first. */
  readonly #unattached = new Set<Carrier>();
  #isAccepting = true;

  constructor(context: EndpointContext, ring: KeyRing) {
    const { crypto, random, limits, options } = context;
    this.#context = context;
    this.#ring = ring;
    this.#envelopeKey = new EnvelopeKey(crypto, envelopeKey(crypto, ring.doorKey));
    this.#handshakes = new ServerHandshakes(
      crypto,
      random,
      ring,
      limits,
      options,
      this.#envelopeKey,
    );
  }

  get halfOpenCount(): number {
    return this.#handshakes.halfOpenCount;
  }

  get unattachedCount(): number {
    return this.#unattached.size;
  }

  /**
   * Beyond the limit the oldest goes. A client is attached after a round trip: a flood of silent
   * strangers has to fill all the places within one to keep it out.
   */
  carrierAccepted(carrier: Carrier): void {
    this.#unattached.add(carrier);
    if (this.#unattached.size > this.#context.limits.maxUnattachedCarriers) this.evictUnattached();
  }

  evictUnattached(): void {
    const [oldest] = this.#unattached;
    if (oldest === undefined) return;
    this.#unattached.delete(oldest);
    this.#context.closeCarrier(oldest);
  }

  /** No session begins any more; those that are there go on, and take new paths. */
  stopAccepting(): void {
    this.#isAccepting = false;
  }

  /** This end opened it: nobody has to prove anything on it in time. */
  carrierIsOurs(carrier: Carrier): void {
    this.#unattached.delete(carrier);
  }

  carrierClosed(carrier: Carrier): void {
    this.#unattached.delete(carrier);
    this.#halfOpenByCarrier.delete(carrier.id);
  }

  // Handshake.

  hello(
    packet: HelloPacket,
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): void {
    // Silence: the client goes on trying, and finds whoever takes this one's place.
    if (!this.#isAccepting) return;
    const previous = this.#halfOpenByCarrier.get(carrier.id);
    if (previous !== undefined) {
      // It is reliable, and has one path at most: a second HELLO has no use, a repeated one neither.
      const nonce = packet.envelope.subarray(0, ENVELOPE_NONCE_BYTES);
      if (toHex(nonce) === previous.helloKey) return;
      this.#dropHalfOpenOf(carrier);
      this.#context.closeCarrier(carrier);
      return;
    }
    const outcome = this.#handshakes.hello(packet, bytes, carrier, remote, this.#admit, now);
    if (outcome.type === 'reply') this.#context.send(carrier, remote, outcome.bytes);
    if (outcome.type !== 'accept') return;
    const { halfOpen } = outcome;
    if (carrier.isStream) {
      this.#halfOpenByCarrier.set(carrier.id, halfOpen);
    } else {
      this.#halfOpenByConnectionId.set(halfOpen.connectionIdKey, halfOpen);
    }
    this.#halfOpenBySessionId.set(connectionIdKey(halfOpen.sessionId), halfOpen);
    this.#context.send(carrier, remote, halfOpen.accept);
  }

  readonly #admit = (entry: KeyEntry, peer: Parameters, now: Instant): boolean => {
    const { limits } = this.#context;
    if (!this.#isAccepting) return false;
    // Asked twice: a key that is revoked meanwhile makes no session of a half-open one.
    if (this.#ring.find(entry.keyId) !== entry) return false;
    if (this.#sessions.size >= limits.maxSessions) return false;
    const isTakeover = peer.instance !== undefined && this.#instanceOf(entry, peer) !== undefined;
    if (isTakeover) return this.#mayTakeOver(entry, peer, now);
    return (this.#perKey.get(toHex(entry.keyId)) ?? 0) < limits.maxSessionsPerKey;
  };

  #instanceOf(entry: KeyEntry, peer: Parameters): Instance | undefined {
    return peer.instance === undefined
      ? undefined
      : this.#instances.get(instanceKey(entry, peer.instance));
  }

  #mayTakeOver(entry: KeyEntry, peer: Parameters, now: Instant): boolean {
    const instance = this.#instanceOf(entry, peer);
    if (instance === undefined) return true;
    if (instance.held.session.isOpen && (peer.epoch ?? 0) <= instance.held.epoch) return false;
    return now - instance.takenOverAt >= this.#context.limits.takeoverIntervalMs;
  }

  /** The first DATA packet of a half-open session, if it is authentic, makes the session. */
  firstData(
    packet: DataPacket,
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): boolean {
    const halfOpen =
      packet.connectionId === undefined
        ? this.#halfOpenByCarrier.get(carrier.id)
        : this.#halfOpenByConnectionId.get(connectionIdKey(packet.connectionId));
    if (halfOpen === undefined) return false;
    return this.#firstPacket(halfOpen, FIRST_PATH, packet, { bytes, carrier, remote }, now);
  }

  /** Any path's will do: a later path's JOIN may overtake what was sent on path 0. */
  #firstPacket(
    halfOpen: HalfOpen,
    pathId: PathId,
    packet: DataPacket | JoinPacket,
    from: { bytes: number; carrier: Carrier; remote: Address | undefined },
    now: Instant,
  ): boolean {
    const { bytes, carrier, remote } = from;
    const isFirst = pathId === FIRST_PATH;
    // A path has one carrier: a copy that was sent to another socket must not bind it there.
    if (isFirst && carrier !== halfOpen.carrier) return false;
    // And a stream carrier has one path.
    if (!isFirst && carrier === halfOpen.carrier && carrier.isStream) return false;
    if (!this.#admit(halfOpen.entry, halfOpen.peer, now)) return false;
    const { crypto, random, options, blocks } = this.#context;
    const parts = { role: 'server', options, crypto, random, blocks, now } as const;
    const session = new Session(parts, this.#context.touch);
    session.establish(halfOpen, now);
    // Who made a packet of this session has read the ACCEPT, which went to this address.
    const isProven = isFirst && !halfOpen.isAmbiguous;
    const address = isProven ? halfOpen.remote : remote;
    const path = session.makePath(pathId, carrier, address, isProven, now);
    // A packet that is not authentic leaves no trace but the work of having tried it.
    if (!opensPath(path, packet) || !this.#context.attach(session, path)) {
      this.#context.dirty.delete(session);
      return false;
    }
    session.adoptPath(path, isFirst ? Math.max(1, now - halfOpen.acceptedAt) : undefined, now);
    // Before any frame is looked at: it may be about path 0.
    if (!isFirst) this.#adoptFirst(halfOpen, session, now);
    session.receive(path, packet, bytes, remote, now);
    this.#attached(carrier);
    this.#promote(halfOpen, session, now);
    return true;
  }

  /** Path 0 belongs to the session although nothing has come on it yet. */
  #adoptFirst(halfOpen: HalfOpen, session: Session, now: Instant): void {
    const { carrier, remote, isAmbiguous } = halfOpen;
    const path = session.makePath(FIRST_PATH, carrier, remote, !isAmbiguous, now);
    session.adoptPath(path, undefined, now);
    const isThere = !carrier.isClosed && this.#context.attach(session, path);
    if (!isThere) session.carrierClosed(path, 'its carrier closed');
  }

  #promote(halfOpen: HalfOpen, session: Session, now: Instant): void {
    const { entry, peer, carrier } = halfOpen;
    this.#handshakes.finish(halfOpen);
    this.#forgetHalfOpen(halfOpen);
    this.#attached(carrier);
    const held: Held = {
      session,
      entry,
      idKey: connectionIdKey(halfOpen.sessionId),
      instance: peer.instance === undefined ? undefined : instanceKey(entry, peer.instance),
      epoch: peer.epoch ?? 0,
    };
    this.#sessions.set(held.idKey, held);
    this.#heldOf.set(session, held);
    const keyId = toHex(entry.keyId);
    this.#perKey.set(keyId, (this.#perKey.get(keyId) ?? 0) + 1);
    if (held.instance !== undefined) this.#takeOver(held, held.instance, now);
    this.#context.events.push({ type: 'accepted', session, entry });
  }

  #takeOver(held: Held, key: string, now: Instant): void {
    const previous = this.#instances.get(key);
    this.#instances.set(key, {
      held,
      takenOverAt: previous === undefined ? Number.NEGATIVE_INFINITY : now,
    });
    const error = new SupersededError('a newer session of the same instance took over');
    previous?.held.session.closeWithCode('SUPERSEDED', error, now);
  }

  #forgetHalfOpen(halfOpen: HalfOpen): void {
    this.#halfOpenByConnectionId.delete(halfOpen.connectionIdKey);
    if (this.#halfOpenByCarrier.get(halfOpen.carrier.id) === halfOpen) {
      this.#halfOpenByCarrier.delete(halfOpen.carrier.id);
    }
    this.#halfOpenBySessionId.delete(connectionIdKey(halfOpen.sessionId));
  }

  #dropHalfOpenOf(carrier: Carrier): void {
    const halfOpen = this.#halfOpenByCarrier.get(carrier.id);
    if (halfOpen === undefined) return;
    this.#handshakes.finish(halfOpen);
    this.#forgetHalfOpen(halfOpen);
  }

  #attached(carrier: Carrier): void {
    this.#dropHalfOpenOf(carrier);
    this.#unattached.delete(carrier);
    if (carrier.records !== undefined) carrier.records.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
  }

  // Joins.

  join(
    packet: JoinPacket,
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): void {
    const route = this.#envelopeKey.open(packet.firstByte, packet.envelope);
    if (route === undefined) return;
    const pathId = route.detail as PathId;
    const session = this.#sessions.get(connectionIdKey(route.id))?.session;
    if (session?.isOpen !== true) {
      const halfOpen = this.#halfOpenBySessionId.get(connectionIdKey(route.id));
      if (halfOpen === undefined) return this.#gone(packet, route.id, carrier, remote);
      this.#firstPacket(halfOpen, pathId, packet, { bytes, carrier, remote }, now);
      return;
    }
    const path = session.pathById(pathId);
    if (path !== undefined && path.carrier === carrier) {
      if (session.receive(path, packet, bytes, remote, now) === 'fatal') {
        session.carrierClosed(path, TOO_MANY_FORGERIES);
      }
    } else if (path !== undefined || session.wasPathUsed(pathId)) {
      // A replay, or a path that is no more: a path id is accepted once.
      if (carrier.isStream) this.#context.closeCarrier(carrier);
    } else {
      this.#openPath(session, pathId, packet, bytes, carrier, remote, now);
    }
  }

  #openPath(
    session: Session,
    pathId: PathId,
    packet: JoinPacket,
    bytes: number,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): void {
    if (session.lifecycle !== 'established' && session.lifecycle !== 'finishing') return;
    const path = session.makePath(pathId, carrier, remote, false, now);
    // Only a packet that is authentic makes a path: nothing is touched before.
    if (!opensPath(path, packet)) return;
    if (!session.makeRoomForPath() || !this.#context.attach(session, path)) {
      if (carrier.isStream) this.#context.closeCarrier(carrier);
      return;
    }
    session.adoptPath(path, undefined, now);
    this.#attached(carrier);
    session.receive(path, packet, bytes, remote, now);
  }

  /** Only who holds the server's secret can make the token, and only its client knows it. */
  #gone(
    packet: JoinPacket,
    sessionId: Uint8Array,
    carrier: Carrier,
    remote: Address | undefined,
  ): void {
    const echo = packet.envelope.slice(0, ECHO_BYTES);
    const token = this.#ring.goneToken(this.#context.crypto, sessionId);
    this.#context.send(carrier, remote, encodeGone({ echo, token }));
    // The data that follows the JOIN would be no reason to keep this answer back.
    if (carrier.isStream) carrier.isDeaf = true;
  }

  // The end.

  sessionEnded(session: Session): void {
    const held = this.#heldOf.get(session);
    if (held === undefined || !this.#sessions.delete(held.idKey)) return;
    this.#heldOf.delete(session);
    const keyId = toHex(held.entry.keyId);
    const left = (this.#perKey.get(keyId) ?? 1) - 1;
    if (left > 0) this.#perKey.set(keyId, left);
    else this.#perKey.delete(keyId);
    if (held.instance !== undefined && this.#instances.get(held.instance)?.held === held) {
      this.#instances.delete(held.instance);
    }
  }

  /** @param endSessions also those that run already. @returns whether there was such a key. */
  revoke(keyId: Uint8Array, endSessions: boolean, now: Instant): boolean {
    const existed = this.#ring.remove(keyId);
    if (!endSessions) return existed;
    const error = new RevokedError('the key of this session was revoked');
    const wanted = toHex(keyId);
    for (const { session, entry } of this.#sessions.values()) {
      if (toHex(entry.keyId) === wanted) session.closeWithCode('REVOKED', error, now);
    }
    return existed;
  }

  handleTimeout(now: Instant): void {
    for (const halfOpen of this.#handshakes.expire(now)) this.#forgetHalfOpen(halfOpen);
    for (const carrier of this.#unattached) {
      if (now < carrier.openedAt + this.#context.limits.handshakeTimeoutMs) break;
      this.#unattached.delete(carrier);
      this.#context.closeCarrier(carrier);
    }
  }

  get nextTimeout(): number {
    let next: number = this.#handshakes.nextAt ?? Number.POSITIVE_INFINITY;
    for (const carrier of this.#unattached) {
      next = Math.min(next, carrier.openedAt + this.#context.limits.handshakeTimeoutMs);
      break;
    }
    return next;
  }
}

/** Whether a packet is authentic as the first that arrives on a path. */
function opensPath(path: Path, packet: DataPacket | JoinPacket): boolean {
  const { keyPhase, truncatedNumber, header, sealed } = packet;
  const number = expandPacketNumber(truncatedNumber, -1);
  if (path.carrier.isStream && number !== 0) return false;
  return path.opener.open(keyPhase, number, header, sealed) !== undefined;
}

function instanceKey(entry: KeyEntry, instance: Uint8Array): string {
  return `${toHex(entry.keyId)} ${toHex(instance)}`;
}
