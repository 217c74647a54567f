/**
 * An ideal link between two hosts: no delay, no loss, in virtual time.
 *
 * @module
 */

import type { Address, CarrierId, CarrierInfo, EndpointCore } from '../core/contract.js';
import { SlabCopier } from './byte-store.js';
import type { SimHost } from './host.js';

export interface PipeOptions {
  readonly kind: 'stream' | 'datagram';
  /** Datagrams: the largest; 1472. Larger ones are lost. */
  readonly maxDatagramBytes?: number;
  /** Streams: how much either end may hand out at an instant; 1 MiB. */
  readonly grantBytes?: number;
}

/** The carriers at both ends. */
export interface Pipe {
  readonly a: CarrierId;
  readonly b: CarrierId;
  /** What `a` has to send to, for datagrams to reach `b`; and the reverse. */
  readonly addressA: Address;
  readonly addressB: Address;
  /** Closes both carriers, as a network that has gone. */
  break(cause?: Error): void;
}

const DEFAULT_GRANT_BYTES = 1_048_576;
const DEFAULT_MAX_DATAGRAM_BYTES = 1472;

type AnyHost<E> = SimHost<E, EndpointCore<E>>;

/**
 * Joins two hosts of one world by a pair of carriers. What one end's core hands out reaches the
 * other end's at the same instant.
 */
export function pipe<A, B>(hostA: AnyHost<A>, hostB: AnyHost<B>, options: PipeOptions): Pipe {
  const { world } = hostA;
  const number = world.nextPipeNumber();
  const addressA = `pipe-a:${number}`;
  const addressB = `pipe-b:${number}`;
  const ids: { a?: CarrierId; b?: CarrierId } = {};
  const join = <E, F>(
    host: AnyHost<E>,
    peer: AnyHost<F>,
    local: Address,
    remote: Address,
    own: () => CarrierId | undefined,
    other: () => CarrierId | undefined,
  ): CarrierId => {
    const copier = new SlabCopier();
    const info = pipeInfo(options, local, remote);
    return host.open({
      info,
      send: ({ chunks, remote: to }) => {
        const bytes = copier.concat(chunks);
        const ownId = own();
        const otherId = other();
        if (info.kind === 'stream' && ownId !== undefined) host.grant(ownId, bytes.length);
        if (otherId === undefined || !peer.carriers.has(otherId)) return;
        if (peer.machine.isOn === false || !host.machine.isOn) return;
        if (info.kind === 'stream') peer.receive(otherId, bytes);
        else if (to === remote && bytes.length <= (info.maxDatagramBytes ?? 0)) {
          peer.receive(otherId, bytes, local);
        }
      },
      close: () => {
        const otherId = other();
        if (otherId === undefined) return;
        // The other end hears of it after what has been sent, as with a FIN.
        world.schedule(world.now, () => peer.carrierClosed(otherId, undefined));
      },
    });
  };
  const ownA = () => ids.a;
  const ownB = () => ids.b;
  const a = join(hostA, hostB, addressA, addressB, ownA, ownB);
  const b = join(hostB, hostA, addressB, addressA, ownB, ownA);
  ids.a = a;
  ids.b = b;
  if (options.kind === 'stream') {
    hostA.grant(a, options.grantBytes ?? DEFAULT_GRANT_BYTES);
    hostB.grant(b, options.grantBytes ?? DEFAULT_GRANT_BYTES);
  }
  const cut = (cause?: Error): void => {
    hostA.carrierClosed(a, cause);
    hostB.carrierClosed(b, cause);
  };
  return { a, b, addressA, addressB, break: cut };
}

function pipeInfo(options: PipeOptions, local: Address, remote: Address): CarrierInfo {
  const base = { name: 'memory', kind: options.kind, local } as const;
  if (options.kind === 'stream') return { ...base, remote };
  return { ...base, maxDatagramBytes: options.maxDatagramBytes ?? DEFAULT_MAX_DATAGRAM_BYTES };
}
