/** Stream ids (RFC 9000 §2.1), and how many streams of a kind there may be. @module */

/** The bit of a stream id that says so; bit 0 tells the opener. */
export const UNIDIRECTIONAL = 2;

/** Counts the streams of one kind and opener from 0. */
export function streamIndex(streamId: number): number {
  return Math.floor(streamId / 4);
}

/** One kind of stream, bidirectional or not, in both directions of opening. */
export interface Kind {
  openedByUs: number;
  allowedToUs: number;
  /** We would open one more, and may not yet. */
  isWanted: boolean;
  openedByPeer: number;
  allowedToPeer: number;
  /** The peer may not have heard of `allowedToPeer` yet. */
  isTelling: boolean;
  closedByPeer: number;
  /** How many of the peer's may be open at a time. */
  readonly window: number;
}

export function newKind(allowedToUs: number, allowedToPeer: number): Kind {
  return {
    openedByUs: 0,
    allowedToUs,
    isWanted: false,
    openedByPeer: 0,
    allowedToPeer,
    isTelling: false,
    closedByPeer: 0,
    window: allowedToPeer,
  };
}

/**
 * Allows the peer more streams, when enough have ended: no more than one step ahead of what it is
 * known to know. Otherwise one packet could open and end streams without bound.
 *
 * @returns what to tell it, if anything.
 */
export function allowMore(kind: Kind): number | undefined {
  const allowed = kind.closedByPeer + kind.window;
  if (kind.isTelling || allowed - kind.allowedToPeer < kind.window / 2) return undefined;
  kind.allowedToPeer = allowed;
  kind.isTelling = true;
  return allowed;
}
