/**
 * Ways out of networks that have only a proxy: HTTP CONNECT, SOCKS5 and SOCKS4a. What comes back is a
 * connection to the target, as if it had been dialled.
 *
 * The URL of a proxy can hold a password. No error and no log tells more of it than scheme, host and
 * port.
 *
 * @module
 */

import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, isIPv6, Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { getProxyForUrl } from 'proxy-from-env';
import { SocksClient } from 'socks';
import { CarrierError } from '../core/index.js';
import { formatAddress } from './addresses.js';
import { withDeadline } from './deadline.js';

export interface ProxyDialOptions {
  /** Where to come from: an address of this machine. */
  readonly localAddress?: string;
  /** How long all of it may take, in ms; without limit but the system's and the proxy's. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What is trusted of a proxy with `https:`. */
  readonly tls?: Pick<ConnectionOptions, 'ca' | 'rejectUnauthorized' | 'servername'>;
}

/** The kinds of proxies, by the scheme of their URLs, and the ports where they are by default. */
const SCHEMES = {
  'http:': { kind: 'connect', port: 80 },
  'https:': { kind: 'connect', port: 443 },
  'socks:': { kind: 5, port: 1080 },
  'socks5:': { kind: 5, port: 1080 },
  'socks5h:': { kind: 5, port: 1080 },
  'socks4:': { kind: 4, port: 1080 },
  'socks4a:': { kind: 4, port: 1080 },
} as const satisfies Record<string, { kind: 'connect' | 4 | 5; port: number }>;

/** `socks` wants one; ours is the signal. Longest time that timers know. */
const SOCKS_TIMEOUT_MS = 2 ** 31 - 1;
const MAX_CREDENTIAL_BYTES = 255;

interface Proxy {
  readonly kind: 'connect' | 4 | 5;
  readonly isSecure: boolean;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** For people: without credentials. */
  readonly shown: string;
}

/**
 * Connects to `host:port` through a proxy. The proxy looks up names.
 *
 * @param proxyUrl `http://`, `https://`, `socks5://` (or `socks5h://`, `socks://`) or `socks4a://`
 *   (or `socks4://`), with `USER:PASSWORD@` if the proxy asks for it.
 * @throws CarrierError (as rejection) if there is no connection. If the signal aborts, its reason.
 */
export async function dialThroughProxy(
  proxyUrl: string,
  host: string,
  port: number,
  options: ProxyDialOptions = {},
): Promise<Socket> {
  const proxy = parseProxy(proxyUrl);
  return await withDeadline(`no connection through ${proxy.shown}`, options, async (signal) => {
    const dial = proxy.kind === 'connect' ? dialConnect : dialSocks;
    const socket = await dial(proxy, host, port, options, signal);
    socket.setNoDelay(true);
    return socket;
  });
}

/**
 * The proxy that the environment names for a target: `HTTPS_PROXY`, or `ALL_PROXY`, in capitals or
 * small letters, unless `NO_PROXY` has the host.
 *
 * @param target `HOST:PORT`, or a `ws://` or `wss://` address.
 * @returns its URL, to be kept from logs; `undefined` for a direct connection.
 */
export function proxyFor(target: string): string | undefined {
  // All kinds of targets are reached by CONNECT, as those of HTTPS are.
  const url = /^wss?:\/\//.test(target) ? asHttps(target) : `https://${target}`;
  const found = getProxyForUrl(url);
  if (found === '') return undefined;
  // Without a scheme the package takes that of the target; a proxy that speaks TLS itself is rare.
  const named = process.env['https_proxy'] || process.env['HTTPS_PROXY'];
  const other = process.env['all_proxy'] || process.env['ALL_PROXY'];
  const isBare = found.startsWith('https://') && ![named, other].includes(found);
  return isBare ? `http://${found.slice('https://'.length)}` : found;
}

function asHttps(target: string): string {
  const url = new URL(target);
  const port = url.port === '' ? (url.protocol === 'wss:' ? '443' : '80') : url.port;
  return `https://${url.hostname}:${port}`;
}

/** For messages and logs: the URL of a proxy without its credentials. */
export function redactProxy(proxyUrl: string): string {
  try {
    return parseProxy(proxyUrl).shown;
  } catch {
    return 'an unreadable proxy address';
  }
}

