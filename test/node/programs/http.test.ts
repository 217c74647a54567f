/** Node's own http and https over the streams of a session. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import type { InMemoryPair, RovingStream } from '../../../src/node/index.js';
import { selfSigned } from '../../helpers/certificate.js';
import { collect, turns, withPair } from '../../helpers/node-pair.js';
import { TestPrng } from '../../helpers/prng.js';

/** An agent whose connections are streams of the session. */
function agentOver({ client }: InMemoryPair, options: http.AgentOptions = {}) {
  const opened: RovingStream[] = [];
  const agent = new http.Agent(options);
  agent.createConnection = () => {
    const stream = client.openStream({ allowHalfOpen: false });
    opened.push(stream);
    return stream;
  };
  return { agent, opened };
}

/** Serves what comes in over the session until the action is over. */
async function withServer(
  handler: http.RequestListener,
  action: (pair: InMemoryPair, server: http.Server) => Promise<void>,
): Promise<void> {
  const server = http.createServer(handler);
  await withPair({}, async (pair) => {
    pair.server.on('stream', (stream) => server.emit('connection', stream));
    await action(pair, server);
  });
}

async function answerTo(request: http.ClientRequest): Promise<http.IncomingMessage> {
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return response;
}

async function get(agent: http.Agent, path: string): Promise<string> {
  return text(await answerTo(http.get({ agent, host: 'roving', path })));
}

const echo: http.RequestListener = (request, response) => {
  response.setHeader('x-remote', String(request.socket.remoteAddress));
  request.pipe(response);
};

