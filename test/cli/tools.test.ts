/** `roving forward`, `connect`, `cp` and `doctor`, each in a process of its own, over loopback. */
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { useBench } from './cli.js';

/** The program takes its standard error for a terminal. */
const ON_TERMINAL = {
  NODE_OPTIONS: '--import=data:text/javascript,process.stderr.isTTY=true',
};

const bench = useBench();
const servers = new Set<Server>();

afterEach(() => {
  for (const server of servers) server.close();
  servers.clear();
});

/** Says each line back in capitals; ends when the other end does. @returns its port. */
async function shouter(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => socket.write(bytes.toString().toUpperCase()));
    socket.once('end', () => socket.end());
  }).listen(0, '127.0.0.1');
  servers.add(server);
  await once(server, 'listening');
  return portOf(server);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function say(port: number, text: string): Promise<string> {
  const socket: Socket = connect(port, '127.0.0.1');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

async function untilTrue(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

/** How much of unfinished copies is in a folder. */
function partBytes(folder: string): number {
  const parts = readdirSync(folder).filter((name) => name.endsWith('.roving-part'));
  const sizes = parts.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size);
  return sizes.reduce<number>((sum, size = 0) => sum + size, 0);
}

describe('roving connect', () => {
  it('carries standard input and output, and nothing else', async () => {
    const { ticket } = await bench.serve({ allow: 'forward' });
    const to = `127.0.0.1:${await shouter()}`;
    const { code, stdout, stderr } = await bench.run(['connect', '--ticket', ticket, '--to', to], {
      input: 'hello',
    });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'HELLO', stderr: '' });
  });

  it('tells in one line why it could not', async () => {
    const { ticket } = await bench.serve({ allow: 'forward:127.0.0.1:9' });
    for (const [to, expected] of [
      ['127.0.0.1:9', 69],
      ['127.0.0.1:10', 77],
    ] as const) {
      const run = await bench.run(['connect', '--ticket', ticket, '--to', to]);
      expect({ code: run.code, stdout: run.stdout }).toEqual({ code: expected, stdout: '' });
      expect(run.stderr).toMatch(/^roving: [^\n]+\n$/);
    }
  });
});

describe('a program that is hung up on', () => {
  it.each(['connect', 'forward'])('%s closes its session, with 129', async (verb) => {
    const { server, ticket } = await bench.serve({
      allow: 'forward',
      args: ['--log-level', 'info'],
    });
    const to = `127.0.0.1:${await shouter()}`;
    const what = verb === 'connect' ? ['--to', to] : ['-D', '0'];
    const args = [verb, '--ticket', ticket, '--quiet', ...what];
    const running = bench.start(args, { env: verb === 'forward' ? ON_TERMINAL : {} });
    await server.says(/session of key laptop from/);
    if (verb === 'connect') running.child.stdin?.write('hello');
    if (verb === 'connect') await once(running.child.stdout as Readable, 'data');
    else await running.says(/ready /);
    // Twice, as the terminal and ssh do at once.
    running.child.kill('SIGHUP');
    running.child.kill('SIGHUP');
    expect(await running.finished).toMatchObject({ code: 129, signal: null });
    await server.says(/session of key laptop is closed|session of key laptop has ended/);
  });

  it('connect still carries what it was given before', async () => {
    const { ticket } = await bench.serve({ allow: 'forward' });
    const to = `127.0.0.1:${await shouter()}`;
    const running = bench.start(['connect', '--ticket', ticket, '--to', to]);
    running.child.stdin?.write('one ');
    await once(running.child.stdout as Readable, 'data');
    running.child.stdin?.end('two');
    running.child.kill('SIGHUP');
    expect(await running.finished).toMatchObject({ code: 0, stdout: 'ONE TWO' });
  });

  it('a client without a terminal goes on', async () => {
    const { ticket } = await bench.serve({ allow: 'forward' });
    const forward = bench.start(['forward', '--ticket', ticket, '-D', '0']);
    await forward.says(/^ready /m);
    forward.child.kill('SIGHUP');
    expect((await forward.stop()).code).toBe(0);
  });
});

describe.skipIf(!existsSync('/dev/full'))('output that can not be written', () => {
  it('connect and ticket say so in one line, with 74', async () => {
    const { ticket, keys } = await bench.serve({ allow: 'forward' });
    const to = `127.0.0.1:${await shouter()}`;
    const full = { input: 'hello', redirect: '>/dev/full' };
    for (const args of [
      ['connect', '--ticket', ticket, '--to', to],
      ['ticket', 'list', '--keys', keys],
    ]) {
      const { code, stderr } = await bench.start(args, full).finished;
      expect({ code, stderr }).toEqual({
        code: 74,
        stderr: expect.stringMatching(/^roving: [^\n]*ENOSPC[^\n]*\n$/),
      });
    }
  });

  it('a server whose log has no room goes on', async () => {
    const { keys, ticket, address, server } = await bench.serve({ allow: 'forward' });
    await server.stop();
    const args = ['serve', '--keys', keys, '--listen', address, '--log-level', 'trace'];
    const again = bench.start(args, { redirect: '2>/dev/full' });
    const to = `127.0.0.1:${await shouter()}`;
    const connect = ['connect', '--ticket', ticket, '--to', to];
    expect(await bench.run(connect, { input: 'hello' })).toMatchObject({ stdout: 'HELLO' });
    expect((await again.stop()).code).toBe(0);
  });
});

