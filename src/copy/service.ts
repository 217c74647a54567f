/**
 * The service `files`: the other end of copies. What a key allows is in its grants: `files:DIR` to read
 * and write below a folder, `files-ro:DIR` to read only. Nothing else of the machine can be seen.
 *
 * @module
 */

import type { RovingSession } from '../node/index.js';
import { type Service, type ServiceCall, ServiceError } from '../service/index.js';
import { Destination } from './destination.js';
import { CopyError, reasonOf, systemCodeOf } from './errors.js';
import { type Settings, settingsFromPeer } from './options.js';
import { Receiver } from './receiver.js';
import { RecordReader, RecordWriter } from './records.js';
import { findRoot, type Place, type Root, resolveInside, rootsOf } from './roots.js';
import { Sender } from './sender.js';
import { Tally } from './tally.js';

/** The name of the service. */
export const FILES_SERVICE = 'files';
/** Copies at a time in one session; more are refused. */
export const MAX_COPIES_PER_SESSION = 64;

export interface FilesServiceOptions {
  /** Copies at a time in one session; {@link MAX_COPIES_PER_SESSION}. */
  readonly maxCopies?: number;
}

/** To be given to a `ServiceHost`. */
export function filesService(options: FilesServiceOptions = {}): Service {
  const { maxCopies = MAX_COPIES_PER_SESSION } = options;
  const counts = new WeakMap<RovingSession, number>();
  return {
    name: FILES_SERVICE,
    async handle(call) {
      const { session } = call;
      const count = counts.get(session) ?? 0;
      if (count >= maxCopies) {
        const message = `the session has ${maxCopies} copies under way already`;
        throw new ServiceError('ERR_SERVICE_FAILED', message, 'EAGAIN');
      }
      counts.set(session, count + 1);
      try {
        await serve(call);
      } finally {
        counts.set(session, (counts.get(session) ?? 1) - 1);
      }
    },
  };
}

async function serve(call: ServiceCall): Promise<void> {
  const roots = rootsOf(call.grants);
  if (roots.length === 0) {
    const message = 'the key does not allow this: it would need `--allow files:DIR`';
    throw new ServiceError('ERR_SERVICE_DENIED', message);
  }
  const settings = settingsFromPeer(call.request['settings']);
  const { operation } = call.request;
  if (operation === 'put') return put(call, roots, settings);
  if (operation === 'get') return get(call, roots, settings);
  throw new ServiceError('ERR_SERVICE_FAILED', 'files can be put and got, and nothing else');
}

async function put(call: ServiceCall, roots: readonly Root[], settings: Settings): Promise<void> {
  const { request, session } = call;
  const destination = await openDestination(request, roots);
  const stream = call.accept();
  const receiver = new Receiver({
    ...{ destination, settings, tally: new Tally(), isStale: () => isStale(session) },
    reader: new RecordReader(stream),
    writer: new RecordWriter(stream),
  });
  await receiver.run().catch(() => stream.destroy());
}

async function openDestination(
  request: ServiceCall['request'],
  roots: readonly Root[],
): Promise<Destination> {
  const { destination: path } = request;
  if (typeof path !== 'string') {
    throw new ServiceError('ERR_SERVICE_FAILED', 'the request names no destination');
  }
  try {
    const { root, real, names } = await findRoot(roots, path);
    if (root.isReadOnly) {
      const message = 'the key allows to read there, and not to write';
      throw new ServiceError('ERR_SERVICE_DENIED', message, 'EROFS');
    }
    const rules = {
      isFolder: request['isFolder'] === true,
      isForSeveral: request['isForSeveral'] === true,
    };
    return new Destination(await resolveInside(real, names), rules);
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  const { code, message } = reasonOf(error);
  if (code === 'ERR_COPY_OUTSIDE') return new ServiceError('ERR_SERVICE_DENIED', message, 'EACCES');
  const systemCode = error instanceof CopyError ? error.systemCode : systemCodeOf(error);
  return new ServiceError('ERR_SERVICE_FAILED', message, systemCode);
}

async function get(call: ServiceCall, roots: readonly Root[], settings: Settings): Promise<void> {
  const { sources } = call.request;
  const isFine = Array.isArray(sources) && sources.every((path) => typeof path === 'string');
  if (!isFine) throw new ServiceError('ERR_SERVICE_FAILED', 'the request names no sources');
  const stream = call.accept();
  const sender = new Sender({
    sources: (sources as string[]).map((shown) => ({ shown, find: () => find(roots, shown) })),
    ...{ settings, tally: new Tally(), giveUp: () => stream.destroy() },
    reader: new RecordReader(stream),
    writer: new RecordWriter(stream),
  });
  await sender.run().catch(() => stream.destroy());
}

async function find(roots: readonly Root[], path: string): Promise<Place> {
  const { real, names } = await findRoot(roots, path);
  return resolveInside(real, names);
}

/** Whether nothing is heard of the other end at present. */
export function isStale(session: RovingSession): boolean {
  return session.isClosed || !session.paths.some(({ state }) => state === 'active');
}
