/**
 * Lines of a terminal that are kept up to date: one for each path, and a bar for what is under way.
 *
 * @module
 */

import cliProgress from 'cli-progress';
import colors from 'picocolors';
import { formatMs, formatRate, printable } from './format.js';
import { redirectLog } from './log.js';
import type { PathRow } from './meter.js';

const FRAMES_PER_SECOND = 4;
const BAR_WIDTH = 24;
/** More paths than fit are told of in one line. */
const MAX_PATH_LINES = 12;

/** Whether live lines make sense: for a person, who has not asked for quiet. */
export function wantsLive(options: { readonly json?: boolean; readonly quiet?: boolean }): boolean {
  return process.stderr.isTTY === true && options.json !== true && options.quiet !== true;
}

/** Lines at the end of the terminal's output; logs go above them. To be closed. */
export class LiveLines {
  readonly #bars: cliProgress.MultiBar;
  readonly #lines: cliProgress.SingleBar[] = [];
  readonly #restoreLog: () => void;
  #isClosed = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#bars = new cliProgress.MultiBar({
      stream,
      format: (_options, _params, payload: { text?: string }) => payload.text ?? '',
      fps: FRAMES_PER_SECOND,
      clearOnComplete: true,
      hideCursor: true,
      gracefulExit: false,
      emptyOnZero: true,
    });
    this.#restoreLog = redirectLog((line) => this.#bars.log(line));
  }

  /** Shows these lines instead of those before. */
  show(texts: readonly string[]): void {
    if (this.#isClosed) return;
    while (this.#lines.length > texts.length) {
      const line = this.#lines.pop();
      if (line !== undefined) this.#bars.remove(line);
    }
    texts.forEach((text, index) => {
      const line = this.#lines[index];
      if (line !== undefined) line.update(0, { text });
      else this.#lines.push(this.#bars.create(1, 0, { text }));
    });
  }

  /** Takes the lines away. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#bars.stop();
    this.#restoreLog();
  }
}

/** `udp 192.0.2.1:4711 > 198.51.100.7:7600   up 1.2 Mbit/s  down 40 Mbit/s   21 ms   62 %  active`. */
export function pathLines(rows: readonly PathRow[]): string[] {
  const lines = rows.slice(0, MAX_PATH_LINES).map(pathLine);
  const more = rows.length - lines.length;
  return more > 0 ? [...lines, colors.dim(`and ${more} paths more`)] : lines;
}

function pathLine(row: PathRow): string {
  const where = `${row.carrier.padEnd(3)} ${row.local} > ${row.remote ?? '?'}`;
  const rates = [
    `up ${formatRate(row.sentBytesPerSecond).padStart(11)}`,
    `down ${formatRate(row.receivedBytesPerSecond).padStart(11)}`,
    formatMs(row.rttMs ?? undefined).padStart(7),
    `${(row.share * 100).toFixed(0).padStart(3)} %`,
  ];
  return `${printable(where).padEnd(52)}  ${rates.join('  ')}  ${stateText(row)}`;
}

function stateText({ state, isBackup }: PathRow): string {
  if (state === 'active') return isBackup ? colors.dim('backup') : colors.green('active');
  return state === 'suspect' ? colors.yellow('suspect') : colors.dim(state);
}

/** `[========------] 57 %`. */
export function progressBar(done: number, total: number): string {
  const part = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.round(part * BAR_WIDTH);
  const percent = (part * 100).toFixed(0).padStart(3);
  return `[${'='.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${percent} %`;
}
