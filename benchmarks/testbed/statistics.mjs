/**
 * Medians, spreads and tables of text.
 *
 * @module
 */

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * @param {readonly number[]} values
 * @param {number} share 0 to 1
 */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/**
 * `median (least .. most)`, or the value if there is one only, or `-`.
 *
 * @param {readonly (number | undefined)[]} values
 * @param {number} digits
 */
export function spread(values, digits = 1) {
  const known = values.filter((value) => value !== undefined && Number.isFinite(value));
  const numbers = /** @type {number[]} */ (known);
  if (numbers.length === 0) return '-';
  const middle = median(numbers).toFixed(digits);
  if (numbers.length === 1) return middle;
  return `${middle} (${Math.min(...numbers).toFixed(digits)} .. ${Math.max(...numbers).toFixed(digits)})`;
}

/**
 * How often each word came: `3 ok, 1 hung`.
 *
 * @param {readonly string[]} words
 */
export function tally(words) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${count} ${word}`).join(', ');
}

/**
 * Columns padded with blanks: the first to the left, the others to the right.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} lines
 */
export function textTable(head, lines) {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...lines.map((line) => (line[i] ?? '').length)),
  );
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/**
 * The rows with equal values of `keys`, in the order in which they came.
 *
 * @template {Record<string, unknown>} R
 * @param {readonly R[]} rows
 * @param {readonly (keyof R)[]} keys
 * @returns {R[][]}
 */
export function groups(rows, keys) {
  /** @type {Map<string, R[]>} */
  const found = new Map();
  for (const row of rows) {
    const key = JSON.stringify(keys.map((name) => row[name]));
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  return [...found.values()];
}
