/** A small world that lists of operations are applied to, with a model of what must come of them. */
import {
  AbortedError,
  ClosedByPeerError,
  ContinuityError,
  type PathId,
  PeerError,
  type SessionEvent,
  UndeliveredError,
} from '../../src/core/index.js';
import {
  applyFault,
  Bed,
  type BedEnd,
  contentAt,
  dropNth,
  firstWrongByte,
  Middlebox,
  Nat,
  type PacketFilter,
  World,
} from '../../src/sim/index.js';
import { way } from './beds.js';

export type Side = 'client' | 'server';
export type PathName = 'udp' | 'nat' | 'tcp';

export type Op =
  | { readonly op: 'advance'; readonly ms: number }
  | { readonly op: 'open'; readonly side: Side; readonly unidirectional: boolean }
  /** `n` counts the streams that a side can write to (or read from), round and round. */
  | { readonly op: 'write'; readonly side: Side; readonly n: number; readonly bytes: number }
  | { readonly op: 'read'; readonly side: Side; readonly n: number; readonly bytes: number }
  | { readonly op: 'finish' | 'reset' | 'stop'; readonly side: Side; readonly n: number }
  | { readonly op: 'priority'; readonly side: Side; readonly n: number; readonly value: number }
  | { readonly op: 'openPath'; readonly path: PathName }
  | { readonly op: 'abandon'; readonly side: Side; readonly n: number }
  | { readonly op: 'status'; readonly side: Side; readonly n: number; readonly backup: boolean }
  | { readonly op: 'black'; readonly path: PathName; readonly on: boolean; readonly up?: boolean }
  | { readonly op: 'rebind'; readonly address: boolean }
  | { readonly op: 'move'; readonly path: PathName }
  | { readonly op: 'drop'; readonly path: PathName; readonly up: boolean; readonly count: number }
  | { readonly op: 'kill'; readonly silent: boolean }
  | { readonly op: 'suspend'; readonly side: Side; readonly ms: number }
  | { readonly op: 'close' | 'abort'; readonly side: Side };

export const RESET_CODE = 5;
export const STOP_CODE = 6;
export const ABORT_CODE = 7;
const PATH_NAMES: readonly PathName[] = ['udp', 'nat', 'tcp'];
const KEEP_ALIVE_MS = 1_000;
/** So long after the last fault the ends know the same of their paths. */
const CALM_MS = 20_000;
const ROUGH: ReadonlySet<Op['op']> = new Set([
  'openPath',
  'abandon',
  'black',
  'rebind',
  'move',
  'drop',
  'kill',
  'suspend',
]);
/** Between two attempts to open a path that is missing. */
const MEND_MS = 5_000;
/** After the last operation: for redialling and for everything to arrive. */
const LIVENESS_MS = 180_000;
/** Between two looks at whether all is done, which read and finish what there is. */
const STEP_MS = 100;
const MAX_EVENTS = 500_000;

/** One direction of a stream. */
interface Flow {
  readonly from: Side;
  written: number;
  finished: boolean;
  reset: boolean;
  read: number;
  ended: boolean;
  wasReset: boolean;
  stopped: boolean;
  /** The peer stopped it, or its stream is gone at the writer. */
  unwritable: boolean;
}

export class OperationsWorld {
  readonly world: World;
  readonly bed: Bed;
  readonly #nat: Nat;
  readonly #boxes = new Map<PathName, Middlebox>();
  readonly #flows = new Map<string, Flow>();
  /** The streams of each side by number, in the order in which it came to know them. */
  readonly #known: Record<Side, number[]> = { client: [], server: [] };
  readonly #gone: Record<Side, Set<number>> = { client: new Set(), server: new Set() };
  readonly #mendedAt = new Map<PathName, number>();
  #ended: Side | undefined;
  #closedAt = Number.POSITIVE_INFINITY;
  /** When a path was last meddled with. */
  #roughAt = Number.NEGATIVE_INFINITY;
  #aborted = false;

