/** `roving status`: what the servers and clients of this user are doing. @module */

import { askAll } from '../control/control-client.js';
import { formatBytes, formatCount, formatDuration, printable } from '../format.js';
import { pathLines } from '../live.js';
import { note, print, printJson } from '../output.js';
import type { LogOptionValues } from '../program-options.js';
import { type SessionReport, STATUS_VERSION, type StatusReport } from '../status-report.js';

export async function statusVerb({ json = false }: Partial<LogOptionValues>): Promise<void> {
  const answers = await askAll();
  const reports = answers.reports.filter(isReport);
  if (json) return printJson({ running: reports, silent: answers.silent });
  for (const path of answers.silent) note(`${printable(path)} does not answer`);
  if (answers.silent.length === 0 && reports.length === 0)
    return note('nothing of Roving is running for this user');
  for (const report of reports) print(describe(report));
}

/** Another version may say other things: it is left out rather than shown wrongly. */
function isReport(value: unknown): value is StatusReport {
  const { version } = (value ?? {}) as Partial<StatusReport>;
  return version === STATUS_VERSION;
}

function describe(report: StatusReport): string {
  const { verb, pid, startedAtMs, listening, forwards, sessions, sessionCount } = report;
  const since = formatDuration(Date.now() - startedAtMs);
  const where = listening.length === 0 ? '' : `, listens on ${listening.join(', ')}`;
  const lines = [`roving ${verb} (pid ${pid}), for ${since}${where}`];
  lines.push(...forwards.map((forward) => `  ${forward}`));
  if (sessionCount === 0) lines.push('  no session');
  for (const session of sessions) lines.push(...describeSession(session));
  if (sessionCount > sessions.length) lines.push(`  and ${sessionCount - sessions.length} more`);
  if (report.connections.length > 0) lines.push(`  ${report.connections.length} connections open`);
  return printableLines(lines);
}

function describeSession(session: SessionReport): string[] {
  const who = session.key === null ? 'session' : `session of key ${printable(session.key)}`;
  const since = formatDuration(Date.now() - session.startedAtMs);
  const head =
    `  ${who}, for ${since}: ${formatCount(session.streams, 'stream')}, ` +
    `${formatBytes(session.bufferedBytes)} under way`;
  return [head, ...pathLines(session.paths).map((line) => `    ${line}`)];
}

function printableLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
