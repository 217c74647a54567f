/** One end of a copy is killed with SIGKILL, the other lives on; over real sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { copyFromRemote, copyToRemote, filesService } from '../../src/copy/index.js';
import { connect, type RovingSession, Ticket } from '../../src/node/index.js';
import { ServiceHost } from '../../src/service/index.js';
import { withLoopback } from '../helpers/loopback.js';
import { hashOf, noise, partsIn, withCopyRig } from './rig.js';

const MIB = 1024 * 1024;
const SIZE = 24 * MIB + 12_345;
const KILLED_END = fileURLToPath(new URL('killed-end.mjs', import.meta.url));

function start(args: string[], ticket = ''): ChildProcess {
  return spawn(process.execPath, [KILLED_END, ...args], {
    env: { ...process.env, TICKET: ticket },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function withServer(
  folder: string,
  run: (session: RovingSession, kill: () => void) => Promise<void>,
): Promise<void> {
  const child = start(['server', folder]);
  let session: RovingSession | undefined;
  try {
    if (child.stdout === null) throw new Error('no output');
    const [ticket] = (await once(createInterface(child.stdout), 'line')) as [string];
    session = await connect(ticket);
    await run(session, () => child.kill('SIGKILL'));
  } finally {
    session?.abort();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
}

describe('a copy over real sockets', () => {
  it('T40 goes on after the client was killed, at a server that has not noticed', () =>
    withCopyRig(({ served, own }) =>
      withLoopback(async ({ server, ticket, connect: joinServer }) => {
        const host = new ServiceHost([filesService()]);
        server.on('session', (session) => host.attach(session, [`files:${served}`]));
        writeFileSync(join(own, 'big'), noise(SIZE));
        const args = ['client', join(own, 'big'), '', String(8 * MIB)];
        const child = start(args, Ticket.format(ticket));
        const [, signal] = await once(child, 'exit');
        expect(signal).toBe('SIGKILL');
        const result = await copyToRemote(await joinServer(), [join(own, 'big')], '');
        expect(result).toMatchObject({ files: 1, bytes: SIZE, failed: [] });
        expect(result.resumedBytes).toBeGreaterThan(0);
        expect(hashOf(join(served, 'big'))).toBe(hashOf(join(own, 'big')));
        // A part of the one that was killed may stay until its session ends.
        expect(readdirSync(served).filter((name) => !partsIn(served).includes(name))).toEqual([
          'big',
        ]);
      }),
    ));

  it.each(['put', 'get'] as const)('goes on after the server was killed (%s)', (operation) =>
    withCopyRig(async ({ served, own }) => {
      const [from, to] = operation === 'put' ? [own, served] : [served, own];
      writeFileSync(join(from, 'big'), noise(SIZE));
      const copy = (session: RovingSession, options: Parameters<typeof copyToRemote>[3]) =>
        operation === 'put'
          ? copyToRemote(session, [join(own, 'big')], '', options)
          : copyFromRemote(session, ['big'], own, options);
      await withServer(served, async (session, kill) => {
        let isKilled = false;
        const aborter = new AbortController();
        session.on('path', ({ state }) => {
          // The session itself would wait for a day.
          if (isKilled && state !== 'active') aborter.abort();
        });
        const onProgress = ({ bytes }: { bytes: number }): void => {
          if (bytes < 8 * MIB || isKilled) return;
          isKilled = true;
          kill();
        };
        const failed = copy(session, { onProgress, signal: aborter.signal });
        await expect(failed).rejects.toMatchObject({ code: 'ERR_COPY_ABORTED' });
      });
      const [part = ''] = partsIn(to);
      const had = statSync(join(to, part)).size;
      await withServer(served, async (session) => {
        const result = await copy(session, {});
        expect(result).toMatchObject({ files: 1, bytes: SIZE, failed: [], resumedBytes: had });
      });
      expect(hashOf(join(to, 'big'))).toBe(hashOf(join(from, 'big')));
      expect(readdirSync(to)).toEqual(['big']);
    }),
  );
});
