// One encrypted TCP path on the loopback interface, two processes, through the whole library, beside
// node:tls 1.3 and a plain socket with the same program.
//
//   npm run build && node benchmarks/tcp-path.mjs [--runs 5] [--seconds 1] [--kinds net,tls,roving]
//     [--chunks 65536,16384] [--prof sender|receiver]
//
// Runs are interleaved; the table holds medians, and ratios within one round of runs.

import { runOnce } from './lib/run.mjs';
import { median, option, print } from './lib/table.mjs';

const runs = Number(option('runs', '5'));
const seconds = Number(option('seconds', '1'));
const kinds = option('kinds', 'net,tls,roving/node,roving/native').split(',');
const chunkSizes = option('chunks', '65536,16384').split(',').map(Number);
const profile = option('prof', '');

for (const chunkBytes of chunkSizes) {
  const results = new Map(kinds.map((kind) => [kind, []]));
  for (let run = 0; run < runs; run++) {
    for (const kind of kinds) {
      results.get(kind).push(await runOnce({ kind, chunkBytes, seconds, profile }));
    }
  }
  const rows = kinds.map((kind) => {
    const own = results.get(kind);
    const beside = (other) => {
      const theirs = results.get(other);
      if (theirs === undefined) return '';
      const ratios = own.map((one, i) => one.rate / theirs[i].rate);
      return `${(100 * median(ratios)).toFixed(0)} %`;
    };
    const pick = (name) => median(own.map((one) => one[name]));
    const rates = own.map((one) => one.rate);
    return [
      kind,
      pick('rate').toFixed(0),
      `${Math.min(...rates).toFixed(0)}..${Math.max(...rates).toFixed(0)}`,
      beside('tls'),
      beside('net'),
      pick('sendCpu').toFixed(2),
      pick('receiveCpu').toFixed(2),
    ];
  });
  const head = ['over', 'MB/s', 'spread', 'of tls', 'of net', 'CPU s/GB send', 'receive'];
  print(`writes of ${chunkBytes} bytes, ${runs} runs of ${seconds} s`, head, rows);
}
