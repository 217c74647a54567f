/** The WebSocket library ws over the streams of a session. */
import { once } from 'node:events';
import http from 'node:http';
import type { createConnection } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { turns, withPair } from '../../helpers/node-pair.js';
import { TestPrng } from '../../helpers/prng.js';

async function withWebSocket(
  action: (client: WebSocket, server: WebSocket) => Promise<void>,
): Promise<void> {
  const server = http.createServer();
  const sockets = new WebSocketServer({ server });
  await withPair({}, async (pair) => {
    pair.server.on('stream', (stream) => server.emit('connection', stream));
    const accepted = once(sockets, 'connection');
    const connect = (() => pair.client.openStream()) as unknown as typeof createConnection;
    const client = new WebSocket('ws://roving/', { createConnection: connect });
    await once(client, 'open');
    const [theirs] = (await accepted) as [WebSocket];
    await action(client, theirs);
    await turns(50);
    expect(pair.client.statistics.streamCount).toBe(0);
  });
  sockets.close();
}

describe('ws over streams', () => {
  it('carries messages, small and large, and a clean close', () =>
    withWebSocket(async (client, server) => {
      server.on('message', (data, isBinary) => server.send(data, { binary: isBinary }));
      const large = Buffer.from(new TestPrng(1).bytes(1_000_000));
      const answers: unknown[] = [];
      const done = new Promise<void>((resolve) => {
        client.on('message', (data, isBinary) => {
          answers.push(isBinary ? Buffer.compare(data as Buffer, large) : data.toString());
          if (answers.length === 3) resolve();
        });
      });
      for (const message of ['first', large, 'last']) client.send(message);
      await done;
      expect(answers).toEqual(['first', 0, 'last']);
      client.close(4_001, 'enough');
      const [code, reason] = (await once(server, 'close')) as [number, Buffer];
      expect([code, reason.toString()]).toEqual([4_001, 'enough']);
      if (client.readyState !== WebSocket.CLOSED) await once(client, 'close');
    }));

  it('hears of an end without a close', () =>
    withWebSocket(async (client, server) => {
      server.on('error', () => undefined);
      client.terminate();
      const [code] = (await once(server, 'close')) as [number];
      expect(code).toBe(1_006);
    }));
});
