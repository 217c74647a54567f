/**
 * How the other end sees this one: from which address each path comes to it.
 *
 * @module
 */

import type { RovingSession } from '../node/index.js';
import { openService, type Service } from '../service/index.js';

/** More than a session has paths. */
const MAX_OBSERVED_PATHS = 64;

export interface ObservedPath {
  /** The same at both ends. */
  readonly pathId: number;
  /** Where the path comes from, as the other end sees it: behind a NAT, the NAT's own address. */
  readonly remote: string;
}

/** Needs no grant: it tells a client nothing but its own addresses. */
export function observeService(): Service {
  return {
    name: 'observe',
    handle({ session, accept }) {
      const paths = session.paths.slice(0, MAX_OBSERVED_PATHS).flatMap(({ pathId, remote }) => {
        return remote === undefined ? [] : [{ pathId, remote } satisfies ObservedPath];
      });
      accept({ paths }).end();
    },
  };
}

/** Asks the server. @throws ServiceError if it does not answer that. */
export async function observe(session: RovingSession): Promise<ObservedPath[]> {
  const { stream, answer } = await openService(session, { service: 'observe' });
  stream.end();
  stream.resume();
  const { paths } = answer;
  return Array.isArray(paths) ? paths.filter(isObserved).slice(0, MAX_OBSERVED_PATHS) : [];
}

function isObserved(value: unknown): value is ObservedPath {
  if (typeof value !== 'object' || value === null) return false;
  const { pathId, remote } = value as Partial<ObservedPath>;
  return typeof pathId === 'number' && typeof remote === 'string';
}
