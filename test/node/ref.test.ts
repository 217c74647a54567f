/**
 * What keeps a process alive, told by processes that end or do not. They run the built package, which
 * `npm test` makes first.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { formatTicket } from '../../src/core/index.js';
import { withLoopback } from '../helpers/loopback.js';

const PACKAGE = new URL('../../dist/node/index.js', import.meta.url).href;
const PRELUDE = `
  import { connectInMemory } from ${JSON.stringify(PACKAGE)};
  const { client, server } = await connectInMemory();
  server.on('stream', (stream) => stream.on('error', () => {}).resume());
  process.on('exit', () => console.log('end'));
`;
/** @returns what the process wrote by the time it ended, or said that it is still there. */
async function run(script: string, prelude = PRELUDE, env = {}): Promise<string> {
  const args = ['--input-type=module', '--eval', prelude + script];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    expect(child.exitCode === null || child.exitCode === 0).toBe(true);
    return line.toString().split('\n')[0] ?? '';
  } finally {
    child.kill();
  }
}

/** Goes off only if something else keeps the process alive. */
const WATCH = `
  setTimeout(() => { console.log('still here'); process.exit(); }, 20).unref();
`;

describe('the process', () => {
  it('ends while unref’ed sessions are open, with unref’ed streams on them', async () => {
    expect(
      await run(`
        const stream = client.openStream().unref();
        stream.write('.');
        client.unref();
        server.unref();
        server.on('stream', (theirs) => theirs.unref());
      `),
    ).toBe('end');
    expect(await run(`client.unref(); ${WATCH}`)).toBe('still here');
  });

  it('goes on while a stream is open on an unref’ed session, and ends after it', async () => {
    const script = `
      const stream = client.openStream();
      stream.write('.');
      client.unref();
      server.unref();
    `;
    expect(await run(script + WATCH)).toBe('still here');
    expect(await run(`${script} setTimeout(() => stream.destroy(), 5);`)).toBe('end');
  });

  it('ends after a session was closed', async () => {
    expect(await run('await client.close();')).toBe('end');
  });
});

/** A client of a server in another process, over a real socket. */
const CONNECT = `
  import { connect } from ${JSON.stringify(PACKAGE)};
  const session = await connect(process.env.TICKET, { carriers: [process.env.CARRIER] });
  process.on('exit', () => console.log('end'));
`;

describe.each(['udp', 'tcp'])('a process with a session over %s', (carrier) => {
  it('ends while its session is unref’ed, and goes on while it is not', async () => {
    await withLoopback(async ({ ticket }) => {
      const env = { TICKET: formatTicket(ticket), CARRIER: carrier };
      expect(await run(`session.unref(); ${WATCH}`, CONNECT, env)).toBe('end');
      expect(await run(WATCH, CONNECT, env)).toBe('still here');
      expect(await run('await session.close();', CONNECT, env)).toBe('end');
    });
  });
});
