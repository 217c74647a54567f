/**
 * Gives back the memory of packets while it is young.
 *
 * Each packet that `node:crypto` seals or opens comes in fresh memory outside of V8's heap, and is
 * garbage a moment later. V8 counts such memory towards the limit of its old generation: a few
 * megabytes of it start a marking of the whole heap, and a busy path had one every 10 to 50 ms, which
 * took a third of its processor time. A scavenge finds the same garbage at the cost of what is
 * alive, which is next to nothing, so one is asked for before that limit
 * (docs/decisions/0023-young-memory.md).
 *
 * @module
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isSwitchedOff } from './switches.js';

const MIB = 1024 * 1024;

/** `0`, `off`, `no` or `false` in this variable: the collector is left to itself. */
export const SCAVENGE_VARIABLE = 'ROVING_SCAVENGE';

/**
 * Tuning: V8's limit lies as little as 2 MB above what the last marking has left. With 5 MiB there
 * still was a marking for every 50 MB, with 3 for every 300, and with 2 the scavenges cost what
 * that saves (`benchmarks/tcp-path.mjs`).
 */
export const SCAVENGE_EVERY_BYTES = 3 * MIB;
/** A process that moves less than this never asks. */
export const SCAVENGE_FROM_BYTES = 32 * MIB;

type Collect = (options: { readonly type: 'minor' }) => void;

let freshBytes = 0;
let askAtBytes = SCAVENGE_FROM_BYTES;
/** `null`: there is none. */
let collect: Collect | null | undefined;

/** So many bytes of memory outside of the heap were taken, and are soon garbage. */
export function tookFreshMemory(bytes: number): void {
  freshBytes += bytes;
  if (freshBytes < askAtBytes) return;
  freshBytes = 0;
  askAtBytes = SCAVENGE_EVERY_BYTES;
  if (collect === undefined) collect = collector();
  collect?.({ type: 'minor' });
}

/** V8's own, which it gives only to contexts that are made while the flag is set. */
function collector(): Collect | null {
  if (isSwitchedOff(SCAVENGE_VARIABLE)) return null;
  try {
    setFlagsFromString('--expose-gc');
    const found: unknown = runInNewContext('typeof gc === "function" ? gc : null');
    setFlagsFromString('--no-expose-gc');
    return found as Collect | null;
  } catch {
    return null;
  }
}
