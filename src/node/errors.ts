/** The errors of streams; those of sessions come from the core. Match on `code`. @module */

import { SessionError } from '../core/index.js';

/** The peer gave up sending: what had not been read is gone. */
export class StreamResetError extends SessionError {
  readonly code = 'ERR_STREAM_RESET';
  /** The peer application's own number; 0 if it gave none. */
  readonly applicationCode: number;

  constructor(applicationCode: number) {
    super(`the peer reset the stream with code ${applicationCode}`);
    this.applicationCode = applicationCode;
  }
}

/** The peer reads no more: what was written since may never have arrived. */
export class StreamStoppedError extends SessionError {
  readonly code = 'ERR_STREAM_STOPPED';
  /** The peer application's own number; 0 if it gave none. */
  readonly applicationCode: number;

  constructor(applicationCode: number) {
    super(`the peer reads no more of the stream (code ${applicationCode})`);
    this.applicationCode = applicationCode;
  }
}
