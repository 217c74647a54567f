// Ways to join two processes on the loopback interface: plain net, node:tls 1.3, and a session over
// one TCP path. Each gives both ends a Duplex, so that the same program runs over all of them.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tls from 'node:tls';
import { Driver, dialTcp, KeyRing, nodeCrypto, RovingSession, TcpCarrier } from 'roving';

const HOST = '127.0.0.1';
const TLS = { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_256_GCM_SHA384' };
const random = (length) => new Uint8Array(randomBytes(length));

/** A certificate of our own for one run. */
function certificate() {
  const folder = mkdtempSync(join(tmpdir(), 'roving-bench-'));
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-days', '2', '-nodes'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    const files = ['-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...files], { stdio: 'ignore' });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function port(server) {
  await new Promise((resolve) => server.listen(0, HOST, resolve));
  return server.address().port;
}

/** The crypto provider that a kind asks for: `roving/node`, `roving/native`. */
async function provider(kind) {
  if (!kind.includes('/')) return undefined;
  if (kind.endsWith('/node')) return nodeCrypto;
  const { nativeCrypto } = await import('roving');
  const native = nativeCrypto();
  if (native === undefined) throw new Error('there is no native sealing here');
  return native;
}

/** Options of sessions for a kind, as few as possible. */
async function driverOptions(kind) {
  const crypto = await provider(kind);
  return crypto === undefined ? {} : { crypto };
}

/**
 * Listens; `onStream` gets a Duplex for each stream that the other process opens.
 *
 * @returns what the other process has to know.
 */
export async function listen(kind, onStream) {
  if (kind === 'net') {
    const server = createServer({ noDelay: true }, onStream);
    return { port: await port(server) };
  }
  if (kind === 'tls') {
    const server = tls.createServer({ ...certificate(), ...TLS }, (socket) => {
      socket.setNoDelay(true);
      onStream(socket);
    });
    return { port: await port(server) };
  }
  const keyRing = new KeyRing(random(32), random(32));
  const ticket = { keyId: random(8), secret: random(32), doorKey: keyRing.doorKey, addresses: [] };
  keyRing.add({ ...ticket, name: 'benchmark', grants: [] });
  const driver = new Driver({
    ...(await driverOptions(kind)),
    keyRing,
    onAccepted: (core) => new RovingSession(driver, core).on('stream', onStream),
  });
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    driver.addCarrier(new TcpCarrier(socket));
  });
  const hex = Object.fromEntries(
    ['keyId', 'secret', 'doorKey'].map((name) => [name, Buffer.from(ticket[name]).toString('hex')]),
  );
  return { port: await port(server), ticket: hex };
}

/** @returns a Duplex to the process that listens. */
export async function dial(kind, address) {
  if (kind === 'net') {
    const socket = connect({ host: HOST, port: address.port, noDelay: true });
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  }
  if (kind === 'tls') {
    const options = { host: HOST, port: address.port, rejectUnauthorized: false, ...TLS };
    const socket = tls.connect(options);
    socket.setNoDelay(true);
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    return socket;
  }
  const session = await dialSession(kind, address);
  // `BENCH_STATISTICS=1`: what the path has measured, in the end.
  if (process.env.BENCH_STATISTICS !== undefined) {
    process.on('exit', () => console.log(session.paths.map(({ statistics }) => statistics)));
  }
  return session.openStream();
}

/** @returns an established session over one TCP path. */
export async function dialSession(kind, address) {
  const ticket = { addresses: [] };
  for (const [name, hex] of Object.entries(address.ticket)) {
    ticket[name] = new Uint8Array(Buffer.from(hex, 'hex'));
  }
  const driver = new Driver(await driverOptions(kind));
  const core = driver.command((endpoint, now) => endpoint.connect(ticket, {}, now));
  const session = new RovingSession(driver, core);
  const established = new Promise((resolve, reject) => {
    session.once('established', resolve);
    session.once('close', reject);
  });
  session.addPath(await dialTcp({ host: HOST, port: address.port }));
  await established;
  return session;
}
