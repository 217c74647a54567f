/**
 * What a stream is for: each begins with a request for a service, which the key of the session has
 * to allow. Tunnels, copies and whatever else runs over a session are services.
 *
 * @module
 */

export {
  openService,
  type ServiceRequest,
  type ServiceStream,
  type StartedService,
  startService,
} from './client.js';
export { isServiceErrorCode, ServiceError, type ServiceErrorCode } from './errors.js';
export {
  grantArguments,
  REQUEST_TIMEOUT_MS,
  type Service,
  type ServiceCall,
  type ServiceHandler,
  ServiceHost,
} from './host.js';
export { encodeMessage, MAX_MESSAGE_BYTES, readExactly, readMessage } from './message.js';
