/** WebSocket carriers over real sockets of the loopback interface. */
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { CarrierError, InvariantError } from '../../src/core/index.js';
import type { Carrier } from '../../src/node/carriers/carrier.js';
import {
  dialWs,
  WS_BUFFER_BYTES,
  WS_MAX_MESSAGE_BYTES,
  type WsCarrier,
} from '../../src/node/carriers/ws.js';
import { carrierConformance } from '../conformance/carrier.js';
import { firstCertificate, secondCertificate } from '../helpers/certificates.js';
import { turns } from '../helpers/node-pair.js';
import { Cleanup, HOST, listenKeeping, listenPlain, record, until } from '../helpers/sockets.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function pairOver(scheme: 'ws' | 'wss'): Promise<{ client: WsCarrier; server: Carrier }> {
  const tls = scheme === 'wss' ? { tls: firstCertificate } : {};
  const { carriers, port } = await listenKeeping(cleanup, tls);
  const url = `${scheme}://${HOST}:${port}/any/path?query`;
  const client = await dialWs({ url, tls: { ca: firstCertificate.cert } });
  cleanup.add(() => client.close());
  await until(() => carriers.length === 1, 'the server to have it');
  return { client, server: carriers[0] as Carrier };
}

for (const scheme of ['ws', 'wss'] as const) {
  carrierConformance(`${scheme}, dialled to accepted`, async () => {
    const { client, server } = await pairOver(scheme);
    return { a: client, b: server };
  });
  carrierConformance(`${scheme}, accepted to dialled`, async () => {
    const { client, server } = await pairOver(scheme);
    return { a: server, b: client };
  });
}

/** A WebSocket that is not a carrier, at a server that gives one. */
async function rawClient(): Promise<{ socket: WebSocket; server: Carrier }> {
  const { carriers, port } = await listenKeeping(cleanup);
  const socket = new WebSocket(`ws://${HOST}:${port}/`, { perMessageDeflate: true });
  socket.on('error', () => undefined);
  cleanup.add(() => socket.terminate());
  await until(() => carriers.length === 1 && socket.readyState === WebSocket.OPEN);
  return { socket, server: carriers[0] as Carrier };
}

describe('ws carriers', () => {
  it('know both ends, and say what they are', async () => {
    const { client, server } = await pairOver('ws');
    expect([client.name, client.kind, server.name]).toEqual(['ws', 'stream', 'ws']);
    expect(client.local).toBe(server.remote);
    expect(client.remote).toBe(server.local);
  });

  it('ask for no more than their buffer, while the other end reads nothing', async () => {
    const { client, server } = await pairOver('ws');
    let granted = 0;
    let total = 0;
    client.open({
      onReceive: () => undefined,
      onWritable: (bytes) => {
        granted += bytes;
        total += bytes;
      },
      onClosed: () => undefined,
    });
    let idleTurns = 0;
    while (idleTurns < 200) {
      await turns(1);
      idleTurns = granted === 0 ? idleTurns + 1 : 0;
      if (granted === 0) continue;
      client.send([new Uint8Array(granted)]);
      granted = 0;
    }
    expect(client.bufferedBytes).toBeLessThanOrEqual(WS_BUFFER_BYTES + WS_BUFFER_BYTES / 64);
    expect(() => client.send([new Uint8Array(WS_BUFFER_BYTES + 1)])).toThrow(InvariantError);
    const heard = record(server);
    await until(() => granted > 0, 'room again');
    expect(total).toBeGreaterThan(WS_BUFFER_BYTES);
    expect(heard.closed).toEqual([]);
  });

  it('a message that is too long costs the carrier, before it is held', async () => {
    const { socket, server } = await rawClient();
    const heard = record(server);
    socket.send(Buffer.alloc(WS_MAX_MESSAGE_BYTES));
    await until(() => heard.bytes.length === WS_MAX_MESSAGE_BYTES);
    socket.send(Buffer.alloc(WS_MAX_MESSAGE_BYTES + 1));
    await until(() => heard.closed.length === 1);
    expect(heard.closed[0]).toBeInstanceOf(CarrierError);
    expect(heard.bytes.length).toBe(WS_MAX_MESSAGE_BYTES);
  });

  it('text, and too many fragments, cost the carrier', async () => {
    for (const send of [
      (socket: WebSocket) => socket.send('text'),
      (socket: WebSocket) => {
        for (let i = 0; i < 100; i++) socket.send(Buffer.alloc(1), { fin: false });
      },
    ]) {
      const { socket, server } = await rawClient();
      const heard = record(server);
      send(socket);
      await until(() => heard.closed.length === 1);
      expect(heard.closed[0]).toBeInstanceOf(CarrierError);
      expect(heard.bytes.length).toBe(0);
    }
  });

  it('a cut connection is an error, a farewell is none', async () => {
    const cut = await rawClient();
    const first = record(cut.server);
    cut.socket.terminate();
    await until(() => first.closed.length === 1);
    expect(first.closed[0]).toBeInstanceOf(CarrierError);
    const closed = await rawClient();
    const second = record(closed.server);
    closed.socket.close();
    await until(() => second.closed.length === 1);
    expect(second.closed).toEqual([undefined]);
  });

  it('compress nothing, though the other end offers to', async () => {
    const { socket } = await rawClient();
    expect(socket.extensions).toBe('');
  });

  it('mask what goes over plain HTTP, and nothing in TLS', async () => {
    const seen: Buffer[] = [];
    for (const scheme of ['ws', 'wss'] as const) {
      const http = createServer();
      const server = new WebSocketServer({ noServer: true });
      http.on('upgrade', (request, socket, head) => {
        server.handleUpgrade(request, socket, head, (accepted) => {
          cleanup.add(() => accepted.terminate());
          // Before the server takes the mask off.
          socket.prependListener('data', (bytes: Buffer) => seen.push(Buffer.from(bytes)));
        });
      });
      const { TLSSocket, createSecureContext } = await import('node:tls');
      const secureContext = createSecureContext(firstCertificate);
      const port = await listenPlain(cleanup, (socket) => {
        const inner =
          scheme === 'ws' ? socket : new TLSSocket(socket, { isServer: true, secureContext });
        http.emit('connection', inner);
      });
      const url = `${scheme}://${HOST}:${port}`;
      const client = await dialWs({ url, tls: { ca: firstCertificate.cert } });
      cleanup.add(() => client.close());
      let credit = 0;
      client.open({
        onReceive: () => undefined,
        onWritable: (bytes) => (credit += bytes),
        onClosed: () => undefined,
      });
      await until(() => credit > 0);
      const before = seen.length;
      client.send([new Uint8Array(64).fill(7)]);
      await until(() => seen.length > before);
      const frame = seen[before] ?? Buffer.alloc(0);
      const isPlain = frame.includes(Buffer.alloc(64, 7));
      expect(isPlain).toBe(scheme === 'wss');
    }
  });
});