describe('roving forward', () => {
  it('forwards -L and -R, goes on with a restarted server, and stops cleanly', async () => {
    const { server, keys, ticket, address } = await bench.serve({ allow: 'forward' });
    const port = await shouter();
    const specs = ['-L', `0:127.0.0.1:${port}`, '-R', `0:127.0.0.1:${port}`];
    const args = ['forward', '--ticket', ticket, '--log-level', 'info', ...specs];
    const forward = bench.start(args);
    const [, local] = await forward.says(/^ready .*-L 127\.0\.0\.1:(\d+)/m);
    const [, remote] = await forward.says(/^ready .*-R 127\.0\.0\.1:(\d+)/m);
    expect(await say(Number(local), 'one')).toBe('ONE');
    expect(await say(Number(remote), 'two')).toBe('TWO');
    const { stdout } = await bench.call(['status', '--json']);
    expect(stdout).toContain(`-L 127.0.0.1:${local} > 127.0.0.1:${port}`);

    await server.stop();
    const again = bench.start(['serve', '--keys', keys, '--listen', address]);
    await again.says(/^ready /m);
    await forward.says(/connected again/);
    expect(await say(Number(local), 'three')).toBe('THREE');
    await forward.says(/connected again[\s\S]*the server listens on/);
    expect(await say(Number(remote), 'four')).toBe('FOUR');
    expect((await forward.stop()).code).toBe(0);
  });

  it('T47: asks for the login in a file, which others must not be able to read', async () => {
    const { ticket } = await bench.serve({ allow: 'forward' });
    const login = bench.path('login');
    const args = ['forward', '--ticket', ticket, '-D', '0.0.0.0:0', '--proxy-login', login];
    writeFileSync(login, 'user:secret\n', { mode: 0o644 });
    expect((await bench.run(args)).code).toBe(77);
    chmodSync(login, 0o600);
    const forward = bench.start(args);
    await forward.says(/^ready -D 0\.0\.0\.0:\d+/m);
    const [, port = ''] = /0\.0\.0\.0:(\d+)/.exec(forward.stderr) ?? [];
    const socket = connect(Number(port), '127.0.0.1');
    socket.end('CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 407 /);
    await forward.stop();
    writeFileSync(login, 'no login');
    const { code, stderr } = await bench.run(args);
    expect([code, stderr]).toEqual([78, expect.stringContaining('user:password')]);
  });

  it('T47: does not listen for other machines unless it is told to', async () => {
    const { ticket } = await bench.serve({ allow: 'forward' });
    for (const spec of [
      ['-D', '0.0.0.0:0'],
      ['-L', '*:0:localhost:80'],
    ]) {
      const { code, stderr } = await bench.run(['forward', '--ticket', ticket, ...spec]);
      expect(code).toBe(64);
      expect(stderr).toContain('other machines');
    }
  });

  it('ends when its key is revoked', async () => {
    const { keys, ticket } = await bench.serve({ allow: 'forward' });
    const forward = bench.start(['forward', '--ticket', ticket, '-D', '0']);
    await forward.says(/^ready /m);
    await bench.call(['ticket', 'revoke', '--keys', keys, 'laptop']);
    expect((await forward.finished).code).toBe(77);
  });

  it.each([[[]], [['-L', '80']], [['-D', 'a:b:c']], [['-L', '1:2:3:4:5']]])(
    '%j is a wrong use',
    async (args) => {
      writeFileSync(bench.path('t'), '', { mode: 0o600 });
      expect((await bench.call(['forward', '--ticket', 't', ...args])).code).toBe(64);
    },
  );
});

describe('roving cp', () => {
  it('copies to the server and back, and says what was copied', async () => {
    mkdirSync(bench.path('srv'));
    mkdirSync(bench.path('photos/deep'), { recursive: true });
    const content = Buffer.alloc(300_000, 'roving');
    writeFileSync(bench.path('photos/deep/one'), content);
    const { ticket } = await bench.serve({ allow: `files:${bench.path('srv')}` });
    const there = await bench.run(['cp', '--ticket', ticket, '-r', 'photos', 'remote:']);
    expect(there).toMatchObject({ code: 0, stdout: '' });
    expect(readFileSync(bench.path('srv/photos/deep/one')).equals(content)).toBe(true);
    const back = await bench.run(['cp', '--ticket', ticket, '--json', 'remote:photos', 'back']);
    expect(JSON.parse(back.stdout)).toMatchObject({
      files: 1,
      bytes: content.length,
      failedCount: 0,
    });
    expect(readFileSync(bench.path('back/deep/one')).equals(content)).toBe(true);

    const missing = await bench.run(['cp', '--ticket', ticket, 'nothing', 'remote:']);
    expect(missing).toMatchObject({
      code: 66,
      stderr: expect.stringContaining('nothing was not copied'),
    });
    const outside = await bench.run(['cp', '--ticket', ticket, 'photos', 'remote:../x']);
    expect(outside).toMatchObject({ code: 77 });
    const unseen = await bench.run(['cp', '--ticket', ticket, 'remote:../x', '.']);
    expect(unseen).toMatchObject({ code: 77 });
    const special = await bench.run(['cp', '--ticket', ticket, '/dev/null', 'remote:']);
    const reason = '/dev/null was not copied: a device, socket or pipe';
    expect(special).toMatchObject({ code: 66, stderr: expect.stringContaining(reason) });
  });

  it('waits for a server that restarts, and sends again only what had not arrived', async () => {
    mkdirSync(bench.path('srv'));
    for (const name of ['first', 'big', 'srv/first']) writeFileSync(bench.path(name), 'first');
    // With holes: it takes its time, and no room here.
    truncateSync(bench.path('big'), 192 * 1024 * 1024);
    for (const name of ['first', 'srv/first']) utimesSync(bench.path(name), 1, 1);
    const before = statSync(bench.path('srv/first')).ino;
    const allow = `files:${bench.path('srv')}`;
    const { server, keys, ticket, address } = await bench.serve({ allow });
    const args = ['cp', '--ticket', ticket, '--json', 'first', 'big', 'remote:'];
    const copy = bench.start(args);
    const inode = () => statSync(bench.path('srv/first')).ino;
    // It is replaced although it looks the same: it was there before.
    await untilTrue(() => partBytes(bench.path('srv')) > 1_000_000 && inode() !== before);
    const finished = inode();
    await server.stop();
    await copy.says(/broken off/);
    const again = bench.start(['serve', '--keys', keys, '--listen', address]);
    await again.says(/^ready /m);
    const { code, stdout } = await copy.finished;
    const result = JSON.parse(stdout) as { resumedBytes: number };
    expect({ code, result }).toMatchObject({
      code: 0,
      result: { files: 2, unchanged: 1, failedCount: 0 },
    });
    expect(result.resumedBytes).toBeGreaterThan(0);
    expect(inode()).toBe(finished);
    expect(readdirSync(bench.path('srv')).sort()).toEqual(['big', 'first']);
  });

  it('that waits for a server ends at once with Ctrl-C', async () => {
    mkdirSync(bench.path('srv'));
    writeFileSync(bench.path('big'), '');
    truncateSync(bench.path('big'), 192 * 1024 * 1024);
    const { server, ticket } = await bench.serve({ allow: `files:${bench.path('srv')}` });
    const copy = bench.start(['cp', '--ticket', ticket, 'big', 'remote:']);
    await untilTrue(() => partBytes(bench.path('srv')) > 0);
    await server.stop();
    await copy.says(/broken off/);
    expect((await copy.stop('SIGINT')).code).toBe(130);
  });

  it.each([[['a']], [['a', 'b']], [['remote:a', 'remote:b']], [['a', 'remote:b', 'c']]])(
    '%j is a wrong use',
    async (paths) => {
      expect((await bench.call(['cp', ...paths])).code).toBe(64);
    },
  );
});

describe('roving doctor', () => {
  it('tells what passes, and which paths would be used', async () => {
    const { ticket } = await bench.serve();
    const { code, stdout } = await bench.run(['doctor', '--ticket', ticket, '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as {
      carriers: { carrier: string; state: string }[];
      nat: { kind: string };
      tcpPorts: { state: string }[];
      routes: { carrier: string; isUsed: boolean; why: string }[];
    };
    expect(report.carriers.map(({ carrier, state }) => [carrier, state])).toEqual([
      ['udp', 'passes'],
      ['tcp', 'passes'],
      ['ws', 'absent'],
    ]);
    expect(report.nat.kind).toBe('none');
    expect(report.tcpPorts.every(({ state }) => state === 'passes')).toBe(true);
    expect(report.routes.some(({ isUsed }) => isUsed)).toBe(true);
  });

  it('says so when nothing gets through', async () => {
    const { server, ticket } = await bench.serve();
    await server.stop();
    const args = ['doctor', '--ticket', ticket, '--connect-timeout', '1', '--json'];
    const { code, stdout } = await bench.run(args);
    expect(code).toBe(69);
    const { carriers } = JSON.parse(stdout) as { carriers: { state: string }[] };
    expect(carriers.map(({ state }) => state)).toEqual(['blocked', 'blocked', 'absent']);
  });
});

describe('roving bench', () => {
  it('tells that the server has ended the session, not that a stream was reset', async () => {
    const { server, ticket } = await bench.serve();
    const args = ['--ticket', ticket, '--seconds', '60', '--log-level', 'info'];
    const running = bench.start(['bench', ...args]);
    await running.says(/connected: /);
    await server.stop();
    const { code, stderr } = await running.finished;
    expect(code, stderr).toBe(69);
    expect(stderr).toMatch(/^roving: the (server|peer) (has )?closed the session/m);
  });
});
