/** Sessions over memory carriers, for tests that use them as programs do. */
import { once } from 'node:events';
import { connectInMemory, type InMemoryOptions, type InMemoryPair } from '../../src/node/index.js';
import type { RovingSession } from '../../src/node/session.js';
import { RovingStream } from '../../src/node/stream.js';

/** A pair that is aborted after the test, so that none is left behind by one that fails. */
export async function withPair(
  options: InMemoryOptions,
  action: (pair: InMemoryPair) => Promise<void>,
): Promise<void> {
  const pair = await connectInMemory(options);
  for (const end of [pair.client, pair.server]) quieten(end);
  try {
    await action(pair);
  } finally {
    for (const end of [pair.client, pair.server]) if (!end.isClosed) end.abort();
  }
}

/** Lets no stream's error be uncaught: those that matter are looked for. */
function quieten(session: RovingSession): void {
  const { emit, openStream } = session;
  session.emit = (name, ...args) => {
    const [first] = args as unknown[];
    if (first instanceof RovingStream) first.on('error', () => undefined);
    return emit.call(session, name, ...(args as never));
  };
  session.openStream = (options) => openStream.call(session, options).on('error', () => undefined);
}

/** A stream that the client has opened and written to, at both ends. */
export async function joined(
  { client, server }: InMemoryPair,
  options: Parameters<typeof client.openStream>[0] = {},
): Promise<[ours: RovingStream, theirs: RovingStream]> {
  const accepted = once(server, 'stream');
  const ours = client.openStream(options);
  ours.write('.');
  const [theirs] = (await accepted) as [RovingStream];
  if (theirs.readableLength === 0) await once(theirs, 'readable');
  theirs.read(1);
  return [ours, theirs];
}

/** All that comes up to the end. Does not destroy the stream then, as a plain `for await` does. */
export async function collect(stream: RovingStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Unlike `once(stream, 'close')`, also after an error. */
export function closed(stream: RovingStream): Promise<void> {
  return new Promise((resolve) => stream.once('close', resolve));
}

export function turns(count: number): Promise<void> {
  return new Promise((resolve) => {
    const next = (left: number): void => {
      if (left === 0) resolve();
      else setImmediate(next, left - 1);
    };
    next(count);
  });
}
