/**
 * What observers can hear of all sessions of the process by `node:diagnostics_channel`. A message is
 * made only if somebody has subscribed.
 *
 * @module
 */

import { channel } from 'node:diagnostics_channel';
import type { SessionError } from '../core/index.js';
import type { PathChange, RovingSession } from './session.js';
import type { RovingStream } from './stream.js';

/** The messages of each channel. */
export interface DiagnosticMessages {
  'roving:session:established': { readonly session: RovingSession };
  /** `error` is absent after a graceful end. */
  'roving:session:closed': {
    readonly session: RovingSession;
    readonly error: SessionError | undefined;
  };
  'roving:path:state': { readonly session: RovingSession; readonly change: PathChange };
  /** A stream was opened by either end. */
  'roving:stream:open': { readonly session: RovingSession; readonly stream: RovingStream };
  /** A stream that had been open was destroyed; `stream.errored` says why, if it was an error. */
  'roving:stream:close': { readonly session: RovingSession; readonly stream: RovingStream };
}

const channels = {
  'roving:session:established': channel('roving:session:established'),
  'roving:session:closed': channel('roving:session:closed'),
  'roving:path:state': channel('roving:path:state'),
  'roving:stream:open': channel('roving:stream:open'),
  'roving:stream:close': channel('roving:stream:close'),
} satisfies Record<keyof DiagnosticMessages, unknown>;

/** @param message is called only if somebody listens. */
export function publish<Name extends keyof DiagnosticMessages>(
  name: Name,
  message: () => DiagnosticMessages[Name],
): void {
  const target = channels[name];
  if (target.hasSubscribers) target.publish(message());
}
