/**
 * The end of a session used to look at all sessions of the endpoint, and at the connection ids of all
 * their paths: of a server with many, each end cost more the more there were. What is left now is an
 * index by session, which must be empty when all are gone.
 */
import { describe, expect, it } from 'vitest';
import type { Carrier } from '../../src/core/carrier.js';
import type { CarrierId, Instant, PathId } from '../../src/core/contract.js';
import { EndpointContext } from '../../src/core/endpoint-context.js';
import { DEFAULT_ENDPOINT_LIMITS, DEFAULT_SESSION_OPTIONS } from '../../src/core/options.js';
import type { Path } from '../../src/core/path.js';
import type { Session } from '../../src/core/session.js';
import { CONNECTION_ID_BYTES, portableCrypto } from '../../src/crypto/index.js';

const idOf = (key: number): Uint8Array => new Uint8Array(CONNECTION_ID_BYTES).fill(key);

function fakes() {
  const context = new EndpointContext(
    portableCrypto,
    (length) => new Uint8Array(length),
    DEFAULT_ENDPOINT_LIMITS,
    DEFAULT_SESSION_OPTIONS,
  );
  const carrier = { id: 1 as CarrierId, isStream: false, isClosed: false } as Carrier;
  const closed: PathId[] = [];
  const session = () =>
    ({ carrierClosed: ({ id }: Path) => closed.push(id) }) as unknown as Session;
  const path = (id: number, key = id): Path =>
    ({ id, carrier, receiveConnectionId: idOf(key) }) as unknown as Path;
  const has = (key: number): boolean => context.routeOfConnectionId(idOf(key)) !== undefined;
  return { context, carrier, session, path, has, closed, now: 0 as Instant };
}

describe('routes of datagram paths', () => {
  it('go with their path, or with the session, and no others do', () => {
    const { context, session, path, has } = fakes();
    const [first, second] = [session(), session()];
    for (const id of [1, 2, 3]) expect(context.attach(first, path(id))).toBe(true);
    expect(context.attach(second, path(1, 9))).toBe(true);
    context.pathClosed(first, 1 as PathId);
    expect([1, 2, 3, 9].map(has)).toEqual([false, true, true, true]);
    context.sessionEnded(first);
    expect([1, 2, 3, 9].map(has)).toEqual([false, false, false, true]);
    context.sessionEnded(first);
    context.pathClosed(first, 2 as PathId);
    expect(context.attach(first, path(4))).toBe(true);
    expect([4, 9].map(has)).toEqual([true, true]);
  });

  it('are not lost to a path that could not have the same connection id', () => {
    const { context, session, path, has } = fakes();
    context.attach(session(), path(1, 7));
    const late = path(2, 7);
    expect(context.attach(session(), late)).toBe(false);
    context.detach(late);
    expect(has(7)).toBe(true);
  });

  it('go with their carrier, and their sessions are told', () => {
    const { context, carrier, session, path, has, closed } = fakes();
    const paths = [path(1), path(2)];
    for (const one of paths) context.attach(session(), one);
    context.carrierOver(carrier, 'gone');
    expect([closed, [1, 2].map(has)]).toEqual([
      [1, 2],
      [false, false],
    ]);
  });
});
