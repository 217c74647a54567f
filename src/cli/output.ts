/**
 * What a verb says: results on standard output, remarks for people on standard error.
 *
 * @module
 */

let isQuiet = false;

/** Without remarks, as `--quiet` and `--json` want it. */
export function setQuiet(quiet: boolean): void {
  isQuiet = quiet;
}

export function print(text: string): void {
  process.stdout.write(text);
}

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}

/** One line for people. */
export function note(text: string): void {
  if (!isQuiet) process.stderr.write(`roving: ${text}\n`);
}

/** One line that scripts may wait for; it comes however quiet the rest is. */
export function announce(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Resolves when all that was written has been handed to the system. */
export async function flushOutput(): Promise<void> {
  // An error of what was written just now is told a little later.
  await new Promise((resolve) => setImmediate(resolve));
  const streams = [process.stdout, process.stderr];
  await Promise.all(
    streams.map(
      (stream) =>
        new Promise<void>((resolve) => {
          if (stream.destroyed || stream.writableLength === 0) resolve();
          else stream.write('', () => resolve());
        }),
    ),
  );
}
