/**
 * The congestion window of the simulated kernel: CUBIC (RFC 9438) with slow start left early by
 * delay (HyStart as in Linux, thresholds as in RFC 9406 §4.3).
 *
 * @module
 */

/** RFC 9438 §4.6 and §5. */
const BETA = 0.7;
const C = 0.4;
const RENO_ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/** RFC 6928. */
const INITIAL_WINDOW_SEGMENTS = 10;
const MIN_WINDOW_SEGMENTS = 2;
const HYSTART_SAMPLES = 8;
const HYSTART_MIN_MS = 4;
const HYSTART_MAX_MS = 16;
/** Linux: slow start is not left early below this window. */
const HYSTART_MIN_SEGMENTS = 16;
const UNLIMITED = Number.POSITIVE_INFINITY;

/** All windows are in segments, and may be fractions. */
export class Cubic {
  window = INITIAL_WINDOW_SEGMENTS;
  slowStartThreshold = UNLIMITED;
  private maxWindow = 0;
  private epochStart: number | undefined;
  private inflectionSec = 0;
  private renoWindow = 0;
  private roundSamples = 0;
  private roundMinRttMs = UNLIMITED;
  private minRttMs = UNLIMITED;

  get inSlowStart(): boolean {
    return this.window < this.slowStartThreshold;
  }

  /** A new round of acknowledgements has begun. */
  startRound(): void {
    this.roundSamples = 0;
    this.roundMinRttMs = UNLIMITED;
  }

  sampleRtt(rttMs: number): void {
    this.minRttMs = Math.min(this.minRttMs, rttMs);
    if (!this.inSlowStart || this.roundSamples >= HYSTART_SAMPLES) return;
    this.roundSamples++;
    this.roundMinRttMs = Math.min(this.roundMinRttMs, rttMs);
    if (this.roundSamples < HYSTART_SAMPLES || this.window < HYSTART_MIN_SEGMENTS) return;
    const slack = Math.min(HYSTART_MAX_MS, Math.max(HYSTART_MIN_MS, this.minRttMs / 8));
    if (this.roundMinRttMs >= this.minRttMs + slack) this.slowStartThreshold = this.window;
  }

  /** Grows the window for `segments` newly acknowledged segments. */
  grow(segments: number, nowMs: number, rttMs: number): void {
    let left = segments;
    if (this.inSlowStart) {
      const step = Math.min(left, this.slowStartThreshold - this.window);
      this.window += step;
      left -= step;
      if (left <= 0) return;
    }
    this.growCubic(left, nowMs, rttMs);
  }

  /** A loss, once per round trip. */
  reduce(): void {
    this.noteMaximum();
    // In whole segments, as Linux counts: at small windows the cut is deeper than BETA.
    const cut = Math.floor(Math.floor(this.window) * BETA);
    this.window = Math.max(MIN_WINDOW_SEGMENTS, cut);
    this.slowStartThreshold = this.window;
  }

  /** The retransmission timer has expired, for the first time in a row. */
  collapse(): void {
    this.noteMaximum();
    this.slowStartThreshold = Math.max(MIN_WINDOW_SEGMENTS, this.window * BETA);
    this.window = 1;
  }

  /** Linux `tcp_slow_start_after_idle`: halves the window for every RTO of silence. */
  restartAfterIdle(idleMs: number, rtoMs: number): void {
    const floor = Math.min(INITIAL_WINDOW_SEGMENTS, this.window);
    this.slowStartThreshold = Math.max(this.slowStartThreshold, this.window * 0.75);
    for (let left = idleMs; left > rtoMs && this.window > floor; left -= rtoMs) this.window /= 2;
    this.window = Math.max(this.window, floor);
    this.epochStart = undefined;
  }

  /** Time in which nothing limited by the window was sent does not count (RFC 9438 §5.8). */
  pause(): void {
    this.epochStart = undefined;
  }

  private noteMaximum(): void {
    // Fast convergence, RFC 9438 §4.7.
    const shrinking = this.window < this.maxWindow;
    this.maxWindow = shrinking ? (this.window * (1 + BETA)) / 2 : this.window;
    this.epochStart = undefined;
  }

  private growCubic(segments: number, nowMs: number, rttMs: number): void {
    if (this.epochStart === undefined) {
      this.epochStart = nowMs;
      this.renoWindow = this.window;
      if (this.window >= this.maxWindow) {
        this.maxWindow = this.window;
        this.inflectionSec = 0;
      } else {
        this.inflectionSec = Math.cbrt((this.maxWindow - this.window) / C);
      }
    }
    const seconds = (nowMs - this.epochStart) / 1000;
    const at = (sec: number): number => C * (sec - this.inflectionSec) ** 3 + this.maxWindow;
    // RFC 9438 §4.3 goes on with a factor of 1 beyond the old window; Linux does not.
    this.renoWindow += (RENO_ALPHA * segments) / this.window;
    if (at(seconds) < this.renoWindow) {
      this.window = Math.max(this.window, this.renoWindow);
      return;
    }
    const target = Math.min(at(seconds + rttMs / 1000), 1.5 * this.window);
    if (target > this.window) this.window += ((target - this.window) / this.window) * segments;
  }
}
