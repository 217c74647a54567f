/**
 * Finds out by trying whether one more connection between the same two addresses pays: where TCP
 * is limited by loss it may, where the link or the machine is the limit it does not, and there
 * nothing is tried: what a second connection pushes aside, the reader waits for. Where a queue
 * stands, the link is full, and what one more gains there is taken from others: it is not kept,
 * however much it brings (docs/decisions/0020-which-paths.md). Pure.
 *
 * @module
 */

/** Only what goes on for so long is worth a trial. */
export const BULK_AFTER_MS = 1_500;
/** And only above this rate, in bytes per ms. */
export const BULK_RATE = 16;
/**
 * Nothing is tried above this rate, in bytes per ms: no lossy network is so fast, and the rate of
 * one that is limited by the machine varies by more than a trial could tell.
 */
export const TRIAL_MAX_RATE = 40_000;
/** A trial lasts as long as it takes a new connection to find its speed. */
export const TRIAL_MIN_MS = 1_500;
export const TRIAL_ROUND_TRIPS = 12;
/** One more has to bring this much more. */
export const TRIAL_GAIN = 1.12;
/** One fewer may cost this much. */
export const TRIAL_COST = 0.95;
/** After a trial that failed; doubles with each further one. */
export const RETRY_TRIAL_MS = 10_000;
export const RETRY_TRIAL_MAX_MS = 160_000;
/** What pays is asked again after this time whether it still does. */
export const REVIEW_MS = 45_000;
/** Before a trial it is looked for so long whether a queue stands and losses are repaired. */
export const LOOK_MS = 1_500;
/** A queue that stands for so long while more is in use asks for a review at once. */
export const QUEUED_REVIEW_MS = 5_000;
/** Without bulk for so long, everything is given back. */
export const RELEASE_AFTER_MS = 10_000;
/**
 * A path is limited by loss if round trips have jumped in so many of the last intervals. What a new
 * connection loses while it looks for its speed is over sooner.
 */
const LOSSY_INTERVALS = 3;
const LOSS_MEMORY_MS = 5_000;
const LOSS_INTERVAL_MS = 1_000;
/** What the rates are averaged over. */
const WINDOW_MS = 1_000;

/** What a group of paths with the same ends has done up to now. */
export interface TunerSample {
  readonly now: number;
  /** All bytes moved, in the direction that moves more; only rises. */
  readonly movedBytes: number;
  readonly rttMs: number;
  /** All paths wait in a queue that never drains: a link that they share with others is full. */
  readonly isQueued: boolean;
  /** How often round trips over TCP have jumped, as they do where a loss is repaired; only rises. */
  readonly rttJumps: number;
}

interface Trial {
  readonly kind: 'more' | 'fewer';
  readonly endsAt: number;
  readonly rateBefore: number;
  samples: number;
  queuedSamples: number;
}

export class GroupTuner {
  readonly #maxLevel: number;
  #level = 0;
  #samples: { readonly now: number; readonly movedBytes: number }[] = [];
  #bulkSince: number | undefined;
  #bulkAt = Number.NEGATIVE_INFINITY;
  #trial: Trial | undefined;
  #nextTrialAt = Number.NEGATIVE_INFINITY;
  #queuedSince: number | undefined;
  #rttJumps = 0;
  /** When round trips have jumped lately; one for each {@link LOSS_INTERVAL_MS}. */
  #lossyAt: number[] = [];
  #retryMs = RETRY_TRIAL_MS;

  /** @param maxLevel how many more there could be. */
  constructor(maxLevel: number) {
    this.#maxLevel = maxLevel;
  }

  /** How many more are in use, or on trial; 0 at first. */
  get level(): number {
    return this.#level;
  }

  /** Whether much is sent, or was until a moment ago. */
  isBusy(now: number): boolean {
    return now - this.#bulkAt < RELEASE_AFTER_MS;
  }

