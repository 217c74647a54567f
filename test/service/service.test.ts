import { describe, expect, it } from 'vitest';
import {
  encodeMessage,
  grantArguments,
  MAX_MESSAGE_BYTES,
  openService,
  type Service,
  ServiceError,
  ServiceHost,
} from '../../src/service/index.js';
import { collect, withPair } from '../helpers/node-pair.js';

const ECHO: Service = {
  name: 'echo',
  handle({ accept, request }) {
    const stream = accept({ heard: request['word'] });
    stream.pipe(stream);
  },
};
const LOCKED: Service = { name: 'locked', grant: 'forward', handle: ({ accept }) => void accept() };
const BROKEN: Service = {
  name: 'broken',
  handle() {
    throw Object.assign(new Error('nobody listens there'), { code: 'ECONNREFUSED' });
  },
};
const HOST = new ServiceHost([ECHO, LOCKED, BROKEN]);

describe('a service', () => {
  it('gets the stream after it has accepted the request', () =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, []);
      const { stream, answer } = await openService(client, { service: 'echo', word: 'hi' });
      expect(answer['heard']).toBe('hi');
      stream.end('and now the bytes');
      expect((await collect(stream)).toString()).toBe('and now the bytes');
    }));

  it.each([
    ['locked', 'ERR_SERVICE_DENIED', undefined],
    ['nonsense', 'ERR_SERVICE_UNKNOWN', undefined],
    ['broken', 'ERR_SERVICE_FAILED', 'ECONNREFUSED'],
  ])('%s is refused with %s', (service, code, systemCode) =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, ['files:/srv']);
      const expected = { code, ...(systemCode === undefined ? {} : { systemCode }) };
      await expect(openService(client, { service })).rejects.toMatchObject(expected);
    }),
  );

  it('that needs a grant is there for keys that have it', () =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, ['forward']);
      const { answer } = await openService(client, { service: 'locked' });
      expect(answer['ok']).toBe(true);
    }));

  it.each([
    ['not JSON', Buffer.from([0, 0, 0, 1, 0x7b])],
    ['no object', Buffer.from([0, 0, 0, 1, 0x31])],
    ['too long', Buffer.from([0xff, 0xff, 0xff, 0xff])],
  ])('is not asked by a message that is %s', (_what, bytes) =>
    withPair({}, async ({ client, server }) => {
      HOST.attach(server, []);
      const stream = client.openStream();
      stream.end(bytes);
      const answer = await collect(stream);
      expect(answer.toString()).toContain('ERR_SERVICE_MESSAGE');
    }),
  );

  it('refuses to send a message that would be refused', () => {
    const message = { text: 'x'.repeat(MAX_MESSAGE_BYTES) };
    expect(() => encodeMessage(message)).toThrow(ServiceError);
  });
});

describe('grants', () => {
  it('are of a kind and may have an argument each', () => {
    const grants = ['forward', 'files:/srv', 'files:/tmp'];
    expect(grantArguments(grants, 'files')).toEqual(['/srv', '/tmp']);
    expect(grantArguments(grants, 'forward')).toEqual(['']);
    expect(grantArguments(grants, 'shell')).toBeUndefined();
    expect(grantArguments(['forwarding'], 'forward')).toBeUndefined();
  });
});
