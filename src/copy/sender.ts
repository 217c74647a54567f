/**
 * The sending half of a copy, at either end: announces what the walk finds, hears what is wanted, and
 * sends that.
 *
 * @module
 */

import { createHash, type Hash } from 'node:crypto';
import { CopyError, protocolError, type Reason, reasonOf } from './errors.js';
import { attributesOf, CHUNK_BYTES, FileReader, versionOf } from './file-reader.js';
import { blockBytes } from './file-writer.js';
import type { Folder } from './folder.js';
import {
  cutText,
  MAX_BLOCKS,
  parseReceiverMessage,
  type ReceiverMessage,
  type SenderMessage,
} from './messages.js';
import type { CopyProblem, Settings } from './options.js';
import type { RecordReader, RecordWriter } from './records.js';
import type { Tally } from './tally.js';
import { type Found, type Source, Walk, type WalkSink } from './walk.js';

export interface SenderSetup {
  readonly reader: RecordReader;
  readonly writer: RecordWriter;
  readonly sources: readonly Source[];
  readonly settings: Settings;
  readonly tally: Tally;
  /** Ends the stream, so that nothing waits for it. */
  readonly giveUp: () => void;
}

interface SentEntry {
  readonly id: number;
  readonly path: string;
  readonly size: number;
  readonly version: string;
  /** Files: where it is; absent for folders. */
  readonly place?: { readonly folder: Folder; readonly name: Buffer };
  phase: 'announced' | 'wanted' | 'sent';
  /** The receiver has failed with it. */
  isDead: boolean;
  have: number;
  /** What the receiver has confirmed. */
  confirmed: number;
  readonly checks: string[];
}

/** A file that is about to be sent: all of it, what reads it, or what is wrong with it. */
interface Opened {
  readonly entry: SentEntry;
  readonly whole?: Uint8Array;
  readonly reader?: FileReader;
  readonly error?: unknown;
}

/** What ended the stream, as opposed to what is wrong with a file. */
interface StreamFailure {
  readonly error: unknown;
}

export class Sender implements WalkSink {
  readonly #setup: SenderSetup;
  readonly #entries = new Map<number, SentEntry>();
  /** Bounded by the window of entries. */
  readonly #wanted: SentEntry[] = [];
  /** Content is read into one while the other is on its way. */
  readonly #buffers: Buffer[] = [];
  #nextId = 0;
  #isWalkOver = false;
  #isEndSent = false;
  #isClosed = false;
  #waiters: (() => void)[] = [];

  constructor(setup: SenderSetup) {
    this.#setup = setup;
  }

