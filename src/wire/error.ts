/**
 * The one error of the decoders.
 *
 * @module
 */

/**
 * Bytes that are not what docs/protocol.md allows. Decoders throw nothing else; the core turns it
 * into a failed handshake or a close with FRAME_ENCODING, never into an exception of its own.
 */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly code = 'ERR_WIRE';
  /** The type of the frame that could not be decoded, for CLOSE; 0 if not in a frame. */
  readonly frameType: number;

  constructor(message: string, frameType = 0) {
    super(message);
    this.frameType = frameType;
  }
}
