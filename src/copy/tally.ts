/** Counts what a copy has done, for its progress and its result. @module */

import { CONSEQUENCE } from './messages.js';
import {
  type CopyProblem,
  type CopyProgress,
  type CopyResult,
  MAX_LISTED_PROBLEMS,
} from './options.js';

export class Tally {
  readonly #onProgress: ((progress: CopyProgress) => void) | undefined;
  readonly #failed: CopyProblem[] = [];
  readonly #skipped: CopyProblem[] = [];
  #failedCount = 0;
  #skippedCount = 0;
  #unchanged = 0;
  #folders = 0;
  #progress = {
    bytes: 0,
    totalBytes: 0,
    files: 0,
    totalFiles: 0,
    resumedBytes: 0,
    unchangedBytes: 0,
    isTotalFinal: false,
    current: '',
  };

  constructor(onProgress?: (progress: CopyProgress) => void) {
    this.#onProgress = onProgress;
  }

  announced(size: number): void {
    this.#progress.totalFiles += 1;
    this.#progress.totalBytes += size;
    this.#tell();
  }

  allAnnounced(): void {
    this.#progress.isTotalFinal = true;
    this.#tell();
  }

  resumed(path: string, bytes: number): void {
    this.#progress.resumedBytes += bytes;
    this.moved(path, bytes);
  }

  moved(path: string, bytes: number): void {
    this.#progress.bytes += bytes;
    this.#progress.current = path;
    this.#tell();
  }

  fileDone(path: string, unchangedBytes: number | undefined): void {
    this.#progress.files += 1;
    this.#progress.current = path;
    if (unchangedBytes !== undefined) {
      this.#unchanged += 1;
      this.#progress.unchangedBytes += unchangedBytes;
      this.#progress.bytes += unchangedBytes;
    }
    this.#tell();
  }

  folderDone(): void {
    this.#folders += 1;
  }

  /** A file of `size` will not come, of which `moved` bytes were counted. */
  withdrawn(size: number, moved: number): void {
    this.#progress.totalFiles -= 1;
    this.#progress.totalBytes -= size;
    this.#progress.bytes -= moved;
  }

  failed(problem: CopyProblem): void {
    if (problem.code !== CONSEQUENCE) {
      this.#failedCount += 1;
      if (this.#failed.length < MAX_LISTED_PROBLEMS) this.#failed.push(problem);
    }
    this.#tell();
  }

  skipped(problem: CopyProblem): void {
    this.#skippedCount += 1;
    if (this.#skipped.length < MAX_LISTED_PROBLEMS) this.#skipped.push(problem);
  }

  get result(): CopyResult {
    const { files, bytes, resumedBytes } = this.#progress;
    return {
      files,
      folders: this.#folders,
      bytes,
      resumedBytes,
      unchanged: this.#unchanged,
      failed: this.#failed,
      failedCount: this.#failedCount,
      skipped: this.#skipped,
      skippedCount: this.#skippedCount,
    };
  }

  #tell(): void {
    try {
      this.#onProgress?.({ ...this.#progress });
    } catch (error) {
      // The listener's fault: it is uncaught, as in Node's own emitters, but the copy goes on.
      process.nextTick(() => {
        throw error;
      });
    }
  }
}
