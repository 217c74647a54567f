/** Requests to an HTTP proxy (RFC 9110 §9.3.6, RFC 9112 §3.2): CONNECT, and whole URIs. @module */

import { UsageError } from '../../node/index.js';
import { formatHostPort, type HostPort, parseHost, parseHostPort } from '../address.js';
import { type Parsed, ProxyError } from './parsed.js';

/** Request line and header fields; longer ones are refused. */
export const MAX_HTTP_HEAD_BYTES = 16 * 1024;
const HEAD_END = '\r\n\r\n';
const HTTP_PORT = 80;

/** Fields between the client and this proxy (RFC 9110 §7.6.1, and what browsers add). */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'te', 'upgrade', 'host']);
/** Fields that say where a message ends: whoever takes them away makes two of one. */
const FRAMING = new Set(['content-length', 'transfer-encoding']);

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\dA-Za-z-]+) (\S+) HTTP\/1\.([01])$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 9110 §5.5 names those that may not be there
const FIELD = /^([!#$%&'*+.^_`|~\dA-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)$/;

export interface HttpProxyRequest {
  readonly target: HostPort;
  /** Not CONNECT: what to send to the target in place of the head that came. */
  readonly head: Buffer | undefined;
  /** The value of `Proxy-Authorization`. */
  readonly authorization: string | undefined;
}

/** A whole answer without a body. The client is told that the connection ends. */
export function httpReply(status: string, ...fields: readonly string[]): Buffer {
  const lines = [`HTTP/1.1 ${status}`, ...fields, 'Content-Length: 0', 'Connection: close'];
  return Buffer.from(lines.join('\r\n') + HEAD_END, 'latin1');
}

/** What CONNECT is answered when there is a connection. */
export const HTTP_CONNECTED = Buffer.from(`HTTP/1.1 200 Connection established${HEAD_END}`);

/**
 * The head of a request to a proxy. A request with a whole URI becomes one as its target expects
 * it, with `Connection: close`, so that the next request comes by a connection of its own and may
 * have another target.
 *
 * @throws ProxyError with the reply to send.
 */
export function parseHttpRequest(bytes: Buffer): Parsed<HttpProxyRequest> {
  const end = bytes.subarray(0, MAX_HTTP_HEAD_BYTES).indexOf(HEAD_END);
  if (end < 0) {
    if (bytes.length < MAX_HTTP_HEAD_BYTES) return undefined;
    throw new ProxyError('the head is too long', httpReply('431 Request Header Fields Too Large'));
  }
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const [, method, uri = '', minor = ''] = REQUEST_LINE.exec(first) ?? [];
  if (method === undefined) throw badRequest('not HTTP');
  const fields = lines.map(parseField);
  const authorization = fieldValue(fields, 'proxy-authorization');
  const length = end + HEAD_END.length;
  if (method === 'CONNECT') {
    const target = orBadRequest(() => parseHostPort(uri));
    return { value: { target, head: undefined, authorization }, length };
  }
  const { target, authority, path } = parseUri(uri);
  const kept = fieldsToSend(fields).map(([name, value]) => `${name}: ${value}`);
  const request = `${method} ${path} HTTP/1.${minor}`;
  const head = [request, `Host: ${authority}`, ...kept, 'Connection: close'].join('\r\n');
  return {
    value: { target, head: Buffer.from(head + HEAD_END, 'latin1'), authorization },
    length,
  };
}

type Field = readonly [name: string, value: string];

function parseField(line: string): Field {
  const [, name, value] = FIELD.exec(line) ?? [];
  if (name === undefined || value === undefined) throw badRequest('a header field is malformed');
  return [name, value];
}

function fieldValue(fields: readonly Field[], wanted: string): string | undefined {
  return fields.find(([name]) => name.toLowerCase() === wanted)?.[1];
}

function fieldsToSend(fields: readonly Field[]): Field[] {
  const named = fields
    .filter(([name]) => name.toLowerCase() === 'connection')
    .flatMap(([, value]) => value.toLowerCase().split(','))
    .map((name) => name.trim());
  if (named.some((name) => FRAMING.has(name))) throw badRequest('Connection names what it may not');
  const dropped = new Set([...HOP_BY_HOP, ...named]);
  return fields.filter(([name]) => {
    const lower = name.toLowerCase();
    return !dropped.has(lower) && !lower.startsWith('proxy-');
  });
}

/** `http://HOST[:PORT]/PATH`. A path alone is what a web page would send that attacks the proxy. */
function parseUri(uri: string): { target: HostPort; authority: string; path: string } {
  const [, authority = '', path = ''] = /^http:\/\/([^/?#@]+)([/?][^#]*)?$/i.exec(uri) ?? [];
  if (authority === '') throw badRequest('neither CONNECT nor a whole http:// address');
  const hasPort = /:\d+$/.test(authority);
  const target = orBadRequest(() =>
    hasPort ? parseHostPort(authority) : { host: parseHost(authority), port: HTTP_PORT },
  );
  const shown = target.port === HTTP_PORT ? authority.replace(/:80$/, '') : formatHostPort(target);
  return { target, authority: shown, path: path.startsWith('/') ? path : `/${path}` };
}

function orBadRequest<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof UsageError) throw badRequest(error.message);
    throw error;
  }
}

function badRequest(message: string): ProxyError {
  return new ProxyError(message, httpReply('400 Bad Request'));
}
