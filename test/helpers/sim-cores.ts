/** Endpoint cores that know no protocol, to test what drives them. */
import type {
  Address,
  CarrierId,
  CarrierInfo,
  EndpointCore,
  Instant,
  Transmit,
} from '../../src/core/contract.js';

export type DummyEvent =
  | { readonly type: 'received'; readonly carrierId: CarrierId; readonly bytes: Uint8Array }
  | { readonly type: 'closeCarrier'; readonly carrierId: CarrierId };

export interface DummyCarrier {
  readonly info: CarrierInfo;
  grantedBytes: number;
  receivedBytes: number;
}

/** Sends what it is told to, reports what comes, wakes when asked. */
export class DummyCore implements EndpointCore<DummyEvent> {
  readonly carriers = new Map<CarrierId, DummyCarrier>();
  readonly closed: { carrierId: CarrierId; cause: Error | undefined }[] = [];
  readonly wakes: number[] = [];
  readonly sources: (Address | undefined)[] = [];
  echo = false;
  reports = true;
  wakeTimes: number[] = [];
  private readonly transmits: Transmit[] = [];
  private readonly events: DummyEvent[] = [];
  private nextId = 0;

  carrierOpened(info: CarrierInfo): CarrierId {
    const id = this.nextId++ as CarrierId;
    this.carriers.set(id, { info, grantedBytes: 0, receivedBytes: 0 });
    return id;
  }

  carrierClosed(carrierId: CarrierId, cause: Error | undefined): void {
    this.carriers.delete(carrierId);
    this.closed.push({ carrierId, cause });
  }

  receive(carrierId: CarrierId, bytes: Uint8Array, _now: Instant, remote?: Address): void {
    const carrier = this.carriers.get(carrierId);
    if (carrier === undefined) throw new Error('bytes for a carrier that is not there');
    carrier.receivedBytes += bytes.length;
    this.sources.push(remote);
    if (this.reports) this.events.push({ type: 'received', carrierId, bytes });
    if (this.echo) this.send(carrierId, [bytes], remote);
  }

  grantSend(carrierId: CarrierId, bytes: number): void {
    const carrier = this.carriers.get(carrierId);
    if (carrier !== undefined) carrier.grantedBytes += bytes;
  }

  handleTimeout(now: Instant): void {
    while (this.wakeTimes.length > 0 && (this.wakeTimes[0] ?? 0) <= now) {
      this.wakeTimes.shift();
      this.wakes.push(now);
    }
  }

  nextTransmit(_now: Instant): Transmit | undefined {
    return this.transmits.shift();
  }

  nextEvent(): DummyEvent | undefined {
    return this.events.shift();
  }

  nextTimeout(): Instant | undefined {
    return this.wakeTimes[0] as Instant | undefined;
  }

  send(carrierId: CarrierId, chunks: readonly Uint8Array[], remote?: Address): void {
    const carrier = this.carriers.get(carrierId);
    if (carrier === undefined) return;
    for (const chunk of chunks) carrier.grantedBytes -= chunk.length;
    this.transmits.push(
      remote === undefined ? { carrierId, chunks } : { carrierId, chunks, remote },
    );
  }

  askToClose(carrierId: CarrierId): void {
    this.events.push({ type: 'closeCarrier', carrierId });
  }
}

/** Sends datagrams of one size at a steady rate. */
export class Blaster extends DummyCore {
  sentCount = 0;
  private readonly target: Address;
  private readonly payload: Uint8Array;
  private readonly intervalMs: number;
  private nextAt = 0;

  constructor(target: Address, sizeBytes: number, intervalMs: number) {
    super();
    this.target = target;
    this.payload = new Uint8Array(sizeBytes).fill(1);
    this.intervalMs = intervalMs;
  }

  override carrierOpened(info: CarrierInfo): CarrierId {
    this.nextAt = 1000;
    return super.carrierOpened(info);
  }

  override nextTransmit(now: Instant): Transmit | undefined {
    if (now < this.nextAt) return undefined;
    this.nextAt += this.intervalMs;
    this.sentCount++;
    return { carrierId: 0 as CarrierId, chunks: [this.payload], remote: this.target };
  }

  override nextTimeout(): Instant | undefined {
    return this.nextAt as Instant;
  }
}
