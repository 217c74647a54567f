/** The key file of a server, and a running server's view of it. */
import { EventEmitter, once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  KeyStore,
  newKey,
  newKeyFileContents,
  type RevocationCause,
  readKeyFile,
  type StoredKey,
  updateKeyFile,
  withKey,
  withoutKey,
  writePrivateFile,
} from '../../src/node/index.js';
import { formatKeyFile, MAX_KEY_NAME_LENGTH, parseKeyFile } from '../../src/node/key-file.js';
import { EXPIRY_CHECK_MS } from '../../src/node/key-store.js';

let folder = '';
let path = '';

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'roving-keys-')));
  path = join(folder, 'keys.json');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** No user of any machine. */
const OTHER_USER = 54_321;
const CREATED = new Date('2026-01-02T03:04:05.678Z');

function key(name: string, extra: { expires?: Date; grants?: string[] } = {}): StoredKey {
  return newKey({ name, grants: ['forward'], ...extra }, CREATED);
}

async function add(...keys: StoredKey[]): Promise<void> {
  await updateKeyFile(path, (before = newKeyFileContents()) => keys.reduce(withKey, before));
}

describe('a key file', () => {
  it('holds what was put into it', async () => {
    const one = key('laptop', { expires: new Date('2030-01-01T00:00:00Z') });
    const two = key('phone', { grants: ['files:/srv/a b', 'forward'] });
    await add(one, two);
    expect((await readKeyFile(path)).keys).toEqual([one, two]);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'keeps its owner when root changes it (as root)',
    async () => {
      await add(key('laptop'));
      chownSync(path, OTHER_USER, OTHER_USER);
      await add(key('phone'));
      expect(statSync(path)).toMatchObject({ uid: OTHER_USER, gid: OTHER_USER });
      expect(statSync(path).mode & 0o777).toBe(0o600);
    },
  );

  it.skipIf(process.getuid?.() !== 0)('is not taken from another user (as root)', async () => {
    await add(key('laptop'));
    chownSync(folder, OTHER_USER, OTHER_USER);
    process.seteuid?.(OTHER_USER);
    try {
      const message = expect.stringMatching(/belongs to another user/);
      await expect(writePrivateFile(path, '')).rejects.toMatchObject({ code: 'EPERM', message });
    } finally {
      process.seteuid?.(0);
    }
    expect(statSync(path).uid).toBe(0);
    expect(readdirSync(folder)).toEqual(['keys.json']);
  });

  it('is made with mode 0600 whatever the umask says, and nothing is left beside it', async () => {
    const before = process.umask(0);
    try {
      await add(key('laptop'));
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['keys.json']);
  });

  it.each([0o640, 0o604, 0o660, 0o610, 0o601])(
    'of mode %o is refused, with what mends it',
    async (mode) => {
      await add(key('laptop'));
      chmodSync(path, mode);
      const expected = {
        code: 'ERR_FILE_READABLE_BY_OTHERS',
        message: expect.stringContaining(`chmod 600 ${path}`),
      };
      await expect(readKeyFile(path)).rejects.toMatchObject(expected);
      await expect(add(key('phone'))).rejects.toMatchObject(expected);
    },
  );

  it('stays behind a symbolic link', async () => {
    await add(key('laptop'));
    const link = join(folder, 'link.json');
    symlinkSync(path, link);
    await updateKeyFile(link, (before = newKeyFileContents()) => withKey(before, key('phone')));
    expect((await readKeyFile(path)).keys.map(({ name }) => name)).toEqual(['laptop', 'phone']);
  });

  it('takes the changes of many at once, one after the other', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `key${index}`);
    await Promise.all(names.map((name) => add(key(name))));
    const { keys } = await readKeyFile(path);
    expect(keys.map(({ name }) => name).sort()).toEqual([...names].sort());
  });

  it('is as it was when a change fails', async () => {
    await add(key('laptop'));
    const before = readFileSync(path, 'utf8');
    const broken = updateKeyFile(path, () => {
      throw new Error('no');
    });
    await expect(broken).rejects.toThrow('no');
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(readdirSync(folder)).toEqual(['keys.json']);
  });

  it('is not held up by the lock of a process that is gone', async () => {
    // Above any process id that Linux gives (2^22).
    writeFileSync(`${path}.lock`, '4194305');
    await add(key('laptop'));
    expect(readdirSync(folder)).toEqual(['keys.json']);
  });

  it('refuses a name that is there, and one that is not there', async () => {
    await add(key('laptop'));
    await expect(add(key('laptop'))).rejects.toMatchObject({ code: 'ERR_KEY_NAME' });
    const removal = updateKeyFile(path, (before = newKeyFileContents()) => withoutKey(before, 'x'));
    await expect(removal).rejects.toMatchObject({ code: 'ERR_KEY_NAME' });
  });

  it.each(['', 'a b', 'a\u001b[31m', '../x', 'x'.repeat(MAX_KEY_NAME_LENGTH + 1)])(
    'refuses the name %j',
    async (name) => {
      await expect(add(key(name))).rejects.toMatchObject({ code: 'ERR_KEY_NAME' });
    },
  );
});

