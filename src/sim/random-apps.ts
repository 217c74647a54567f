/**
 * Applications of a random world: streams in both directions, some given up midway by either side,
 * some read slowly, every byte checked where it arrives.
 *
 * @module
 */

import type { SessionEvent } from '../core/index.js';
import { contentAt, firstWrongByte } from './apps.js';
import type { BedEnd } from './bed.js';

export type Role = 'client' | 'server';

/** One stream: who opens it, what goes over it, how it ends. Times in ms. */
export interface StreamPlan {
  readonly opener: Role;
  /** From when the opener has its session. */
  readonly atMs: number;
  /** From the opener to the other end. */
  readonly bytes: number;
  /** The other way; absent: the stream is unidirectional. */
  readonly replyBytes?: number;
  readonly priority: number;
  /** The opener resets its sending side, or the other end stops it, so long after the opening. */
  readonly early?: { readonly type: 'reset' | 'stop'; readonly afterMs: number };
  /** The other end reads nothing from `afterMs` after the opening, for `forMs`. */
  readonly pause?: { readonly afterMs: number; readonly forMs: number };
  /** It is not finished before {@link RandomApps.release}: an open stream that says nothing. */
  readonly lingers?: boolean;
  /** Sizes of single writes and reads. */
  readonly writeBytes: number;
  readonly readBytes: number;
}

export const RESET_CODE = 77;
export const STOP_CODE = 88;
/** Nobody tells when the peer allows more streams: ask again after this long. */
const OPEN_AGAIN_MS = 50;

/** One direction of a stream. */
interface Flow {
  readonly plan: StreamPlan;
  readonly from: Role;
  readonly bytes: number;
  /** Where in the content it starts, so that no two flows look alike. */
  readonly base: number;
  written: number;
  finished: boolean;
  /** The sender has reset it, or was told to stop. */
  givenUp: boolean;
  read: number;
  ended: boolean;
  reset: boolean;
  stopped: boolean;
  pausedUntil: number;
}

/** Runs plans between the two ends of a bed. `problem` is the first thing that was wrong. */
export class RandomApps {
  readonly plans: readonly StreamPlan[];
  problem: string | undefined;
  readonly #sendBufferBytes: Readonly<Record<Role, number>>;
  #openedCount = 0;
  #isReleased = false;
  readonly #ends = new Map<Role, BedEnd>();
  readonly #planOf = new Map<number, StreamPlan>();
  readonly #flows = new Map<string, Flow>();
  readonly #closed = new Set<string>();

  /** @param sendBufferBytes what the options of each end allow to be buffered. */
  constructor(plans: readonly StreamPlan[], sendBufferBytes: Readonly<Record<Role, number>>) {
    this.plans = plans;
    this.#sendBufferBytes = sendBufferBytes;
  }

