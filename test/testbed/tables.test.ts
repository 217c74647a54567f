/** What the measurements make of their numbers. Runs everywhere: no network, no root. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePath } from '../../benchmarks/testbed/bed.mjs';
import { firstAfterMs, longestGapMs, mbpsBetween } from '../../benchmarks/testbed/programs.mjs';
import { section, tableOf } from '../../benchmarks/testbed/report.mjs';
import { goodput } from '../../benchmarks/testbed/scenarios/goodput.mjs';
import { median, percentile, spread, tally } from '../../benchmarks/testbed/statistics.mjs';

const row = (subject: string, run: number, mbps: number) => ({
  case: '50/20 + 50/20',
  cc: 'cubic',
  subject,
  run,
  values: { mbps },
});
const ROWS = [
  row('tcp p1', 1, 40),
  row('tcp p2', 1, 60),
  row('mptcp', 1, 90),
  row('roving tcp', 1, 97),
  row('roving tcp', 2, 99),
  row('roving tcp', 3, 98),
];

describe('numbers', () => {
  it('have medians, percentiles and spreads', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(percentile([5, 1, 4, 2, 3], 0.95)).toBe(5);
    expect(spread([2, undefined, 1, 3])).toBe('2.0 (1.0 .. 3.0)');
    expect(spread([undefined])).toBe('-');
    expect(tally(['ok', 'hung', 'ok'])).toBe('2 ok, 1 hung');
  });
});

describe('what a receiver saw', () => {
  const received = {
    bytes: 3_000,
    sha256: '',
    isWhole: true,
    error: '',
    firstMs: 1_000,
    lastMs: 2_500,
    gaps: [
      [1_200, 800],
      [2_100, 50],
    ] as [number, number][],
    bins: [
      [10, 1_000],
      [20, 2_000],
    ] as [number, number][],
    messages: [],
  };

  it('tells the longest gap that touches a span, and the first bytes after a time', () => {
    expect(longestGapMs(received, 1_900, 2_050)).toBe(800);
    expect(longestGapMs(received, 2_050, 2_400)).toBe(50);
    expect(longestGapMs(received, 2_200, 2_400)).toBe(0);
    expect(firstAfterMs(received, 1_500)).toBe(500);
    expect(firstAfterMs(received, 2_300)).toBe(0);
    expect(firstAfterMs(received, 2_600)).toBeUndefined();
  });

  it('tells the rate between two times', () => {
    expect(mbpsBetween(received, 2_000, 2_100)).toBeCloseTo(0.16);
  });
});

describe('paths in words', () => {
  it('become what the testbed reads', () => {
    expect(parsePath('rate=20M,rtt=40,ge=0.01,0.3,nat')).toEqual({
      rate: '20M',
      rtt: '40',
      ge: '0.01,0.3',
      nat: true,
    });
    expect(parsePath('rate=1M,policy=noudp+stripmptcp').policy).toEqual(['noudp', 'stripmptcp']);
    expect(parsePath('rate=1M,nat={"udp_timeout":5}').nat).toEqual({ udp_timeout: 5 });
  });
});

describe('tables', () => {
  it('compare each subject with the others of its case, and leave out what nothing stands in', () => {
    const [head = '', ...lines] = tableOf(goodput, ROWS).split('\n');
    expect(head).toContain('of the sum alone');
    expect(head).not.toContain('failures');
    const roving = lines.find((line) => line.includes('roving tcp')) ?? '';
    expect(roving).toContain('98.00 (97.00 .. 99.00)');
    expect(roving).toContain('98.0 %');
    expect(roving).toContain('163.3 %');
    expect(roving).toContain('108.9 %');
  });

  it('make a section with the commands, or none without results', () => {
    const folder = mkdtempSync(join(tmpdir(), 'roving-tables-'));
    try {
      expect(section(folder)).toEqual([]);
      const result = {
        scenario: 'goodput',
        command: 'node x',
        date: 'd',
        commit: 'c',
        machine: 'm',
      };
      writeFileSync(join(folder, 'a.json'), JSON.stringify([{ ...result, rows: ROWS }]));
      const text = section(folder).join('\n');
      expect(text).toContain('### Goodput over clean paths');
      expect(text).toContain('`node x`, d, c, m.');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
