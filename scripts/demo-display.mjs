/**
 * What the demonstration shows: on a terminal a table that is redrawn, else a plain line now and
 * then. Honours NO_COLOR.
 *
 * @module
 */

/** Between two plain lines. */
const LINE_INTERVAL_MS = 500;
const KEPT_NOTES = 5;
const COLOURS = { active: 32, joining: 33, suspect: 31, down: 31 };

export class Display {
  constructor({ output, bytes, links }) {
    this.output = output;
    this.bytes = bytes;
    this.links = links;
    this.isLive = output.isTTY === true && process.env['TERM'] !== 'dumb';
    this.hasColour = this.isLive && (process.env['NO_COLOR'] ?? '') === '';
    this.notes = [];
    this.drawnLines = 0;
    this.lineAt = 0;
  }

  print(text) {
    this.output.write(`${text}\n`);
  }

  paint(text, colour) {
    return this.hasColour && colour !== undefined ? `\x1b[${colour}m${text}\x1b[0m` : text;
  }

  begin({ source, drops }) {
    const links = this.links.map(
      ({ name, rateMbps, delayMs }) => `${name} (${rateMbps} Mbit/s, round trip ${2 * delayMs} ms)`,
    );
    this.print(
      `sending ${source}, ${megabytes(this.bytes)}, encrypted, to another process over 3 links,`,
    );
    this.print('each with a TCP connection and a UDP flow, all of them at once:');
    this.print(`  ${links.join(', ')}`);
    for (const { name, atMs, forMs } of drops) {
      this.print(
        `  ${name} will swallow everything from ${atMs / 1000} s on, for ${forMs / 1000} s`,
      );
    }
    this.print('');
  }

  /** Something has happened. */
  note(elapsedMs, text) {
    const line = `${seconds(elapsedMs).padStart(8)}  ${text}`;
    if (!this.isLive) return this.print(line);
    this.notes.push(line);
    this.notes.splice(0, this.notes.length - KEPT_NOTES);
  }

  update(elapsedMs, receivedBytes, { rows }) {
    if (this.isLive) return this.redraw(elapsedMs, receivedBytes, rows);
    if (elapsedMs < this.lineAt) return;
    this.lineAt += LINE_INTERVAL_MS;
    const parts = rows.map(
      ({ name, mbps, rttMs }) =>
        `${name} ${mbps.toFixed(1)} Mbit/s ${rttMs === undefined ? '-' : rttMs.toFixed(0)} ms`,
    );
    const done = `${percent(receivedBytes / this.bytes).padStart(4)} of ${megabytes(this.bytes)}`;
    this.print(`${seconds(elapsedMs).padStart(8)}  ${done}  ${parts.join(' | ')}`);
  }

  redraw(elapsedMs, receivedBytes, rows) {
    const lines = ['  path     state      rate (Mbit/s)   round trip   share'];
    for (const { name, state, mbps, rttMs, share } of rows) {
      const link = this.links.find((one) => one.name === name);
      const cells = [
        `  ${name.padEnd(8)}`,
        this.paint(state.padEnd(10), COLOURS[state]),
        `${mbps.toFixed(1).padStart(5)} of ${String(link?.rateMbps).padStart(3)}`.padEnd(15),
        `${rttMs === undefined ? '-' : rttMs.toFixed(0)} ms`.padStart(10),
        percent(share).padStart(7),
      ];
      lines.push(cells.join(' '));
    }
    const done = `${percent(receivedBytes / this.bytes)} of ${megabytes(this.bytes)}`;
    lines.push(`  ${seconds(elapsedMs)}, ${done}`, ...this.notes);
    const up = this.drawnLines > 0 ? `\x1b[${this.drawnLines}A\x1b[J` : '';
    this.output.write(`${up}${lines.join('\n')}\n`);
    this.drawnLines = lines.length;
  }

  end(result) {
    const { totals, shares } = result;
    const total = [...shares.values()].reduce((sum, bytes) => sum + bytes, 0);
    const parts = [...shares].map(([name, bytes]) => `${name} ${percent(bytes / total)}`);
    const verdict = result.isSame
      ? this.paint('the same, to the byte', COLOURS.active)
      : this.paint('DIFFERENT: this is a bug, please report it', COLOURS.down);
    this.print(`
received     ${result.target}
SHA-256      ${result.sent} sent
             ${result.received} received: ${verdict}
time         ${seconds(result.elapsedMs)}
goodput      ${result.goodputMbps.toFixed(1)} Mbit/s = ${percent(result.goodputMbps / result.availableMbps)} of the \
${result.availableMbps.toFixed(1)} Mbit/s that the links had
             while they worked (${result.sumMbps} Mbit/s all together)
shares       ${parts.join(', ')}
longest gap  ${result.longestGapMs.toFixed(0)} ms without a byte for the reader
sent twice   ${megabytes(totals.reinjectedBytes)} moved from one path to another; ${totals.lostPackets} packets lost and sent again

next         npm start -- FILE --drop lte@0.5+3     your own file, another fault
             npx roving ticket new --help           a server and a client of your own
             npx roving forward --help              tunnels; also: cp, connect, bench, status
             node examples/hello-stream.mjs         the library in twenty lines
             README.md, ARCHITECTURE.md             what works, and how`);
  }
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e6 ? 3 : 1)} MB`;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}

function percent(part) {
  return `${(100 * (Number.isFinite(part) ? part : 0)).toFixed(0)} %`;
}
