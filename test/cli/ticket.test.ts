/** `roving ticket`, as scripts use it. */
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseTicket } from '../../src/core/index.js';
import { useBench } from './cli.js';

const bench = useBench();

describe('roving ticket new', () => {
  it('makes the key file and the ticket, both for their owner only', async () => {
    const args = ['--keys', 'k.json', '--out', 'a.ticket', '--address', 'server.example'];
    const more = ['--address', 'wss://server.example/roving', '--name', 'laptop'];
    const { code, stdout, stderr } = await bench.call(['ticket', 'new', ...args, ...more]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('key laptop');
    for (const name of ['k.json', 'a.ticket']) {
      expect(statSync(bench.path(name)).mode & 0o777).toBe(0o600);
    }
    const ticket = parseTicket(readFileSync(bench.path('a.ticket'), 'utf8'));
    expect(ticket.addresses).toEqual(['server.example:7600', 'wss://server.example/roving']);
  });

  it('prints the ticket without --out, and nothing else', async () => {
    const args = ['--keys', 'k.json', '--address', '[2001:db8::1]:99', '--allow', 'forward,listen'];
    const { stdout } = await bench.call(['ticket', 'new', ...args]);
    expect(parseTicket(stdout).addresses).toEqual(['[2001:db8::1]:99']);
    expect(stdout.trim()).toMatch(/^roving:\/\/\S+$/);
  });

  it('makes tickets of one server with one door key and different secrets', async () => {
    const make = async () => {
      const { stdout } = await bench.call(['ticket', 'new', '--keys', 'k.json', '--address', 'a']);
      return parseTicket(stdout);
    };
    const [one, two] = [await make(), await make()];
    expect(one.doorKey).toEqual(two.doorKey);
    expect(one.secret).not.toEqual(two.secret);
  });

  it.each([
    [['--address', 'a:b'], 64],
    [['--address', 'http://a'], 64],
    [['--address', 'a', '--allow', 'everything'], 64],
    [['--address', 'a', '--allow', 'files'], 64],
    [['--address', 'a', '--expires', 'soon'], 64],
    [['--address', 'a', '--expires', '2001-01-01'], 64],
    [['--address', 'a', '--name', 'a b'], 65],
    [['--address', 'a', '--out', 'no/such/folder/t'], 73],
  ])('%j ends with %i and makes no key', async (args, expected) => {
    const { code, stderr } = await bench.call(['ticket', 'new', '--keys', 'k.json', ...args]);
    expect({ code, lines: stderr.trim().split('\n').length }).toEqual({ code: expected, lines: 1 });
    expect((await bench.call(['ticket', 'list', '--keys', 'k.json'])).code).toBe(66);
  });

  it('refuses a name twice, and leaves the first ticket as it was', async () => {
    const args = ['ticket', 'new', '--keys', 'k.json', '--address', 'a', '--name', 'laptop'];
    await bench.call([...args, '--out', 'a.ticket']);
    const before = readFileSync(bench.path('a.ticket'), 'utf8');
    const { code, stderr } = await bench.call([...args, '--out', 'a.ticket']);
    expect(code).toBe(65);
    expect(stderr).toContain('laptop already');
    expect(readFileSync(bench.path('a.ticket'), 'utf8')).toBe(before);
  });

  it('replaces an old ticket, and nothing that is none', async () => {
    const args = ['ticket', 'new', '--keys', 'k.json', '--address', 'a', '--out', 'a.ticket'];
    await bench.call(args);
    expect((await bench.call(args)).code).toBe(0);
    writeFileSync(bench.path('a.ticket'), 'my only copy of the novel');
    expect((await bench.call(args)).code).toBe(73);
    expect(readFileSync(bench.path('a.ticket'), 'utf8')).toBe('my only copy of the novel');
  });
});

describe('roving ticket list and revoke', () => {
  it('T45: show names, grants and times, and no secret', async () => {
    const made = await bench.call([
      ...['ticket', 'new', '--keys', 'k.json', '--address', 'a', '--name', 'laptop'],
      ...['--allow', 'forward,files:/srv/data', '--expires', '30d'],
    ]);
    const secrets = /#(.*)/.exec(made.stdout)?.[1] ?? '';
    const file = readFileSync(bench.path('k.json'), 'utf8');
    const stored = file.match(/[\w-]{43}/g) ?? [];
    expect(stored.length).toBe(3);
    for (const format of [[], ['--json']]) {
      const { stdout } = await bench.call(['ticket', 'list', '--keys', 'k.json', ...format]);
      expect(stdout).toContain('laptop');
      expect(stdout).toContain('files:/srv/data');
      for (const secret of [secrets, ...stored]) expect(stdout).not.toContain(secret);
    }
  });

  it('take a key away by its name', async () => {
    await bench.call(['ticket', 'new', '--keys', 'k.json', '--address', 'a', '--name', 'laptop']);
    await bench.call(['ticket', 'new', '--keys', 'k.json', '--address', 'a', '--name', 'phone']);
    const revoke = ['ticket', 'revoke', '--keys', 'k.json', 'laptop'];
    expect((await bench.call(revoke)).code).toBe(0);
    const { stdout } = await bench.call(['ticket', 'list', '--keys', 'k.json', '--json']);
    const { keys } = JSON.parse(stdout) as { keys: { name: string }[] };
    expect(keys.map(({ name }) => name)).toEqual(['phone']);
    expect((await bench.call(revoke)).code).toBe(65);
  });

  it('refuse a key file that others can read, and say what mends it', async () => {
    await bench.call(['ticket', 'new', '--keys', 'k.json', '--address', 'a']);
    chmodSync(bench.path('k.json'), 0o640);
    for (const verb of [['list'], ['revoke', 'key1'], ['new', '--address', 'a']]) {
      const { code, stderr } = await bench.call(['ticket', ...verb, '--keys', 'k.json']);
      expect(code).toBe(77);
      expect(stderr).toContain('chmod 600 k.json');
    }
  });
});