  /**
   * Sends until all is answered.
   *
   * @throws what ended the stream, or CopyError `ERR_COPY_PROTOCOL`.
   */
  async run(): Promise<void> {
    const parts = [this.#listen(), this.#walk(), this.#send()];
    try {
      await Promise.all(parts);
      this.#setup.writer.end();
    } finally {
      this.#isClosed = true;
      this.#wake();
      if (!this.#isEndSent) this.#setup.giveUp();
      await Promise.allSettled(parts);
      for (const entry of this.#entries.values()) entry.place?.folder.release();
    }
  }

  /** Resolves when something has changed. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #tell(message: SenderMessage): void {
    if (!this.#isClosed) this.#setup.writer.message(message);
  }

  // What is announced.

  async #walk(): Promise<void> {
    const { sources, settings, tally } = this.#setup;
    await new Walk(this, settings.maxDepth).all(sources);
    this.#isWalkOver = true;
    tally.allAnnounced();
    this.#wake();
  }

  /** @internal */
  async folder(found: Found): Promise<number> {
    const entry = await this.#announce(found, undefined);
    this.#tell({ type: 'folder', ...announcement(entry, found) });
    return entry.id;
  }

  /** @internal */
  async file(found: Found, folder: Folder, nameThere: Buffer): Promise<void> {
    const place = { folder, name: nameThere };
    const entry = await this.#announce(found, place);
    folder.retain();
    const { size, version } = entry;
    this.#setup.tally.announced(size);
    this.#tell({ type: 'file', ...announcement(entry, found), size, version });
  }

  async #announce(found: Found, place: SentEntry['place']): Promise<SentEntry> {
    while (this.#entries.size >= this.#window && !this.#isClosed) await this.#change();
    if (this.#isClosed) throw new CopyError('ERR_COPY_ABORTED', 'the copy is over');
    const entry: SentEntry = {
      ...{ id: this.#nextId, path: found.path, version: versionOf(found.stats) },
      size: place === undefined ? 0 : Number(found.stats.size),
      ...(place === undefined ? {} : { place }),
      ...{ phase: 'announced', isDead: false, have: 0, confirmed: 0, checks: [] },
    };
    this.#nextId += 1;
    this.#entries.set(entry.id, entry);
    return entry;
  }

  /** Folders wait for all that is in them, so there must be room for a way down and one entry. */
  get #window(): number {
    const { maxWaiting, maxDepth } = this.#setup.settings;
    return Math.max(maxWaiting, maxDepth + 1);
  }

  /** @internal */
  leave(id: number): void {
    this.#tell({ type: 'leave', id });
  }

  /** @internal */
  problem(problem: CopyProblem, isSkipped: boolean): void {
    if (isSkipped) this.#setup.tally.skipped(problem);
    else this.#setup.tally.failed(problem);
    const [path, message] = [cutText(problem.path), cutText(problem.message)];
    this.#tell({ type: 'problem', path, code: problem.code, message, isSkipped });
  }

  /** @internal */
  isPointless(id?: number): boolean {
    return this.#isClosed || (id !== undefined && !this.#entries.has(id));
  }

  // What the receiver says.

  async #listen(): Promise<void> {
    for (;;) {
      const record = await this.#setup.reader.next();
      if (record === undefined) throw new Error('the stream ended before the copy did');
      if (record.kind === 'content') throw protocolError('content from the receiver');
      const message = parseReceiverMessage(record.value);
      if (message.type === 'end') {
        if (!this.#isEndSent) throw protocolError('an early end');
        return;
      }
      if (message.id >= this.#nextId) throw protocolError('an entry that there is not');
      const entry = this.#entries.get(message.id);
      // It may have been abandoned meanwhile.
      if (entry !== undefined) this.#hear(message, entry);
      this.#wake();
    }
  }

  #hear(message: Exclude<ReceiverMessage, { type: 'end' }>, entry: SentEntry): void {
    const { tally } = this.#setup;
    switch (message.type) {
      case 'want':
        return this.#want(message, entry);
      case 'check':
        if (entry.checks.length >= MAX_BLOCKS) throw protocolError('too many checks');
        entry.checks.push(message.hash);
        return;
      case 'progress':
        if (message.offset > entry.size || message.offset < entry.confirmed) {
          throw protocolError('impossible progress');
        }
        tally.moved(entry.path, message.offset - entry.confirmed);
        entry.confirmed = message.offset;
        return;
      case 'done':
        return this.#done(entry, message.isUnchanged);
      case 'failed': {
        const { code, message: why } = message;
        entry.isDead = true;
        return this.#forget(entry, { code, message: why });
      }
    }
  }

  #want({ have, block }: ReceiverMessage & { type: 'want' }, entry: SentEntry): void {
    const isFine = have <= entry.size && block === (have === 0 ? 0 : blockBytes(have));
    if (entry.phase !== 'announced' || entry.place === undefined || !isFine) {
      throw protocolError('an impossible wish');
    }
    entry.phase = 'wanted';
    entry.have = have;
    this.#wanted.push(entry);
  }

  #done(entry: SentEntry, isUnchanged: boolean): void {
    const { tally } = this.#setup;
    this.#entries.delete(entry.id);
    if (entry.place === undefined) return tally.folderDone();
    entry.place.folder.release();
    if (entry.phase !== (isUnchanged ? 'announced' : 'sent'))
      throw protocolError('an early answer');
    if (!isUnchanged) tally.moved(entry.path, entry.size - entry.confirmed);
    tally.fileDone(entry.path, isUnchanged ? entry.size : undefined);
  }

  /** An entry has failed, here or there. */
  #forget(entry: SentEntry, reason: Reason): void {
    this.#entries.delete(entry.id);
    if (entry.place !== undefined) {
      entry.place.folder.release();
      this.#setup.tally.withdrawn(entry.size, entry.confirmed);
    }
    this.#setup.tally.failed({ path: entry.path, ...reason });
  }

  // Content.

  async #send(): Promise<void> {
    const ahead: Promise<Opened>[] = [];
    try {
      while (!this.#isClosed) {
        while (ahead.length < this.#setup.settings.concurrency) {
          const entry = this.#wanted.shift();
          if (entry === undefined) break;
          ahead.push(open(entry));
        }
        const next = ahead.shift();
        if (next !== undefined) await this.#file(await next);
        else if (this.#isWalkOver && this.#entries.size === 0) break;
        else await this.#change();
      }
      this.#tell({ type: 'end' });
      this.#isEndSent = true;
    } finally {
      for (const one of ahead) await (await one).reader?.close();
    }
  }

  async #file(opened: Opened): Promise<void> {
    const { entry, reader, whole, error } = opened;
    let streamFailed: { readonly error: unknown } | undefined;
    try {
      if (entry.isDead) throw givenUp();
      if (whole !== undefined) {
        streamFailed = await this.#whole(entry, whole);
      } else if (reader !== undefined) {
        streamFailed = await this.#pieces(entry, reader);
      } else {
        throw error;
      }
    } catch (failure) {
      this.#abandon(entry, failure);
    } finally {
      await reader?.close();
    }
    if (streamFailed !== undefined) throw streamFailed.error;
  }

