import { earliestArrival } from './earliest-arrival.js';
import type { Scheduler, SchedulerName } from './scheduler.js';
import { backup, minRtt, redundant, roundRobin } from './simple.js';

export const SCHEDULERS: Readonly<Record<SchedulerName, Scheduler>> = {
  earliestArrival,
  minRtt,
  roundRobin,
  redundant,
  backup,
};

export type {
  Choice,
  PathView,
  Scheduler,
  SchedulerInput,
  SchedulerName,
} from './scheduler.js';
