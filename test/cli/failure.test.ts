/** What a person reads of a failure and in the log, and the exit code. */
import type { LogRecord } from '@logtape/logtape';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.js';
import { CliError, describeFailure } from '../../src/cli/failure.js';
import { printable } from '../../src/cli/format.js';
import { formatRecord } from '../../src/cli/log.js';
import { exitCodeOf } from '../../src/cli/verbs/cp.js';

describe('T51: text of the other end', () => {
  const hostile = 'bye\r\nERROR forged\u001b]52;c;aGk=\u0007\u009b2J';
  const visible = 'bye ERROR forged?]52;c;aGk=??2J';

  it('is one line without control characters in what a verb fails with', () => {
    const error = Object.assign(new Error(hostile), { code: 'ERR_CLOSED_BY_PEER' });
    expect(describeFailure(error)).toMatchObject({ message: visible, exitCode: 69 });
    expect(describeFailure(new CliError(EXIT.IO, hostile)).message).toBe(visible);
  });

  it.each([
    ['a text', hostile],
    ['an error', new Error(hostile)],
    ['a field', { reason: hostile }],
  ])('is one record of the log: %s', (_what, reason) => {
    const record: LogRecord = {
      ...{ category: ['roving', 'cp'], level: 'info', timestamp: 0, rawMessage: '' },
      ...{ message: ['the session has ended: ', reason, ''], properties: { reason } },
    };
    for (const json of [false, true]) {
      const line = formatRecord(record, json);
      expect(line).toBe(`${printable(line.slice(0, -1))}\n`);
      expect(line).toContain('forged');
    }
    const fields = JSON.parse(formatRecord(record, true)) as { properties?: object };
    expect(JSON.stringify(fields)).toContain('\u009b2J');
  });
});

describe('exit codes', () => {
  it.each([
    ['EMFILE', 69],
    ['ENFILE', 69],
  ])('%s is %i', (code, expected) => {
    expect(describeFailure(Object.assign(new Error(code), { code })).exitCode).toBe(expected);
  });

  it.each([
    [['ENOENT', 'ENOENT'], 0, 66],
    [['ERR_COPY_SPECIAL'], 0, 66],
    [['ERR_COPY_SPECIAL', 'ENOENT'], 0, 66],
    [['ERR_COPY_OUTSIDE'], 0, 77],
    [['ERR_COPY_DESTINATION'], 0, 73],
    [['ERR_COPY_OUTSIDE', 'ENOENT'], 0, 74],
    [['EIO'], 0, 74],
    [['ENOENT'], 1, 74],
    [['ERR_COPY_OUTSIDE'], 1, 74],
  ])('of a copy in which %j failed and %i files did not: %i', (codes, files, expected) => {
    const failed = codes.map((code) => ({ path: 'a', code, message: '' }));
    expect(exitCodeOf({ files, failed })).toBe(expected);
  });
});