describe('a damaged key file', () => {
  const contents = { ...newKeyFileContents(), keys: [key('laptop'), key('phone')] };
  const good = JSON.parse(formatKeyFile(contents)) as Record<string, unknown>;
  const withField = (field: string, value: unknown): unknown => {
    const [first, ...rest] = good['keys'] as Record<string, unknown>[];
    return { ...good, keys: [{ ...first, [field]: value }, ...rest] };
  };

  it.each<[string, unknown]>([
    ['an array', []],
    ['another version', { ...good, version: 2 }],
    ['no keys', { ...good, keys: undefined }],
    ['a short door key', { ...good, doorKey: 'AAAA' }],
    ['no server secret', { ...good, serverSecret: undefined }],
    ['a key that is null', { ...good, keys: [null] }],
    ['a short secret', withField('secret', 'AAAA')],
    ['a short key id', withField('keyId', 'abcd')],
    ['a name with a newline', withField('name', 'a\nb')],
    ['grants that are no list', withField('grants', 'forward')],
    ['no creation date', withField('created', undefined)],
    ['an expiry that is no date, so that nothing lives for ever', withField('expires', 'soon')],
    ['an expiry of null', withField('expires', null)],
    ['two keys of a name', withField('name', 'phone')],
  ])('with %s is refused', (_what, value) => {
    expect(() => parseKeyFile(JSON.stringify(value), 'keys.json')).toThrow(
      expect.objectContaining({ code: 'ERR_KEY_FILE_DAMAGED' }),
    );
  });

  it('T45: never shows its secrets in an error', () => {
    const text = formatKeyFile(contents);
    const secrets = text.match(/[\w-]{43}/g) ?? [];
    expect(secrets.length).toBe(4);
    for (const broken of [text.slice(0, -9), `x${text}`, text.replaceAll(/"created".*/g, '')]) {
      let message = '';
      try {
        parseKeyFile(broken, 'keys.json');
      } catch (error) {
        message = String((error as Error).stack);
      }
      expect(message).toContain('no key file');
      for (const secret of secrets) expect(message).not.toContain(secret.slice(0, 12));
    }
  });
});

