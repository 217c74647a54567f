/**
 * A deterministic network in virtual time: one seed makes a world of machines, links, NATs,
 * middleboxes and faults, which drives anything that implements the sans-IO contract.
 *
 * @module
 */

export * from './apps.js';
export * from './bed.js';
export { ByteStore, SlabCopier } from './byte-store.js';
export * from './crypto.js';
export { EventQueue, type Wakeable } from './event-queue.js';
export { applyFault, applyFaults, type Fault, type FaultAction } from './faults.js';
export * from './host.js';
export * from './link.js';
export * from './middlebox.js';
export { NAT_MAX_MAPPINGS, Nat, type NatOptions, type Rebinding } from './nat.js';
export * from './network.js';
export * from './packet.js';
export { type Pipe, type PipeOptions, pipe } from './pipe.js';
export { PlainTcpFlow, type PlainTcpSpec } from './plain-tcp.js';
export * from './presets.js';
export { Prng } from './prng.js';
export { RandomApps, type Role, type StreamPlan } from './random-apps.js';
export { drawPlan, type PlannedFault, type PlannedPath, type WorldPlan } from './random-plan.js';
export { runPlan, runRandomWorld, type WorldReport, type WorldSummary } from './random-world.js';
export * from './tcp.js';
export type { TcpSenderStats } from './tcp-sender.js';
export * from './trace.js';
export { type UdpBinding, UdpSocket } from './udp.js';
export * from './world.js';
