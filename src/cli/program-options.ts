/** Options that several verbs share. @module */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { SchedulerName } from '../core/index.js';
import type { LogLevelName } from './log.js';

/** Those of the core; named here so that `--help` need not load it. */
const SCHEDULER_NAMES = Object.keys({
  earliestArrival: true,
  minRtt: true,
  roundRobin: true,
  redundant: true,
  backup: true,
} satisfies Record<SchedulerName, true>);

/** Those of `log.ts`, which loads the logging library. */
const LEVEL_NAMES: readonly LogLevelName[] = [
  'trace',
  'debug',
  'info',
  'warning',
  'error',
  'fatal',
  'off',
];

export interface LogOptionValues {
  readonly logLevel: LogLevelName;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export interface SessionOptionValues extends LogOptionValues {
  readonly scheduler?: SchedulerName;
  readonly trace?: string;
}

export interface ClientOptionValues extends SessionOptionValues {
  readonly ticket?: string;
  readonly path?: readonly string[];
  readonly carrier?: readonly ('udp' | 'tcp' | 'ws')[];
  readonly via?: string;
  readonly connectTimeout: string;
}

export const EXAMPLE = (command: string): string => `\nExample:\n  ${command}`;

export function addLogOptions(command: Command, level: LogLevelName = 'warning'): Command {
  return command
    .addOption(
      new Option('--log-level <level>', 'of what goes to standard error')
        .choices(LEVEL_NAMES)
        .default(level),
    )
    .option('--json', 'results as JSON, logs as JSON lines')
    .option('-q, --quiet', 'no remarks and no live lines')
    .hook('preAction', async (_program, action) => {
      const { setQuiet } = await import('./output.js');
      const { quiet, json } = action.opts<LogOptionValues>();
      setQuiet(quiet === true || json === true);
    });
}

export function addSessionOptions(command: Command): Command {
  return command
    .addOption(new Option('--scheduler <name>', 'which path carries what').choices(SCHEDULER_NAMES))
    .option('--trace <file>', 'write what becomes of sessions and paths to a file, as JSON lines');
}

export function addClientOptions(command: Command): Command {
  command
    .option('--ticket <file>', 'file of mode 0600 with the ticket; - is standard input')
    .option(
      '--path <address>',
      'local address or interface to use; repeatable (default: all)',
      collect,
    )
    .addOption(
      new Option('--carrier <name>', 'udp, tcp or ws; repeatable (default: all)').argParser(
        collectCarrier,
      ),
    )
    .option('--via <url>', 'proxy for TCP and WebSocket: http://HOST:PORT or socks5://HOST:PORT')
    .option('--connect-timeout <time>', 'give up after this time without an answer', '15s');
  return addLogOptions(addSessionOptions(command));
}

const CARRIERS: readonly string[] = ['udp', 'tcp', 'ws'];

function collectCarrier(value: string, before: readonly string[] = []): string[] {
  const names = value.split(',');
  if (names.every((name) => CARRIERS.includes(name))) return [...before, ...names];
  throw new InvalidArgumentError('Allowed are udp, tcp, ws.');
}

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
