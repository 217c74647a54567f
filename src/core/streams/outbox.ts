/** What a stream table is told by the peer, and where it leaves what it has to say. @module */

import type { Frame } from '../../wire/index.js';
import type { SessionEvent } from '../events.js';
import type { BlockPool } from './send-buffer.js';

/** Limits that the peer gave in the handshake. */
export interface PeerLimits {
  readonly maxData: number;
  readonly maxStreamData: number;
  readonly maxStreamsBidi: number;
  readonly maxStreamsUni: number;
}

/** Where the table leaves what has to be sent or told. */
export interface Outbox {
  control(frame: Frame): void;
  event(event: SessionEvent): void;
  /** The longest round trip of the paths in use, for the growth of windows. */
  rttMs(): number;
  /** How much of one stream may wait to be sent for the first time. */
  sendAheadBytes(): number;
  /** Memory for what is written. */
  readonly blocks: BlockPool;
}
