/** What `--help` says: scripts and manuals rely on names of options; a change shows here. */
import { describe, expect, it } from 'vitest';
import { useBench } from './cli.js';

const bench = useBench();

const VERBS = [
  [],
  ['ticket'],
  ['ticket', 'new'],
  ['ticket', 'list'],
  ['ticket', 'revoke'],
  ['serve'],
  ['connect'],
  ['forward'],
  ['cp'],
  ['bench'],
  ['status'],
  ['doctor'],
];

describe('help', () => {
  it.each(VERBS.map((verb) => [verb.join(' ') || 'roving', verb] as const))(
    'of %s is as it was, and goes to standard output',
    async (name, verb) => {
      const { code, stdout, stderr } = await bench.call([...verb, '--help']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      if (verb.length > 0 && name !== 'ticket') expect(stdout).toContain('Example:');
      const file = `../snapshot/help-${name.replaceAll(' ', '-')}.txt`;
      await expect(stdout).toMatchFileSnapshot(file);
    },
  );

  it('is told after a wrong use, on standard error', async () => {
    const { code, stdout, stderr } = await bench.call(['servve']);
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
    expect(stderr).toContain('Did you mean serve?');
  });

  it('the version is that of the package', async () => {
    const { stdout } = await bench.run(['--version']);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
