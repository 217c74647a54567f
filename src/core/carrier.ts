/** What the core keeps of a carrier. @module */

import { RecordReader } from '../wire/index.js';
import type { CarrierId, CarrierInfo, Instant } from './contract.js';

export class Carrier {
  readonly id: CarrierId;
  readonly info: CarrierInfo;
  readonly openedAt: Instant;
  /** Stream carriers: cuts what arrives into packets. */
  readonly records: RecordReader | undefined;
  /** Stream carriers: what the driver lets us hand out. */
  grantBytes = 0;
  isClosed = false;
  /** Stream carriers: all was said; what still arrives is not looked at. */
  isDeaf = false;

  constructor(id: CarrierId, info: CarrierInfo, now: Instant) {
    this.id = id;
    this.info = info;
    this.openedAt = now;
    this.records = info.kind === 'stream' ? new RecordReader() : undefined;
  }

  get isStream(): boolean {
    return this.info.kind === 'stream';
  }
}
