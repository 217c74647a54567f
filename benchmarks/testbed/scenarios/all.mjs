/**
 * All scenarios, in the order of the document.
 *
 * @module
 */

import { attacks } from './attacks.mjs';
import { black, flapping, outage } from './black.mjs';
import { blocked } from './blocked.mjs';
import { fairness } from './fairness.mjs';
import { goodput, lossy, unequal } from './goodput.mjs';
import { policies } from './policies.mjs';
import { roam } from './roam.mjs';
import { ssh } from './ssh.mjs';
import { unsent } from './unsent.mjs';

/** @type {readonly import('../scenario.mjs').Scenario[]} */
export const SCENARIOS = [
  goodput,
  unequal,
  lossy,
  flapping,
  black,
  outage,
  roam,
  blocked,
  policies,
  ssh,
  unsent,
  fairness,
  attacks,
];