  /** Whether round trips count at present, so that they should be up to date. */
  isLooking(now: number): boolean {
    if (this.#bulkSince === undefined) return false;
    return this.#trial !== undefined || this.#level > 0 || now >= this.#nextTrialAt - LOOK_MS;
  }

  /** To be called some times a second. @returns whether {@link level} has changed. */
  sample({ now, movedBytes, rttMs, isQueued, rttJumps }: TunerSample): boolean {
    this.#samples.push({ now, movedBytes });
    while (this.#samples.length > 2 && now - (this.#samples[1]?.now ?? now) >= WINDOW_MS) {
      this.#samples.shift();
    }
    const before = this.#level;
    const rate = this.#rate();
    this.#noteBulk(rate, now);
    if (isQueued) this.#queuedSince ??= now;
    else this.#queuedSince = undefined;
    this.#noteLosses(rttJumps, now);
    if (this.#trial !== undefined) {
      this.#trial.samples += 1;
      if (isQueued) this.#trial.queuedSamples += 1;
      this.#endTrial(this.#trial, rate, now);
    } else if (this.#bulkSince === undefined) this.#release(now);
    else if (now - this.#bulkSince >= BULK_AFTER_MS) this.#consider(rate, rttMs, now);
    return this.#level !== before;
  }

  #rate(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.now === first.now) return 0;
    return (last.movedBytes - first.movedBytes) / (last.now - first.now);
  }

  #noteBulk(rate: number, now: number): void {
    if (rate < BULK_RATE) {
      this.#bulkSince = undefined;
    } else {
      this.#bulkSince ??= now;
      this.#bulkAt = now;
    }
  }

  #noteLosses(rttJumps: number, now: number): void {
    this.#lossyAt = this.#lossyAt.filter((at) => now - at < LOSS_MEMORY_MS);
    const lastAt = this.#lossyAt.at(-1) ?? Number.NEGATIVE_INFINITY;
    if (rttJumps > this.#rttJumps && now - lastAt >= LOSS_INTERVAL_MS) this.#lossyAt.push(now);
    this.#rttJumps = rttJumps;
  }

  #release(now: number): void {
    if (this.#level === 0 || now - this.#bulkAt < RELEASE_AFTER_MS) return;
    this.#level = 0;
    this.#retryMs = RETRY_TRIAL_MS;
    this.#nextTrialAt = now;
  }

  #consider(rate: number, rttMs: number, now: number): void {
    const queuedMs = this.#queuedSince === undefined ? 0 : now - this.#queuedSince;
    const isSuspect = this.#level > 0 && queuedMs >= QUEUED_REVIEW_MS;
    if (!isSuspect && now < this.#nextTrialAt) return;
    const kind = isSuspect || this.#level === this.#maxLevel ? 'fewer' : 'more';
    if (kind === 'fewer' && this.#level === 0) return;
    const isLossy = this.#lossyAt.length >= LOSSY_INTERVALS;
    const mayPay = isLossy && rate <= TRIAL_MAX_RATE && this.#queuedSince === undefined;
    if (kind === 'more' && !mayPay) return;
    const endsAt = now + Math.max(TRIAL_MIN_MS, TRIAL_ROUND_TRIPS * rttMs) + WINDOW_MS;
    this.#trial = { kind, endsAt, rateBefore: rate, samples: 0, queuedSamples: 0 };
    this.#level += kind === 'fewer' ? -1 : 1;
  }

  #endTrial(trial: Trial, rate: number, now: number): void {
    if (now < trial.endsAt) return;
    this.#trial = undefined;
    const wasQueued = 2 * trial.queuedSamples > trial.samples;
    if (trial.kind === 'more' && rate >= trial.rateBefore * TRIAL_GAIN && !wasQueued) {
      this.#retryMs = RETRY_TRIAL_MS;
      this.#nextTrialAt = this.#level < this.#maxLevel ? now + WINDOW_MS : now + REVIEW_MS;
    } else if (trial.kind === 'more') {
      this.#level -= 1;
      this.#nextTrialAt = now + this.#retryMs;
      this.#retryMs = Math.min(RETRY_TRIAL_MAX_MS, 2 * this.#retryMs);
    } else {
      if (rate < trial.rateBefore * TRIAL_COST && !wasQueued) this.#level += 1;
      this.#nextTrialAt = now + REVIEW_MS;
    }
  }
}
