/**
 * What programs expect of a `net.Socket` beyond a Duplex, so that a stream of a session can take
 * its place.
 *
 * @module
 */

import { type AddressInfo, isIP } from 'node:net';
import { Duplex } from 'node:stream';
import { type PathInfo, UsageError } from '../core/index.js';

/** Longest time that `setTimeout` knows; it takes a longer one for 1 ms. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Host and port of an address; the port is absent where the address has none. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number | undefined;
}

/** `host:port` or `[host]:port`; anything else is taken for a host. */
export function splitAddress(address: string): HostAndPort {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|(.*)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) return { host: address, port: undefined };
  return { host, port: Number(port) };
}

function familyOf(host: string | undefined): 'IPv4' | 'IPv6' | undefined {
  const version = host === undefined ? 0 : isIP(host);
  if (version === 0) return undefined;
  return version === 4 ? 'IPv4' : 'IPv6';
}

/**
 * A Duplex with the face of a connected `net.Socket`. Addresses are those of the best path at the
 * time of asking, and `undefined` while there is none: a session has many, and they change.
 */
export abstract class SocketSurface extends Duplex {
  #timer: NodeJS.Timeout | undefined;
  #timeoutMs: number | undefined;
  /** What {@link progress} said when the timer was set. */
  #seenProgress = 0;

  /** Whether the stream is not open yet. */
  abstract get pending(): boolean;
  /** The stream keeps the process alive while it is open; the default. */
  abstract ref(): this;
  /** The stream does not keep the process alive; see `RovingSession.unref`. */
  abstract unref(): this;
  /** @internal Bytes that the peer has acknowledged. */
  protected abstract progress(): number;
  /** @internal */
  protected abstract bestPath(): PathInfo | undefined;

  /** As {@link pending}, until `destroy`. */
  get connecting(): boolean {
    return this.pending && !this.destroyed;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get remoteAddress(): string | undefined {
    return this.#remote?.host;
  }

  get remotePort(): number | undefined {
    return this.#remote?.port;
  }

  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    return familyOf(this.#remote?.host);
  }

  get localAddress(): string | undefined {
    return this.#local?.host;
  }

  get localPort(): number | undefined {
    return this.#local?.port;
  }

  get localFamily(): 'IPv4' | 'IPv6' | undefined {
    return familyOf(this.#local?.host);
  }

  get #remote(): HostAndPort | undefined {
    const address = this.bestPath()?.remote;
    return address === undefined ? undefined : splitAddress(address);
  }

  get #local(): HostAndPort | undefined {
    const address = this.bestPath()?.local;
    return address === undefined ? undefined : splitAddress(address);
  }

  /** The local address; an empty object while there is no path, or if it is not an IP address. */
  address(): AddressInfo | Record<string, never> {
    const { localAddress: address, localPort: port, localFamily: family } = this;
    if (address === undefined || port === undefined || family === undefined) return {};
    return { address, port, family };
  }

  /** Does nothing: small writes are never held back. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  /** Does nothing: the session looks after its paths itself (`keepAliveMs`). */
  setKeepAlive(_enable?: boolean, _initialDelayMs?: number): this {
    return this;
  }

  /** What was set by {@link setTimeout}, in ms. */
  get timeout(): number | undefined {
    return this.#timeoutMs;
  }

  /**
   * Emits `timeout` after this long without activity: nothing read, nothing written, and of what was
   * written nothing acknowledged by the peer. The stream goes on; destroy it if it should not.
   *
   * @param timeoutMs 0: never. At most 2^31-1; more is taken for that.
   * @param listener is called once at the first timeout.
   * @throws UsageError if it is no such number.
   */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
      throw new UsageError(`a timeout is a number of milliseconds from 0 on, not ${timeoutMs}`);
    }
    if (this.destroyed) return this;
    this.#timeoutMs = timeoutMs;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (timeoutMs === 0) {
      if (listener !== undefined) this.removeListener('timeout', listener);
      return this;
    }
    this.#seenProgress = this.progress();
    this.#timer = setTimeout(() => this.#timedOut(), Math.min(timeoutMs, MAX_TIMEOUT_MS));
    this.#timer.unref();
    if (listener !== undefined) this.once('timeout', listener);
    return this;
  }

  #timedOut(): void {
    const progress = this.progress();
    const isMoving = progress !== this.#seenProgress;
    this.#seenProgress = progress;
    if (isMoving) this.#timer?.refresh();
    else this.emit('timeout');
  }

  /** @internal Something was read or written. */
  protected isActive(): void {
    this.#timer?.refresh();
  }

  /** @internal To be called when the stream is destroyed. */
  protected stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Ends the writing side, and destroys the stream when everything was handed over. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished || this.destroyed) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** As `destroy`: what is not delivered is lost, and the peer gets `ERR_STREAM_RESET`. */
  resetAndDestroy(): this {
    return this.destroy();
  }

  /** Gives up what has not ended by itself. @returns resolves after `close`. */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    const closed = new Promise<void>((resolve) => this.once('close', resolve));
    this.destroy();
    await closed;
  }
}