  constructor() {
    this.world = new World({ seed: 'operations' });
    this.#nat = new Nat(this.world);
    for (const name of PATH_NAMES) this.#boxes.set(name, new Middlebox(this.world));
    const boxes = (name: PathName) => [this.#boxes.get(name) ?? new Middlebox(this.world)];
    const small = {
      receiveWindowBytes: 20_000,
      maxReceiveWindowBytes: 60_000,
      streamReceiveWindowBytes: 8_000,
      maxStreamReceiveWindowBytes: 30_000,
      sendBufferBytes: 50_000,
      streamSendBufferBytes: 20_000,
      maxStreamsBidi: 3,
      maxStreamsUni: 3,
      maxPaths: 4,
      keepAliveMs: KEEP_ALIVE_MS,
      keyUpdatePackets: 20,
    };
    this.bed = new Bed({
      seed: 'operations',
      world: this.world,
      client: small,
      server: small,
      tcp: { synRetries: 2 },
      paths: [
        way('udp', 'udp', '5/20', { boxes: boxes('udp') }),
        way('nat', 'udp', '10/60', { boxes: [this.#nat, ...boxes('nat')] }),
        way('tcp', 'tcp', '5/10', { boxes: boxes('tcp') }),
      ],
    });
    this.bed.connect({}, ['udp']);
    this.bed.client.on((event) => this.#heard('client', event));
    this.bed.onAccepted.push((end) => end.on((event) => this.#heard('server', event)));
    if (!this.bed.establish()) throw new Error('no session');
  }

  // The model.

  #end(side: Side): BedEnd {
    return side === 'client' ? this.bed.client : this.bed.server;
  }

  #flow(streamId: number, from: Side): Flow {
    const key = `${streamId} ${from}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      flow = {
        from,
        written: 0,
        finished: false,
        reset: false,
        read: 0,
        ended: false,
        wasReset: false,
        stopped: false,
        unwritable: false,
      };
      this.#flows.set(key, flow);
    }
    return flow;
  }

  #heard(side: Side, event: SessionEvent): void {
    if (event.type === 'stream') this.#known[side].push(event.streamId);
    else if (event.type === 'streamReset') {
      const flow = this.#flow(event.streamId, otherSide(side));
      if (!flow.reset && !flow.stopped) throw new Error(`stream ${event.streamId}: never reset`);
      flow.wasReset = true;
    } else if (event.type === 'streamStopped') {
      const flow = this.#flow(event.streamId, side);
      if (!flow.stopped) throw new Error(`stream ${event.streamId}: never stopped`);
      flow.unwritable = true;
    } else if (event.type === 'streamClosed') {
      if (this.#gone[side].has(event.streamId)) throw new Error('a stream closed twice');
      this.#gone[side].add(event.streamId);
    }
  }

  #isAwake(side: Side): boolean {
    return this.world.now >= this.#end(side).host.machine.asleepUntil;
  }

  /** The n-th stream of a side that is still there and goes the wanted way. */
  #stream(side: Side, n: number, way: 'write' | 'read'): number | undefined {
    const from = way === 'write' ? side : otherSide(side);
    const opener = from === 'client' ? 0 : 1;
    const streams = this.#known[side].filter(
      (id) => !this.#gone[side].has(id) && ((id & 2) === 0 || id % 2 === opener),
    );
    return streams[n % Math.max(1, streams.length)];
  }

  // The operations.

  apply(op: Op): void {
    if (op.op === 'advance') this.world.run({ forMs: op.ms, maxEvents: MAX_EVENTS });
    else if ('side' in op) this.#command(op);
    else this.#fault(op);
    if (ROUGH.has(op.op)) this.#roughAt = this.world.now;
    this.check();
  }

  #command(op: Op & { side: Side }): void {
    const end = this.#end(op.side);
    const { session, host } = end;
    if (!this.#isAwake(op.side) || session.lifecycle !== 'established') return;
    host.command((_core, now) => {
      switch (op.op) {
        case 'open': {
          const id = session.openStream({ unidirectional: op.unidirectional }, now);
          if (id !== undefined) this.#known[op.side].push(id);
          return;
        }
        case 'write':
          return this.#write(op.side, op.n, op.bytes);
        case 'read':
          return this.#read(op.side, this.#stream(op.side, op.n, 'read'), op.bytes);
        case 'finish':
        case 'reset':
        case 'priority':
          return this.#endOfWriting(op);
        case 'stop': {
          const id = this.#stream(op.side, op.n, 'read');
          if (id === undefined) return;
          this.#flow(id, otherSide(op.side)).stopped = true;
          return session.stopSending(id, STOP_CODE, now);
        }
        case 'abandon':
        case 'status':
          return this.#onPath(op);
        case 'suspend':
          return host.suspend(op.ms);
        case 'close':
          this.#ended ??= op.side;
          return session.close(now);
        case 'abort':
          this.#ended ??= op.side;
          this.#aborted = true;
          return session.abort(ABORT_CODE, 'enough', now);
      }
    });
  }

  #write(side: Side, n: number, bytes: number): void {
    const id = this.#stream(side, n, 'write');
    if (id === undefined) return;
    const flow = this.#flow(id, side);
    if (flow.finished || flow.reset || flow.unwritable) return;
    flow.written += this.#end(side).session.write(id, contentAt(baseOf(id) + flow.written, bytes));
  }

  #endOfWriting(op: Op & { side: Side; n: number }): void {
    const id = this.#stream(op.side, op.n, 'write');
    if (id === undefined) return;
    const { session } = this.#end(op.side);
    const flow = this.#flow(id, op.side);
    if (op.op === 'priority') session.setPriority(id, op.value);
    else if (op.op === 'finish') {
      flow.finished = true;
      session.finish(id);
    } else {
      flow.reset = true;
      session.reset(id, RESET_CODE);
    }
  }

  #read(side: Side, id: number | undefined, limit: number): boolean {
    if (id === undefined) return false;
    const flow = this.#flow(id, otherSide(side));
    const bytes = this.#end(side).session.read(id, limit, this.world.now);
    if (bytes === undefined) return false;
    if (bytes === 'end') {
      if (!flow.finished && this.#ended === undefined) throw new Error('an end that nobody made');
      if (flow.read !== flow.written) {
        throw new Error(`stream ${id} ended after ${flow.read} of ${flow.written} bytes`);
      }
      const isNew = !flow.ended;
      flow.ended = true;
      return isNew;
    }
    if (bytes.length > limit) throw new Error('more was read than asked for');
    if (firstWrongByte(baseOf(id) + flow.read, bytes) >= 0) throw new Error('a wrong byte');
    flow.read += bytes.length;
    if (flow.read > flow.written) throw new Error('more was read than written');
    return true;
  }

  #onPath(op: Op & { side: Side; n: number }): void {
    const { session } = this.#end(op.side);
    const paths = session.paths();
    const path = paths[op.n % Math.max(1, paths.length)]?.pathId as PathId | undefined;
    if (path === undefined) return;
    if (op.op === 'status') session.setPathStatus(path, op.backup ? 'backup' : 'available');
    else session.abandonPath(path);
  }

  #fault(op: Op): void {
    const { world, bed } = this;
    switch (op.op) {
      case 'openPath':
        if (this.#isAwake('client') && bed.client.session.isOpen) bed.openPath(op.path);
        return;
      case 'black': {
        const direction =
          op.up === undefined ? {} : ({ direction: op.up ? 'up' : 'down' } as const);
        return applyFault(world, { type: 'black', path: op.path, on: op.on, ...direction });
      }
      case 'rebind':
        return this.#nat.rebind({ address: op.address, port: true });
      case 'move':
        bed.paths.get(op.path)?.readdress();
        return;
      case 'drop': {
        const filter: PacketFilter = { direction: op.up ? 'up' : 'down' };
        // After each drop the next packet is the first again.
        const policies = Array.from({ length: op.count }, () => dropNth(1, filter));
        this.#boxes.get(op.path)?.setPolicies(...policies);
        return;
      }
      case 'kill':
        return applyFault(world, {
          type: 'killTcp',
          path: 'tcp',
          how: op.silent ? 'silent' : 'reset',
        });
    }
  }

  // What must hold.

  /** At any time. */
  check(): void {
    for (const end of [this.bed.client, ...this.bed.accepted]) {
      const { error } = end;
      if (error instanceof PeerError) throw error;
      if (error instanceof ClosedByPeerError && !error.application) throw error;
      if (end.isClosed && this.#ended === undefined)
        throw error ?? new Error('it closed by itself');
      const { bufferedBytes } = end.session;
      if (bufferedBytes < 0 || bufferedBytes > 50_000) throw new Error(`${bufferedBytes} buffered`);
    }
  }

  /** Everything is well again: all must arrive, both ends must close, and nothing happens any more. */
  finish(): void {
    for (const name of PATH_NAMES) {
      this.bed.paths.get(name)?.set({ black: false });
      this.#boxes.get(name)?.setPolicies();
    }
    this.#roughAt = this.world.now;
    if (this.#ended === undefined) {
      this.#until(() => this.#allDone(), 'all streams complete');
      this.#until(() => this.#isCalm(), 'both ends know the same paths');
      this.#roughAt = Number.NEGATIVE_INFINITY;
      this.bed.clientHost.command((_core, now) => this.bed.client.session.close(now));
      this.#ended = 'client';
    }
    const closer = this.#ended;
    this.#until(() => this.#readAll(closer), 'the end');
    if (!this.#aborted) this.#checkDelivered(closer);
    this.#checkErrors(closer);
    this.#bury();
    this.bed.redials = false;
    const result = this.world.run({ maxEvents: MAX_EVENTS });
    if (result !== 'idle') throw new Error(`it does not come to rest: ${result}`);
  }

  /** Both ends are awake and know the same paths, and have had time to find out. */
  #isCalm(): boolean {
    const { client, server } = this.bed;
    if (!this.#isAwake('client') || !this.#isAwake('server')) {
      this.#roughAt = this.world.now;
      return false;
    }
    const ids = [client, server].map(({ session }) => {
      const active = session.paths().filter(({ state }) => state === 'active');
      return active.map(({ pathId }) => pathId).sort((a, b) => a - b);
    });
    const isSame = ids[0]?.join() === ids[1]?.join() && ids[0]?.length !== 0;
    return isSame && this.world.now > this.#roughAt + CALM_MS;
  }

  /** One end's CLOSE may have gone to a path that the other had just lost: it lives on. */
  #bury(): void {
    for (const { host, session } of [this.bed.client, this.bed.server]) {
      if (session.lifecycle === 'established') {
        host.command((_core, now) => session.abort(ABORT_CODE, 'left behind', now));
      }
    }
  }

  #until(until: () => boolean, what: string): void {
    const { world } = this;
    const endsAt = world.now + LIVENESS_MS;
    while (world.now < endsAt) {
      if (this.#isAwake('client')) this.#mend();
      this.check();
      if (until()) return;
      world.run({ forMs: STEP_MS, maxEvents: MAX_EVENTS });
    }
    const ends = [this.bed.client, this.bed.server].map(({ session, error }) => {
      const paths = session.paths().map((one) => `${one.pathId} ${one.local} ${one.state}`);
      return `${session.role} ${session.lifecycle} [${paths.join(', ')}] ${error?.message ?? ''}`;
    });
    const flows = [...this.#flows].map(([key, flow]) => `${key}: ${JSON.stringify(flow)}`);
    throw new Error(`${what}: not in time; ${ends.join('; ')}; ${flows.join('; ')}`);
  }

  /** A path from each present address, as a path manager sees to. */
  #mend(): void {
    const { bed } = this;
    const { session } = bed.client;
    if (session.lifecycle !== 'established' && session.lifecycle !== 'finishing') return;
    const present = PATH_NAMES.map((name) => `${bed.paths.get(name)?.clientAddress}:`);
    for (const { pathId, local } of session.paths()) {
      if (present.some((address) => local.startsWith(address))) continue;
      bed.clientHost.command(() => session.abandonPath(pathId));
    }
    const paths = session.paths();
    const isGood = (at: string) =>
      paths.some(({ local, state }) => local.startsWith(at) && state !== 'suspect');
    PATH_NAMES.forEach((name, i) => {
      const isTurn = this.world.now > (this.#mendedAt.get(name) ?? 0) + MEND_MS;
      if (isGood(present[i] ?? '') || !isTurn) return;
      this.#mendedAt.set(name, this.world.now);
      bed.openPath(name);
    });
  }

  #allDone(): boolean {
    for (const side of ['client', 'server'] as const) {
      const { session, host } = this.#end(side);
      if (!this.#isAwake(side) || session.lifecycle !== 'established') return false;
      for (const id of this.#known[side]) {
        if (this.#gone[side].has(id)) continue;
        const writes = (id & 2) === 0 || id % 2 === (side === 'client' ? 0 : 1);
        const flow = this.#flow(id, side);
        if (writes && !flow.finished && !flow.reset && !flow.unwritable) {
          flow.finished = true;
          host.command(() => session.finish(id));
        }
      }
    }
    this.#readAll();
    const { client, server } = this.bed;
    return client.session.streamCount === 0 && server.session.streamCount === 0;
  }

  /** @returns whether the closing end has closed, and the other if nothing stood in the way. */
  #readAll(closer?: Side): boolean {
    for (const side of ['client', 'server'] as const) {
      if (!this.#isAwake(side)) continue;
      for (const id of [...this.#known[side]]) {
        if ((id & 2) !== 0 && id % 2 === (side === 'client' ? 0 : 1)) continue;
        while (this.#read(side, id, 100_000));
      }
      this.#end(side).host.touch();
    }
    const { client, server } = this.bed;
    const isCloserClosed = closer !== undefined && this.#end(closer).isClosed;
    const isRough = this.#closedAt < this.#roughAt + CALM_MS;
    const isOver = isCloserClosed && isRough && this.world.now > this.#closedAt + LIVENESS_MS / 2;
    if (isCloserClosed && this.#closedAt === Number.POSITIVE_INFINITY) {
      this.#closedAt = this.world.now;
    }
    return isOver || (client.isClosed && server.isClosed);
  }

  /** A graceful close delivers all that the closing end had written. */
  #checkDelivered(closer: Side): void {
    this.#readAll();
    for (const [key, flow] of this.#flows) {
      if (flow.from !== closer || flow.reset || flow.stopped) continue;
      if (flow.read !== flow.written) throw new Error(`${key}: ${flow.read} of ${flow.written}`);
    }
  }

  #checkErrors(closer: Side): void {
    for (const side of ['client', 'server'] as const) {
      const { error } = this.#end(side);
      if (error === undefined) continue;
      const isOurs = error instanceof AbortedError;
      const isTheirs = error instanceof ClosedByPeerError && error.closeCode === ABORT_CODE;
      // Who was cut off, or asleep, for the whole of the closing time hears of it in this way.
      const isLate = error instanceof ContinuityError && this.#closedAt < this.#roughAt + CALM_MS;
      // Whoever closes does not wait for what the other end has under way.
      const isCutShort = error instanceof UndeliveredError && side !== closer;
      if (isLate || isCutShort) continue;
      if (!this.#aborted || !(isOurs || isTheirs)) throw error;
    }
  }
}

function otherSide(side: Side): Side {
  return side === 'client' ? 'server' : 'client';
}

/** So that no two streams look alike. */
function baseOf(streamId: number): number {
  return streamId * 4_099;
}

export function runOperations(ops: readonly Op[]): void {
  const operations = new OperationsWorld();
  for (const op of ops) operations.apply(op);
  operations.finish();
}
