/**
 * What a program wants of the proxy: one port for SOCKS5, SOCKS4, SOCKS4a and HTTP, told apart by
 * the first byte.
 *
 * @module
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { ServiceError } from '../../service/index.js';
import { formatHostPort, type HostPort } from '../address.js';
import { HTTP_CONNECTED, httpReply, MAX_HTTP_HEAD_BYTES, parseHttpRequest } from './http.js';
import { type Parser, ProxyError } from './parsed.js';
import { parseSocks4Request, SOCKS4_VERSION, socks4Reply } from './socks4.js';
import {
  parseSocks5Greeting,
  parseSocks5Password,
  parseSocks5Request,
  SOCKS5_METHODS,
  SOCKS5_VERSION,
  type Socks5Method,
  type Socks5Reply,
  socks5MethodReply,
  socks5PasswordReply,
  socks5Reply,
} from './socks5.js';

/** A program has said what it wants within this time of connecting, whatever it sends meanwhile. */
export const PROXY_REQUEST_TIMEOUT_MS = 10_000;

/** What programs must know to use the proxy. */
export interface ProxyLogin {
  readonly user: string;
  readonly password: string;
}

/** What a program wants, and how it is told what has become of it. */
export interface ProxyRequest {
  readonly target: HostPort;
  /** To be sent to the target before all else. */
  readonly head?: Buffer;
  /** What the program waits for before it goes on; absent: nothing. */
  readonly connected?: Buffer;
  failed(error: unknown): Buffer;
}

/**
 * Reads a request. What follows it is left in the socket.
 *
 * @throws ProxyError with the answer to give, also if the program takes too long or says too much.
 */
export async function readProxyRequest(
  socket: Socket,
  login: ProxyLogin | undefined,
  timeoutMs: number,
): Promise<ProxyRequest> {
  const reader = new Reader(socket, timeoutMs);
  try {
    const first = await reader.read((bytes) =>
      bytes[0] === undefined ? undefined : { value: bytes[0], length: 0 },
    );
    if (first === SOCKS5_VERSION) return await readSocks5(reader, socket, login);
    if (first === SOCKS4_VERSION) return await readSocks4(reader, login);
    return await readHttp(reader, login);
  } finally {
    reader.close();
  }
}

async function readSocks5(reader: Reader, socket: Socket, login: ProxyLogin | undefined) {
  const offered = await reader.read(parseSocks5Greeting);
  const method: Socks5Method = login === undefined ? 'none' : 'password';
  if (!offered.includes(SOCKS5_METHODS[method])) {
    throw new ProxyError(
      `the program does not offer ${method}`,
      socks5MethodReply('noneAcceptable'),
    );
  }
  socket.write(socks5MethodReply(method));
  if (login !== undefined) {
    const { user, password } = await reader.read(parseSocks5Password);
    // Both are looked at in any case, so that the time tells nothing.
    const isRight = [isSame(user, login.user), isSame(password, login.password)];
    if (isRight.includes(false)) {
      throw new ProxyError('wrong user or password', socks5PasswordReply(false));
    }
    socket.write(socks5PasswordReply(true));
  }
  const target = await reader.read(parseSocks5Request);
  const failed = (error: unknown): Buffer => socks5Reply(toSocks5Reply(error));
  return { target, connected: socks5Reply('succeeded'), failed };
}

async function readSocks4(reader: Reader, login: ProxyLogin | undefined): Promise<ProxyRequest> {
  const target = await reader.read(parseSocks4Request);
  if (login !== undefined) {
    throw new ProxyError('SOCKS4 has no password', socks4Reply('needsUser'));
  }
  return { target, connected: socks4Reply('granted'), failed: () => socks4Reply('failed') };
}

