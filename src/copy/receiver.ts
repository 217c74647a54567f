/**
 * The receiving half of a copy, at either end: makes folders, writes files, and answers for each entry
 * exactly once.
 *
 * @module
 */

import type { Destination, Spot } from './destination.js';
import { CopyError, protocolError, reasonOf } from './errors.js';
import { blockBytes, FileWriter, isThere, refuseSpecial, WriteBudget } from './file-writer.js';
import {
  CONSEQUENCE,
  type FileMessage,
  type FolderMessage,
  parseSenderMessage,
  type ReceiverMessage,
  type SenderMessage,
} from './messages.js';
import { checkName } from './names.js';
import { MAX_DEPTH, MAX_WAITING_ENTRIES, type Settings } from './options.js';
import { choosePart } from './parts.js';
import { ReceivedFolder } from './received-folder.js';
import type { RecordReader, RecordWriter } from './records.js';
import type { Tally } from './tally.js';

/** Received and not written yet, of all files together; then no more is read. */
export const MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024;
/** Failed files stay until the sender has heard of it, which its own window does not count. */
const MAX_ENTRIES = 2 * MAX_WAITING_ENTRIES;
/** The sender is told of the progress of a large file in steps of so much. */
const PROGRESS_BYTES = 1024 * 1024;

export interface ReceiverSetup {
  readonly reader: RecordReader;
  readonly writer: RecordWriter;
  /** Is the receiver's from now on. */
  readonly destination: Destination;
  readonly settings: Settings;
  readonly tally: Tally;
  /** Whether the other end seems to be gone. */
  readonly isStale: () => boolean;
  /** The names that the sources may have, in base64; absent: any. */
  readonly expectedNames?: ReadonlySet<string>;
}

interface ReceivedFile {
  readonly announced: FileMessage;
  readonly parent: ReceivedFolder;
  readonly path: string;
  spot?: { readonly folder: Spot['folder']; readonly name: Buffer };
  phase: 'offered' | 'wanted' | 'receiving' | 'finishing';
  writer?: FileWriter;
  isFailed: boolean;
  /** Content that has been counted. */
  moved: number;
  toldBytes: number;
}

export class Receiver {
  readonly #setup: ReceiverSetup;
  readonly #top = new ReceivedFolder(undefined, undefined, '');
  readonly #folders = new Map<number, ReceivedFolder>();
  readonly #attributes = new Map<number, FolderMessage>();
  readonly #files = new Map<number, ReceivedFile>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #budget = new WriteBudget();
  /** By this machine's clock; files that have been there longer are not what `update` means. */
  readonly #updateSinceMs: number;
  #nextId = 0;
  #current: ReceivedFile | undefined;
  #activeCount = 0;
  #slotFree: (() => void) | undefined;
  #isClosed = false;

  constructor(setup: ReceiverSetup) {
    this.#setup = setup;
    this.#updateSinceMs = Date.now() - setup.settings.updateWithinMs;
    this.#top.folder = setup.destination.folder;
  }

  /**
   * Receives until the sender has nothing more.
   *
   * @throws what ended the stream, or CopyError `ERR_COPY_PROTOCOL`; what is unfinished is kept then.
   */
  async run(): Promise<void> {
    const { reader, writer } = this.#setup;
    try {
      for (;;) {
        const record = await reader.next();
        if (record === undefined) throw new Error('the stream ended before the copy did');
        if (record.kind === 'content') {
          this.#content(record.bytes);
          await this.#budget.below(MAX_UNWRITTEN_BYTES);
        } else if (await this.#handle(parseSenderMessage(record.value))) {
          break;
        }
      }
      this.#send({ type: 'end' });
      writer.end();
    } finally {
      await this.#close();
    }
  }

  #send(message: ReceiverMessage): void {
    if (!this.#isClosed) this.#setup.writer.message(message);
  }

  /** @returns whether it was the last message. */
  async #handle(message: SenderMessage): Promise<boolean> {
    switch (message.type) {
      case 'folder':
        await this.#folder(message);
        return false;
      case 'file':
        this.#file(message);
        return false;
      case 'leave':
        this.#leave(message.id);
        return false;
      case 'problem': {
        const { path, code, message: text, isSkipped } = message;
        const problem = { path, code, message: text };
        if (isSkipped) this.#setup.tally.skipped(problem);
        else this.#setup.tally.failed(problem);
        return false;
      }
      case 'start':
        await this.#start(message.id, message.offset);
        return false;
      case 'finish':
        this.#finish(message.id, message.hash);
        return false;
      case 'abandon':
        this.#abandon(message);
        return false;
      case 'end':
        if (this.#files.size > 0 || this.#folders.size > 0) throw protocolError('an early end');
        this.#setup.tally.allAnnounced();
        return true;
    }
  }

  // What is announced.

