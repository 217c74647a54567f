/** Copies to and from the other end of a session. @module */

import { realpath } from 'node:fs/promises';
import { type RovingSession, type RovingStream, UsageError } from '../node/index.js';
import { openService, ServiceError, type ServiceRequest } from '../service/index.js';
import { Destination } from './destination.js';
import { CopyError, reasonOf, specialInTheWay, systemCodeOf } from './errors.js';
import { pathBytes, sourceName } from './names.js';
import { type CopyOptions, type CopyResult, settingsOf } from './options.js';
import { Receiver } from './receiver.js';
import { RecordReader, RecordWriter } from './records.js';
import { type Place, resolveOwn } from './roots.js';
import { Sender } from './sender.js';
import { FILES_SERVICE, isStale } from './service.js';
import { Tally } from './tally.js';

/** Of a copy's stream, in bytes: some pieces of content. */
const STREAM_BUFFER_BYTES = 1024 * 1024;

/** The stream of a copy, taken apart. */
interface Line {
  readonly stream: RovingStream;
  readonly reader: RecordReader;
  readonly writer: RecordWriter;
  readonly tally: Tally;
}

/**
 * Copies files and folders of this machine to the other end, by the rules of `cp -r`: a folder that is
 * there takes the sources under their names; otherwise the one source gets the destination's name.
 *
 * A file has its name at the destination only when all of it is there and its hash is right. What a
 * copy leaves unfinished, the same call goes on with later, over this session or another.
 *
 * @param sources paths; `.` and `..` stand for what is in them. Symbolic links are followed.
 * @param destination as the other end names it: relative to the first folder that the key allows, or
 *   absolute. Empty: that folder itself. With a slash at the end, only a folder will do.
 * @returns what was copied and what was not; entries that fail do not end the copy.
 * @throws ServiceError if the other end refuses; {@link CopyError} if the copy cannot go on, with
 *   `ERR_COPY_INTERRUPTED` if the session or the stream has ended; UsageError for options out of range.
 */
export async function copyToRemote(
  session: RovingSession,
  sources: readonly string[],
  destination: string,
  options: CopyOptions = {},
): Promise<CopyResult> {
  if (sources.length === 0) throw new UsageError('there is nothing to copy: no source is named');
  const settings = settingsOf(options);
  const request = {
    ...{ service: FILES_SERVICE, operation: 'put', destination, settings },
    isFolder: destination.endsWith('/'),
    isForSeveral: sources.length > 1,
  };
  return runCopy(session, request, options, ({ stream, ...line }) => {
    const found = sources.map((shown) => ({ shown, find: () => findOwn(shown) }));
    return new Sender({ ...line, settings, sources: found, giveUp: () => stream.destroy() }).run();
  });
}

/** Names that the user gives are followed, if they are symbolic links. */
async function findOwn(path: string): Promise<Place> {
  // An empty path is none; `resolveOwn` would take it for this folder.
  return resolveOwn(path === '' ? await realpath(pathBytes(path), 'utf8') : path);
}

/**
 * Copies files and folders of the other end to this machine. As {@link copyToRemote} the other way
 * round: the sources are as the other end names them, an empty one being all that is in the first
 * folder that the key allows; the destination is a path of this machine.
 *
 * @throws as {@link copyToRemote}, and CopyError `ERR_COPY_DESTINATION` for the destination.
 */
export async function copyFromRemote(
  session: RovingSession,
  sources: readonly string[],
  destination: string,
  options: CopyOptions = {},
): Promise<CopyResult> {
  if (sources.length === 0) throw new UsageError('there is nothing to copy: no source is named');
  const settings = settingsOf(options);
  const place = await openDestination(destination, sources.length > 1);
  let receiver: Receiver | undefined;
  try {
    const request = { service: FILES_SERVICE, operation: 'get', sources, settings };
    return await runCopy(session, request, options, ({ stream: _stream, ...line }) => {
      // A name that nobody asked for is refused: the other end may be malicious.
      const names = sources.map((path) => Buffer.from(sourceName(path).name).toString('base64'));
      const expectedNames = new Set(names);
      const rest = { settings, destination: place, isStale: () => isStale(session), expectedNames };
      receiver = new Receiver({ ...line, ...rest });
      return receiver.run();
    });
  } finally {
    if (receiver === undefined) place.release();
  }
}

async function openDestination(path: string, isForSeveral: boolean): Promise<Destination> {
  try {
    return new Destination(await resolveOwn(path), { isFolder: path.endsWith('/'), isForSeveral });
  } catch (error) {
    if (error instanceof CopyError) {
      throw error.code === 'ERR_COPY_SPECIAL' ? specialInTheWay() : error;
    }
    const { message } = reasonOf(error);
    throw new CopyError('ERR_COPY_DESTINATION', message, { systemCode: systemCodeOf(error) });
  }
}

async function runCopy(
  session: RovingSession,
  request: ServiceRequest,
  { signal, onProgress }: CopyOptions,
  run: (line: Line) => Promise<void>,
): Promise<CopyResult> {
  const tally = new Tally(onProgress);
  let stream: RovingStream | undefined;
  const giveUp = (): void => {
    stream?.destroy();
  };
  try {
    signal?.throwIfAborted();
    stream = await orAborted(signal, open(session, request), (late) => late.destroy());
    signal?.addEventListener('abort', giveUp);
    const [reader, writer] = [new RecordReader(stream), new RecordWriter(stream)];
    await run({ stream, reader, writer, tally });
    return tally.result;
  } catch (error) {
    giveUp();
    throw explained(error, signal);
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

async function open(session: RovingSession, request: ServiceRequest): Promise<RovingStream> {
  try {
    const options = { highWaterMark: STREAM_BUFFER_BYTES };
    const { stream } = await openService(session, request, options);
    stream.on('error', () => undefined);
    return stream;
  } catch (error) {
    const isAnswer = error instanceof ServiceError && !session.isClosed;
    const isMisuse = error instanceof UsageError && !session.isClosed;
    throw isAnswer || isMisuse ? error : interrupted(error);
  }
}

/** Waits, but not longer than the caller wants to. */
function orAborted<T>(
  signal: AbortSignal | undefined,
  promise: Promise<T>,
  tooLate: (value: T) => void,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      reject(signal.reason);
      promise.then(tooLate, () => undefined);
    };
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

function explained(error: unknown, signal: AbortSignal | undefined): Error {
  if (signal?.aborted === true) {
    return new CopyError('ERR_COPY_ABORTED', 'the copy was given up', { cause: signal.reason });
  }
  const isKnown =
    error instanceof CopyError || error instanceof ServiceError || error instanceof UsageError;
  return isKnown ? error : interrupted(error);
}

function interrupted(cause: unknown): CopyError {
  const message = 'the copy was interrupted; the same copy goes on where this one was';
  return new CopyError('ERR_COPY_INTERRUPTED', message, { cause });
}
