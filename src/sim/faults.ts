/**
 * What goes wrong, and when: a timeline of faults as data.
 *
 * @module
 */

import type { LinkParams } from './link.js';
import { Middlebox, type Policy } from './middlebox.js';
import { Nat, type Rebinding } from './nat.js';
import type { Machine, SimPath } from './network.js';
import type { Direction } from './packet.js';
import type { World } from './world.js';

/** One fault. `at` is in ms from the call of {@link applyFaults}; names are the world's. */
export type Fault = { readonly at: number } & FaultAction;

export type FaultAction =
  /** The path swallows everything, or stops to. */
  | {
      readonly type: 'black';
      readonly path: string;
      readonly on: boolean;
      readonly direction?: Direction;
    }
  /** Other link parameters. */
  | {
      readonly type: 'set';
      readonly path: string;
      readonly params: Partial<LinkParams>;
      readonly direction?: Direction;
    }
  /** The path's NATs give out new ports, a new address, or both. */
  | ({ readonly type: 'rebind'; readonly path: string } & Rebinding)
  /** The client's interface gets a new address. */
  | { readonly type: 'readdress'; readonly path: string }
  /** All TCP connections over the path end: both ends are reset, or nobody is told. */
  | { readonly type: 'killTcp'; readonly path: string; readonly how: 'reset' | 'silent' }
  /** The path's middleboxes get other policies. */
  | { readonly type: 'policy'; readonly path: string; readonly policies: readonly Policy[] }
  /** See `SimHost.crash`. */
  | { readonly type: 'crash'; readonly machine: string; readonly how?: 'silent' | 'reset' }
  /** See `SimHost.suspend`. */
  | { readonly type: 'suspend'; readonly machine: string; readonly ms: number };

/**
 * Puts faults on the world's timeline. A crash or sleep of a machine that has no driver at that
 * time does nothing.
 *
 * @throws RangeError at once if a path or machine is not there.
 */
export function applyFaults(world: World, faults: readonly Fault[]): void {
  const start = world.now;
  for (const fault of faults) {
    if ('path' in fault) findPath(world, fault.path);
    else if (!world.machines.has(fault.machine)) {
      throw new RangeError(`no machine ${fault.machine}`);
    }
    world.schedule(start + fault.at, () => applyFault(world, fault));
  }
}

/** Does one thing now. @throws RangeError if the path is not there. */
export function applyFault(world: World, fault: FaultAction): void {
  switch (fault.type) {
    case 'black':
      findPath(world, fault.path).set({ black: fault.on }, fault.direction);
      break;
    case 'set':
      findPath(world, fault.path).set(fault.params, fault.direction);
      break;
    case 'rebind':
      for (const box of findPath(world, fault.path).boxes) {
        if (box instanceof Nat) box.rebind(fault);
      }
      break;
    case 'readdress':
      findPath(world, fault.path).readdress();
      break;
    case 'killTcp':
      killTcp(findPath(world, fault.path), fault.how);
      break;
    case 'policy':
      for (const box of findPath(world, fault.path).boxes) {
        if (box instanceof Middlebox) box.setPolicies(...fault.policies);
      }
      break;
    case 'crash':
      world.drivers.get(fault.machine)?.crash(fault.how);
      break;
    case 'suspend':
      world.drivers.get(fault.machine)?.suspend(fault.ms);
      break;
  }
}

function findPath(world: World, name: string): SimPath {
  const path = world.paths.get(name);
  if (path === undefined) throw new RangeError(`no path ${name}`);
  return path;
}

/** The client's connections from the path's address, and the servers' to what the path shows. */
function killTcp(path: SimPath, how: 'reset' | 'silent'): void {
  const outside = path.publicAddresses;
  const kill = (machine: Machine, isOnPath: (host: string) => boolean, remote: boolean): void => {
    for (const connection of machine.tcpConnections()) {
      const end = remote ? connection.remote : connection.local;
      if (!isOnPath(end.host)) continue;
      if (how === 'silent') connection.sever();
      else connection.die();
    }
  };
  kill(path.client, (host) => host === path.clientAddress, false);
  for (const server of path.servers) kill(server, (host) => outside.has(host), true);
}
