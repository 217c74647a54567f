/**
 * Logs: to standard error, for people or as JSON lines, and never with a secret.
 *
 * @module
 */

import {
  configureSync,
  getJsonLinesFormatter,
  getLogger,
  getTextFormatter,
  type Logger,
  type LogLevel,
  type LogRecord,
} from '@logtape/logtape';
import { printable } from './format.js';
import { redactText, redactValue } from './redact.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'fatal', 'off'] as const;
export type LogLevelName = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevelName;
  /** JSON lines instead of text. */
  readonly json: boolean;
}

const CATEGORY = 'roving';

/** Where lines go: to standard error, or above live lines as long as there are some. */
let writeLine = (line: string): void => {
  process.stderr.write(line);
};

/** @param write takes whole lines with their ends. @returns sets it back. */
export function redirectLog(write: (line: string) => void): () => void {
  const before = writeLine;
  writeLine = write;
  return () => {
    writeLine = before;
  };
}

/** To be called once, before the first {@link logger} is used. */
export function configureLog({ level, json }: LogOptions): void {
  const lowestLevel: LogLevel | null = level === 'off' ? null : level;
  configureSync({
    reset: true,
    sinks: { stderr: (record) => writeLine(formatRecord(record, json)) },
    loggers: [
      { category: CATEGORY, sinks: ['stderr'], lowestLevel },
      { category: ['logtape', 'meta'], sinks: ['stderr'], lowestLevel: 'error' },
    ],
  });
}

export function logger(...category: readonly string[]): Logger {
  return getLogger([CATEGORY, ...category]);
}

const formatJson = getJsonLinesFormatter({ categorySeparator: '.', properties: 'nest:fields' });
const formatText = getTextFormatter({
  timestamp: 'time',
  category: '.',
  level: 'full',
  value: 'bare',
});

/** @internal A line with its end. */
export function formatRecord(record: LogRecord, json: boolean): string {
  const clean: LogRecord = {
    ...record,
    message: record.message.map((part, index) => (index % 2 === 0 ? part : redactValue(part))),
    properties: redactValue(record.properties) as Record<string, unknown>,
  };
  return json ? escaped(redactText(formatJson(clean))) : oneLine(redactText(formatText(clean)));
}

/** Text of the other end can't make up another record, nor move the cursor (T51). */
function oneLine(text: string): string {
  return `${printable(text.trimEnd().replaceAll(/\s*\n\s*/g, ' '))}\n`;
}

/** What JSON leaves as it is, and terminals do not. */
function escaped(json: string): string {
  const code = (character: string): string => `\\u00${character.charCodeAt(0).toString(16)}`;
  return json.replaceAll(/[\u007f-\u009f]/g, code);
}
