/**
 * The messages of a copy. Sources are announced ahead, as far as the window of waiting entries goes;
 * the receiver says which files it wants and what it has of them; their content follows in the order
 * in which they were wanted. So a thousand files cost as many round trips as one.
 *
 * @module
 */

import { protocolError } from './errors.js';

/** What is kept of a file or folder beside its content. */
export interface Attributes {
  /** The permissions, 0 to 0o777. */
  readonly mode: number;
  /** Seconds since 1970, with fractions. */
  readonly accessed: number;
  readonly modified: number;
}

/** A folder or file; `parent` is absent for the sources themselves. */
interface Announcement extends Attributes {
  readonly id: number;
  readonly parent?: number;
  /** Base64, since names are bytes. Empty for a source that stands for its content. */
  readonly name: string;
}

export interface FolderMessage extends Announcement {
  readonly type: 'folder';
}

export interface FileMessage extends Announcement {
  readonly type: 'file';
  readonly size: number;
  /** Another one if the source has changed. */
  readonly version: string;
}

export interface ProblemMessage {
  readonly type: 'problem';
  readonly path: string;
  readonly code: string;
  readonly message: string;
  readonly isSkipped: boolean;
}

export type SenderMessage =
  | FolderMessage
  | FileMessage
  /** All that is in the folder has been announced. */
  | { readonly type: 'leave'; readonly id: number }
  | ProblemMessage
  /** The content from here on follows. */
  | { readonly type: 'start'; readonly id: number; readonly offset: number }
  /** The content is complete; SHA-256 of all of it, in hex. */
  | { readonly type: 'finish'; readonly id: number; readonly hash: string }
  /** No more comes of a file that was wanted. */
  | {
      readonly type: 'abandon';
      readonly id: number;
      readonly code: string;
      readonly message: string;
    }
  /** Nothing more will be announced, and all is answered. */
  | { readonly type: 'end' };

export type ReceiverMessage =
  /** `have` bytes are there already; `check` messages follow for each `block` of them. */
  | { readonly type: 'want'; readonly id: number; readonly have: number; readonly block: number }
  /** SHA-256 of all up to the end of the next block, in hex. */
  | { readonly type: 'check'; readonly id: number; readonly hash: string }
  | { readonly type: 'progress'; readonly id: number; readonly offset: number }
  | { readonly type: 'done'; readonly id: number; readonly isUnchanged: boolean }
  | {
      readonly type: 'failed';
      readonly id: number;
      readonly code: string;
      readonly message: string;
    }
  | { readonly type: 'end' };

/** The code of what failed only because its folder did: it is not listed. */
export const CONSEQUENCE = 'ERR_COPY_PARENT';
/** A resumed file is verified in at most so many blocks. */
export const MAX_BLOCKS = 1_024;
export const MIN_BLOCK_BYTES = 4 * 1024 * 1024;

const MAX_TEXT_CHARACTERS = 4_096;
const MAX_NAME_CHARACTERS = 16_384;
/** In seconds: some 30,000 years either way. */
const MAX_TIME = 1e12;
const HASH_PATTERN = /^[0-9a-f]{64}$/;

type Fields = Readonly<Record<string, unknown>>;

function whole(fields: Fields, name: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) {
    return value;
  }
  throw protocolError(`the ${name} of a message`);
}

function time(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Math.abs(value) <= MAX_TIME) return value;
  throw protocolError(`the ${name} of a message`);
}

function text(fields: Fields, name: string, max = MAX_TEXT_CHARACTERS): string {
  const value = fields[name];
  if (typeof value === 'string' && value.length <= max) return value;
  throw protocolError(`the ${name} of a message`);
}

function hash(fields: Fields): string {
  const value = text(fields, 'hash');
  if (HASH_PATTERN.test(value)) return value;
  throw protocolError('the hash of a message');
}

function announcement(fields: Fields): Announcement {
  return {
    id: whole(fields, 'id'),
    ...(fields['parent'] === undefined ? {} : { parent: whole(fields, 'parent') }),
    name: text(fields, 'name', MAX_NAME_CHARACTERS),
    mode: whole(fields, 'mode', 0o777),
    accessed: time(fields, 'accessed'),
    modified: time(fields, 'modified'),
  };
}

/** @throws CopyError `ERR_COPY_PROTOCOL`. */
export function parseSenderMessage(fields: Fields): SenderMessage {
  switch (fields['type']) {
    case 'folder':
      return { type: 'folder', ...announcement(fields) };
    case 'file': {
      const [size, version] = [whole(fields, 'size'), text(fields, 'version')];
      return { type: 'file', ...announcement(fields), size, version };
    }
    case 'leave':
      return { type: 'leave', id: whole(fields, 'id') };
    case 'problem': {
      const [path, code, message] = [text(fields, 'path'), text(fields, 'code'), why(fields)];
      return { type: 'problem', path, code, message, isSkipped: fields['isSkipped'] === true };
    }
    case 'start':
      return { type: 'start', id: whole(fields, 'id'), offset: whole(fields, 'offset') };
    case 'finish':
      return { type: 'finish', id: whole(fields, 'id'), hash: hash(fields) };
    case 'abandon': {
      const [id, code, message] = [whole(fields, 'id'), text(fields, 'code'), why(fields)];
      return { type: 'abandon', id, code, message };
    }
    case 'end':
      return { type: 'end' };
    default:
      throw protocolError('a message of an unknown type');
  }
}

/** @throws CopyError `ERR_COPY_PROTOCOL`. */
export function parseReceiverMessage(fields: Fields): ReceiverMessage {
  switch (fields['type']) {
    case 'want': {
      const [id, have, block] = ['id', 'have', 'block'].map((name) => whole(fields, name));
      return { type: 'want', id: id ?? 0, have: have ?? 0, block: block ?? 0 };
    }
    case 'check':
      return { type: 'check', id: whole(fields, 'id'), hash: hash(fields) };
    case 'progress':
      return { type: 'progress', id: whole(fields, 'id'), offset: whole(fields, 'offset') };
    case 'done':
      return { type: 'done', id: whole(fields, 'id'), isUnchanged: fields['isUnchanged'] === true };
    case 'failed': {
      const [id, code, message] = [whole(fields, 'id'), text(fields, 'code'), why(fields)];
      return { type: 'failed', id, code, message };
    }
    case 'end':
      return { type: 'end' };
    default:
      throw protocolError('a message of an unknown type');
  }
}

function why(fields: Fields): string {
  return text(fields, 'message');
}

/** For a message: cut to what the peer takes. */
export function cutText(value: string): string {
  return value.slice(0, MAX_TEXT_CHARACTERS);
}
