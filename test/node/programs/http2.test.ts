/** Node's own http2 over the streams of a session, in clear and over tls. */
import { once } from 'node:events';
import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import type { RovingStream } from '../../../src/node/index.js';
import { selfSigned } from '../../helpers/certificate.js';
import { turns, withPair } from '../../helpers/node-pair.js';
import { TestPrng } from '../../helpers/prng.js';

const certificate = selfSigned('roving.test');

function echo(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  stream.respond({ ':status': 200, path: headers[':path'] ?? '' });
  stream.on('error', () => undefined);
  stream.pipe(stream);
}

const kinds = {
  'in clear': {
    server: () => http2.createServer(),
    connect: (stream: RovingStream): Duplex => stream,
    url: 'http://roving.test',
  },
  'over tls': {
    server: () => http2.createSecureServer(certificate),
    connect: (socket: RovingStream): Duplex =>
      tls.connect({ socket, ca: certificate.cert, ALPNProtocols: ['h2'], host: 'roving.test' }),
    url: 'https://roving.test',
  },
};

describe.each(Object.entries(kinds))('http2 over streams, %s', (_name, kind) => {
  async function withHttp2(action: (session: http2.ClientHttp2Session) => Promise<void>) {
    const server = kind.server().on('stream', echo);
    await withPair({}, async (pair) => {
      pair.server.on('stream', (stream) => server.emit('connection', stream));
      const createConnection = (): Duplex => kind.connect(pair.client.openStream());
      const session = http2.connect(kind.url, { createConnection });
      session.on('error', () => undefined);
      try {
        await action(session);
        session.close();
        await once(session, 'close');
        await turns(50);
        expect(pair.client.statistics.streamCount).toBe(0);
      } finally {
        session.destroy();
      }
    });
  }

  it('carries a hundred requests at once', () =>
    withHttp2(async (session) => {
      const answers = Array.from({ length: 100 }, async (_, i) => {
        const request = session.request({ ':method': 'POST', ':path': `/${i}` });
        request.end(`body ${i}`);
        return text(request);
      });
      expect(await Promise.all(answers)).toEqual(answers.map((_, i) => `body ${i}`));
    }));

  it('carries large bodies both ways at once, beside a request that is aborted', () =>
    withHttp2(async (session) => {
      const body = Buffer.from(new TestPrng(3).bytes(2_000_000));
      const aborted = session.request({ ':method': 'POST', ':path': '/aborted' });
      aborted.on('error', () => undefined);
      aborted.write(body);
      const request = session.request({ ':method': 'POST', ':path': '/whole' });
      request.end(body);
      await once(aborted, 'response');
      aborted.close(http2.constants.NGHTTP2_CANCEL);
      expect((await buffer(request)).equals(body)).toBe(true);
    }));
});
