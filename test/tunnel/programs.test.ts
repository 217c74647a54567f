/** Programs that are not ours, through forwards: curl, and ssh with scp where there is a server. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { DynamicForward, LocalForward } from '../../src/tunnel/index.js';
import { turns } from '../helpers/node-pair.js';
import { freePort, listening, type TunnelScene, withTunnel } from '../helpers/tunnel.js';

const run = promisify(execFile);
const LOOPBACK = { host: undefined, port: 0 };
const BODY = randomBytes(8 * 1024 * 1024);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const LOGIN = { user: 'me', password: 'secret' };

function has(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Gives the body, or the hash of what it is sent; shows by its path how it was asked. */
async function httpServer(scene: TunnelScene): Promise<number> {
  const server = createServer((request, response) => {
    if (request.method !== 'POST') return void response.end(BODY);
    const hash = createHash('sha256');
    request.on('data', (chunk) => hash.update(chunk));
    request.on('end', () => response.end(`${request.url} ${hash.digest('hex')}`));
  });
  scene.add({
    close() {
      server.closeAllConnections();
      server.close();
    },
  });
  return listening(server);
}

/** Names that only the far end knows, so that whoever resolves them itself fails. */
const resolver = (name: string): Promise<string[]> =>
  name === 'only.there.example'
    ? Promise.resolve(['127.0.0.1'])
    : Promise.reject(Object.assign(new Error(name), { code: 'ENOTFOUND' }));

const CURL = ['-sS', '--noproxy', '', '--max-time', '60'];

async function curl(...args: string[]): Promise<Buffer> {
  const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024, env: {} } as const;
  return (await run('curl', [...CURL, ...args], options)).stdout;
}

async function exitCode(...args: string[]): Promise<unknown> {
  return curl(...args).then(
    () => 0,
    (error: { code: unknown }) => error.code,
  );
}

describe.skipIf(!has('curl'))('curl (skipped where there is none)', () => {
  it('loads and sends large bodies through a local forward', () =>
    withTunnel({ resolver }, async (scene) => {
      const port = await httpServer(scene);
      const target = { host: 'only.there.example', port };
      const forward = scene.add(new LocalForward(scene.client, { bind: LOOPBACK, target }));
      const url = `http://127.0.0.1:${(await forward.start()).port}`;
      expect(sha256(await curl(`${url}/`))).toBe(sha256(BODY));
      const answer = await runWithInput(
        ['--data-binary', '@-', '-H', 'Expect:', `${url}/up`],
        BODY,
      );
      expect(answer).toBe(`/up ${sha256(BODY)}`);
    }));

  it.each(['socks5h', 'socks4a', 'http'])('loads through the proxy as %s', (scheme) =>
    withTunnel({ resolver }, async (scene) => {
      const port = await httpServer(scene);
      const forward = scene.add(new DynamicForward(scene.client, { bind: LOOPBACK }));
      const proxy = `${scheme}://127.0.0.1:${(await forward.start()).port}`;
      const url = `http://only.there.example:${port}/some/path`;
      expect(sha256(await curl('--proxy', proxy, url))).toBe(sha256(BODY));
      const tunnelled = await curl('--proxy', proxy, '--proxytunnel', '-d', 'x', url);
      expect(tunnelled.toString()).toBe(`/some/path ${sha256(Buffer.from('x'))}`);
      const twice = await curl('--proxy', proxy, '-d', 'x', url, url);
      expect(twice.toString()).toBe(`/some/path ${sha256(Buffer.from('x'))}`.repeat(2));
      expect(scene.far.connections.counts.failedCount).toBe(0);
    }),
  );

  it.each(['socks5h', 'http'])('logs in as %s, and fails without the password', (scheme) =>
    withTunnel({ resolver }, async (scene) => {
      const port = await httpServer(scene);
      const options = { bind: LOOPBACK, login: LOGIN };
      const forward = scene.add(new DynamicForward(scene.client, options));
      const { port: proxyPort } = await forward.start();
      const url = `http://only.there.example:${port}/`;
      const right = `${scheme}://me:secret@127.0.0.1:${proxyPort}`;
      expect(sha256(await curl('--proxy', right, url))).toBe(sha256(BODY));
      const wrong = `${scheme}://me:wrong@127.0.0.1:${proxyPort}`;
      expect(await exitCode('--fail', '--proxy', wrong, url)).not.toBe(0);
    }),
  );

  it('knows that it can not resolve, can not connect, or may not', () =>
    withTunnel({ resolver }, async (scene) => {
      const forward = scene.add(new DynamicForward(scene.client, { bind: LOOPBACK }));
      const proxy = `socks5h://127.0.0.1:${(await forward.start()).port}`;
      const nobody = await freePort();
      for (const host of ['unknown.example', `127.0.0.1:${nobody}`, '169.254.169.254']) {
        expect(await exitCode('--proxy', proxy, `http://${host}/`), host).toBe(97);
      }
    }));

  it('loads 40 bodies at a time', () =>
    withTunnel({ resolver }, async (scene) => {
      const port = await httpServer(scene);
      const forward = scene.add(new DynamicForward(scene.client, { bind: LOOPBACK }));
      const proxy = `socks5h://127.0.0.1:${(await forward.start()).port}`;
      const url = `http://only.there.example:${port}/[1-40]`;
      const options = ['--parallel', '--parallel-max', '40', '-d', 'x'];
      const all = (await curl('--proxy', proxy, ...options, url)).toString();
      expect(all.match(/\/\d+ [\da-f]{64}/g)?.length).toBe(40);
    }));
});

