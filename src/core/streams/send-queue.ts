/**
 * Which streams have something to send, and whose turn it is. What it costs to ask does not grow
 * with the number of streams that are open, or that wait for the peer's flow control.
 *
 * @module
 */

import type { SendStream } from './send-stream.js';

/** What waits to be sent. */
export interface Pending {
  readonly hasWork: boolean;
  /** How much of it could be sent now; at least, if very many streams have something. */
  readonly bytes: number;
  /** How much more may be under way before flow control, or the send buffer, stops new data. */
  readonly creditBytes: number;
  /** Left out for pieces further on; counts as if it were under way. */
  readonly skippedBytes: number;
  /** There is more to send, but what is under way holds it up. */
  readonly isBlocked: boolean;
}

export interface SendLimits {
  /** Bytes that the session's flow control still allows. */
  readonly sessionCredit: number;
  readonly sendBufferBytes: number;
  readonly streamSendBufferBytes: number;
}

/**
 * Tuning: so many streams that can send are looked at to say how much waits. The scheduler only
 * compares that with what the paths carry in a round trip, and asks for every packet.
 */
export const MAX_LOOKED_AT = 64;

export class SendQueue {
  /** By priority, in the order of their turns. */
  readonly #queues = new Map<number, Set<SendStream>>();
  /** The keys of the queues, highest first. */
  readonly #priorities: number[] = [];
  /** Those that can send nothing before the peer widens their window. */
  readonly #blocked = new Set<SendStream>();

  /** The stream may have something to send; at the end of its queue, if it is not in it yet. */
  add(send: SendStream): void {
    this.#blocked.delete(send);
    this.#queue(send.priority).add(send);
  }

  delete(send: SendStream): void {
    this.#blocked.delete(send);
    this.#queues.get(send.priority)?.delete(send);
  }

  setPriority(send: SendStream, priority: number): void {
    const isWaiting = this.#queues.get(send.priority)?.delete(send) === true;
    send.priority = priority;
    if (isWaiting) this.#queue(priority).add(send);
  }

  #queue(priority: number): Set<SendStream> {
    const known = this.#queues.get(priority);
    if (known !== undefined) return known;
    const queue = new Set<SendStream>();
    this.#queues.set(priority, queue);
    const at = this.#priorities.findIndex((one) => one < priority);
    this.#priorities.splice(at < 0 ? this.#priorities.length : at, 0, priority);
    return queue;
  }

  /**
   * Those that can send now, in the order of their turns, as long as `look` answers `true`. (It is
   * asked several times for each packet: a generator is ten times as slow.)
   */
  #ready(sessionCredit: number, look: (send: SendStream) => boolean): void {
    for (const priority of this.#priorities) {
      const queue = this.#queues.get(priority);
      if (queue === undefined) continue;
      for (const send of queue) {
        if (!send.hasWork(sessionCredit)) this.#setAside(queue, send);
        else if (!look(send)) return;
      }
    }
  }

  /** One that only the session's flow control holds up keeps its turn. */
  #setAside(queue: Set<SendStream>, send: SendStream): void {
    const isWindowUsedUp = send.maxData <= send.sentBytes;
    if (send.unsentBytes > 0 && !isWindowUsedUp) return;
    queue.delete(send);
    if (send.unsentBytes > 0) this.#blocked.add(send);
  }

  pending(limits: SendLimits): Pending {
    let bytes = 0;
    let creditBytes = Math.min(limits.sessionCredit, limits.sendBufferBytes);
    let skippedBytes = 0;
    let found = 0;
    this.#ready(limits.sessionCredit, (send) => {
      const heldBytes = send.sentBytes - send.acknowledgedBytes;
      creditBytes = Math.min(creditBytes, limits.streamSendBufferBytes - heldBytes);
      bytes +=
        send.overdueBytes + Math.max(0, Math.min(send.unsentBytes, send.maxData - send.sentBytes));
      skippedBytes += send.skippedBytes;
      found += 1;
      return found < MAX_LOOKED_AT;
    });
    const hasWork = found > 0;
    return { hasWork, bytes, creditBytes, skippedBytes, isBlocked: !hasWork && this.#hasUnsent };
  }

  /** Of those that can't send now, one has something. */
  get #hasUnsent(): boolean {
    if (this.#blocked.size > 0) return true;
    for (const queue of this.#queues.values()) if (queue.size > 0) return true;
    return false;
  }

  /**
   * Whose turn it is: the highest priority first, equal ones in turn.
   *
   * @param isNewOnly of those that have something never sent before.
   */
  select(sessionCredit: number, isNewOnly = false): SendStream | undefined {
    let first: SendStream | undefined;
    this.#ready(sessionCredit, (send) => {
      if (isNewOnly && !send.hasNew) return true;
      first = send;
      return false;
    });
    return first;
  }

  /** It has had its turn: those of the same priority come first now. */
  rotate(send: SendStream): void {
    const queue = this.#queues.get(send.priority);
    if (queue === undefined || queue.size < 2 || !queue.delete(send)) return;
    queue.add(send);
  }
}
