/**
 * Tables of results, and the section of docs/measurements.md that is made of them.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SCENARIOS } from './scenarios/all.mjs';
import { groups, textTable } from './statistics.mjs';

/**
 * @typedef {object} Result
 * @property {string} scenario
 * @property {string} command
 * @property {string} date
 * @property {string} commit
 * @property {string} machine
 * @property {import('./scenario.mjs').Row[]} rows
 */

/**
 * @param {import('./scenario.mjs').Scenario} scenario
 * @param {readonly import('./scenario.mjs').Row[]} rows
 */
export function tableOf(scenario, rows) {
  /** @type {string[][]} */
  const lines = [];
  for (const all of groups(rows, ['case', 'cc'])) {
    for (const group of groups(all, ['subject'])) {
      const [first] = group;
      if (first === undefined) continue;
      const cells = scenario.columns.map((column) => column.of(group, all));
      lines.push([first.case, first.subject, first.cc, `${group.length}`, ...cells]);
    }
  }
  const head = ['case', 'subject', 'cc', 'n', ...scenario.columns.map((column) => column.head)];
  // Columns in which nothing stands are left out.
  const used = head.map((_title, i) => lines.some((line) => !['', '-'].includes(line[i] ?? '')));
  /** @param {readonly string[]} line */
  const only = (line) => line.filter((_cell, i) => used[i]);
  return textTable(only(head), lines.map(only));
}

/**
 * The section as lines of Markdown; empty when there are no results.
 *
 * @param {string} folder with one JSON file for each call of run.mjs
 */
export function section(folder) {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  /** @type {Result[]} */
  const results = files
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  if (results.length === 0) return [];
  const parts = [
    '## In real networks',
    '',
    'Network namespaces on one machine, joined by links with rate, delay, loss and a queue; kernel TCP, NATs and',
    'middleboxes of nftables. The programs that measure are not ours and know nothing of Roving: they connect to a port of',
    '`roving forward`, or run through `roving connect`. Median (least .. most). `idle` is the share of the processors that was idle, ',
    '`wire late` by how much a link was late at most. Paths are written as Mbit/s / round trip in ms.',
  ].map((line) => line.trimEnd());
  for (const scenario of SCENARIOS) {
    for (const result of results.filter((one) => one.scenario === scenario.name)) {
      parts.push('', `### ${scenario.title}`, '', scenario.words);
      parts.push(`\`${result.command}\`, ${result.date}, ${result.commit}, ${result.machine}.`);
      parts.push('', '```', tableOf(scenario, result.rows), '```');
    }
  }
  return parts;
}
