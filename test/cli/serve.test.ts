/** `roving serve`, `bench` and `status`, each in a process of its own, over loopback. */

import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newKeyFileContents, updateKeyFile } from '../../src/node/index.js';
import { useBench } from './cli.js';

const bench = useBench();

interface StatusJson {
  running: {
    verb: string;
    pid: number;
    listening: string[];
    sessionCount: number;
    sessions: { key: string | null; paths: { carrier: string; state: string }[] }[];
  }[];
}

async function status(): Promise<StatusJson['running']> {
  const { stdout } = await bench.call(['status', '--json']);
  return (JSON.parse(stdout) as StatusJson).running;
}

describe('roving serve', () => {
  it('says when it is ready, on TCP and UDP, and stops cleanly on SIGTERM', async () => {
    const { server } = await bench.serve();
    expect(server.stderr).toMatch(/^ready .*tcp.*udp/m);
    const { code, stdout } = await server.stop();
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  });

  it('tells its clients when it stops', async () => {
    const { server, ticket } = await bench.serve();
    const client = bench.start(['bench', '--ticket', ticket, '--seconds', '60']);
    await server.says(/session of key laptop from/);
    expect((await server.stop()).code).toBe(0);
    const { code, stderr } = await client.finished;
    expect(code).not.toBe(0);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('lets a key in that is added while it runs, and ends its sessions when it is revoked', async () => {
    const { server, keys, address } = await bench.serve();
    const ticket = bench.path('new.ticket');
    const named = ['--keys', keys, '--address', address, '--out', ticket, '--name', 'new'];
    await bench.call(['ticket', 'new', ...named]);
    await server.says(/1 key more/);
    const client = bench.start(['bench', '--ticket', ticket, '--seconds', '60']);
    await server.says(/session of key new from/);
    await bench.call(['ticket', 'revoke', '--keys', keys, 'new']);
    const { code, stderr } = await client.finished;
    expect(code).toBe(77);
    expect(stderr).toContain('ask for a new ticket');
    const again = ['bench', '--ticket', ticket, '--connect-timeout', '1'];
    expect((await bench.run(again)).code).toBe(69);
  });

  it('keeps its keys when the file is broken, says so, and reads it again on SIGHUP', async () => {
    const { server, keys, ticket } = await bench.serve();
    const good = readFileSync(keys, 'utf8');
    writeFileSync(keys, 'nonsense');
    await server.says(/was not read again/);
    expect((await bench.run(['bench', '--ticket', ticket, '--seconds', '0.1'])).code).toBe(0);
    server.stderr = '';
    server.child.kill('SIGHUP');
    await server.says(/was not read again/);
    writeFileSync(keys, good);
    server.stderr = '';
    server.child.kill('SIGHUP');
    await server.says(/key file read again/);
  });

  it('ends the sessions of a key when it expires, and refuses it from then on', async () => {
    const { server, keys, ticket } = await bench.serve();
    const client = bench.start(['bench', '--ticket', ticket, '--seconds', '60']);
    await server.says(/session of key laptop from/);
    await updateKeyFile(keys, (before = newKeyFileContents()) => ({
      ...before,
      keys: before.keys.map((key) => ({ ...key, expires: new Date(Date.now() + 500) })),
    }));
    await server.says(/key laptop was expired/);
    expect((await client.finished).code).toBe(77);
    const again = ['bench', '--ticket', ticket, '--connect-timeout', '1'];
    expect((await bench.run(again)).code).toBe(69);
  });

  it('has a key of its own for a first try without --keys; its ticket is a private file', async () => {
    const server = bench.start(['serve', '--listen', '127.0.0.1:0']);
    await server.says(/^ready /m);
    const [, ticket = ''] = await server.says(/--ticket (\S+)/);
    expect(statSync(ticket).mode & 0o777).toBe(0o600);
    expect(server.stderr).not.toContain('roving://');
    expect((await bench.run(['bench', '--ticket', ticket, '--seconds', '0.2'])).code).toBe(0);
    expect((await server.stop()).code).toBe(0);
    expect(existsSync(ticket)).toBe(false);
  });

  it('listens on several addresses', async () => {
    const listen = ['--listen', '127.0.0.1:0', '--listen', '127.0.0.2:0'];
    const server = bench.start(['serve', ...listen]);
    const [line] = await server.says(/^ready .*/m);
    expect(line).toMatch(/127\.0\.0\.1:\d+.*127\.0\.0\.2:\d+/);
  });

  it.each<[string[], number]>([
    [['--tls-cert', 'a.pem'], 64],
    [['--tls-cert', 'a.pem', '--tls-key', 'b.pem'], 66],
    [['--keys', 'nothing.json'], 66],
    [['--listen', 'no port at all'], 64],
    [['nonsense'], 64],
    [['--nonsense'], 64],
    [['--listen', '203.0.113.1:7600'], 69],
    [['--keys', 'nothing.json', '--allow', 'forward'], 64],
    [['--scheduler', 'random'], 64],
    [['--trace', 'no/such/folder/trace'], 73],
  ])('%j ends with %i', async (args, expected) => {
    const { code, stderr } = await bench.call(['serve', ...args]);
    expect({ code, stderr }).toMatchObject({ code: expected });
    expect(stderr).toMatch(/^roving: /m);
  });

  it('says which port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { code, stderr } = await bench.call(['serve', '--listen', `127.0.0.1:${port}`]);
    taken.close();
    expect(code).toBe(69);
    expect(stderr).toContain(`${port}`);
  });

  it('refuses a key file that others can read', async () => {
    await bench.call(['ticket', 'new', '--keys', 'k.json', '--address', 'a']);
    chmodSync(bench.path('k.json'), 0o644);
    expect((await bench.call(['serve', '--keys', 'k.json'])).code).toBe(77);
  });
});

describe('roving bench', () => {
  it('gives its figures as one line of JSON, and a trace of all events', async () => {
    const { ticket } = await bench.serve();
    const args = ['--seconds', '0.3', '--json', '--trace', 'trace.jsonl'];
    const { code, stdout } = await bench.run(['bench', '--ticket', ticket, ...args]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as Record<'download' | 'upload', { bytes: number }>;
    expect(result.download.bytes).toBeGreaterThan(0);
    expect(result.upload.bytes).toBeGreaterThan(0);
    const lines = readFileSync(bench.path('trace.jsonl'), 'utf8').trim().split('\n');
    const names = lines.map((line) => (JSON.parse(line) as { name: string }).name);
    expect(names[0]).toBe('trace:started');
    expect(names).toContain('session:established');
    expect(names.at(-1)).toBe('session:closed');
  });

  it.each(['tcp', 'udp'])('uses only the carrier %s if that is asked for', async (carrier) => {
    const { server, ticket } = await bench.serve();
    const client = bench.start([
      'bench',
      '--ticket',
      ticket,
      '--carrier',
      carrier,
      '--seconds',
      '60',
    ]);
    await server.says(/session of key laptop from/);
    const found = (await status()).find(({ verb }) => verb === 'bench');
    const carriers = new Set(
      found?.sessions.flatMap(({ paths }) => paths).map((path) => path.carrier),
    );
    expect(carriers).toEqual(new Set([carrier]));
    expect((await client.stop('SIGINT')).code).toBe(130);
  });

  it('takes the ticket from standard input, and from the environment', async () => {
    const { ticket } = await bench.serve();
    const text = readFileSync(ticket, 'utf8');
    const args = ['bench', '--seconds', '0.1'];
    expect((await bench.run([...args, '--ticket', '-'], { input: text })).code).toBe(0);
    expect((await bench.run(args, { env: { ROVING_TICKET: text } })).code).toBe(0);
  });

  it('says in one line what is wrong with a ticket', async () => {
    writeFileSync(bench.path('damaged'), 'roving://a:1#AAAA', { mode: 0o600 });
    writeFileSync(bench.path('open'), 'roving://a:1#AAAA', { mode: 0o644 });
    chmodSync(bench.path('open'), 0o644);
    for (const [args, expected] of [
      [[], 64],
      [['--ticket', 'missing'], 66],
      [['--ticket', 'damaged'], 65],
      [['--ticket', 'open'], 77],
      [['--ticket', 'damaged', '--via', 'nonsense'], 64],
      [['--ticket', 'damaged', '--carrier', 'sctp'], 64],
      [['--ticket', 'damaged', '--connect-timeout', 'never'], 64],
    ] as const) {
      const { code, stderr } = await bench.call(['bench', ...args]);
      expect({ args, code }).toEqual({ args, code: expected });
      expect(stderr).toMatch(/^roving: /);
      expect(stderr).not.toContain('AAAA');
    }
  });
});

describe('roving status', () => {
  it('lists servers and clients with their sessions and paths', async () => {
    expect(await status()).toEqual([]);
    const { server, ticket, address } = await bench.serve();
    const client = bench.start(['bench', '--ticket', ticket, '--seconds', '60']);
    await server.says(/session of key laptop from/);
    const running = await status();
    expect(running.map(({ verb }) => verb).sort()).toEqual(['bench', 'serve']);
    const serving = running.find(({ verb }) => verb === 'serve');
    expect(serving).toMatchObject({ pid: server.pid, listening: [address], sessionCount: 1 });
    expect(serving?.sessions[0]?.key).toBe('laptop');
    const { stdout } = await bench.call(['status']);
    expect(stdout).toContain(`roving serve (pid ${server.pid})`);
    expect(stdout).toContain('session of key laptop');
    await client.stop();
  });

  it('finds what was started without the runtime folder of the login, and names what is silent', async () => {
    const { server } = await bench.serve();
    const env = { ...bench.env };
    delete env['XDG_RUNTIME_DIR'];
    const args = ['serve', '--keys', 'keys.json', '--listen', '127.0.0.1:0'];
    const second = bench.start(args, { env });
    await second.says(/^ready /m);
    const silent = join(bench.runFolder, 'serve-1.sock');
    const nobody = createServer().listen(silent);
    await once(nobody, 'listening');
    const { stdout, stderr } = await bench.run(['status']);
    for (const { pid } of [server, second]) expect(stdout).toContain(`pid ${pid}`);
    expect(stderr).toContain(`${silent} does not answer`);
    nobody.close();
  });

  it('T46: its sockets are private, in a private folder', async () => {
    await bench.serve();
    expect(statSync(bench.runFolder).mode & 0o777).toBe(0o700);
    const sockets = readdirSync(bench.runFolder);
    expect(sockets).toHaveLength(1);
    for (const name of sockets) {
      expect(statSync(join(bench.runFolder, name)).mode & 0o777).toBe(0o600);
    }
  });

  it('T46: a folder that others can enter is not used, and not asked', async () => {
    const { server } = await bench.serve();
    chmodSync(bench.runFolder, 0o755);
    const { code, stderr } = await bench.call(['status']);
    expect(code).toBe(77);
    expect(stderr).toContain(`chmod 700 ${bench.runFolder}`);
    const second = bench.start(['serve', '--keys', 'keys.json', '--listen', '127.0.0.1:0']);
    await second.says(/^ready /m);
    expect(second.stderr).toContain('will not see this process');
    expect(readdirSync(bench.runFolder)).toEqual([`serve-${server.pid}.sock`]);
  });

  it('removes the sockets of those that were killed', async () => {
    const { server } = await bench.serve();
    await server.stop('SIGKILL');
    expect(readdirSync(bench.runFolder)).toHaveLength(1);
    expect(await status()).toEqual([]);
    expect(readdirSync(bench.runFolder)).toEqual([]);
  });
});