async function readHttp(reader: Reader, login: ProxyLogin | undefined): Promise<ProxyRequest> {
  const { target, head, authorization } = await reader.read(parseHttpRequest);
  if (login !== undefined && !isAuthorized(authorization, login)) {
    const field = 'Proxy-Authenticate: Basic realm="roving", charset="UTF-8"';
    throw new ProxyError(
      'no login, or a wrong one',
      httpReply('407 Proxy Authentication Required', field),
    );
  }
  const failed = (error: unknown): Buffer => httpReply(toHttpStatus(error));
  return head === undefined
    ? { target, connected: HTTP_CONNECTED, failed }
    : { target, head, failed };
}

function isAuthorized(authorization: string | undefined, login: ProxyLogin): boolean {
  const [, encoded = ''] = /^basic +([\w+/=-]+)$/i.exec(authorization ?? '') ?? [];
  return isSame(Buffer.from(encoded, 'base64'), `${login.user}:${login.password}`);
}

/** Takes as long whether or not, and wherever, they differ. */
function isSame(given: Uint8Array, expected: string): boolean {
  const [one, other] = [given, expected].map((part) => createHash('sha256').update(part).digest());
  return one !== undefined && other !== undefined && timingSafeEqual(one, other);
}

const SOCKS5_BY_SYSTEM_CODE: Readonly<Record<string, Socks5Reply>> = {
  ENETUNREACH: 'networkUnreachable',
  EHOSTUNREACH: 'hostUnreachable',
  EHOSTDOWN: 'hostUnreachable',
  ENOTFOUND: 'hostUnreachable',
  EAI_AGAIN: 'hostUnreachable',
  ECONNREFUSED: 'connectionRefused',
  ETIMEDOUT: 'ttlExpired',
};

function toSocks5Reply(error: unknown): Socks5Reply {
  if (!(error instanceof ServiceError)) return 'generalFailure';
  if (error.code === 'ERR_SERVICE_DENIED') return 'notAllowed';
  return SOCKS5_BY_SYSTEM_CODE[error.systemCode ?? ''] ?? 'generalFailure';
}

function toHttpStatus(error: unknown): string {
  if (!(error instanceof ServiceError)) return '503 Service Unavailable';
  if (error.code === 'ERR_SERVICE_DENIED') return '403 Forbidden';
  return error.systemCode === 'ETIMEDOUT' ? '504 Gateway Timeout' : '502 Bad Gateway';
}

/** For the log: what was asked for, without what only the program and the target should know. */
export function describeRequest({ target, head }: ProxyRequest): string {
  return `${formatHostPort(target)}${head === undefined ? '' : ' (http)'}`;
}

/** Collects what comes until a parser is satisfied, up to a number of bytes and one deadline. */
class Reader {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  #bytes: Buffer = Buffer.alloc(0);
  #isLate = false;
  #wake: () => void = () => undefined;
  readonly #changed = (): void => this.#wake();

  constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      this.#wake();
    }, timeoutMs);
    for (const event of ['readable', 'end', 'close']) socket.on(event, this.#changed);
  }

  async read<T>(parse: Parser<T>): Promise<T> {
    for (;;) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) this.#bytes = Buffer.concat([this.#bytes, chunk]);
      const parsed = parse(this.#bytes);
      if (parsed !== undefined) {
        this.#bytes = this.#bytes.subarray(parsed.length);
        return parsed.value;
      }
      if (this.#isLate) throw new ProxyError('the program took too long to say what it wants');
      if (this.#socket.destroyed || this.#socket.readableEnded) {
        throw new ProxyError('the program has closed the connection');
      }
      if (this.#bytes.length > MAX_HTTP_HEAD_BYTES) throw new ProxyError('the request is too long');
      if (chunk !== null) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Gives back what nobody has asked for. */
  close(): void {
    clearTimeout(this.#timer);
    for (const event of ['readable', 'end', 'close']) this.#socket.off(event, this.#changed);
    if (this.#bytes.length > 0 && !this.#socket.destroyed) this.#socket.unshift(this.#bytes);
  }
}
