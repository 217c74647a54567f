/**
 * What a scenario is, and what they share: rows, subjects, columns.
 *
 * @module
 */

import { spread, tally } from './statistics.mjs';

/**
 * One measurement of one subject: Roving in some form, or what it is compared with.
 *
 * @typedef {object} Row
 * @property {string} case
 * @property {string} cc congestion control of the hosts
 * @property {string} subject
 * @property {number} run from 1
 * @property {Record<string, number | string | boolean | undefined>} values
 * @property {string} [error] why there are no values
 */

/**
 * @typedef {object} Options
 * @property {number} seconds of each measurement; scenarios have a default
 * @property {number} omit seconds at its start that do not count
 * @property {number} seed
 * @property {readonly string[]} carriers choices of carriers to measure Roving with
 * @property {boolean} peers measure what is not ours, too
 * @property {boolean} roving measure what is ours
 * @property {number} outage seconds for which all is dark
 * @property {number} idleMinutes
 */

/**
 * @typedef {object} Context
 * @property {string} case
 * @property {string} cc
 * @property {number} run
 * @property {Options} options
 * @property {(name: string, measure: () => Promise<Row['values']>) => Promise<void>} subject
 *   measures and keeps a row; a failure becomes a row with an error
 */

/**
 * @typedef {object} Column
 * @property {string} head
 * @property {(rows: readonly Row[], all: readonly Row[]) => string} of of the rows of a subject;
 *   `all` are those of the same case and congestion control
 */

/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} title
 * @property {string} words what is measured, and what is asked for
 * @property {readonly string[]} needs programs
 * @property {readonly string[]} cases
 * @property {readonly string[]} carriers choices that Roving is measured with by default
 * @property {number} seconds
 * @property {number} omit
 * @property {readonly string[]} ccs
 * @property {(context: Context) => Promise<void>} measure
 * @property {readonly Column[]} columns
 */

/**
 * The numbers of a value in all rows that have it.
 *
 * @param {readonly Row[]} rows
 * @param {string} name
 */
export function numbers(rows, name) {
  const values = rows.map((row) => row.values[name]);
  return /** @type {number[]} */ (values.filter((value) => typeof value === 'number'));
}

/**
 * A column of medians and spreads.
 *
 * @param {string} head
 * @param {string} name of the value
 * @param {number} [digits]
 * @returns {Column}
 */
export function spreadColumn(head, name, digits = 1) {
  return { head, of: (rows) => spread(numbers(rows, name), digits) };
}

/**
 * A column that counts in how many runs a value is `true`.
 *
 * @param {string} head
 * @param {string} name
 * @returns {Column}
 */
export function countColumn(head, name) {
  return {
    head,
    of: (rows) => {
      const known = rows.filter((row) => row.values[name] !== undefined);
      if (known.length === 0) return rows.some((row) => row.error !== undefined) ? '0' : '-';
      return `${known.filter((row) => row.values[name] === true).length} of ${rows.length}`;
    },
  };
}

/** How the machine was: columns for every scenario. @type {readonly Column[]} */
export const MACHINE = [
  spreadColumn('idle', 'idle', 2),
  spreadColumn('wire late ms', 'lateMs', 1),
  {
    head: 'failures',
    of: (rows) => {
      const errors = rows.flatMap((row) => (row.error === undefined ? [] : [row.error]));
      return errors.length === 0 ? '' : tally(errors.map((text) => text.slice(0, 80)));
    },
  },
];

/** @param {number} ratio */
export function percent(ratio) {
  return Number.isFinite(ratio) ? `${(100 * ratio).toFixed(1)} %` : '-';
}

/**
 * The subjects of Roving that were asked for: `roving tcp`, `roving udp` ...
 *
 * @param {Context} context
 * @param {(carriers: string, name: string) => Promise<void>} measure
 */
export async function eachRoving(context, measure) {
  if (!context.options.roving) return;
  for (const carriers of context.options.carriers) await measure(carriers, `roving ${carriers}`);
}
