/** A server that may have few descriptors, and is asked for more than there are. */
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Cleanup, HOST, listenPlain, portOf, until } from '../helpers/sockets.js';
import { useBench } from './cli.js';

const bench = useBench();
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const OPEN_FILES = 96;

/**
 * More strangers than there are descriptors, at once.
 *
 * @param bytes with what each begins; then it is silent.
 * @returns whether the last that came was let in, when so many were closed that all had been seen.
 */
async function besiege(port: number, bytes: readonly number[]): Promise<boolean> {
  const closed = new Set<Socket>();
  const strangers = Array.from({ length: 2 * OPEN_FILES }, () => {
    const socket = connect(port, HOST).on('error', () => undefined);
    cleanup.add(() => socket.destroy());
    if (bytes.length > 0) socket.write(Buffer.from(bytes));
    return socket.once('close', () => closed.add(socket)).resume();
  });
  await until(() => closed.size > OPEN_FILES, 'strangers make room');
  const last = strangers.at(-1);
  return last !== undefined && !closed.has(last);
}

describe('roving serve with few descriptors', () => {
  it.each([
    ['that say nothing', []],
    ['that begin like a client', [0, 40]],
  ])('T25 strangers %s leave enough for sessions, old and new', async (_what, bytes) => {
    const served = await bench.serve({ allow: 'forward', openFiles: OPEN_FILES });
    const echo = await listenPlain(cleanup, (socket) => socket.pipe(socket));
    const tcp = ['--ticket', served.ticket, '--carrier', 'tcp'];
    const session = bench.start(['connect', ...tcp, '--to', `${HOST}:${echo}`]);
    const said = (text: string): Promise<void> => {
      session.child.stdin?.write(text);
      return new Promise((resolve) => {
        session.child.stdout?.on('data', () => {
          if (session.stdout.endsWith(text)) resolve();
        });
      });
    };
    await said('before');
    // If the system had run out of them, it would be the last that are closed at once.
    expect(await besiege(portOf(served.address), bytes)).toBe(true);
    await said('during');
    const late = await bench.run(['connect', ...tcp, '--to', `${HOST}:${echo}`], { input: 'new' });
    expect({ code: late.code, stdout: late.stdout }).toEqual({ code: 0, stdout: 'new' });
    session.child.stdin?.end();
    expect((await session.finished).stdout).toBe('beforeduring');
  });
});
