// Options, medians, and tables in plain text.

/** The value of `--name VALUE`. */
export function option(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @returns the value below which the share `q` of them lies. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

export function print(title, head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_name, i) => Math.max(...all.map((row) => String(row[i]).length)));
  console.log(`\n${title}\n`);
  for (const row of all) {
    const cells = row.map((cell, i) => {
      const text = String(cell);
      return i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]);
    });
    console.log(cells.join('  ').trimEnd());
  }
}
