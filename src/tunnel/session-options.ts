/** What sessions that carry connections of other programs should be set to. @module */

import type { SessionOptions } from '../node/index.js';

const MIB = 1024 * 1024;

/**
 * A program that stops reading, as a paused download does, fills the window and the buffer of its
 * connection. Those of the session are some times larger here, so that it holds up no other
 * connection. For both ends; by default one stream may fill all that its session has.
 */
export const TUNNEL_SESSION_OPTIONS = {
  receiveWindowBytes: 32 * MIB,
  maxReceiveWindowBytes: 64 * MIB,
  streamReceiveWindowBytes: MIB,
  maxStreamReceiveWindowBytes: 8 * MIB,
  sendBufferBytes: 64 * MIB,
  streamSendBufferBytes: 8 * MIB,
} as const satisfies Partial<SessionOptions>;
