/** What a forward is doing: its open connections, and how many there have been. @module */

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';

/**
 * Who began a connection: a program at a local forward, at the proxy, at standard input, or at the
 * other end of the session (`served`: with us as the far end; `remote`: through `-R`).
 */
export type ConnectionKind = 'local' | 'dynamic' | 'stdio' | 'served' | 'remote';

/** One connection through a session; a snapshot. */
export interface TunnelConnection {
  /** Counts up from 1. */
  readonly id: number;
  readonly kind: ConnectionKind;
  /** `HOST:PORT` as it was asked for; `undefined` while the proxy's client has not said it. */
  readonly target: string | undefined;
  /** Who asked: the address of the program, or the name of the key. */
  readonly origin: string | undefined;
  readonly state: 'opening' | 'open';
  /** In ms since 1970. */
  readonly startedAtMs: number;
  /** Taken from the program or host at this end, in bytes. */
  readonly sentBytes: number;
  /** Given to it. */
  readonly receivedBytes: number;
}

export interface ConnectionCounts {
  readonly openCount: number;
  readonly totalCount: number;
  /** Those that were refused or ended with an error. */
  readonly failedCount: number;
  /** Of all connections, also those that are over. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface ConnectionEvents {
  /** The far end has connected. */
  open: [connection: TunnelConnection];
  /** It is over; without an error both sides have ended. Also for those that were never open. */
  close: [connection: TunnelConnection, error: Error | undefined];
}

/** The connections of one forward, or of several that share it. Holds no content and no secret. */
export class TunnelConnections extends EventEmitter<ConnectionEvents> {
  readonly #open = new Map<number, OpenConnection>();
  #totalCount = 0;
  #failedCount = 0;
  #sentBytes = 0;
  #receivedBytes = 0;

  /** The open ones, oldest first. */
  list(): TunnelConnection[] {
    return [...this.#open.values()].map((connection) => connection.snapshot());
  }

  get counts(): ConnectionCounts {
    const counts = {
      openCount: this.#open.size,
      totalCount: this.#totalCount,
      failedCount: this.#failedCount,
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receivedBytes,
    };
    for (const { sentBytes, receivedBytes } of this.#open.values()) {
      counts.sentBytes += sentBytes;
      counts.receivedBytes += receivedBytes;
    }
    return counts;
  }

  /** @internal */
  begin(kind: ConnectionKind, origin: string | undefined): OpenConnection {
    this.#totalCount += 1;
    const connection = new OpenConnection(this, this.#totalCount, kind, origin);
    this.#open.set(connection.id, connection);
    return connection;
  }

  /** @internal */
  ended(connection: OpenConnection, error: Error | undefined): void {
    if (!this.#open.delete(connection.id)) return;
    this.#sentBytes += connection.sentBytes;
    this.#receivedBytes += connection.receivedBytes;
    if (error !== undefined) this.#failedCount += 1;
    this.emit('close', connection.snapshot(), error);
  }
}

/** @internal A connection while it lasts. Bytes are counted by its socket. */
export class OpenConnection {
  readonly id: number;
  readonly #owner: TunnelConnections;
  readonly #kind: ConnectionKind;
  readonly #origin: string | undefined;
  readonly #startedAtMs = Date.now();
  #isOpen = false;
  #socket: Pick<Socket, 'bytesRead' | 'bytesWritten'> | undefined;
  #target: string | undefined;

  constructor(
    owner: TunnelConnections,
    id: number,
    kind: ConnectionKind,
    origin: string | undefined,
  ) {
    this.#owner = owner;
    this.id = id;
    this.#kind = kind;
    this.#origin = origin;
  }

  get sentBytes(): number {
    return this.#socket?.bytesRead ?? 0;
  }

  get receivedBytes(): number {
    return this.#socket?.bytesWritten ?? 0;
  }

  /** What it is for, as soon as it is known, and which socket counts its bytes. */
  describe(target: string, socket?: Pick<Socket, 'bytesRead' | 'bytesWritten'>): void {
    this.#target = target;
    this.#socket = socket ?? this.#socket;
  }

  opened(): void {
    this.#isOpen = true;
    this.#owner.emit('open', this.snapshot());
  }

  ended(error: Error | undefined): void {
    this.#owner.ended(this, error);
  }

  snapshot(): TunnelConnection {
    return {
      id: this.id,
      kind: this.#kind,
      target: this.#target,
      origin: this.#origin,
      state: this.#isOpen ? 'open' : 'opening',
      startedAtMs: this.#startedAtMs,
      sentBytes: this.sentBytes,
      receivedBytes: this.receivedBytes,
    };
  }
}