describe('dialling a WebSocket', () => {
  it('trusts whom it is told to, and nobody else', async () => {
    const { port, listener } = await listenKeeping(cleanup, { tls: firstCertificate });
    const url = `wss://localhost:${port}/`;
    await expect(dialWs({ url })).rejects.toBeInstanceOf(CarrierError);
    const tls = { ca: secondCertificate.cert };
    await expect(dialWs({ url, tls })).rejects.toBeInstanceOf(CarrierError);
    // A new certificate holds for those who come after it.
    listener.setTls(secondCertificate);
    const client = await dialWs({ url, tls });
    cleanup.add(() => client.close());
    expect(() => listener.setTls({ key: 'none', cert: 'none' })).toThrow();
    const again = await dialWs({ url, tls, address: HOST });
    cleanup.add(() => again.close());
  });

  it('an address stands in for the look-up, and the name stays', async () => {
    const hosts: (string | undefined)[] = [];
    const http = createServer();
    http.on('upgrade', ({ headers }, socket) => {
      hosts.push(headers.host);
      socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n');
    });
    const port = await listenPlain(cleanup, (socket) => http.emit('connection', socket));
    const url = `ws://nowhere.invalid:${port}/path`;
    await expect(dialWs({ url, address: HOST })).rejects.toThrow(/503/);
    expect(hosts).toEqual([`nowhere.invalid:${port}`]);
  });

  it('tells what went wrong, without the path, which may be a secret', async () => {
    const limits = { strangerTimeoutMs: 100 };
    const { port } = await listenKeeping(cleanup, { path: '/here', limits });
    for (const [url, pattern] of [
      ['http://h/p', /wss:\/\/HOST\/PATH/],
      ['nonsense-secret', /wss:\/\/HOST\/PATH/],
      [`ws://${HOST}:${port}/secret`, /404/],
      [`wss://${HOST}:${port}/secret`, /./],
      [`ws://${HOST}:1/secret`, /ECONNREFUSED/],
    ] as const) {
      const failed = dialWs({ url });
      await expect(failed, url).rejects.toBeInstanceOf(CarrierError);
      await expect(failed, url).rejects.toThrow(pattern);
      await expect(failed, url).rejects.not.toThrow(/secret/);
    }
    await expect(dialWs({ url: `ws://${HOST}:1/` })).rejects.toHaveProperty(
      'systemCode',
      'ECONNREFUSED',
    );
    const client = await dialWs({ url: `ws://${HOST}:${port}/here?x` });
    client.close();
  });

  it('ends with the signal, or with its time, and leaves nothing open', async () => {
    const sockets: Socket[] = [];
    const port = await listenPlain(cleanup, (socket) => sockets.push(socket.resume()));
    const url = `ws://${HOST}:${port}/`;
    const controller = new AbortController();
    const aborted = dialWs({ url, signal: controller.signal });
    await until(() => sockets.length === 1);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(dialWs({ url, signal: controller.signal })).rejects.toThrow('enough');
    const late = dialWs({ url, timeoutMs: 20 });
    await expect(late).rejects.toHaveProperty('systemCode', 'ETIMEDOUT');
    await until(() => sockets.every((socket) => socket.destroyed));
  });
});
