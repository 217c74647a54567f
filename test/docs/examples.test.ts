/**
 * What the documents show is run: the examples, and the code in the README. They import `roving` by
 * name, so the package must have been built (`npm test` does that).
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAX_LINES = 60;
/** Only so that nothing hangs: all of them take a second or two. */
const TIMEOUT_MS = 50_000;

/** What the output of each example must contain. */
const EXPECTED: Readonly<Record<string, string>> = {
  'half-close.mjs': 'the sum is 55',
  'hello-stream.mjs': 'You said: Hello!',
  'many-streams.mjs': '100 of 100 streams came back whole, over 2 paths',
  'pipe-file.mjs': 'arrived as they were',
  'watch-a-path-die.mjs': 'path 0 is active: it delivers again',
};

async function run(...args: string[]): Promise<string> {
  const options = { cwd: ROOT, timeout: TIMEOUT_MS };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, options);
  expect(stderr).toBe('');
  return stdout;
}

const examples = readdirSync(`${ROOT}examples`).filter((name) => name.endsWith('.mjs'));

describe('examples', () => {
  it('run against the built package', () => {
    expect(existsSync(`${ROOT}dist/node/index.js`), 'run `npm run build` first').toBe(true);
    expect(existsSync(`${ROOT}dist/sim/index.js`), 'run `npm run build` first').toBe(true);
    expect(Object.keys(EXPECTED)).toEqual(examples);
  });

  it.each(examples)('%s does what it says', async (name) => {
    const lines = readFileSync(`${ROOT}examples/${name}`, 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeLessThan(MAX_LINES);
    expect(await run(`examples/${name}`)).toContain(EXPECTED[name]);
  });

  it('the simulated one gives the same run for the same seed', async () => {
    const [first, second] = await Promise.all(
      ['42', '42'].map((seed) => run('examples/watch-a-path-die.mjs', seed)),
    );
    expect(second).toBe(first);
  });
});

describe('the README', () => {
  const text = readFileSync(`${ROOT}README.md`, 'utf8');
  const snippets = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code = '']) => code);

  it('has code to run', () => {
    expect(snippets.length).toBeGreaterThan(0);
  });

  it.each(snippets)('its code runs, and prints what its comments say (%#)', async (code) => {
    const output = await run('--input-type=module', '--eval', code);
    const said = [...code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, comment]) => comment);
    expect(output.trim().split('\n')).toEqual(said);
  });
});