function runWithInput(args: string[], input: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('curl', [...CURL, ...args], { env: {} }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    child.stdin?.end(input);
  });
}

const SSHD = '/usr/sbin/sshd';
const canServeSsh = existsSync(SSHD) && has('ssh') && has('scp') && has('ssh-keygen');

/** An ssh server of our own on loopback that takes one new key; ended after the test. */
async function sshServer(scene: TunnelScene, folder: string): Promise<number> {
  for (const name of ['host', 'user']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
  }
  const port = await freePort();
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `AuthorizedKeysFile ${join(folder, 'user.pub')}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'Subsystem sftp internal-sftp',
  ];
  await writeFile(join(folder, 'config'), `${lines.join('\n')}\n`);
  const child: ChildProcess = spawn(SSHD, ['-D', '-e', '-f', join(folder, 'config')], {
    stdio: 'ignore',
  });
  scene.add({ close: () => child.kill() });
  while (child.exitCode === null && !(await answers(port))) await turns(100);
  if (child.exitCode !== null) throw new Error('sshd does not start');
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', () => resolve(true)).once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('data', () => socket.destroy());
  });
}

describe.skipIf(!canServeSsh)('ssh (skipped where there is no sshd)', () => {
  it('runs a command, and scp copies both ways, through a local forward', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'roving-ssh-'));
    try {
      await withTunnel({}, async (scene) => {
        const target = { host: '127.0.0.1', port: await sshServer(scene, folder) };
        const forward = scene.add(new LocalForward(scene.client, { bind: LOOPBACK, target }));
        const { port } = await forward.start();
        const options = ['-i', join(folder, 'user'), '-F', 'none', '-o', 'BatchMode=yes'];
        options.push('-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null');
        const host = `${userInfo().username}@127.0.0.1`;
        const said = await run('ssh', [
          ...options,
          '-p',
          `${port}`,
          host,
          'echo through the tunnel',
        ]);
        expect(said.stdout).toBe('through the tunnel\n');
        const [here, there, back] = ['here', 'there', 'back'].map((name) => join(folder, name));
        await writeFile(`${here}`, BODY);
        await run('scp', [...options, '-q', '-P', `${port}`, `${here}`, `${host}:${there}`]);
        await run('scp', [...options, '-q', '-P', `${port}`, `${host}:${there}`, `${back}`]);
        expect(sha256(await readFile(`${back}`))).toBe(sha256(BODY));
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
