/**
 * The choice of the path for the next piece of data: a pure function of what is known of the
 * paths and of what waits.
 *
 * @module
 */

/** What a scheduler may know of a path. Only paths that may carry data are shown to it. */
export interface PathView {
  readonly pathId: number;
  readonly isBackup: boolean;
  /** Whether window, pacing and carrier let a packet go out now. */
  readonly canSend: boolean;
  /** Until pacing or the window let it, by estimate; 0 if `canSend`. */
  readonly waitMs: number;
  /** From sending now to arrival at the other end, by estimate. */
  readonly arrivalMs: number;
  readonly smoothedRttMs: number;
  readonly minRttMs: number;
  readonly rttVarianceMs: number;
  /** Bytes per millisecond, by estimate. */
  readonly rate: number;
  /** The size of the packet that would be sent. */
  readonly packetBytes: number;
}

export interface SchedulerInput {
  readonly paths: readonly PathView[];
  /** What waits to be sent now, in bytes. */
  readonly pendingBytes: number;
  /** What the peer's flow control and our own buffer still allow to be under way, in bytes. */
  readonly creditBytes: number;
  /** What counts as under way because pieces behind it were sent first. */
  readonly skippedBytes: number;
  /** The path chosen last, for those who take turns. */
  readonly lastPathId: number | undefined;
}

/** One path, several for copies, or `wait`: sending on what is free now would not help. */
export type Choice =
  | {
      readonly type: 'send';
      readonly pathId: number;
      readonly copies: readonly number[];
      /** What other paths will have delivered before the piece arrives: it is taken from behind. */
      readonly aheadBytes: number;
    }
  | { readonly type: 'wait' };

export type Scheduler = (input: SchedulerInput) => Choice;

export type SchedulerName = 'earliestArrival' | 'minRtt' | 'roundRobin' | 'redundant' | 'backup';

export const WAIT: Choice = { type: 'wait' };

export function send(pathId: number, copies: readonly number[] = [], aheadBytes = 0): Choice {
  return { type: 'send', pathId, copies, aheadBytes };
}

/** The available paths, or the backups if there are none. */
export function preferred(paths: readonly PathView[]): readonly PathView[] {
  let backups = 0;
  for (const path of paths) if (path.isBackup) backups += 1;
  if (backups === 0 || backups === paths.length) return paths;
  return paths.filter((path) => !path.isBackup);
}
