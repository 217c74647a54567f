/**
 * Copies of files and folders over a session, resumed after any interruption and verified by hash.
 *
 * @module
 */

export { copyFromRemote, copyToRemote } from './client.js';
export { CopyError, type CopyErrorCode } from './errors.js';
export {
  type CopyOptions,
  type CopyProblem,
  type CopyProgress,
  type CopyResult,
  MAX_DEPTH,
  MAX_LISTED_PROBLEMS,
  MAX_WAITING_ENTRIES,
} from './options.js';
export {
  FILES_SERVICE,
  type FilesServiceOptions,
  filesService,
  MAX_COPIES_PER_SESSION,
} from './service.js';
