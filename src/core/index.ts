/**
 * The protocol, without sockets or clocks.
 *
 * @module
 */

export { hostOf, SPEC_AMPLIFICATION_FACTOR } from './address-book.js';
export * from './contract.js';
export {
  Endpoint,
  type EndpointConfig,
  type EndpointEvent,
  type EndpointStatistics,
} from './endpoint.js';
export * from './errors.js';
export type { SessionEvent } from './events.js';
export { KeyRing } from './key-ring.js';
export {
  DEFAULT_ENDPOINT_LIMITS,
  DEFAULT_SESSION_OPTIONS,
  type EndpointLimits,
  type SessionOptions,
} from './options.js';
export type { PathInfo, PathState, PathStatistics, PathStatus } from './path.js';
export {
  type Choice,
  type PathView,
  SCHEDULERS,
  type Scheduler,
  type SchedulerInput,
  type SchedulerName,
} from './scheduler/index.js';
export { checkServerAddresses, type ServerAddresses } from './server-addresses.js';
export type { Session } from './session.js';
export {
  DOOR_KEY_BYTES,
  formatTicket,
  KEY_ID_BYTES,
  type KeyEntry,
  parseTicket,
  SECRET_BYTES,
  type Ticket,
} from './ticket.js';
