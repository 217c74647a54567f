/** Schedulers to choose and to compare with. @module */

import {
  type Choice,
  type PathView,
  preferred,
  type SchedulerInput,
  send,
  WAIT,
} from './scheduler.js';

function free(input: SchedulerInput): PathView[] {
  return preferred(input.paths).filter((path) => path.canSend);
}

function leastBy(
  paths: readonly PathView[],
  measure: (path: PathView) => number,
): PathView | undefined {
  let least: PathView | undefined;
  for (const path of paths) if (least === undefined || measure(path) < measure(least)) least = path;
  return least;
}

/** The path with the smallest round trip that has room. */
export function minRtt(input: SchedulerInput): Choice {
  const path = leastBy(free(input), (one) => one.smoothedRttMs);
  return path === undefined ? WAIT : send(path.pathId);
}

/** All paths with room, in turn. */
export function roundRobin(input: SchedulerInput): Choice {
  const paths = free(input);
  const last = input.lastPathId ?? -1;
  const path = leastBy(paths, (one) => (one.pathId > last ? one.pathId : one.pathId + 2 ** 32));
  return path === undefined ? WAIT : send(path.pathId);
}

/** Everything on every path; paced by the fastest, the others skip what has arrived. */
export function redundant(input: SchedulerInput): Choice {
  const paths = preferred(input.paths);
  const first = leastBy(free(input), (one) => one.arrivalMs);
  if (first === undefined) return WAIT;
  const copies = paths.filter((one) => one !== first).map((one) => one.pathId);
  return send(first.pathId, copies);
}

/** One path, the oldest that works; the others only when it does not. */
export function backup(input: SchedulerInput): Choice {
  const path = leastBy(preferred(input.paths), (one) => one.pathId);
  return path?.canSend === true ? send(path.pathId) : WAIT;
}