describe('http over streams', () => {
  it('works with createConnection of a single request', () =>
    withServer(
      (_request, response) => response.end('hello'),
      async ({ client }) => {
        const request = http.get({ host: 'roving', createConnection: () => client.openStream() });
        const response = await answerTo(request);
        expect([response.statusCode, await text(response)]).toEqual([200, 'hello']);
      },
    ));

  it('carries large bodies both ways at once', () =>
    withServer(echo, async (pair) => {
      const { agent } = agentOver(pair);
      const body = Buffer.from(new TestPrng(1).bytes(4_000_000));
      const request = http.request({ agent, host: 'roving', method: 'POST' });
      request.end(body);
      const response = await answerTo(request);
      expect((await buffer(response)).equals(body)).toBe(true);
      expect(response.headers['x-remote']).toMatch(/^memory\d-client$/);
    }));

  it('carries a hundred requests at once over ten connections that are kept alive', () =>
    withServer(
      (request, response) => response.end(`answer to ${request.url}`),
      async (pair) => {
        const { agent, opened } = agentOver(pair, { keepAlive: true, maxSockets: 10 });
        const paths = Array.from({ length: 100 }, (_, i) => `/${i}`);
        const answers = await Promise.all(paths.map((path) => get(agent, path)));
        expect(answers).toEqual(paths.map((path) => `answer to ${path}`));
        expect(opened.length).toBe(10);
        await turns(5);
        expect(opened.every((stream) => !stream.destroyed)).toBe(true);
        agent.destroy();
        await turns(50);
        expect(pair.server.statistics.streamCount).toBe(0);
      },
    ));

  it('carries a hundred requests at once, each over a connection of its own', () =>
    withServer(
      (request, response) => response.end(`answer to ${request.url}`),
      async (pair) => {
        const { agent, opened } = agentOver(pair);
        const paths = Array.from({ length: 100 }, (_, i) => `/${i}`);
        const answers = await Promise.all(paths.map((path) => get(agent, path)));
        expect(answers).toEqual(paths.map((path) => `answer to ${path}`));
        expect(opened.length).toBe(100);
        await turns(50);
        expect([
          opened.every((one) => one.closed),
          opened.every((one) => one.errored === null),
        ]).toEqual([true, true]);
        expect(pair.client.statistics.streamCount).toBe(0);
      },
    ));

  it.each(['destroySoon', 'destroy'] as const)(
    'opens a new connection when the server has closed one that was kept alive, by %s',
    (close) =>
      withServer(
        (request, response) => response.end(request.url),
        async (pair) => {
          const accepted: RovingStream[] = [];
          pair.server.on('stream', (stream) => accepted.push(stream));
          const { agent, opened } = agentOver(pair, { keepAlive: true });
          expect(await get(agent, '/first')).toBe('/first');
          await turns(5);
          accepted[0]?.[close]();
          await turns(50);
          expect(opened.map((stream) => stream.closed)).toEqual([true]);
          expect(await get(agent, '/second')).toBe('/second');
          expect(opened.length).toBe(2);
          agent.destroy();
        },
      ),
  );

  it('tells the server of an aborted request, and the client of an aborted answer', () =>
    withServer(
      (_request, response) => response.write('x'.repeat(10_000)),
      async (pair, server) => {
        const { agent } = agentOver(pair);
        const aborted = new Promise((resolve) => {
          server.once('request', (request) => request.once('close', resolve));
        });
        const request = http.get({ agent, host: 'roving' }).on('error', () => undefined);
        const failed = new Promise((resolve) => request.once('close', resolve));
        (await answerTo(request)).on('error', () => undefined);
        request.destroy();
        await Promise.all([aborted, failed]);
        const giveUp = once(server, 'request');
        const second = http.get({ agent, host: 'roving' });
        const response = await answerTo(second);
        const codes: unknown[] = [];
        second.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code));
        const [, theirs] = (await giveUp) as [unknown, http.ServerResponse];
        theirs.destroy();
        await expect(text(response)).rejects.toMatchObject({ code: 'ECONNRESET' });
        expect(codes).toEqual(['ERR_STREAM_RESET']);
      },
    ));

  it('answers a client that ends its side with the request', () =>
    withServer(
      (_request, response) => setImmediate(() => response.end('late')),
      async ({ client }, server) => {
        // As with a TCP socket, the server answers only if it is told to (`httpAllowHalfOpen`).
        (server as http.Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
        const stream = client.openStream();
        stream.end('GET / HTTP/1.0\r\nHost: roving\r\n\r\n');
        expect((await collect(stream)).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*late$/);
        await turns(5);
        expect([stream.closed, stream.errored]).toEqual([true, null]);
      },
    ));

  it('ends a connection on the timeout of the server', () =>
    withServer(echo, async (pair, server) => {
      server.setTimeout(1);
      const request = http.request({ agent: agentOver(pair).agent, host: 'roving', method: 'PUT' });
      request.write('and then nothing more');
      const [error] = (await once(request, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).toMatch(/^(ECONNRESET|ERR_STREAM_RESET)$/);
    }));

  it('upgrades a connection', () =>
    withServer(echo, async (pair, server) => {
      server.on('upgrade', (_request, socket: Duplex) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\n');
        socket.write('Connection: upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.pipe(socket);
      });
      const headers = { connection: 'upgrade', upgrade: 'echo' };
      const request = http.get({ agent: agentOver(pair).agent, host: 'roving', headers });
      const [, socket] = (await once(request, 'upgrade')) as [unknown, RovingStream];
      socket.end('over the raw stream');
      expect(await text(socket)).toBe('over the raw stream');
    }));
});

describe('https over streams', () => {
  it('works with tls in between, and keeps connections alive', async () => {
    const certificate = selfSigned('roving.test');
    const server = https.createServer(certificate, echo);
    await withPair({}, async ({ client, server: session }) => {
      session.on('stream', (stream) => server.emit('connection', stream));
      let connections = 0;
      const agent = new https.Agent({ keepAlive: true, maxSockets: 2, ca: certificate.cert });
      agent.createConnection = (options) => {
        connections += 1;
        const socket = client.openStream({ allowHalfOpen: false });
        return tls.connect({ ...(options as tls.ConnectionOptions), socket });
      };
      const body = Buffer.from(new TestPrng(2).bytes(60_000));
      const post = async (): Promise<Buffer> => {
        const request = https.request({ agent, host: 'roving.test', method: 'POST' });
        request.end(body);
        return buffer(await answerTo(request));
      };
      const answers = await Promise.all(Array.from({ length: 6 }, post));
      expect(answers.every((answer) => answer.equals(body))).toBe(true);
      expect(connections).toBe(2);
      agent.destroy();
    });
  });
});