  /** An end has its session: its streams will be opened. Its first events must still be to come. */
  start(role: Role, end: BedEnd): void {
    this.#ends.set(role, end);
    end.on((event) => this.#heard(role, end, event));
    if (role === 'server') this.#openAll(role, end);
  }

  /** Everything has arrived as it should; only streams that linger are still open. */
  get isQuiet(): boolean {
    if (this.#openedCount < this.plans.length) return false;
    for (const flow of this.#flows.values()) {
      const isOpen = flow.plan.lingers === true && !this.#isReleased;
      if (isOpen ? flow.read < flow.bytes : !isComplete(flow)) return false;
    }
    return this.#ends.size === 2;
  }

  /** And no end holds a stream any more. */
  get isDone(): boolean {
    for (const end of this.#ends.values()) if (end.session.streamCount > 0) return false;
    return this.isQuiet;
  }

  /** Finishes what lingers. Both machines must be awake. */
  release(): void {
    this.#isReleased = true;
    for (const [key, flow] of this.#flows) {
      const end = this.#ends.get(flow.from);
      if (end === undefined || flow.plan.lingers !== true) continue;
      this.#pump(end, Number(key.split(' ')[1]), flow);
      end.host.touch();
    }
  }

  /** What is missing, for people. */
  describe(): string {
    const parts = [`${this.#openedCount} of ${this.plans.length} streams opened`];
    for (const [key, flow] of this.#flows) {
      if (isComplete(flow)) continue;
      const { read, written, bytes, finished, givenUp } = flow;
      const early = flow.plan.early === undefined ? '' : ` (${flow.plan.early.type})`;
      parts.push(`${key}${early}: ${read} read, ${written} written of ${bytes}`);
      if (finished || givenUp) parts.push(finished ? 'finished' : 'given up');
    }
    for (const [role, end] of this.#ends) parts.push(`${role} holds ${end.session.streamCount}`);
    return parts.join(', ');
  }

  #fail(problem: string): void {
    this.problem ??= problem;
  }

  /** Does something on an end's machine, not before it is awake. */
  #later(end: BedEnd, afterMs: number, action: () => void): void {
    const { world, machine } = end.host;
    world.schedule(world.now + afterMs, () => {
      if (world.now < machine.asleepUntil)
        this.#later(end, machine.asleepUntil - world.now, action);
      else if (end.session.lifecycle === 'established') {
        action();
        end.host.touch();
      }
    });
  }

  #openAll(role: Role, end: BedEnd): void {
    for (const plan of this.plans) {
      if (plan.opener === role) this.#later(end, plan.atMs, () => this.#open(role, end, plan));
    }
  }

  #open(role: Role, end: BedEnd, plan: StreamPlan): void {
    const { session, host } = end;
    const unidirectional = plan.replyBytes === undefined;
    const options = { unidirectional, priority: plan.priority };
    const streamId = session.openStream(options, host.world.now);
    if (streamId === undefined) {
      this.#later(end, OPEN_AGAIN_MS, () => this.#open(role, end, plan));
      return;
    }
    this.#openedCount += 1;
    this.#planOf.set(streamId, plan);
    const flow = this.#flow(streamId, role, plan, plan.bytes);
    if (plan.replyBytes !== undefined) {
      this.#flow(streamId, other(role), plan, plan.replyBytes);
    }
    if (plan.early?.type === 'reset') {
      this.#later(end, plan.early.afterMs, () => {
        flow.givenUp = true;
        session.reset(streamId, RESET_CODE);
      });
    }
    this.#pump(end, streamId, flow);
  }

  #flow(streamId: number, from: Role, plan: StreamPlan, bytes: number): Flow {
    const flow: Flow = {
      plan,
      from,
      bytes,
      base: streamId * 4_099 + (from === 'client' ? 0 : 32_003),
      written: 0,
      finished: false,
      givenUp: false,
      read: 0,
      ended: false,
      reset: false,
      stopped: false,
      pausedUntil: 0,
    };
    this.#flows.set(`${from} ${streamId}`, flow);
    return flow;
  }

  #pump(end: BedEnd, streamId: number, flow: Flow): void {
    const { session } = end;
    while (flow.written < flow.bytes && !flow.givenUp) {
      if (session.lifecycle !== 'established') return;
      const length = Math.min(flow.plan.writeBytes, flow.bytes - flow.written);
      const piece = contentAt(flow.base + flow.written, length);
      const taken = session.write(streamId, piece);
      this.#checkBuffer(end, end.session.role);
      flow.written += taken;
      if (taken < piece.length) return;
    }
    if (flow.givenUp || flow.finished) return;
    if (flow.plan.lingers === true && !this.#isReleased) return;
    flow.finished = true;
    session.finish(streamId);
  }

  #checkBuffer(end: BedEnd, role: Role): void {
    const { bufferedBytes } = end.session;
    if (bufferedBytes < 0 || bufferedBytes > this.#sendBufferBytes[role]) {
      this.#fail(`${bufferedBytes} bytes buffered at the ${role}`);
    }
  }

  #heard(role: Role, end: BedEnd, event: SessionEvent): void {
    if (this.#closed.has(role)) this.#fail(`${event.type} at the ${role} after it closed`);
    if (event.type === 'closed') this.#closed.add(role);
    if (event.type === 'established' && role === 'client') this.#openAll(role, end);
    if (!('streamId' in event)) return;
    const { streamId } = event;
    const incoming = this.#flows.get(`${other(role)} ${streamId}`);
    const outgoing = this.#flows.get(`${role} ${streamId}`);
    if (event.type === 'stream') this.#accept(role, end, streamId);
    else if (event.type === 'readable') this.#drain(end, streamId, incoming);
    else if (event.type === 'writable' && outgoing !== undefined) {
      this.#pump(end, streamId, outgoing);
    } else if (event.type === 'streamReset') this.#wasReset(incoming, event.code);
    else if (event.type === 'streamStopped' && outgoing !== undefined) {
      if (event.code !== STOP_CODE) this.#fail(`stream ${streamId}: stopped with ${event.code}`);
      outgoing.givenUp = true;
    } else if (event.type === 'streamClosed') {
      const key = `${role} ${streamId}`;
      if (this.#closed.has(key)) this.#fail(`stream ${streamId} closed twice at the ${role}`);
      this.#closed.add(key);
    }
  }

  #accept(role: Role, end: BedEnd, streamId: number): void {
    const plan = this.#planOf.get(streamId);
    const incoming = this.#flows.get(`${other(role)} ${streamId}`);
    const reply = this.#flows.get(`${role} ${streamId}`);
    if (plan === undefined || incoming === undefined) {
      this.#fail(`the ${role} was told of stream ${streamId}, which nobody has opened`);
      return;
    }
    const { pause, early } = plan;
    if (pause !== undefined) {
      this.#later(end, pause.afterMs, () => {
        incoming.pausedUntil = end.host.world.now + pause.forMs;
        this.#later(end, pause.forMs, () => this.#drain(end, streamId, incoming));
      });
    }
    if (early?.type === 'stop') {
      this.#later(end, early.afterMs, () => {
        incoming.stopped = true;
        end.session.stopSending(streamId, STOP_CODE, end.host.world.now);
      });
    }
    if (reply !== undefined) this.#pump(end, streamId, reply);
  }

  #wasReset(flow: Flow | undefined, code: number): void {
    if (flow === undefined) return;
    const isStop = flow.plan.early?.type === 'stop' && code === STOP_CODE;
    const isReset = flow.plan.early?.type === 'reset' && code === RESET_CODE;
    if (!isStop && !isReset) this.#fail(`a stream was reset with ${code}, which nobody did`);
    flow.reset = true;
  }

  #drain(end: BedEnd, streamId: number, flow: Flow | undefined): void {
    const { session, host } = end;
    if (flow === undefined || host.world.now < flow.pausedUntil) return;
    while (!flow.ended && !flow.reset && !flow.stopped) {
      const bytes = session.read(streamId, flow.plan.readBytes, host.world.now);
      if (bytes === undefined) return;
      if (bytes === 'end') {
        flow.ended = true;
        if (flow.read !== flow.bytes) {
          this.#fail(`stream ${streamId} ended after ${flow.read} of ${flow.bytes} bytes`);
        }
        return;
      }
      if (firstWrongByte(flow.base + flow.read, bytes) >= 0) {
        this.#fail(`a wrong byte in stream ${streamId}, after ${flow.read} right ones`);
      }
      flow.read += bytes.length;
      if (flow.read > flow.written) this.#fail(`stream ${streamId}: more read than written`);
    }
  }
}

function isComplete(flow: Flow): boolean {
  if (flow.ended) return true;
  const early = flow.from === flow.plan.opener ? flow.plan.early : undefined;
  if (early === undefined) return false;
  return early.type === 'reset' ? flow.reset : flow.stopped;
}

function other(role: Role): Role {
  return role === 'client' ? 'server' : 'client';
}
