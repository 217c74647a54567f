/**
 * What runs over the stream of a copy: records, each a message (JSON) or a piece of content. A record
 * begins with four bytes, big-endian: the kind in the first, the length in the other three.
 *
 * @module
 */

import type { RovingStream } from '../node/index.js';
import { protocolError } from './errors.js';

const HEADER_BYTES = 4;
const MESSAGE = 1;
const CONTENT = 2;
/** A longer message is refused. */
export const MAX_MESSAGE_RECORD_BYTES = 64 * 1024;
/** A longer piece of content is refused. */
export const MAX_CONTENT_RECORD_BYTES = 1024 * 1024;
/** Received and not yet looked at; then the stream waits. */
const MAX_UNREAD_BYTES = 1024 * 1024;

export type CopyRecord =
  | { readonly kind: 'message'; readonly value: Readonly<Record<string, unknown>> }
  /** The next bytes of the content, in any split. */
  | { readonly kind: 'content'; readonly bytes: Uint8Array };

/** Takes a stream apart; nobody else may read it from then on. */
export class RecordReader {
  readonly #stream: RovingStream;
  readonly #chunks: Buffer[] = [];
  #unreadBytes = 0;
  #contentLeft = 0;
  #isAtEnd = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(stream: RovingStream) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#unreadBytes += chunk.length;
      if (this.#unreadBytes > MAX_UNREAD_BYTES) stream.pause();
      this.#wake?.();
    });
    stream.on('end', () => this.#ended(undefined));
    stream.on('error', (error) => this.#ended(error));
    stream.on('close', () => this.#ended(new Error('the stream was closed')));
    if (stream.destroyed) this.#ended(stream.errored ?? new Error('the stream was closed'));
    stream.resume();
  }

  #ended(error: Error | undefined): void {
    if (!this.#isAtEnd) this.#error = error;
    this.#isAtEnd = true;
    this.#wake?.();
  }

  /**
   * @returns `undefined` at the end of the stream.
   * @throws what ended the stream, or CopyError if it is not made of records.
   */
  async next(): Promise<CopyRecord | undefined> {
    if (this.#contentLeft > 0) return { kind: 'content', bytes: await this.#piece() };
    if (!(await this.#has(HEADER_BYTES))) {
      if (this.#unreadBytes > 0) throw protocolError('the stream ended within a record');
      return undefined;
    }
    const header = this.#take(HEADER_BYTES).readUInt32BE(0);
    const kind = header >>> 24;
    const length = header & 0xff_ffff;
    if (kind === CONTENT && length > 0 && length <= MAX_CONTENT_RECORD_BYTES) {
      this.#contentLeft = length;
      return { kind: 'content', bytes: await this.#piece() };
    }
    if (kind !== MESSAGE || length > MAX_MESSAGE_RECORD_BYTES) {
      throw protocolError(`a record of kind ${kind} and ${length} bytes`);
    }
    if (!(await this.#has(length))) throw protocolError('the stream ended within a record');
    return { kind: 'message', value: parse(this.#take(length)) };
  }

  async #piece(): Promise<Uint8Array> {
    if (!(await this.#has(1))) throw protocolError('the stream ended within a record');
    const first = this.#chunks[0]?.length ?? 0;
    const bytes = this.#take(Math.min(first, this.#contentLeft));
    this.#contentLeft -= bytes.length;
    return bytes;
  }

  async #has(length: number): Promise<boolean> {
    while (this.#unreadBytes < length) {
      if (this.#isAtEnd) {
        if (this.#error !== undefined) throw this.#error;
        return false;
      }
      this.#stream.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    return true;
  }

  #take(length: number): Buffer {
    const first = this.#chunks[0];
    this.#unreadBytes -= length;
    if (first !== undefined && first.length > length) {
      this.#chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      parts.push(chunk.subarray(0, left));
      if (chunk.length > left) this.#chunks[0] = chunk.subarray(left);
      else this.#chunks.shift();
      left -= Math.min(left, chunk.length);
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  }
}

function parse(json: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(json.toString());
  } catch {
    throw protocolError('a message that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw protocolError('a message that is not an object');
  }
  return value as Record<string, unknown>;
}

/** Writes records; those of one turn go out together. */
export class RecordWriter {
  readonly #stream: RovingStream;
  #isCorked = false;

  constructor(stream: RovingStream) {
    this.#stream = stream;
  }

  /** The caller bounds how many messages can be waiting. */
  message(value: object): void {
    const json = Buffer.from(JSON.stringify(value));
    this.#cork();
    this.#stream.write(header(MESSAGE, json.length));
    this.#stream.write(json);
  }

  /**
   * One piece of content, at most {@link MAX_CONTENT_RECORD_BYTES}.
   *
   * @returns resolves when the bytes may be changed and more may be written; rejects at the stream's end.
   */
  content(bytes: Uint8Array): Promise<void> {
    this.#cork();
    this.#stream.write(header(CONTENT, bytes.length));
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  end(): void {
    this.#stream.end();
  }

  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#stream.uncork();
    });
  }
}

function header(kind: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES);
  bytes.writeUInt32BE(((kind << 24) | length) >>> 0, 0);
  return bytes;
}
