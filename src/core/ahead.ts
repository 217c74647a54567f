/**
 * A client that has moved shall not wait until its new address is validated: what is under way to
 * where it was is sent once more to where it most likely is, within what such an address may get.
 *
 * @module
 */

import type { Address } from './contract.js';
import type { Piece } from './streams/stream-table.js';

/** Pieces that wait to be copied, and packets that are searched for them. */
export const MAX_AHEAD_PIECES = 256;
/** Copies go in packets that may have at least this size: headers count, too. */
export const MIN_AHEAD_BYTES = 128;

/** Copies of a path's data for an address that is not the path's own yet. */
export class Ahead {
  readonly to: Address;
  readonly #pieces: Piece[] = [];

  constructor(to: Address) {
    this.to = to;
  }

  get first(): Piece | undefined {
    return this.#pieces[0];
  }

  /** Small writes that follow each other, each in a packet of its own, become one piece. */
  add(piece: Piece): void {
    const { stream, range, fin } = piece;
    const last = this.#pieces.at(-1);
    if (last?.stream === stream && last.range.end === range.start && !last.fin) {
      const whole = { start: last.range.start, end: range.end };
      this.#pieces[this.#pieces.length - 1] = { stream, range: whole, fin, isNew: false };
    } else if (this.#pieces.length < MAX_AHEAD_PIECES) {
      this.#pieces.push({ stream, range, fin, isNew: false });
    }
  }

  /** The first piece is sent up to here. */
  sentTo(end: number): void {
    const piece = this.#pieces.shift();
    if (piece === undefined || end >= piece.range.end) return;
    this.#pieces.unshift({ ...piece, range: { start: end, end: piece.range.end } });
  }
}
