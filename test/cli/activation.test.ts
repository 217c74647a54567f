/** Sockets that a service manager has opened, as systemd hands them on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { takeInheritedSockets } from '../../src/cli/activation.js';
import { MAIN, Running, useBench } from './cli.js';

const bench = useBench();
let child: ChildProcess | undefined;
let opener: Server | undefined;

afterEach(async () => {
  if (child !== undefined && child.exitCode === null) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  opener?.close();
});

describe.runIf(process.platform === 'linux')('a server started for a socket', () => {
  it('listens there and nowhere else', async () => {
    opener = createServer().listen(0, '127.0.0.1');
    await once(opener, 'listening');
    const address = opener.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { fd } = (opener as unknown as { _handle: { fd: number } })._handle;
    // Only the process itself knows its id; systemd sets it between fork and exec, and so does this.
    const script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$1" serve';
    child = spawn('/bin/sh', ['-c', script, process.execPath, MAIN], {
      cwd: bench.folder,
      env: bench.env,
      stdio: ['ignore', 'pipe', 'pipe', fd],
    });
    const server = new Running(child);
    const [line] = await server.says(/^ready .*/m);
    expect(line).toBe(`ready tcp 127.0.0.1:${port}`);
    opener.close();
    const [, ticket = ''] = await server.says(/--ticket (\S+)/);
    expect((await bench.run(['bench', '--ticket', ticket, '--seconds', '0.1'])).code).toBe(0);
    expect((await server.stop()).code).toBe(0);
  });

  it('leaves alone what is meant for another process, and takes it out of the environment', () => {
    const environment = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'x' };
    expect(takeInheritedSockets(environment)).toEqual([]);
    expect(environment).toEqual({});
  });

  it.each(['x', '-1', '1000', '1.5'])('refuses %s sockets', (count) => {
    const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: count };
    expect(() => takeInheritedSockets(environment)).toThrow(
      expect.objectContaining({ exitCode: 78 }),
    );
  });
});
