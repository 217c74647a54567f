// Writes docs/measurements.md from the snapshot tables and the last core benchmark, so that no
// figure in it is typed by hand.
//
//   FULL=1 npx vitest run test/snapshot -u    # the simulated tables, exact
//   npm run build && node benchmarks/core.mjs > benchmarks/results/core.txt
//   sudo node benchmarks/testbed/run.mjs goodput --json benchmarks/results/testbed/goodput.json   # and so on
//   node scripts/measurements.mjs [--check]   # --check: only tell whether the page is up to date

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { section } from '../benchmarks/testbed/report.mjs';

const SNAPSHOTS = 'test/snapshot';
const REAL_NETWORKS = 'benchmarks/results/testbed';
const PAGE = 'docs/measurements.md';

const SECTIONS = [
  [
    'Clean links',
    /^goodput-clean-/,
    'Goodput of one stream in the first 40 s of a session, start included. `of sum` is of what one TCP connection can carry on each link (1448 bytes of each packet of 1500). Asked for: 97 % with BBR and TCP, less than 0.5 % sent again.',
  ],
  [
    'Unequal links',
    /^goodput-unequal/,
    'The first 60 s. `of better` compares with the session over the better link alone. Asked for: at least 97 % of the better; with BBR on datagrams 90 % of the sum, 80 % with jitter.',
  ],
  [
    'Random pairs',
    /^goodput-random/,
    'The first 60 s of 16 pairs drawn from a seed. Asked for: at least 97 % of the better.',
  ],
  [
    'Loss',
    /^goodput-lossy/,
    'Asked for: 90 % of the rate that loss leaves, with BBR on datagrams. One TCP connection, or CUBIC, can not do it.',
  ],
  [
    'A small receive window',
    /^goodput-small/,
    'Asked for: at least 95 % of the better path alone.',
  ],
  [
    'One of two paths goes dark',
    /^failure-one-dark/,
    'Silently, at six moments and either path; the worst. Messages: 200 bytes each 10 ms. Asked for: at most three round trips (120 ms).',
  ],
  [
    'All paths go dark',
    /^failure-all-dark/,
    'From the end of darkness to the first data at the reader. On UDP the wait is for the next probe (each 50 ms at first, each 5 s after minutes). On TCP it is for the simulated kernel: the bed dials again with back-off, and the SYN of a dial has its own.',
  ],
  [
    'False alarms',
    /^failure-false/,
    'Paths that became suspect although they worked, counted at both ends of both paths. What is counted for TCP at 2 % loss are real standstills: a segment lost twice makes the kernel wait for its time-out, longer than two probe timeouts.',
  ],
  [
    'A path that flaps',
    /^failure-flapping/,
    'The second path goes from 100 to 1200 ms and back every 15 s. Asked for: 97 % of the better path alone.',
  ],
  [
    'Schedulers',
    /^schedulers/,
    'To compare with; 20 s. `held` is the most that the sender kept in memory.',
  ],
];

const LOOPBACK_RESULTS = 'benchmarks/results/loopback';
const LOOPBACK_WORDS =
  'Two processes, the loopback interface, everything beside its peers in the same run. This machine, this moment: the ratios count, and they are noisy.';
const LOOPBACK = [
  [
    'tcp-path',
    'One encrypted TCP path beside `node:tls` 1.3 and a plain socket. Asked for: 95 % of `node:tls` with the crypto of Node alone (`roving/node`), 130 % with native sealing (`roving/native`).',
  ],
  [
    'udp-path',
    'One UDP path beside plain `dgram` with the same packets sealed by the crypto of Node, and `udx-native`. Asked for: 70 % of the plain loop.',
  ],
  [
    'mixed-paths',
    'One path against several, UDP and TCP mixed, where the machine is the limit. Asked for: a table; the scheduler prefers the cheaper carrier.',
  ],
  ['small-writes', 'Small writes. Asked for: p99 within 1 ms of a plain socket.'],
  [
    'paused-reader',
    'A reader that pauses. Asked for: neither process grows by more than its windows and 64 MB.',
  ],
  ['idle-sessions', 'Idle sessions in one server. Asked for: at most 64 KiB each.'],
];

const commit = () => {
  try {
    return execFileSync('git', ['log', '-1', '--format=%h %cs', '--', 'src'], {
      encoding: 'utf8',
    }).trim();
  } catch {
    return 'unknown';
  }
};

function tableOf(pattern) {
  const files = readdirSync(SNAPSHOTS).filter(
    (name) => name.endsWith('.txt') && pattern.test(name),
  );
  const texts = files.sort().map((name) => readFileSync(`${SNAPSHOTS}/${name}`, 'utf8').trimEnd());
  return texts.join('\n\n');
}

/** What benchmarks on the loopback interface have printed, each with its command. */
function onOneMachine() {
  const parts = [];
  for (const [name, words] of LOOPBACK) {
    const file = `${LOOPBACK_RESULTS}/${name}.txt`;
    if (!existsSync(file)) continue;
    if (parts.length === 0) parts.push('', '## On one machine', '', LOOPBACK_WORDS);
    const text = readFileSync(file, 'utf8').trim();
    parts.push(
      '',
      words,
      `\`npm run build && node benchmarks/${name}.mjs\``,
      '',
      '```',
      text,
      '```',
    );
  }
  return parts;
}

function page() {
  const parts = [
    '# Measurements',
    '',
    'Written by `scripts/measurements.mjs`; do not edit. The simulated tables are exact: they follow from',
    'the code and the seeds, and `npm run tables` checks each figure. Links are written as',
    "Mbit/s / RTT in ms, with a queue of 50 ms. The simulator, and how far its TCP is from a kernel's, are",
    `described in \`src/sim/tcp.ts\`. ${
      section(REAL_NETWORKS).length > 0
        ? 'Measurements in real networks [follow](#in-real-networks).'
        : 'There are no measurements on real networks yet.'
    }`,
    '',
    '## Simulated',
  ];
  for (const [title, pattern, words] of SECTIONS) {
    const text = tableOf(pattern);
    if (text !== '') parts.push('', `### ${title}`, '', words, '', '```', text, '```');
  }
  const core = 'benchmarks/results/core.txt';
  if (existsSync(core)) {
    parts.push(
      '',
      '## The core against its cipher',
      '',
      'Two endpoints in one process without a driver, against sealing and opening packets of the same size alone:',
      '`npm run build && node benchmarks/core.mjs`. Pairs of runs, one right after the other; this machine, this moment; the ratio counts, and it is noisy.',
      'Asked for: at most 35 % at 64 KiB.',
      '',
      '```',
      readFileSync(core, 'utf8').trimEnd(),
      '```',
    );
  }
  parts.push(...onOneMachine());
  const real = section(REAL_NETWORKS);
  if (real.length > 0) parts.push('', ...real);
  return `${parts.join('\n')}\n`;
}

const wanted = page();
if (process.argv.includes('--check')) {
  const same = existsSync(PAGE) && readFileSync(PAGE, 'utf8') === wanted;
  if (!same) console.error(`${PAGE} is out of date: run node scripts/measurements.mjs`);
  process.exitCode = same ? 0 : 1;
} else {
  writeFileSync(PAGE, wanted);
  console.log(`wrote ${PAGE}, of the sources at ${commit()}`);
}
