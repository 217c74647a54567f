/** One port for records, HTTP, WebSockets and TLS. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { CarrierError } from '../../src/core/index.js';
import { dialTcp } from '../../src/node/carriers/tcp.js';
import { openUdp } from '../../src/node/carriers/udp.js';
import { dialWs } from '../../src/node/carriers/ws.js';
import { listenTcp } from '../../src/node/listener.js';
import { firstCertificate, secondCertificate } from '../helpers/certificates.js';
import {
  Cleanup,
  echo,
  HOST,
  listenKeeping,
  record,
  Stranger,
  serve,
  startClient,
  until,
} from '../helpers/sockets.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const UPGRADE =
  'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

describe('a listener', () => {
  it('gives records to a TCP carrier, from the first byte on, however they come', async () => {
    const { carriers, port } = await listenKeeping(cleanup);
    const sent = randomBytes(3_000);
    sent[0] = 5;
    for (const cut of [1, 2, 1_500, 3_000]) {
      const { socket } = await new Stranger(cleanup, port).connected();
      socket.write(sent.subarray(0, cut));
      await until(() => carriers.length === 1);
      const [carrier] = carriers.splice(0);
      if (carrier === undefined) expect.fail('no carrier');
      cleanup.add(() => carrier.close());
      expect([carrier.name, carrier.remote]).toEqual(['tcp', `${HOST}:${socket.localPort}`]);
      const heard = record(carrier);
      socket.write(sent.subarray(cut));
      await until(() => heard.bytes.length === sent.length);
      expect(Buffer.compare(heard.bytes, sent)).toBe(0);
    }
  });

  it('one session runs over UDP, TCP, WebSocket and TLS at once', async () => {
    const { ticket, udp, tcpPort, sessions } = await serve(cleanup, { tls: firstCertificate });
    const client = startClient(cleanup, ticket);
    const tls = { ca: firstCertificate.cert };
    client.addPath(await dialWs({ url: `wss://localhost:${tcpPort}/`, tls }));
    await once(client, 'established');
    client.addPath(await dialTcp({ host: HOST, port: tcpPort }));
    client.addPath(await dialWs({ url: `ws://${HOST}:${tcpPort}/x` }));
    client.addPath(await openUdp({ remote: udp.local, localAddress: HOST }), udp.local);
    await until(() => client.paths.filter(({ state }) => state === 'active').length === 4);
    await echo(client, randomBytes(4_000_000));
    const { paths } = client;
    expect(paths.length).toBe(4);
    for (const { statistics } of paths) expect(statistics.receivedPackets).toBeGreaterThan(0);
    await client.close();
    await until(() => sessions[0]?.isClosed === true);
  });

  it('answers web requests like a server that has nothing', async () => {
    const { carriers, port } = await listenKeeping(cleanup, { path: '/hidden' });
    const requests = [
      'GET / HTTP/1.1\r\nHost: h\r\n\r\n',
      'HEAD /roving HTTP/1.0\r\n\r\n',
      'POST /hidden HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody',
      'GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n',
      `GET /elsewhere HTTP/1.1\r\nHost: h\r\n${UPGRADE}\r\n`,
      `GET /hidden/ HTTP/1.1\r\nHost: h\r\n${UPGRADE}\r\n`,
      `GET /hidden HTTP/1.1\r\nHost: h\r\n${UPGRADE.replace('13', '99')}\r\n`,
    ];
    for (const text of requests) {
      const stranger = new Stranger(cleanup, port);
      stranger.socket.write(text);
      const answer = await stranger.closed();
      expect(answer, text).toMatch(/^HTTP\/1\.1 (404 Not Found|400 Bad Request)\r\n/);
      expect(answer, text).toMatch(/\r\nConnection: close\r\n/);
      expect(answer, text).not.toMatch(/roving|websocket|node|express/i);
    }
    const knows = new Stranger(cleanup, port);
    knows.socket.write(`GET /hidden?x=1 HTTP/1.1\r\nHost: h\r\n${UPGRADE}\r\n`);
    await until(() => carriers.length === 1 && knows.received !== '');
    expect(knows.received).toMatch(/^HTTP\/1\.1 101 /);
  });

  it('in TLS, too, and with the certificate of the moment', async () => {
    const { listener, port } = await listenKeeping(cleanup, { tls: firstCertificate });
    for (const { name, cert } of [firstCertificate, secondCertificate]) {
      if (name === secondCertificate.name) listener.setTls(secondCertificate);
      const asked = request({ host: HOST, port, servername: name, ca: cert, agent: false });
      asked.end();
      const [response] = await once(asked, 'response');
      expect(response.statusCode).toBe(404);
      response.resume();
      await once(response, 'close');
    }
    const wrong = connectTls({
      host: HOST,
      port,
      ca: firstCertificate.cert,
      servername: 'localhost',
    });
    const [error] = await once(wrong, 'error');
    expect(error.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    await until(() => listener.statistics.strangers === 0);
  });

  it('does not negotiate TLS again, and speaks no version before 1.2', async () => {
    const { port } = await listenKeeping(cleanup, { tls: firstCertificate });
    const ca = firstCertificate.cert;
    const socket = connectTls({
      host: HOST,
      port,
      ca,
      maxVersion: 'TLSv1.2',
      servername: 'localhost',
    });
    cleanup.add(() => socket.destroy());
    await once(socket, 'secureConnect');
    socket.renegotiate({}, () => undefined);
    const [error] = await once(socket, 'error');
    expect(error.code).toBe('ERR_SSL_NO_RENEGOTIATION');
    const old = connectTls({
      host: HOST,
      port,
      ca,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    await once(old, 'error');
  });

  it('tells why it cannot listen', async () => {
    const { port } = await listenKeeping(cleanup);
    const second = listenTcp({ host: HOST, port, onCarrier: () => undefined });
    await expect(second).rejects.toBeInstanceOf(CarrierError);
    await expect(second).rejects.toHaveProperty('systemCode', 'EADDRINUSE');
    const tls = { key: firstCertificate.key, cert: secondCertificate.cert };
    await expect(listenTcp({ tls, onCarrier: () => undefined })).rejects.toThrow(/key/);
  });

  it('takes IPv4 and IPv6 at one port, and shows both as they are', async () => {
    const { carriers, port } = await listenKeeping(cleanup, { host: '::' });
    for (const host of [HOST, '::1']) {
      const { socket } = await new Stranger(cleanup, port, host).connected();
      socket.write(Buffer.from([0, 1, 2]));
      await until(() => carriers.length === 1);
      const [carrier] = carriers.splice(0);
      const shown = host === HOST ? host : '[::1]';
      expect(carrier?.remote).toBe(`${shown}:${socket.localPort}`);
      expect(carrier?.local).toBe(`${shown}:${port}`);
      carrier?.close();
    }
  });

  it('closes without its carriers, which go on', async () => {
    const { listener, carriers, port } = await listenKeeping(cleanup);
    const stranger = await new Stranger(cleanup, port).connected();
    const { socket } = await new Stranger(cleanup, port).connected();
    socket.write(Buffer.from([0, 1]));
    await until(() => carriers.length === 1 && listener.statistics.strangers === 1);
    await listener.close();
    await stranger.closed();
    const heard = record(carriers[0] ?? expect.fail('no carrier'));
    socket.write(Buffer.from([2]));
    await until(() => heard.bytes.length === 3);
    await expect(dialTcp({ host: HOST, port })).rejects.toBeInstanceOf(CarrierError);
  });
});
