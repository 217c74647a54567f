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
export type { PathState, PathStatistics, PathStatus } from './path.js';
export {
  type Choice,
  type PathView,
  SCHEDULERS,
  type Scheduler,
  type SchedulerInput,
  type SchedulerName,
} from './scheduler/index.js';
export type { PathInfo, Session } from './session.js';
export { formatTicket, type KeyEntry, parseTicket, type Ticket } from './ticket.js';
