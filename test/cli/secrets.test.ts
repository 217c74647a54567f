/** T45: where the secrets of a ticket do not show, with every verb that has one. */

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { useBench } from './cli.js';

const bench = useBench();

/** The parts of a ticket and a key file that nobody may see. */
function secretsOf(...texts: readonly string[]): string[] {
  const found = texts.flatMap((text) => text.match(/[\w-]{43,}/g) ?? []);
  expect(found.length).toBeGreaterThan(0);
  // What was cut off would be as bad.
  return found.map((secret) => secret.slice(4, 28));
}

function expectHidden(text: string, secrets: readonly string[]): void {
  for (const secret of secrets) expect(text.includes(secret)).toBe(false);
}

/** Arguments of all processes, as every user of the machine may read them. */
function allArguments(): string {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    })
    .join('\n');
}

describe.runIf(process.platform === 'linux')('T45: the secret of a ticket', () => {
  it('is not in arguments, logs, traces or answers while everything runs', async () => {
    const trace = ['--log-level', 'trace', '--trace', 'server.trace'];
    const { server, keys, ticket } = await bench.serve({ allow: 'forward', args: trace });
    const secrets = secretsOf(readFileSync(ticket, 'utf8'), readFileSync(keys, 'utf8'));
    const args = ['-D', '0', '--log-level', 'trace', '--json', '--trace', 'client.trace'];
    const env = { ROVING_TICKET: readFileSync(ticket, 'utf8') };
    const forward = bench.start(['forward', ...args], { env });
    await forward.says(/^ready /m);
    expectHidden(allArguments(), secrets);
    const { stdout } = await bench.call(['status', '--json']);
    expectHidden(stdout, secrets);
    await forward.stop();
    await server.stop();
    for (const { stdout: out, stderr } of [forward, server]) expectHidden(out + stderr, secrets);
    for (const name of ['client.trace', 'server.trace']) {
      expectHidden(readFileSync(bench.path(name), 'utf8'), secrets);
    }
  });

  it('is taken out of the environment before anything else happens', async () => {
    const name = 'ROVING_TICKET';
    const env = { [name]: 'roving://a:1#nonsense' };
    const { code } = await bench.call(['status'], { env });
    expect(code).toBe(0);
    // The call ran in this process, whose environment was the one above meanwhile.
    const run = await bench.call(['bench', '--connect-timeout', '1'], { env });
    expect(run.code).toBe(65);
    expect(run.stderr).not.toContain('nonsense');
  });

  it.each([
    ['connect', '--ticket', 'roving://a:1#SECRETSECRET', '--to', 'b:2'],
    ['bench', '--ticket=ROVING://a:1#SECRETSECRET'],
    ['roving://a:1#SECRETSECRET'],
    ['cp', 'a', 'roving://a:1#SECRETSECRET'],
  ])('is refused in arguments, with the reason and without being repeated: %s', async (...args) => {
    const { code, stdout, stderr } = await bench.call(args);
    expect(code).toBe(64);
    expect(stderr).toContain('every user of this machine can read it');
    expect(stdout + stderr).not.toContain('SECRETSECRET');
  });

  it('is not told when the ticket is damaged, or nobody answers', async () => {
    const { stdout } = await bench.call([
      'ticket',
      'new',
      '--keys',
      'k.json',
      '--address',
      '127.0.0.1:1',
    ]);
    const secrets = secretsOf(stdout);
    const damaged = { env: { ROVING_TICKET: `${stdout.trim()}x` } };
    const whole = { env: { ROVING_TICKET: stdout } };
    const late = ['--connect-timeout', '1', '--log-level', 'trace'];
    for (const options of [damaged, whole]) {
      const run = await bench.run(['bench', ...late], options);
      expect([65, 69]).toContain(run.code);
      expectHidden(run.stdout + run.stderr, secrets);
    }
  });

  it('and the password of a proxy are not told when the proxy fails', async () => {
    const proxy = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const address = proxy.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const made = await bench.call([
      'ticket',
      'new',
      '--keys',
      'k.json',
      '--address',
      '127.0.0.1:1',
    ]);
    const run = await bench.run(['bench', '--connect-timeout', '1', '--log-level', 'trace'], {
      env: { ROVING_TICKET: made.stdout, ALL_PROXY: `http://me:hunter2@127.0.0.1:${port}` },
    });
    proxy.close();
    expect(run.code).toBe(69);
    expect(run.stdout + run.stderr).not.toContain('hunter2');
  });
});
