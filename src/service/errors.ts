/** The errors of services. Match on `code`. @module */

import { SessionError } from '../node/index.js';

/**
 * - `ERR_SERVICE_DENIED`: the key does not allow this.
 * - `ERR_SERVICE_UNKNOWN`: the other end does not offer it.
 * - `ERR_SERVICE_FAILED`: it was tried and did not work; the message says why.
 * - `ERR_SERVICE_MESSAGE`: what arrived is no message.
 */
export type ServiceErrorCode =
  | 'ERR_SERVICE_DENIED'
  | 'ERR_SERVICE_UNKNOWN'
  | 'ERR_SERVICE_FAILED'
  | 'ERR_SERVICE_MESSAGE';

const CODES: readonly string[] = [
  'ERR_SERVICE_DENIED',
  'ERR_SERVICE_UNKNOWN',
  'ERR_SERVICE_FAILED',
  'ERR_SERVICE_MESSAGE',
] satisfies readonly ServiceErrorCode[];

export class ServiceError extends SessionError {
  readonly code: ServiceErrorCode;
  /** The system's own code where there is one, such as `ECONNREFUSED`. */
  readonly systemCode?: string;

  constructor(code: ServiceErrorCode, message: string, systemCode?: string) {
    super(message);
    this.code = code;
    if (systemCode !== undefined) this.systemCode = systemCode;
  }
}

export function isServiceErrorCode(value: unknown): value is ServiceErrorCode {
  return typeof value === 'string' && CODES.includes(value);
}
