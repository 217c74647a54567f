/**
 * Roving for Node.
 *
 * @module
 */

export {
  AbortedError,
  CarrierError,
  type CarrierInfo,
  type CarrierName,
  ClosedByPeerError,
  ConnectTimeoutError,
  ContinuityError,
  DEFAULT_SESSION_OPTIONS,
  formatTicket,
  InvariantError,
  type KeyEntry,
  KeyRing,
  type PathId,
  type PathInfo,
  type PathState,
  type PathStatistics,
  type PathStatus,
  PeerError,
  parseTicket,
  RevokedError,
  SessionError,
  type SessionOptions,
  type StreamContinuity,
  SupersededError,
  UndeliveredError,
  UsageError,
} from '../core/index.js';
export type { Carrier, CarrierSink } from './carriers/carrier.js';
export {
  createMemoryCarriers,
  type MemoryCarrierOptions,
  type MemoryCarriers,
} from './carriers/memory.js';
export { ShapedLink, type ShapedLinkOptions } from './carriers/shaped.js';
export {
  type DialTcpOptions,
  dialTcp,
  TCP_BUFFER_BYTES,
  TcpCarrier,
  type TcpCarrierOptions,
} from './carriers/tcp.js';
export {
  type BindUdpOptions,
  bindUdp,
  type OpenUdpOptions,
  openUdp,
  UdpCarrier,
  type UdpOptions,
} from './carriers/udp.js';
export { type DialWsOptions, dialWs, WsCarrier, type WsTlsOptions } from './carriers/ws.js';
export {
  type ClientPaths,
  type ConnectOptions,
  connect,
  DEFAULT_CONNECT_TIMEOUT_MS,
  pathsOf,
} from './connect.js';
export { nodeCrypto } from './crypto.js';
export type { DiagnosticMessages } from './diagnostics.js';
export { dialRoute, dialWith } from './dial.js';
export { Driver, type DriverOptions, type SessionSink } from './driver.js';
export { StreamResetError, StreamStoppedError } from './errors.js';
export { connectInMemory, type InMemoryOptions, type InMemoryPair } from './in-memory.js';
export { type LocalAddress, localAddresses } from './interfaces.js';
export {
  checkKeyName,
  isExpired,
  type KeyFileContents,
  KeyFileError,
  type KeyFileErrorCode,
  MAX_KEYS,
  type NewKey,
  newKey,
  newKeyFileContents,
  readKeyFile,
  type StoredKey,
  updateKeyFile,
  withKey,
  withoutKey,
} from './key-file.js';
export { KeyStore, type KeyStoreListener, type RevocationCause } from './key-store.js';
export type { InheritedSocket } from './listen.js';
export {
  type ListenerLimits,
  type ListenerStatistics,
  type ListenerTls,
  type ListenTcpOptions,
  listenTcp,
  type TcpListener,
} from './listener.js';
export { bestCrypto, NATIVE_CRYPTO_VARIABLE, nativeCrypto } from './native-crypto.js';
export {
  PrivateFileError,
  type PrivateFileErrorCode,
  readPrivateFile,
  writePrivateFile,
} from './private-file.js';
export { dialThroughProxy, type ProxyDialOptions, proxyFor, redactProxy } from './proxy.js';
export type { Dial, Dialled, RouteReport } from './route-keeper.js';
export { ROUTE_CARRIERS, type Route, type RouteCarrier } from './routes.js';
export {
  CLOSE_TIMEOUT_MS,
  createServer,
  type ListenOptions,
  RovingServer,
  type RovingServerEvents,
  type ServerOptions,
} from './server.js';
export { DEFAULT_PORT, parseServerAddress, splitHostPort } from './server-address.js';
export {
  type PathChange,
  RovingSession,
  type RovingSessionEvents,
  type SessionKey,
  type SessionLifecycle,
  type SessionStatistics,
} from './session.js';
export { MAX_PENDING_STREAMS } from './session-streams.js';
export { RovingStream, type RovingStreamOptions } from './stream.js';
export { createKeyRing, type IssueOptions, Ticket } from './ticket.js';