describe('a running server', () => {
  interface Events {
    reloaded: [counts: { added: number; revoked: number }];
    failed: [error: Error];
    revoked: [name: string, cause: RevocationCause];
  }
  let events = new EventEmitter<Events>();
  let store: KeyStore | undefined;

  afterEach(() => store?.close());

  async function open(): Promise<KeyStore> {
    events = new EventEmitter();
    store = await KeyStore.open(path, {
      onReloaded: (counts) => events.emit('reloaded', counts),
      onFailed: (error) => events.emit('failed', error),
      onRevoked: ({ name }, cause) => events.emit('revoked', name, cause),
    });
    return store;
  }

  it('accepts a key that is added to its file', async () => {
    const [one, two] = [key('laptop'), key('phone')];
    await add(one);
    const { keyRing } = await open();
    const reloaded = once(events, 'reloaded');
    await add(two);
    expect(await reloaded).toEqual([{ added: 1, revoked: 0 }]);
    expect(keyRing.find(two.keyId)).toEqual(two);
    expect(keyRing.find(one.keyId)).toEqual(one);
  });

  it('tells of a key that is taken out', async () => {
    const one = key('laptop');
    await add(one, key('phone'));
    const { keyRing } = await open();
    const revoked = once(events, 'revoked');
    await updateKeyFile(path, (before = newKeyFileContents()) => withoutKey(before, 'laptop'));
    expect(await revoked).toEqual(['laptop', 'removed']);
    expect(keyRing.find(one.keyId)).toBeUndefined();
    expect(keyRing.size).toBe(1);
  });

  it('tells of a key that allows something else now', async () => {
    const one = key('laptop');
    await add(one);
    const { keyRing } = await open();
    const revoked = once(events, 'revoked');
    await updateKeyFile(path, (before = newKeyFileContents()) => ({
      ...before,
      keys: [{ ...one, grants: [] }],
    }));
    expect(await revoked).toEqual(['laptop', 'changed']);
    expect(keyRing.find(one.keyId)?.grants).toEqual([]);
  });

  it('keeps its keys when the file is broken, when it is gone, and when others can read it', async () => {
    const one = key('laptop');
    await add(one);
    const good = readFileSync(path, 'utf8');
    const opened = await open();
    const breakages = [
      () => writeFileSync(path, good.slice(0, 40)),
      () => unlinkSync(path),
      () => writeFileSync(path, good, { mode: 0o644 }),
    ];
    const failures: string[] = [];
    events.on('failed', (error) => failures.push((error as NodeJS.ErrnoException).code ?? ''));
    for (const breakIt of breakages) {
      breakIt();
      await opened.reload();
      expect(opened.keyRing.find(one.keyId)).toEqual(one);
    }
    expect(new Set(failures)).toEqual(
      new Set(['ERR_KEY_FILE_DAMAGED', 'ENOENT', 'ERR_FILE_READABLE_BY_OTHERS']),
    );
  });

  it('does not become another server by another door key', async () => {
    const one = key('laptop');
    await add(one);
    const opened = await open();
    await updateKeyFile(path, () => ({ ...newKeyFileContents(), keys: [key('other')] }));
    const failed = once(events, 'failed');
    await opened.reload();
    expect(String(await failed)).toContain('restart');
    expect(opened.keys).toEqual([one]);
  });

  it('lets a key go soon after the clock was set beyond its time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    try {
      const soon = key('soon', { expires: new Date(Date.now() + 3_600_000) });
      await add(soon);
      const { keyRing } = await open();
      vi.setSystemTime(Date.now() + 2 * 3_600_000);
      vi.advanceTimersByTime(EXPIRY_CHECK_MS);
      expect(keyRing.find(soon.keyId)).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });

  it('never accepts a key that has expired, and lets one go when its time comes', async () => {
    const past = key('past', { expires: new Date(Date.now() - 1) });
    const soon = key('soon', { expires: new Date(Date.now() + 300) });
    await add(past, soon, key('later', { expires: new Date(Date.now() + 2 ** 33) }));
    const { keyRing } = await open();
    expect(keyRing.find(past.keyId)).toBeUndefined();
    if (keyRing.find(soon.keyId) !== undefined) {
      expect(await once(events, 'revoked')).toEqual(['soon', 'expired']);
    }
    expect(keyRing.find(soon.keyId)).toBeUndefined();
    expect(keyRing.size).toBe(1);
  });
});
