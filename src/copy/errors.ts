/** The errors of copies. Match on `code`. @module */

import { SessionError } from '../node/index.js';

/**
 * What ends a copy:
 * - `ERR_COPY_INTERRUPTED`: the session or the stream ended before the copy did; `cause` says why. The
 *   same call over another session goes on where this one was.
 * - `ERR_COPY_ABORTED`: the caller's `AbortSignal`; `cause` is its reason.
 * - `ERR_COPY_PROTOCOL`: the other end broke the rules of the service.
 * - `ERR_COPY_DESTINATION`: the place to copy to cannot be used, see `systemCode`.
 *
 * What costs one entry, as `code` of a {@link CopyProblem}, beside the system's own such as `EACCES`:
 * - `ERR_COPY_CHANGED`: the file changed while it was read.
 * - `ERR_COPY_HASH`: what arrived is not what was read.
 * - `ERR_COPY_NAME`: a name that cannot be used, such as `..` or an empty one.
 * - `ERR_COPY_DEPTH`: folders are nested too deep.
 * - `ERR_COPY_OUTSIDE`: a way out of what the key allows.
 * - `ERR_COPY_DESTINATION`: a device, socket or pipe is in the way, or a file where a folder is wanted.
 * - `ERR_COPY_LINK`, `ERR_COPY_SPECIAL`, `ERR_COPY_PARTIAL`: left out on purpose: a symbolic link, a
 *   device, socket or pipe, the remains of an unfinished copy. A source that is one of these has failed.
 */
export type CopyErrorCode =
  | 'ERR_COPY_INTERRUPTED'
  | 'ERR_COPY_ABORTED'
  | 'ERR_COPY_PROTOCOL'
  | 'ERR_COPY_DESTINATION'
  | 'ERR_COPY_CHANGED'
  | 'ERR_COPY_HASH'
  | 'ERR_COPY_NAME'
  | 'ERR_COPY_DEPTH'
  | 'ERR_COPY_OUTSIDE'
  | 'ERR_COPY_LINK'
  | 'ERR_COPY_SPECIAL'
  | 'ERR_COPY_PARTIAL';

export class CopyError extends SessionError {
  readonly code: CopyErrorCode;
  /** The system's own code where there is one, such as `ENOENT`. */
  readonly systemCode?: string;

  constructor(
    code: CopyErrorCode,
    message: string,
    more: { readonly systemCode?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message);
    this.code = code;
    if (more.systemCode !== undefined) this.systemCode = more.systemCode;
    if (more.cause !== undefined) this.cause = more.cause;
  }
}

/** Sentences for the codes of the system that people meet. */
const SENTENCES: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'not a folder',
  EISDIR: 'a folder is in the way',
  EEXIST: 'something else is in the way',
  ENOTEMPTY: 'a folder is in the way',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'disk quota exceeded',
  EROFS: 'the file system is read-only',
  EFBIG: 'too large for the file system',
  EIO: 'input or output error of the device',
  ELOOP: 'a symbolic link is in the way',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long for the file system',
};

/** What went wrong with an entry: the code to match on, and a sentence for people. */
export interface Reason {
  readonly code: string;
  readonly message: string;
}

/** The system's messages name the paths of this machine, which are not the peer's business. */
export function reasonOf(error: unknown): Reason {
  if (error instanceof CopyError) return { code: error.code, message: error.message };
  const code = systemCodeOf(error);
  if (code === undefined) return { code: 'ERR_UNKNOWN', message: String(error) };
  return { code, message: SENTENCES[code] ?? `the system says ${code}` };
}

export function systemCodeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

export function protocolError(what: string): CopyError {
  return new CopyError('ERR_COPY_PROTOCOL', `the other end of the copy broke the rules: ${what}`);
}

/** What is no file, folder or symbolic link is not replaced, and nothing is written into it. */
export function specialInTheWay(): CopyError {
  const message = 'a device, socket or pipe is in the way, which is not replaced';
  return new CopyError('ERR_COPY_DESTINATION', message, { systemCode: 'EEXIST' });
}

export function special(): CopyError {
  return new CopyError('ERR_COPY_SPECIAL', 'a device, socket or pipe');
}
