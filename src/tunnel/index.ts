/**
 * Tunnels: TCP connections carried over a session. Forwards as ssh has them, a proxy, and standard
 * input and output; and the far end of all of these.
 *
 * @module
 */

export {
  formatHostPort,
  type HostPort,
  MAX_HOST_LENGTH,
  parseHostPort,
} from './address.js';
export {
  type ConnectionCounts,
  type ConnectionEvents,
  type ConnectionKind,
  type TunnelConnection,
  TunnelConnections,
} from './connections.js';
export {
  DIAL_TIMEOUT_MS,
  MAX_DIALLED_ADDRESSES,
  NEXT_ADDRESS_DELAY_MS,
  type Resolver,
} from './dial.js';
export { DynamicForward, type DynamicForwardOptions } from './dynamic-forward.js';
export type { Forward, ForwardOptions } from './forward.js';
export {
  type ForwardKey,
  ForwardServer,
  type ForwardServerEvents,
  type ForwardServerOptions,
  MAX_DIALS,
  MAX_LISTENERS,
  MAX_WAITING_DIALS,
} from './forward-server.js';
export { type Bind, type ForwardSpec, parseBind, parseForwardSpec } from './grammar.js';
export { MAX_CONNECTIONS } from './listener.js';
export { LocalForward, type LocalForwardOptions } from './local-forward.js';
export { MAX_HTTP_HEAD_BYTES } from './proxy/http.js';
export { PROXY_REQUEST_TIMEOUT_MS, type ProxyLogin } from './proxy/negotiate.js';
export { ProxyError } from './proxy/parsed.js';
export {
  RemoteForward,
  type RemoteForwardEvents,
  type RemoteForwardOptions,
} from './remote-forward.js';
export { checkForwardGrant } from './rules.js';
export { splice } from './splice.js';
export { connectStdio, type StdioOptions, type StdioResult } from './stdio.js';
export { openTunnel, type SessionSource, type Tunnel } from './tunnel.js';