/** The host of a proxy, without brackets; empty if its address makes no sense. */
export function proxyHost(proxyUrl: string): string {
  try {
    return parseProxy(proxyUrl).host;
  } catch {
    return '';
  }
}

function parseProxy(text: string): Proxy {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new CarrierError('not the address of a proxy: it must look like http://HOST:PORT');
  }
  const scheme = SCHEMES[url.protocol as keyof typeof SCHEMES];
  if (scheme === undefined || url.hostname === '') {
    throw new CarrierError('a proxy has the scheme http, https, socks5 or socks4a, and a host');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? scheme.port : Number(url.port);
  return {
    kind: scheme.kind,
    isSecure: url.protocol === 'https:',
    host,
    port,
    user: decode(url.username),
    password: decode(url.password),
    shown: `${url.protocol}//${formatAddress(host, port)}`,
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function dialConnect(
  proxy: Proxy,
  host: string,
  port: number,
  options: ProxyDialOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const target = formatAddress(host, port);
  const headers: Record<string, string> = { Host: target };
  if (proxy.user !== '' || proxy.password !== '') {
    const pair = Buffer.from(`${proxy.user}:${proxy.password}`).toString('base64');
    headers['Proxy-Authorization'] = `Basic ${pair}`;
  }
  const { localAddress, tls = {} } = options;
  const servername = tls.servername ?? (isIP(proxy.host) === 0 ? proxy.host : '');
  return new Promise((resolve, reject) => {
    const request = (proxy.isSecure ? requestHttps : requestHttp)({
      host: proxy.host,
      port: proxy.port,
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(proxy.isSecure ? { ...tls, servername, ALPNProtocols: ['http/1.1'] } : {}),
    });
    const aborted = () => {
      request.on('error', () => undefined);
      request.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', aborted, { once: true });
    request.on('connect', ({ statusCode = 0 }, socket, head) => {
      signal.removeEventListener('abort', aborted);
      if (statusCode >= 200 && statusCode < 300) {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
        return;
      }
      socket.destroy();
      const what = statusCode === 407 ? 'wants credentials' : `answered ${statusCode}`;
      reject(new CarrierError(`the proxy ${proxy.shown} ${what}`));
    });
    // An answer that is not to a CONNECT, such as one without a status line that makes sense.
    request.on('response', () => request.destroy(new Error('an answer of the wrong kind')));
    request.on('error', (error) => {
      signal.removeEventListener('abort', aborted);
      reject(proxyError(proxy, error));
    });
    request.end();
  });
}

async function dialSocks(
  proxy: Proxy,
  host: string,
  port: number,
  options: ProxyDialOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const kind = proxy.kind === 4 ? 4 : 5;
  if (kind === 4 && isIPv6(host)) {
    throw new CarrierError(`the proxy ${proxy.shown} cannot reach IPv6: SOCKS4 does not know it`);
  }
  const isTooLong = [proxy.user, proxy.password].some(
    (text) => Buffer.byteLength(text) > MAX_CREDENTIAL_BYTES,
  );
  if (isTooLong) throw new CarrierError('the credentials of a SOCKS proxy have 255 bytes at most');
  const socket = new Socket();
  const aborted = () => socket.destroy(new Error('given up'));
  signal.addEventListener('abort', aborted, { once: true });
  try {
    await connected(socket, proxy, options.localAddress);
    await SocksClient.createConnection({
      command: 'connect',
      destination: { host, port },
      existing_socket: socket,
      timeout: SOCKS_TIMEOUT_MS,
      proxy: {
        host: proxy.host,
        port: proxy.port,
        type: kind,
        ...(proxy.user === '' ? {} : { userId: proxy.user, password: proxy.password }),
      },
    });
    // Whoever takes the socket begins to read when it is ready to.
    socket.pause();
    return socket;
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    if (signal.aborted) throw signal.reason;
    throw proxyError(proxy, error);
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}

function connected(socket: Socket, proxy: Proxy, localAddress: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.connect({
      host: proxy.host,
      port: proxy.port,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

/** Without a cause: that of a SOCKS client has the password in it. */
function proxyError(proxy: Proxy, error: unknown): CarrierError {
  if (error instanceof CarrierError) return error;
  const { message = 'failed', code } = error as NodeJS.ErrnoException;
  return new CarrierError(`the proxy ${proxy.shown}: ${message}`, { systemCode: code });
}
