/** The ways that the command line names: `--tls-cert`, `--via`, `--path` and `--advertise`. */

import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { formatTicket, parseTicket, writePrivateFile } from '../../src/node/index.js';
import { firstCertificate, secondCertificate } from '../helpers/certificates.js';
import { connectProxy, proxyUrl, socksProxy } from '../helpers/proxies.js';
import { Cleanup, HOST, portOf } from '../helpers/sockets.js';
import { type Served, useBench } from './cli.js';

const bench = useBench();
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface BenchJson {
  paths: { carrier: string; local: string; remote: string; state: string }[];
}

interface StatusJson {
  verb: string;
  sessions: { paths: BenchJson['paths'] }[];
}

/** A short measurement over the ways that the arguments allow. */
async function measure(ticket: string, args: readonly string[], env = {}) {
  const all = ['bench', '--ticket', ticket, '--seconds', '0.2', '--json', ...args];
  const { code, stdout, stderr } = await bench.run(all, { env });
  const paths = code === 0 ? (JSON.parse(stdout) as BenchJson).paths : [];
  return { code, stderr, paths };
}

/** The same key, with another address in its ticket. */
async function withAddress({ ticket }: Served, address: string): Promise<string> {
  const text = readFileSync(ticket, 'utf8').trim();
  const path = bench.path('other.ticket');
  await writePrivateFile(path, formatTicket({ ...parseTicket(text), addresses: [address] }));
  return path;
}

describe('serve --tls-cert', () => {
  const writeCertificate = ({ cert, key }: { cert: string; key: string }): void => {
    for (const [name, text] of Object.entries({ 'cert.pem': cert, 'key.pem': key })) {
      // In one step, as the programs do that renew certificates.
      writeFileSync(bench.path('new.pem'), text, { mode: 0o600 });
      renameSync(bench.path('new.pem'), bench.path(name));
    }
  };

  it('takes wss:// at the same port from those who trust it; SIGHUP reads it again', async () => {
    writeCertificate(firstCertificate);
    const tls = ['--tls-cert', 'cert.pem', '--tls-key', 'key.pem'];
    const served = await bench.serve({ args: tls });
    const ticket = await withAddress(served, `wss://localhost:${portOf(served.address)}/roving`);
    writeFileSync(bench.path('first.pem'), firstCertificate.cert);
    writeFileSync(bench.path('second.pem'), secondCertificate.cert);
    const trust = (name: string) => ({ NODE_EXTRA_CA_CERTS: bench.path(name) });

    const trusting = await measure(ticket, [], trust('first.pem'));
    expect(trusting.stderr).toBe('');
    expect(new Set(trusting.paths.map(({ carrier }) => carrier))).toEqual(new Set(['ws']));
    const other = await measure(ticket, ['--connect-timeout', '3'], trust('second.pem'));
    expect(other.code).toBe(69);
    expect(other.stderr).toMatch(/certificate/);

    writeCertificate(secondCertificate);
    served.server.child.kill('SIGHUP');
    await served.server.says(/certificate read again/);
    expect((await measure(ticket, [], trust('second.pem'))).code).toBe(0);
    // Whoever needs no certificate comes as before.
    expect((await measure(served.ticket, ['--carrier', 'tcp'])).code).toBe(0);
  });
});

describe('roving serve tells at once that', () => {
  it('a certificate is none, with 78 and its name', async () => {
    for (const name of ['bad.pem', 'key.pem'])
      writeFileSync(bench.path(name), 'x', { mode: 0o600 });
    const args = [
      'serve',
      '--listen',
      `${HOST}:0`,
      '--tls-cert',
      'bad.pem',
      '--tls-key',
      'key.pem',
    ];
    const { code, stderr } = await bench.run(args);
    expect({ code, stderr }).toEqual({
      code: 78,
      stderr: expect.stringMatching(/^roving: bad\.pem and key\.pem [^\n]+\n$/),
    });
  });

  it.each([
    ['there are too many addresses', Array.from({ length: 17 }, (_, i) => `10.0.0.${i}:1`)],
    ['an address is too long', [`wss://example.org/${'x'.repeat(255)}`]],
  ])('%s to advertise, with 64', async (_what, addresses) => {
    const advertised = addresses.flatMap((address) => ['--advertise', address]);
    const { code } = await bench.run(['serve', '--listen', `${HOST}:0`, ...advertised]);
    expect(code).toBe(64);
  });
});

