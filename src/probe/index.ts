/**
 * What measures: a session (`bench`), and the network between two ends (`observe`, and what
 * `roving doctor` asks).
 *
 * @module
 */

export {
  type BenchOptions,
  type BenchProgress,
  type BenchResult,
  type DirectionResult,
  type LatencyResult,
  measureSession,
  type PathShare,
} from './bench.js';
export {
  type BenchMode,
  benchService,
  MAX_BENCH_MS,
  MAX_BENCH_STREAMS,
  type SinkReport,
} from './bench-service.js';
export {
  type CarrierReport,
  type DoctorCarrier,
  type DoctorOptions,
  type DoctorReport,
  examine,
  type PortReport,
  type RouteAdvice,
} from './doctor.js';
export type { NatMapping, NatReport } from './nat.js';
export { type ObservedPath, observe, observeService } from './observe.js';
