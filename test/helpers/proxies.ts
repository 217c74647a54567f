/** Small real proxies for tests, which write down what they are asked. */
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect, type Socket } from 'node:net';
import { firstCertificate } from './certificates.js';
import { type Cleanup, HOST, listenPlain } from './sockets.js';

export interface TestProxy {
  readonly port: number;
  /** `HOST:PORT` of each target, with what stood before it. */
  readonly asked: string[];
}

export interface ProxyOptions {
  /** Asked of every client. */
  readonly user?: string;
  readonly password?: string;
  /** Names that only the proxy can look up. */
  readonly names?: Record<string, string>;
}

function splice(cleanup: Cleanup, one: Socket, other: Socket): void {
  for (const socket of [one, other]) cleanup.add(() => socket.destroy());
  one.on('error', () => other.destroy());
  other.on('error', () => one.destroy());
  one.pipe(other);
  other.pipe(one);
}

/** HTTP CONNECT, in TLS if wanted. */
export async function connectProxy(
  cleanup: Cleanup,
  options: ProxyOptions & { readonly tls?: boolean } = {},
): Promise<TestProxy> {
  const asked: string[] = [];
  const server = options.tls === true ? createHttps(firstCertificate) : createHttp();
  const pair = `${options.user}:${options.password}`;
  const wanted = `Basic ${Buffer.from(pair).toString('base64')}`;
  server.on('connect', ({ url = '', headers }, socket: Socket, head: Buffer) => {
    cleanup.add(() => socket.destroy());
    socket.on('error', () => undefined);
    if (options.user !== undefined && headers['proxy-authorization'] !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n\r\n');
      return;
    }
    asked.push(url);
    const colon = url.lastIndexOf(':');
    const host = url.slice(0, colon).replace(/^\[|\]$/g, '');
    const port = Number(url.slice(colon + 1));
    const there = connect({ host: options.names?.[host] ?? host, port });
    there.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n'));
    there.on('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      there.write(head);
      splice(cleanup, socket, there);
    });
  });
  const event = 'connection';
  const port = await listenPlain(cleanup, (socket) => server.emit(event, socket));
  return { port, asked };
}

/** Reads exactly so many bytes of a socket that nobody else reads. */
async function take(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const bytes: Buffer | null = socket.read(count);
    if (bytes !== null) return bytes;
    await new Promise((resolve) => socket.once('readable', resolve));
  }
}

async function takeText(socket: Socket): Promise<string> {
  let text = '';
  for (;;) {
    const [byte = 0] = await take(socket, 1);
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
}

/** SOCKS 5 (RFC 1928, RFC 1929), and 4a. */
export async function socksProxy(cleanup: Cleanup, options: ProxyOptions = {}): Promise<TestProxy> {
  const asked: string[] = [];
  const dial = async (socket: Socket, host: string, port: number): Promise<Socket | undefined> => {
    asked.push(`${host}:${port}`);
    const there = connect({ host: options.names?.[host] ?? host, port });
    return new Promise((resolve) => {
      there.on('connect', () => resolve(there));
      there.on('error', () => resolve(undefined));
      socket.on('close', () => there.destroy());
    });
  };
  const serve5 = async (socket: Socket) => {
    const [count = 0] = await take(socket, 1);
    const methods = await take(socket, count);
    const wanted = options.user === undefined ? 0 : 2;
    if (!methods.includes(wanted)) return socket.end(Buffer.from([5, 0xff]));
    socket.write(Buffer.from([5, wanted]));
    if (wanted === 2) {
      const [, userLength = 0] = await take(socket, 2);
      const user = (await take(socket, userLength)).toString();
      const [passwordLength = 0] = await take(socket, 1);
      const password = (await take(socket, passwordLength)).toString();
      const isRight = user === options.user && password === options.password;
      socket.write(Buffer.from([1, isRight ? 0 : 1]));
      if (!isRight) return socket.end();
    }
    const [, , , type = 0] = await take(socket, 4);
    const host = await takeHost(socket, type);
    const port = (await take(socket, 2)).readUInt16BE();
    const there = await dial(socket, host, port);
    const code = there === undefined ? 5 : 0;
    socket.write(Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]));
    if (there === undefined) return socket.end();
    return splice(cleanup, socket, there);
  };
  const serve4 = async (socket: Socket) => {
    const fixed = await take(socket, 7);
    await takeText(socket);
    const isName = fixed[3] === 0 && fixed[4] === 0 && fixed[5] === 0;
    const host = isName ? await takeText(socket) : fixed.subarray(3, 7).join('.');
    const there = await dial(socket, host, fixed.readUInt16BE(1));
    socket.write(Buffer.from([0, there === undefined ? 91 : 90, 0, 0, 0, 0, 0, 0]));
    if (there === undefined) return socket.end();
    return splice(cleanup, socket, there);
  };
  const port = await listenPlain(cleanup, async (socket) => {
    const [version] = await take(socket, 1);
    if (version === 5) await serve5(socket);
    else await serve4(socket);
  });
  return { port, asked };
}

async function takeHost(socket: Socket, type: number): Promise<string> {
  if (type === 1) return (await take(socket, 4)).join('.');
  if (type === 3) {
    const [length = 0] = await take(socket, 1);
    return (await take(socket, length)).toString();
  }
  const words = await take(socket, 16);
  return Array.from({ length: 8 }, (_none, i) => words.readUInt16BE(2 * i).toString(16)).join(':');
}

/** The address of a proxy with what it asks for. */
export function proxyUrl(scheme: string, proxy: TestProxy, credentials = ''): string {
  return `${scheme}://${credentials}${HOST}:${proxy.port}`;
}