describe('--via', () => {
  it('T45: refuses a password in the arguments, and does not repeat it', async () => {
    const via = ['--via', 'http://me:s3cret@127.0.0.1:9'];
    const { code, stderr } = await bench.run(['bench', '--ticket', 'none', ...via]);
    expect(code).toBe(64);
    expect(stderr).toContain('ALL_PROXY');
    expect(stderr).not.toContain('s3cret');
  });

  it.each([
    ['http', connectProxy],
    ['socks5', socksProxy],
  ] as const)('leads all paths through a proxy: %s', async (scheme, start) => {
    const proxy = await start(cleanup);
    const served = await bench.serve();
    const { code, paths } = await measure(served.ticket, ['--via', proxyUrl(scheme, proxy)]);
    expect(code).toBe(0);
    expect(new Set(proxy.asked)).toEqual(new Set([served.address]));
    expect(paths.map(({ carrier }) => carrier)).not.toContain('udp');
    expect(proxy.asked.length).toBeGreaterThanOrEqual(paths.length);
  });

  it('refuses what is no proxy', async () => {
    const { code, stderr } = await measure('laptop.ticket', ['--via', 'ftp://localhost:21']);
    expect(code).toBe(64);
    expect(stderr).toContain('socks5://');
  });
});

describe('--path', () => {
  it('uses the named addresses and interfaces, and no other', async () => {
    const { ticket } = await bench.serve();
    const two = await measure(ticket, ['--path', '127.0.0.3', '--path', '127.0.0.4']);
    const hosts = two.paths.map(({ local }) => local.slice(0, local.lastIndexOf(':')));
    expect(new Set(hosts)).toEqual(new Set(['127.0.0.3', '127.0.0.4']));
    expect((await measure(ticket, ['--path', HOST])).code).toBe(0);
  });

  it('says so when none of them leads to the server', async () => {
    const { ticket } = await bench.serve();
    const nowhere = await measure(ticket, ['--path', '203.0.113.7', '--connect-timeout', '1']);
    expect(nowhere.code).toBe(69);
    expect(nowhere.stderr).toContain('no local address can reach');
    expect(nowhere.stderr).toContain('with --path 203.0.113.7');
  });
});

/** A way to a server that is known later: what it is asked before is let go. */
async function way(host: string): Promise<{ address: string; leadsTo(port: number): void }> {
  let port = 0;
  const front = createServer({ allowHalfOpen: true }, (near) => {
    cleanup.add(() => near.destroy());
    const far = connect({ port, host: HOST, allowHalfOpen: true });
    cleanup.add(() => far.destroy());
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.pipe(far).pipe(near);
  }).listen(0, host);
  cleanup.add(() => front.close());
  await once(front, 'listening');
  const bound = front.address();
  const at = typeof bound === 'object' && bound !== null ? bound.port : 0;
  return {
    address: `${host}:${at}`,
    leadsTo: (to) => {
      port = to;
    },
  };
}

describe('serve --advertise', () => {
  it('tells clients of an address that their tickets do not have, and they join there', async () => {
    const second = await way('127.0.0.2');
    const served = await bench.serve({ allow: 'forward', args: ['--advertise', second.address] });
    second.leadsTo(portOf(served.address));
    const args = ['--ticket', served.ticket, '--carrier', 'tcp', '-D', '127.0.0.1:0'];
    const forward = bench.start(['forward', ...args, '--log-level', 'debug']);
    await forward.says(/^ready/m);
    const remotes = async (): Promise<(string | undefined)[]> => {
      const { stdout } = await bench.call(['status', '--json']);
      const { running } = JSON.parse(stdout) as { running: StatusJson[] };
      const found = running.find(({ verb }) => verb === 'forward');
      const paths = found?.sessions[0]?.paths ?? [];
      return paths.filter(({ state }) => state === 'active').map(({ remote }) => remote);
    };
    let seen = await remotes();
    while (!seen.includes(second.address)) seen = await remotes();
    expect(new Set(seen)).toEqual(new Set([served.address, second.address]));
  });

  it('refuses what nobody could join at', async () => {
    for (const address of ['127.0.0.2:0', 'http://server.example/']) {
      const args = ['serve', '--keys', 'keys.json', '--advertise', address];
      const { code, stderr } = await bench.call(args);
      expect(code).toBe(64);
      expect(stderr).toContain('--advertise');
    }
  });
});
