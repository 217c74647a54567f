/** Clients in networks that let little pass: WebSockets, proxies, a web server in front. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { KeyRing } from '../../src/core/index.js';
import {
  type ConnectOptions,
  connect,
  createServer,
  type ListenOptions,
  pathsOf,
  type RovingServer,
  type RovingSession,
  type Ticket,
} from '../../src/node/index.js';
import { firstCertificate } from '../helpers/certificates.js';
import { connectProxy, proxyUrl, socksProxy } from '../helpers/proxies.js';
import { Cleanup, echo, HOST, listenPlain, portOf, until } from '../helpers/sockets.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Place {
  readonly server: RovingServer;
  readonly port: number;
  /** A ticket that leads to these addresses. */
  ticket(...addresses: string[]): Ticket;
}

async function serve(options: ListenOptions = {}): Promise<Place> {
  const keys = new KeyRing(randomBytes(32), randomBytes(32));
  const [keyId, secret] = [randomBytes(8), randomBytes(32)];
  keys.add({ keyId, secret, name: 'test', grants: [] });
  const server = createServer({ keys }, (session) => {
    session.on('stream', (stream) => stream.on('error', () => undefined).pipe(stream));
  });
  cleanup.add(() => server.close());
  await server.listen({ host: HOST, port: 0, ...options });
  const ticket = (...addresses: string[]) => ({ keyId, secret, doorKey: keys.doorKey, addresses });
  return { server, port: portOf(server.addresses[0] ?? ''), ticket };
}

async function open(ticket: Ticket, options: ConnectOptions = {}): Promise<RovingSession> {
  const tls = { ca: firstCertificate.cert };
  const session = await connect(ticket, { connectTimeoutMs: 20_000, tls, ...options });
  // Before the server goes.
  cleanup.add(() => session.abort());
  return session;
}

const carriersOf = (session: RovingSession) =>
  (pathsOf(session)?.routes() ?? []).filter(({ state }) => state === 'active').length;

describe('a client reaches its server', () => {
  it('by a WebSocket, with TLS and without', async () => {
    const { port, ticket } = await serve({ tls: firstCertificate });
    for (const url of [`ws://${HOST}:${port}/x`, `wss://localhost:${port}/any/where?x=1`]) {
      const session = await open(ticket(url));
      await echo(session, randomBytes(100_000));
      await session.close();
    }
  });

  it('by all carriers at once, when the ticket has them', async () => {
    const { port, ticket } = await serve({ tls: firstCertificate });
    const session = await open(ticket(`${HOST}:${port}`, `wss://localhost:${port}/`));
    await until(() => session.paths.filter(({ state }) => state === 'active').length >= 3);
    await echo(session, randomBytes(500_000));
    await session.close();
  });

  it('only through the proxy that it names', async () => {
    const { port, ticket } = await serve({ tls: firstCertificate });
    for (const [scheme, proxy] of [
      ['http', await connectProxy(cleanup)],
      ['socks5', await socksProxy(cleanup)],
    ] as const) {
      const via = proxyUrl(scheme, proxy, 'user:s3cret@');
      const addresses = [`${HOST}:${port}`, `wss://localhost:${port}/`];
      const session = await open(ticket(...addresses), { via });
      await until(() => session.paths.filter(({ state }) => state === 'active').length === 2);
      await echo(session, randomBytes(100_000));
      expect([...new Set(proxy.asked)].sort()).toEqual([`${HOST}:${port}`, `localhost:${port}`]);
      expect(inspect(pathsOf(session)?.routes(), { depth: 9 })).not.toMatch(/s3cret/);
      await session.close();
    }
  });

  it('and if it does not, the error tells what was tried, and no password', async () => {
    const { ticket } = await serve();
    const nobody = await listenPlain(cleanup, (socket) => socket.destroy());
    const via = `http://user:s3cret@${HOST}:${nobody}`;
    const failed = connect(ticket(`${HOST}:9`), { via, connectTimeoutMs: 300 });
    await expect(failed).rejects.toThrow(new RegExp(`http://${HOST}:${nobody}`));
    await expect(failed).rejects.not.toThrow(/s3cret/);
  });

  it('through the proxy of the environment, beside the direct ways', async () => {
    const { port, ticket } = await serve();
    const proxy = await connectProxy(cleanup);
    process.env['https_proxy'] = proxyUrl('http', proxy);
    cleanup.add(() => delete process.env['https_proxy']);
    const session = await open(ticket(`${HOST}:${port}`), { carriers: ['tcp'] });
    await until(() => carriersOf(session) === 2);
    expect(proxy.asked).toEqual([`${HOST}:${port}`]);
    await session.close();
  });
});

const hasNginx = spawnSync('nginx', ['-v']).error === undefined;

/** An ordinary nginx in front of `port`, in TLS; its port. */
async function startNginx(port: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'roving-nginx-'));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'cert.pem'), firstCertificate.cert);
  await writeFile(join(folder, 'key.pem'), firstCertificate.key);
  // Somebody else may take the port before nginx does.
  for (let tries = 0; tries < 5; tries++) {
    const front = await freePort();
    await writeFile(join(folder, 'nginx.conf'), nginxConfiguration(folder, front, port));
    const options = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'log')];
    const nginx: ChildProcess = spawn('nginx', options, { stdio: 'ignore' });
    const exited = once(nginx, 'exit');
    cleanup.add(() => {
      nginx.kill('SIGTERM');
      return exited;
    });
    while (nginx.exitCode === null) if (await isListening(front)) return front;
  }
  return expect.fail('nginx does not start');
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, HOST);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp({ port, host: HOST });
    const settle = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.on('connect', settle(true));
    socket.on('error', settle(false));
  });
}

function nginxConfiguration(folder: string, front: number, back: number): string {
  return `
daemon off;
pid ${folder}/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen ${HOST}:${front} ssl;
    ssl_certificate ${folder}/cert.pem;
    ssl_certificate_key ${folder}/key.pem;
    location /live/ {
      proxy_pass http://${HOST}:${back}/rewritten/;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
    }
  }
}
`;
}

describe('behind an ordinary nginx', () => {
  const title = hasNginx ? '' : ' (skipped: there is no nginx here)';
  it.skipIf(!hasNginx)(`a session runs over wss, at a rewritten path${title}`, async () => {
    const { port, ticket } = await serve();
    const front = await startNginx(port);
    const session = await open(ticket(`wss://localhost:${front}/live/x`));
    await echo(session, randomBytes(2_000_000));
    await session.close();
  });
});
