/**
 * Measurements in real networks on one machine: namespaces, kernel TCP, NATs, middleboxes.
 *
 *     sudo node benchmarks/testbed/run.mjs SCENARIO... [OPTIONS]
 *
 * `--help` lists scenarios and options. It needs the testbed (`$ROVING_TESTBED`, else
 * `../shared/testbed` beside the repository) and root; where something is missing it says what, and
 * skips. Every bed that it brings up it takes down again, on Ctrl-C too.
 *
 * @module
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { waitForIdle } from './bed.mjs';
import { takeTurn } from './lock.mjs';
import { tableOf } from './report.mjs';
import { whyNoRoving, whyNot } from './requirements.mjs';
import { SCENARIOS } from './scenarios/all.mjs';

const OPTIONS = /** @type {const} */ ({
  cases: { type: 'string' },
  cc: { type: 'string' },
  runs: { type: 'string', default: '3' },
  seconds: { type: 'string' },
  omit: { type: 'string' },
  carriers: { type: 'string' },
  seed: { type: 'string', default: '1' },
  outage: { type: 'string', default: '60' },
  'idle-minutes': { type: 'string', default: '10' },
  'no-peers': { type: 'boolean', default: false },
  'no-roving': { type: 'boolean', default: false },
  'wait-idle': { type: 'string', default: '0' },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
});

const HELP = `Usage: sudo node benchmarks/testbed/run.mjs SCENARIO... [OPTIONS]

Scenarios:
${SCENARIOS.map(({ name, title }) => `  ${name.padEnd(10)} ${title}`).join('\n')}

Options:
  --cases A;B        some of the scenario's cases, by number from 1 or by name
  --cc cubic,bbr     congestion control of the hosts
  --runs N           how often (3); tables show the median and the spread
  --seconds N        of each measurement; --omit N: seconds at its start that do not count
  --carriers a,b     what Roving is measured with: tcp, udp, ws, all, tcp+udp
  --seed N           of what is cut at random (1)
  --outage N         seconds for which all paths are dark (60)
  --idle-minutes N   (10)
  --no-peers         only Roving;  --no-roving: only what it is compared with
  --wait-idle SHARE  wait before each measurement until this share of the processors is idle
  --json FILE        write the results there

$LAB_NICE is what programs run at (-10).
`;

/** @typedef {import('./scenario.mjs').Row} Row */

/** @param {string | undefined} list @param {readonly string[]} fallback */
function words(list, fallback) {
  return list === undefined ? fallback : list.split(list.includes(';') ? ';' : ',');
}

/**
 * @param {string | undefined} list names (they contain commas, so `;` parts them) or numbers
 * @param {readonly string[]} all
 */
function chosenCases(list, all) {
  if (list === undefined) return all;
  const isNumbers = /^[\d,;]+$/.test(list);
  const wanted = list.split(isNumbers ? /[,;]/ : ';').map((word) => word.trim());
  const names = wanted.map((word) => (isNumbers ? (all[Number(word) - 1] ?? word) : word));
  for (const name of names) {
    if (!all.includes(name)) throw new Error(`no case ${name}; there are: ${all.join('; ')}`);
  }
  return names;
}

/** @param {ReturnType<typeof parse>['values']} values @param {import('./scenario.mjs').Scenario} scenario */
function optionsFor(values, scenario) {
  const isRovingThere = whyNoRoving() === undefined;
  return {
    seconds: Number(values.seconds ?? scenario.seconds),
    omit: Number(values.omit ?? scenario.omit),
    seed: Number(values.seed),
    carriers: words(values.carriers, scenario.carriers),
    peers: !values['no-peers'],
    roving: !values['no-roving'] && isRovingThere,
    outage: Number(values.outage),
    idleMinutes: Number(values['idle-minutes']),
  };
}

/**
 * @param {import('./scenario.mjs').Scenario} scenario
 * @param {ReturnType<typeof parse>['values']} values
 */
async function runScenario(scenario, values) {
  const options = optionsFor(values, scenario);
  /** @type {Row[]} */
  const rows = [];
  for (let run = 1; run <= Number(values.runs); run++) {
    for (const name of chosenCases(values.cases, scenario.cases)) {
      for (const cc of words(values.cc, scenario.ccs)) {
        await scenario.measure({
          case: name,
          cc,
          run,
          options: { ...options, seed: options.seed + run - 1 },
          subject: async (subject, measure) => {
            await waitForIdle(Number(values['wait-idle']));
            const row = { case: name, cc, subject, run };
            try {
              rows.push({ ...row, values: await measure() });
            } catch (error) {
              const text = error instanceof Error ? error.message : String(error);
              rows.push({ ...row, values: {}, error: text.replaceAll(/\s+/g, ' ').slice(0, 300) });
            }
            console.error(JSON.stringify(rows.at(-1)));
          },
        });
      }
    }
  }
  return rows;
}

function commit() {
  try {
    const log = ['log', '-1', '--format=%h %cs'];
    return execFileSync('git', log, { encoding: 'utf8', cwd: import.meta.dirname }).trim();
  } catch {
    return 'unknown';
  }
}

function parse() {
  return parseArgs({ options: OPTIONS, allowPositionals: true });
}

async function main() {
  const { values, positionals } = parse();
  if (values.help || positionals.length === 0) return console.log(HELP);
  const names = positionals.includes('all') ? SCENARIOS.map(({ name }) => name) : positionals;
  /** @type {import('./report.mjs').Result[]} */
  const results = [];
  const release_ = await takeTurn();
  for (const name of names) {
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario === undefined) throw new Error(`no scenario ${name}`);
    const reason = whyNot(scenario.needs);
    if (reason !== undefined) {
      console.log(`${name}: skipped: ${reason}`);
      continue;
    }
    if (whyNoRoving() !== undefined) console.log(`${name}: without Roving: ${whyNoRoving()}`);
    const args = process.argv.slice(2).filter((word) => !positionals.includes(word));
    const result = {
      scenario: name,
      command: ['node benchmarks/testbed/run.mjs', name, ...args].join(' '),
      date: new Date().toISOString().slice(0, 10),
      commit: commit(),
      machine: `Linux ${release()}, Node ${process.version}`,
      rows: await runScenario(scenario, values),
    };
    results.push(result);
    console.log(`\n${scenario.title}\n\n${tableOf(scenario, result.rows)}\n`);
    if (values.json !== undefined) {
      mkdirSync(dirname(values.json), { recursive: true });
      writeFileSync(values.json, `${JSON.stringify(results, null, 1)}\n`);
    }
  }
  release_();
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
process.exit();
