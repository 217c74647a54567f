/** A malicious other end of a copy gets nothing, and what it may have running is bounded. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copyFromRemote, copyToRemote, filesService } from '../../src/copy/index.js';
import { type CopyRecord, RecordReader, RecordWriter } from '../../src/copy/records.js';
import type { RovingSession, RovingStream } from '../../src/node/index.js';
import { openService, type Service, ServiceHost } from '../../src/service/index.js';
import { closed, withPair } from '../helpers/node-pair.js';
import { type CopyRig, withCopyRig } from './rig.js';

type Message = Readonly<Record<string, unknown>>;

const PLAIN = { mode: 0o644, accessed: 0, modified: 0 };
const hash = (text: string) => createHash('sha256').update(text).digest('hex');
const base64 = (text: string) => Buffer.from(text).toString('base64');
const file = (more: Message): Message => ({
  ...{ type: 'file', id: 0, name: base64('a'), size: 1, version: '1' },
  ...{ ...PLAIN, ...more },
});

/** Opens an upload, and speaks for itself from then on. */
async function rogueUpload(client: RovingSession) {
  const request = { service: 'files', operation: 'put', destination: '' };
  const { stream } = await openService(client, request);
  stream.on('error', () => undefined);
  return { stream, reader: new RecordReader(stream), writer: new RecordWriter(stream) };
}

async function messagesOf(reader: RecordReader, count: number): Promise<Message[]> {
  const found: Message[] = [];
  while (found.length < count) {
    const record: CopyRecord | undefined = await reader.next();
    if (record?.kind !== 'message') break;
    found.push(record.value);
  }
  return found;
}