  /** Checks what an announcement says of its place. */
  #place({ id, parent, name }: FolderMessage | FileMessage): {
    parent: ReceivedFolder;
    path: string;
  } {
    if (id !== this.#nextId) throw protocolError('ids that are not in order');
    this.#nextId += 1;
    if (this.#files.size + this.#folders.size >= MAX_ENTRIES) {
      throw protocolError('too many entries at a time');
    }
    const { expectedNames } = this.#setup;
    if (parent === undefined && expectedNames?.has(name) === false) {
      throw protocolError('a source that nobody asked for');
    }
    const folder = parent === undefined ? this.#top : this.#folders.get(parent);
    if (folder === undefined || folder.hasLeft) throw protocolError('an entry of no folder');
    const shown = Buffer.from(name, 'base64').toString();
    folder.pending += 1;
    return { parent: folder, path: folder === this.#top ? shown : `${folder.path}/${shown}` };
  }

  #spot(parent: ReceivedFolder, name: Buffer, kind: 'file' | 'folder'): Spot {
    if (parent === this.#top) return this.#setup.destination.spot(name, kind);
    if (parent.isFailed || parent.folder === undefined) throw new ConsequenceError();
    checkName(name);
    return { folder: parent.folder, name };
  }

  async #folder(message: FolderMessage): Promise<void> {
    const { parent, path } = this.#place(message);
    const folder = new ReceivedFolder(message.id, parent, path);
    this.#folders.set(message.id, folder);
    this.#attributes.set(message.id, message);
    try {
      if (folder.depth > MAX_DEPTH) {
        throw new CopyError('ERR_COPY_DEPTH', `folders are nested deeper than ${MAX_DEPTH}`);
      }
      await folder.make(this.#spot(parent, Buffer.from(message.name, 'base64'), 'folder'));
    } catch (error) {
      this.#failFolder(folder, error);
    }
  }

  #failFolder(folder: ReceivedFolder, error: unknown): void {
    folder.isFailed = true;
    this.#tell(folder.id ?? 0, folder.path, error);
  }

  #tell(id: number, path: string, error: unknown): void {
    const isConsequence = error instanceof ConsequenceError;
    const reason = isConsequence ? { code: CONSEQUENCE, message: '' } : reasonOf(error);
    this.#setup.tally.failed({ path, ...reason });
    this.#send({ type: 'failed', id, ...reason });
  }

  #leave(id: number): void {
    const folder = this.#folders.get(id);
    if (folder === undefined || folder.hasLeft) throw protocolError('the end of no folder');
    folder.hasLeft = true;
    this.#oneLess(folder);
  }

  /** Something in a folder is finished; so may be the folder. */
  #oneLess(folder: ReceivedFolder): void {
    folder.pending -= 1;
    if (folder.pending > 0 || folder.id === undefined) return;
    this.#background(this.#complete(folder, folder.id));
  }

  async #complete(folder: ReceivedFolder, id: number): Promise<void> {
    const attributes = this.#attributes.get(id);
    this.#attributes.delete(id);
    try {
      if (attributes !== undefined && !folder.isFailed) {
        await folder.complete(attributes, this.#setup.settings);
      }
    } catch (error) {
      this.#failFolder(folder, error);
    }
    this.#folders.delete(id);
    folder.release();
    if (!folder.isFailed) {
      this.#setup.tally.folderDone();
      this.#send({ type: 'done', id, isUnchanged: false });
    }
    if (folder.parent !== undefined) this.#oneLess(folder.parent);
  }

  #file(announced: FileMessage): void {
    const { parent, path } = this.#place(announced);
    const phase = 'offered';
    const file: ReceivedFile = {
      ...{ announced, parent, path, phase },
      ...{ isFailed: false, moved: 0, toldBytes: 0 },
    };
    this.#files.set(announced.id, file);
    this.#setup.tally.announced(announced.size);
    this.#background(this.#offer(file).catch((error: unknown) => this.#fail(file, error)));
  }

  /** Decides whether the file is wanted, and tells what of it is there already. */
  async #offer(file: ReceivedFile): Promise<void> {
    const { id, version, size } = file.announced;
    const spot = this.#spot(file.parent, Buffer.from(file.announced.name, 'base64'), 'file');
    const { folder, name } = spot;
    if (name === undefined) throw new CopyError('ERR_COPY_NAME', 'a file needs a name');
    file.spot = { folder, name };
    const { update } = this.#setup.settings;
    const there = { folder, name, size, attributes: file.announced };
    if (update && (await isThere(there, this.#updateSinceMs))) {
      return this.#done(file, true);
    }
    await refuseSpecial(folder, name);
    let have = 0;
    const parts = (await file.parent.parts()).take(name);
    const part = parts.length === 0 ? undefined : await choosePart(folder, parts, version);
    if (this.#isClosed) return;
    if (part !== undefined) {
      file.writer = this.#writer(file, folder, name);
      have = await file.writer.adopt(part);
    }
    file.phase = 'wanted';
    const block = have === 0 || size === 0 ? 0 : blockBytes(have);
    this.#send({ type: 'want', id, have, block });
    if (file.writer === undefined || have === 0) return;
    for await (const hash of file.writer.checks(have)) this.#send({ type: 'check', id, hash });
  }

  #writer(file: ReceivedFile, folder: Spot['folder'], name: Buffer): FileWriter {
    const { settings, isStale } = this.#setup;
    const { size, version } = file.announced;
    const [attributes, budget] = [file.announced, this.#budget];
    return new FileWriter({ folder, name, size, version, attributes, settings, budget, isStale });
  }

  // Content.

  async #start(id: number, offset: number): Promise<void> {
    const file = this.#files.get(id);
    if (file?.phase !== 'wanted' || this.#current !== undefined || offset > file.announced.size) {
      throw protocolError('content that was not asked for');
    }
    file.phase = 'receiving';
    this.#current = file;
    if (file.isFailed || file.spot === undefined) return;
    while (this.#activeCount >= this.#setup.settings.concurrency) {
      await new Promise<void>((resolve) => {
        this.#slotFree = resolve;
      });
    }
    this.#activeCount += 1;
    file.writer ??= this.#writer(file, file.spot.folder, file.spot.name);
    file.writer.start(offset);
    file.moved = offset;
    file.toldBytes = offset;
    if (offset > 0) this.#setup.tally.resumed(file.path, offset);
  }

  #content(bytes: Uint8Array): void {
    const file = this.#current;
    if (file === undefined) throw protocolError('content of no file');
    const { writer } = file;
    if (file.isFailed || writer === undefined) return;
    writer.push(bytes);
    file.moved += bytes.length;
    this.#setup.tally.moved(file.path, bytes.length);
    if (writer.error !== undefined) this.#fail(file, writer.error);
    else if (file.moved - file.toldBytes >= PROGRESS_BYTES) {
      file.toldBytes = file.moved;
      this.#send({ type: 'progress', id: file.announced.id, offset: file.moved });
    }
  }

  #finish(id: number, hash: string): void {
    const file = this.#current;
    if (file?.announced.id !== id) throw protocolError('the end of no file');
    this.#current = undefined;
    if (file.isFailed || file.writer === undefined) {
      this.#files.delete(id);
      return;
    }
    file.phase = 'finishing';
    const finishing = file.writer.finish(hash).then(
      () => this.#done(file, false),
      (error: unknown) => this.#fail(file, error),
    );
    this.#background(finishing.finally(() => this.#freeSlot()));
  }

  #freeSlot(): void {
    this.#activeCount -= 1;
    this.#slotFree?.();
    this.#slotFree = undefined;
  }

  #done(file: ReceivedFile, isUnchanged: boolean): void {
    const { id, size } = file.announced;
    this.#files.delete(id);
    this.#setup.tally.fileDone(file.path, isUnchanged ? size : undefined);
    this.#send({ type: 'done', id, isUnchanged });
    this.#oneLess(file.parent);
  }

  #fail(file: ReceivedFile, error: unknown): void {
    if (file.isFailed || this.#isClosed) return;
    file.isFailed = true;
    // What was wanted will be heard of once more: the sender abandons it, or has finished it.
    if (file.phase === 'offered' || file.phase === 'finishing') {
      this.#files.delete(file.announced.id);
    }
    this.#setup.tally.withdrawn(file.announced.size, file.moved);
    this.#tell(file.announced.id, file.path, error);
    this.#drop(file);
  }

  #abandon({ id, code, message }: SenderMessage & { type: 'abandon' }): void {
    const file = this.#files.get(id);
    if (file?.phase !== 'wanted' && file?.phase !== 'receiving') {
      throw protocolError('the end of no file');
    }
    this.#files.delete(id);
    if (this.#current === file) this.#current = undefined;
    if (file.isFailed) return;
    file.isFailed = true;
    this.#setup.tally.withdrawn(file.announced.size, file.moved);
    this.#setup.tally.failed({ path: file.path, code, message });
    this.#drop(file);
  }

  #drop(file: ReceivedFile): void {
    const { writer, phase } = file;
    const dropped = writer?.discard() ?? Promise.resolve();
    const ended = dropped.then(() => this.#oneLess(file.parent));
    const hasSlot = phase === 'receiving' && writer !== undefined;
    this.#background(hasSlot ? ended.finally(() => this.#freeSlot()) : ended);
  }

  #background(task: Promise<void>): void {
    const tracked = task
      .catch(() => undefined)
      .finally(() => {
        this.#tasks.delete(tracked);
      });
    this.#tasks.add(tracked);
  }

  /** What is complete gets its name; of what is not, the parts are kept. */
  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#slotFree?.();
    const interruptAll = (): Promise<unknown> => {
      const files = [...this.#files.values()].filter(({ phase }) => phase !== 'finishing');
      return Promise.all(files.map(({ writer }) => writer?.interrupt()));
    };
    await interruptAll();
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    await interruptAll();
    for (const folder of this.#folders.values()) folder.release();
    this.#setup.destination.release();
  }
}

/** It failed only because its folder had. */
class ConsequenceError extends Error {}
