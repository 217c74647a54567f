/**
 * The connecting side of an endpoint: tries all ways at once, joins with the others when one has
 * answered, and hears it when a session is gone.
 *
 * @module
 */

import { AEAD_NONCE_BYTES, type EnvelopeKey, equalBytes } from '../crypto/index.js';
import {
  type AcceptPacket,
  connectionIdKey,
  ECHO_BYTES,
  type GonePacket,
  type RetryPacket,
  SPEC_MAX_PACKET_BYTES,
} from '../wire/index.js';
import type { Carrier } from './carrier.js';
import type { Address, Instant, PathId, Transmit } from './contract.js';
import type { EndpointContext } from './endpoint-context.js';
import { assert, ConnectTimeoutError, UsageError } from './errors.js';
import { ClientHandshake } from './handshake-client.js';
import type { SessionOptions } from './options.js';
import { Session } from './session.js';
import { finishClosed, sessionGone } from './session-end.js';
import type { Ticket } from './ticket.js';

/** JOINs whose echo a GONE may answer, per session; the newest. */
const MAX_REMEMBERED_JOINS = 64;

interface Connecting {
  readonly session: Session;
  readonly envelopeKey: EnvelopeKey;
  /** Until the session is established. */
  handshake: ClientHandshake | undefined;
  goneToken: Uint8Array | undefined;
  sessionId: Uint8Array | undefined;
  nextPathId: number;
  readonly joinEchoes: string[];
}

export class ClientSide {
  readonly #context: EndpointContext;
  readonly #sessions = new Map<Session, Connecting>();
  /** By the echo of the HELLO or JOIN that an answer repeats. */
  readonly #byEcho = new Map<string, Connecting>();
  /** Stream carriers on which a HELLO waits or is under way. */
  readonly #trying = new Map<Carrier, Connecting>();

  constructor(context: EndpointContext) {
    this.#context = context;
  }