describe('a sender that breaks the rules', () => {
  const OFFENCES: [string, (Message | string)[]][] = [
    ['content of nothing', ['content']],
    ['ids that are not in order', [file({ id: 1 })]],
    ['an id twice', [file({}), file({})]],
    ['a folder that there is not', [file({ parent: 7 })]],
    ['a size below zero', [file({ size: -1 })]],
    ['a size that is no number', [file({ size: '1' })]],
    ['a time without end', [file({ modified: 1e300 })]],
    ['more bits than permissions', [file({ mode: 0o4755 })]],
    ['a type that there is not', [{ type: 'rename' }]],
    ['no type', [{}]],
    ['content that was not asked for', [{ type: 'start', id: 0, offset: 0 }]],
    ['the end of a file that never began', [file({}), { type: 'finish', id: 0, hash: hash('') }]],
    ['a start beyond what is there', [file({}), { type: 'start', id: 0, offset: 1 }]],
    ['an end before all is answered', [file({}), { type: 'end' }]],
    ['the end of no folder', [{ type: 'leave', id: 0 }]],
    ['more content than announced', [file({}), { type: 'start', id: 0, offset: 0 }, 'content']],
  ];

  it.each(OFFENCES)('is cut off: %s', (_what, messages) =>
    withCopyRig(async ({ client, served }) => {
      const { stream, reader, writer } = await rogueUpload(client);
      const gone = closed(stream);
      for (const message of messages) {
        if (typeof message === 'string')
          writer.content(Buffer.from('content')).catch(() => undefined);
        else writer.message(message);
        if (message === messages[0] && messages.length > 1) await messagesOf(reader, 1);
      }
      await gone;
      expect(readdirSync(served)).toEqual([]);
    }),
  );

  it('is cut off: a record of a kind or length that there is not', () =>
    withCopyRig(async ({ client }) => {
      for (const bytes of [
        [9, 0, 0, 1, 0],
        [1, 0xff, 0xff, 0xff],
        [2, 0, 0, 0],
        [2, 0xff, 0xff, 0xff],
      ]) {
        const { stream } = await rogueUpload(client);
        const gone = closed(stream);
        stream.write(Buffer.from(bytes));
        await gone;
      }
    }));

  it('is cut off when it announces without end', () =>
    withCopyRig(async ({ client }) => {
      const { stream, writer } = await rogueUpload(client);
      const gone = closed(stream);
      for (let id = 0; id < 9_000 && !stream.destroyed; id += 1) {
        writer.message(file({ id, name: base64(`f${id}`) }));
        if (id % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await gone;
    }));

  it.each(['', '.', '..', '../up', '/etc/x', 'a/b', 'a\0b'])('cannot use the name %j', (name) =>
    withCopyRig(async ({ client, base, served }) => {
      const { stream, reader, writer } = await rogueUpload(client);
      writer.message(file({ name: base64(name) }));
      expect(await messagesOf(reader, 1)).toMatchObject([
        { type: 'failed', code: 'ERR_COPY_NAME' },
      ]);
      writer.message({ type: 'folder', id: 1, name: base64('f'), ...PLAIN });
      writer.message(file({ id: 2, parent: 1, name: base64(name) }));
      expect(await messagesOf(reader, 1)).toMatchObject([
        { type: 'failed', code: 'ERR_COPY_NAME' },
      ]);
      stream.destroy();
      expect(readdirSync(base).sort()).toEqual(['own', 'served']);
      expect(readdirSync(served)).toEqual(['f']);
    }),
  );

  it('whose content is not what it says gets nothing under the name', () =>
    withCopyRig(async ({ client, served }) => {
      const { reader, writer } = await rogueUpload(client);
      writer.message(file({ size: 4 }));
      await messagesOf(reader, 1);
      writer.message({ type: 'start', id: 0, offset: 0 });
      await writer.content(Buffer.from('evil'));
      writer.message({ type: 'finish', id: 0, hash: hash('good') });
      expect(await messagesOf(reader, 1)).toMatchObject([
        { type: 'failed', code: 'ERR_COPY_HASH' },
      ]);
      expect(readdirSync(served)).toEqual([]);
      writer.message({ type: 'end' });
      expect(await messagesOf(reader, 1)).toEqual([{ type: 'end' }]);
    }));
});

/** A server of files that says what it likes. */
function rogueServer(speak: (writer: RecordWriter, stream: RovingStream) => void): Service {
  return {
    name: 'files',
    handle({ accept }) {
      const stream = accept();
      stream.resume();
      speak(new RecordWriter(stream), stream);
    },
  };
}

async function withRogueServer(
  speak: (writer: RecordWriter, stream: RovingStream) => void,
  run: (rig: Pick<CopyRig, 'client' | 'own'>) => Promise<void>,
): Promise<void> {
  await withCopyRig(async ({ own }) =>
    withPair({}, async ({ client, server }) => {
      new ServiceHost([rogueServer(speak)]).attach(server, []);
      await run({ client, own });
    }),
  );
}

describe('a malicious server', () => {
  it('cannot send what was not asked for', () =>
    withRogueServer(
      (writer) => writer.message(file({ name: base64('.bashrc') })),
      async ({ client, own }) => {
        const copy = copyFromRemote(client, ['asked/for'], own);
        await expect(copy).rejects.toMatchObject({ code: 'ERR_COPY_PROTOCOL' });
        expect(readdirSync(own)).toEqual([]);
      },
    ));

  it('cannot put its own into the destination instead of a folder', () =>
    withRogueServer(
      (writer) => {
        writer.message({ type: 'folder', id: 0, name: '', ...PLAIN });
        writer.message(file({ id: 1, parent: 0, name: base64('.bashrc') }));
      },
      async ({ client, own }) => {
        const copy = copyFromRemote(client, ['folder'], own);
        await expect(copy).rejects.toMatchObject({ code: 'ERR_COPY_PROTOCOL' });
        expect(existsSync(join(own, '.bashrc'))).toBe(false);
      },
    ));

  const WISHES: [string, Message][] = [
    ['a file that there is not', { type: 'want', id: 5, have: 0, block: 0 }],
    ['what is beyond the end', { type: 'want', id: 0, have: 99, block: 4_194_304 }],
    ['blocks of one byte', { type: 'want', id: 0, have: 1, block: 1 }],
    ['an end', { type: 'end' }],
    ['praise before the work', { type: 'done', id: 0, isUnchanged: false }],
    ['progress beyond the end', { type: 'progress', id: 0, offset: 99 }],
  ];
  it.each(WISHES)('that wants %s is no server for us', (_what, message) =>
    withRogueServer(
      (writer, stream) => stream.once('data', () => writer.message(message)),
      async ({ client, own }) => {
        writeFileSync(join(own, 'a'), 'a');
        const copy = copyToRemote(client, [join(own, 'a')], '');
        await expect(copy).rejects.toMatchObject({ code: 'ERR_COPY_PROTOCOL' });
      },
    ),
  );

  it('that ends the stream has interrupted the copy', () =>
    withRogueServer(
      (_writer, stream) => stream.end(),
      async ({ client, own }) => {
        const interrupted = { code: 'ERR_COPY_INTERRUPTED' };
        await expect(copyToRemote(client, [own], '')).rejects.toMatchObject(interrupted);
        await expect(copyFromRemote(client, ['x'], own)).rejects.toMatchObject(interrupted);
      },
    ));
});

describe('requests', () => {
  const REQUESTS: [string, Message][] = [
    ['no operation', {}],
    ['another operation', { operation: 'remove', destination: '' }],
    ['no destination', { operation: 'put' }],
    ['no sources', { operation: 'get' }],
    ['sources that are no text', { operation: 'get', sources: [1] }],
  ];
  it.each(REQUESTS)('with %s are refused', (_what, request) =>
    withCopyRig(async ({ client }) => {
      const asked = openService(client, { service: 'files', ...request });
      await expect(asked).rejects.toMatchObject({ code: 'ERR_SERVICE_FAILED' });
    }),
  );

  it('are answered as long as there are not too many copies', () =>
    withCopyRig(async ({ own, served }) =>
      withPair({}, async ({ client, server }) => {
        new ServiceHost([filesService({ maxCopies: 1 })]).attach(server, [`files:${served}`]);
        mkdirSync(join(own, 't'));
        const first = await rogueUpload(client);
        const refused = { code: 'ERR_SERVICE_FAILED', systemCode: 'EAGAIN' };
        await expect(copyToRemote(client, [own], '')).rejects.toMatchObject(refused);
        first.writer.message({ type: 'end' });
        expect(await messagesOf(first.reader, 1)).toEqual([{ type: 'end' }]);
        expect(await copyToRemote(client, [join(own, 't')], '')).toMatchObject({ folders: 1 });
      }),
    ));

  it.each([{ concurrency: 0 }, { concurrency: 65 }, { maxWaiting: 4_097 }, { maxDepth: 1.5 }])(
    'with options out of range are the caller’s mistake: %j',
    (options) =>
      withCopyRig(async ({ client, own }) => {
        const misuse = { code: 'ERR_USAGE' };
        await expect(copyToRemote(client, [own], '', options)).rejects.toMatchObject(misuse);
        await expect(copyFromRemote(client, [''], own, options)).rejects.toMatchObject(misuse);
        await expect(copyToRemote(client, [], '')).rejects.toMatchObject(misuse);
      }),
  );
});
