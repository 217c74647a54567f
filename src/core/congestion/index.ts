import type { Carrier } from '../carrier.js';
import type { SessionOptions } from '../options.js';
import { Bbr } from './bbr.js';
import type { CongestionController } from './controller.js';
import { Cubic } from './cubic.js';
import { StreamWindow } from './stream-window.js';

/** The controller for a path over this carrier. */
export function createCongestion(
  carrier: Carrier,
  options: SessionOptions,
  packetBytes: number,
): CongestionController {
  if (carrier.isStream) return new StreamWindow();
  return options.congestionControl === 'cubic' ? new Cubic(packetBytes) : new Bbr(packetBytes);
}

export { Bbr } from './bbr.js';
export { Bottlenecks, DelayTrace, type GroupMember } from './bottlenecks.js';
export type { AckInfo, CongestionController } from './controller.js';
export { Cubic } from './cubic.js';
export { StreamWindow } from './stream-window.js';