  connect(ticket: Ticket, options: SessionOptions, now: Instant): Session {
    const { crypto, random, blocks } = this.#context;
    const session = new Session(
      { role: 'client', options, crypto, random, blocks, now },
      this.#context.touch,
    );
    const handshake = new ClientHandshake(crypto, random, ticket, options, now);
    this.#sessions.set(session, {
      session,
      envelopeKey: handshake.envelopeKey,
      handshake,
      goneToken: undefined,
      sessionId: undefined,
      nextPathId: 1,
      joinEchoes: [],
    });
    this.#context.touch(session);
    return session;
  }

  /**
   * Uses a carrier for a session: for the handshake, or to join.
   *
   * @returns the path id of a join; `undefined` while the session is being established.
   */
  openPath(
    session: Session,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): PathId | undefined {
    const connecting = this.#sessions.get(session);
    if (connecting === undefined || !session.isOpen) {
      throw new UsageError('the session is not one that this endpoint opened, or it has ended');
    }
    if (!carrier.isStream && remote === undefined) {
      throw new UsageError('a path over a datagram carrier needs the address of the other end');
    }
    if (this.#trying.has(carrier) || this.#context.routeOfCarrier(carrier.id) !== undefined) {
      throw new UsageError('a stream carrier carries one path: open another one for this path');
    }
    this.#context.touch(session);
    if (connecting.handshake !== undefined) {
      if (carrier.isStream) this.#trying.set(carrier, connecting);
      const echo = connecting.handshake.try(carrier, remote, now);
      this.#byEcho.set(echo, connecting);
      return undefined;
    }
    return this.#join(connecting, carrier, remote, now);
  }

  #join(
    connecting: Connecting,
    carrier: Carrier,
    remote: Address | undefined,
    now: Instant,
  ): PathId | undefined {
    const { session } = connecting;
    if (!session.makeRoomForPath()) return undefined;
    const pathId = connecting.nextPathId as PathId;
    connecting.nextPathId += 1;
    const path = session.makePath(pathId, carrier, remote, true, now);
    if (!this.#context.attach(session, path)) return undefined;
    if (carrier.records !== undefined) carrier.records.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
    session.adoptPath(path, undefined, now);
    return pathId;
  }

  /** A HELLO may have waited for this grant. */
  granted(carrier: Carrier): void {
    const connecting = this.#trying.get(carrier);
    if (connecting !== undefined) this.#context.touch(connecting.session);
  }

  carrierClosed(carrier: Carrier): void {
    this.#trying.delete(carrier);
    for (const { handshake } of this.#sessions.values()) handshake?.carrierClosed(carrier);
  }

  accept(carrier: Carrier, packet: AcceptPacket, now: Instant): void {
    const connecting = this.#byEcho.get(connectionIdKey(packet.echo));
    // It may have ended in this very moment: its deadline has passed, or it was aborted.
    if (connecting?.session.isOpen !== true) return;
    const accepted = connecting.handshake?.accepted(carrier, packet, now);
    if (accepted === undefined) return;
    const { attempt, agreement, rttMs } = accepted;
    const { session, handshake } = connecting;
    connecting.handshake = undefined;
    connecting.goneToken = agreement.peer.goneToken;
    connecting.sessionId = agreement.peer.sessionId;
    session.setJoinEnvelope((pathId, firstByte) => this.#envelope(connecting, pathId, firstByte));
    session.establish(agreement, now);
    const first = session.makePath(0 as PathId, carrier, attempt.remote, true, now);
    this.#context.attach(session, first);
    if (carrier.records !== undefined) carrier.records.maxRecordBytes = SPEC_MAX_PACKET_BYTES;
    session.adoptPath(first, rttMs, now);
    for (const other of handshake?.attempts ?? []) {
      this.#byEcho.delete(connectionIdKey(other.echo));
      this.#trying.delete(other.carrier);
      if (other === attempt || other.carrier.isClosed) continue;
      const pathId = this.#join(connecting, other.carrier, other.remote, now);
      if (pathId === undefined && other.carrier.isStream) this.#context.closeCarrier(other.carrier);
    }
  }

  #envelope(connecting: Connecting, pathId: PathId, firstByte: number): Uint8Array {
    const { sessionId, joinEchoes } = connecting;
    assert(sessionId !== undefined, 'joins follow the handshake');
    const nonce = this.#context.random(AEAD_NONCE_BYTES);
    const echo = connectionIdKey(nonce.subarray(0, ECHO_BYTES));
    joinEchoes.push(echo);
    this.#byEcho.set(echo, connecting);
    if (joinEchoes.length > MAX_REMEMBERED_JOINS) this.#byEcho.delete(joinEchoes.shift() ?? '');
    return connecting.envelopeKey.seal({ firstByte, nonce, id: sessionId, detail: pathId });
  }

  retry(carrier: Carrier, packet: RetryPacket, now: Instant): void {
    const connecting = this.#byEcho.get(connectionIdKey(packet.echo));
    connecting?.handshake?.retry(carrier, packet, now);
    if (connecting !== undefined) this.#context.touch(connecting.session);
  }

  gone(packet: GonePacket): void {
    const connecting = this.#byEcho.get(connectionIdKey(packet.echo));
    const token = connecting?.goneToken;
    if (connecting === undefined || token === undefined) return;
    if (equalBytes(token, packet.token)) connecting.session.vanish(sessionGone);
  }

  /** The next HELLO of a session that is being established. */
  nextHello(session: Session, now: Instant): Transmit | undefined {
    const handshake = this.#sessions.get(session)?.handshake;
    if (handshake === undefined || !session.isOpen) return undefined;
    const next = handshake.next(now);
    if (next === undefined) return undefined;
    const { carrier, remote } = next.attempt;
    this.#context.send(carrier, remote, next.bytes);
    return this.#context.nextReady();
  }

  /** @returns when the handshake of a session has something to do. */
  handshakeTimeout(session: Session): Instant | undefined {
    return session.isOpen ? this.#sessions.get(session)?.handshake?.nextAt : undefined;
  }

  handleTimeout(session: Session, now: Instant): void {
    const handshake = this.#sessions.get(session)?.handshake;
    if (handshake === undefined || now < handshake.deadline) return;
    const error = new ConnectTimeoutError(
      'nobody answered: check the addresses, that the server runs, and that the ticket is valid',
    );
    session.vanish((state) => finishClosed(state, error));
  }

  sessionEnded(session: Session): void {
    const connecting = this.#sessions.get(session);
    if (connecting === undefined) return;
    this.#sessions.delete(session);
    // Nobody will use what never became a path.
    for (const { carrier } of connecting.handshake?.attempts ?? []) {
      if (carrier.isStream) this.#context.closeCarrier(carrier);
    }
    for (const [echo, one] of this.#byEcho) if (one === connecting) this.#byEcho.delete(echo);
  }
}