  async #whole(entry: SentEntry, bytes: Uint8Array): Promise<StreamFailure | undefined> {
    this.#tell({ type: 'start', id: entry.id, offset: 0 });
    const written = bytes.length > 0 ? this.#setup.writer.content(bytes) : Promise.resolve();
    this.#sent(entry, createHash('sha256').update(bytes));
    return written.then(nothing, (error: unknown) => ({ error }));
  }

  async #pieces(entry: SentEntry, reader: FileReader): Promise<StreamFailure | undefined> {
    const { offset, hash } = await this.#verified(entry, reader);
    if (offset > 0) this.#setup.tally.resumed(entry.path, offset);
    entry.confirmed = offset;
    this.#tell({ type: 'start', id: entry.id, offset });
    const failed = await this.#content(entry, reader, offset, hash);
    if (failed !== undefined) return failed;
    await reader.checkVersion();
    this.#sent(entry, hash);
    return undefined;
  }

  #sent(entry: SentEntry, hash: Hash): void {
    entry.phase = 'sent';
    this.#tell({ type: 'finish', id: entry.id, hash: hash.digest('hex') });
  }

  #abandon(entry: SentEntry, error: unknown): void {
    const reason = reasonOf(error);
    if (!entry.isDead && !this.#isClosed) this.#forget(entry, reason);
    this.#tell({ type: 'abandon', id: entry.id, ...reason });
  }

  /** How much of what the receiver has is what we have, and the state of the hash up to there. */
  async #verified(entry: SentEntry, reader: FileReader): Promise<{ offset: number; hash: Hash }> {
    const block = blockBytes(entry.have);
    let hash = createHash('sha256');
    let offset = 0;
    const buffer = this.#ownBuffer(0);
    while (offset < entry.have) {
      const end = Math.min(entry.have, offset + block);
      const ahead = hash.copy();
      for (let at = offset; at < end; ) {
        const bytes = await reader.read(buffer.subarray(0, end - at), at);
        ahead.update(bytes);
        at += bytes.length;
      }
      while (entry.checks.length === 0 && !entry.isDead && !this.#isClosed) await this.#change();
      if (entry.isDead || this.#isClosed) throw givenUp();
      if (entry.checks.shift() !== ahead.copy().digest('hex')) break;
      hash = ahead;
      offset = end;
    }
    return { offset, hash };
  }

  #ownBuffer(index: number): Buffer {
    const buffer = this.#buffers[index] ?? Buffer.allocUnsafe(CHUNK_BYTES);
    this.#buffers[index] = buffer;
    return buffer;
  }

  /**
   * Reads ahead while what was read is on its way.
   *
   * @returns what ended the stream, if it has ended.
   * @throws what is wrong with the file.
   */
  async #content(
    entry: SentEntry,
    reader: FileReader,
    start: number,
    hash: Hash,
  ): Promise<StreamFailure | undefined> {
    const written: Promise<StreamFailure | undefined>[] = [];
    let reading: Promise<Uint8Array> | undefined;
    try {
      for (let [offset, turn] = [start, 0]; offset < entry.size; turn = 1 - turn) {
        reading ??= reader.read(this.#ownBuffer(turn), offset);
        const bytes = await reading;
        reading = undefined;
        if (entry.isDead) throw givenUp();
        offset += bytes.length;
        hash.update(bytes);
        written.push(this.#setup.writer.content(bytes).then(nothing, (error) => ({ error })));
        // The other buffer is free as soon as the piece before this one has been taken.
        const failed = written.length > 1 ? await written.shift() : undefined;
        if (failed !== undefined) return failed;
        if (offset < entry.size) reading = reader.read(this.#ownBuffer(1 - turn), offset);
      }
      return (await Promise.all(written)).find((failed) => failed !== undefined);
    } finally {
      // The buffers are for the next file.
      await reading?.catch(nothing);
      await Promise.all(written);
    }
  }
}

function nothing(): undefined {
  return undefined;
}

function announcement(entry: SentEntry, { parent, name, stats }: Found) {
  return {
    id: entry.id,
    ...(parent === undefined ? {} : { parent }),
    name: name.toString('base64'),
    ...attributesOf(stats),
  };
}

function givenUp(): CopyError {
  return new CopyError('ERR_COPY_ABORTED', 'the other end has given up');
}

/** Reads all of a file that fits into one piece, so that many are read at a time. Never rejects. */
async function open(entry: SentEntry): Promise<Opened> {
  const { place, size, version, have } = entry;
  if (place === undefined || entry.isDead) return { entry, error: givenUp() };
  let reader: FileReader | undefined;
  try {
    reader = await FileReader.open(place.folder, place.name, size, version);
    if (have > 0 || size > CHUNK_BYTES) return { entry, reader };
    const whole = await reader.read(Buffer.allocUnsafe(size), 0);
    await reader.checkVersion();
    await reader.close();
    return { entry, whole };
  } catch (error) {
    await reader?.close();
    return { entry, error };
  }
}
