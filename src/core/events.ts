/**
 * What a session tells its owner. The life of a session as a grammar:
 *
 *     session  := established activity* closed        (a client's may be `closed` alone)
 *     activity := path | serverAddresses | stream | readable | writable
 *               | streamReset | streamStopped | streamClosed | streamsAllowed
 *     path     := per path id: joining? active (suspect active)* closed
 *
 * `closed` is the last event. What had arrived before can still be read after it.
 *
 * @module
 */

import type { CarrierId, PathId } from './contract.js';
import type { SessionError } from './errors.js';
import type { PathState, PathStatistics } from './path.js';

export type SessionEvent =
  | { readonly type: 'established' }
  | {
      readonly type: 'path';
      readonly pathId: PathId;
      readonly carrierId: CarrierId;
      readonly state: PathState;
      /** Why, for people. */
      readonly reason: string;
      /** The final figures ride in the last event of a path. */
      readonly statistics?: PathStatistics;
    }
  /** The peer opened a stream. */
  | { readonly type: 'stream'; readonly streamId: number; readonly unidirectional: boolean }
  /** `read` yields something again, or the end of the stream. */
  | { readonly type: 'readable'; readonly streamId: number }
  /** `write` accepts bytes again, after it had refused some. */
  | { readonly type: 'writable'; readonly streamId: number }
  /** The peer gave up sending; what had not been read is gone. */
  | { readonly type: 'streamReset'; readonly streamId: number; readonly code: number }
  /** The peer does not want what we send; the stream was reset. */
  | { readonly type: 'streamStopped'; readonly streamId: number; readonly code: number }
  /** Both directions have ended and all was acknowledged: the id means nothing any more. */
  | { readonly type: 'streamClosed'; readonly streamId: number }
  /** The server has told where else it can be reached: the whole list (a client's session only). */
  | {
      readonly type: 'serverAddresses';
      readonly addresses: readonly string[];
      readonly avoidFirst: boolean;
    }
  /** The peer allows more streams of a kind, after `openStream` had been refused one. */
  | { readonly type: 'streamsAllowed'; readonly unidirectional: boolean }
  /**
   * The end. `error` is absent after a graceful close by either side, if all bytes that this end had
   * written were acknowledged; if the peer closed before, it is an `UndeliveredError`.
   */
  | { readonly type: 'closed'; readonly error?: SessionError };
