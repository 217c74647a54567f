/**
 * The rules of the house that a machine can check: sizes, layers, purity, and that documents and
 * code agree. It looks at what is committed (`git ls-files`), or at all files where there is no
 * repository. Each rule collects the places that break it and prints them all.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { decodeFrames, encodeFrame, WireError, Writer } from '../../src/wire/index.js';
import { fromHex, toHex } from '../helpers/hex.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROTOCOL = 'docs/protocol.md';

const MAX_FILE_LINES = 500;
const MAX_FUNCTION_LINES = 70;
/** Frame types up to here are tried one by one: all of one byte. */
const LAST_SHORT_TYPE = 0x3f;

/** The layers without time, chance or machine, and what each may import besides itself. */
const PURE_LAYERS: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  crypto: ['wire'],
  core: ['wire', 'crypto'],
  sim: ['wire', 'crypto', 'core'],
};

/** What a pure layer must not use: any member of these objects, these members, these functions. */
const IMPURE_OBJECTS = new Set(['performance', 'process', 'Buffer']);
const IMPURE_MEMBERS = new Set(['Date.now', 'Math.random']);
const IMPURE_FUNCTIONS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']);

const CODE = /\.[cm]?[jt]sx?$/;
const BINARY = /\.(png|jpe?g|gif|ico|webp|pdf|woff2?|gz|zip|wasm)$/;

function git(...args: string[]): string[] | undefined {
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
    const output = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio });
    return output.split('\0').filter((file) => file !== '' && existsSync(join(ROOT, file)));
  } catch {
    return undefined;
  }
}

function walk(folder: string): string[] {
  const ignored = new Set(['.git', 'node_modules', 'dist', 'coverage']);
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return ignored.has(entry.name) ? [] : walk(path);
    return entry.isFile() && !/\.(log|tsbuildinfo)$/.test(path) ? [path] : [];
  });
}

// Only a repository of our own counts: not one in which this folder happens to lie.
const isCheckout = existsSync(join(ROOT, '.git'));
const FILES = (isCheckout ? git('ls-files', '-z') : undefined) ?? walk('');
const TEXTS = FILES.filter((file) => !BINARY.test(file) && statSync(join(ROOT, file)).isFile());
const SOURCES = TEXTS.filter((file) => file.startsWith('src/') && CODE.test(file));
const PURE = SOURCES.filter((file) => PURE_LAYERS[layerOf(file)] !== undefined);

const texts = new Map<string, string>();

function read(file: string): string {
  let text = texts.get(file);
  if (text === undefined) {
    text = readFileSync(join(ROOT, file), 'utf8');
    texts.set(file, text);
  }
  return text;
}

function layerOf(file: string): string {
  return file.split('/')[1] ?? '';
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2022, true);
}

function lineOf(source: ts.SourceFile, position: number): number {
  return source.getLineAndCharacterOfPosition(position).line + 1;
}

function visit(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node);
  ts.forEachChild(node, (child) => visit(child, look));
}

function expectNone(offences: readonly string[]): void {
  if (offences.length > 0) expect.fail(`${offences.length} offences:\n${offences.join('\n')}`);
}

/** `file:line: match` for the first match in each line of the files. */
function matches(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) => {
        const found = pattern.exec(line);
        return found === null ? [] : [`${file}:${i + 1}: ${found[0]}`];
      }),
  );
}

describe('sizes', () => {
  it(`source files have at most ${MAX_FILE_LINES} lines`, () => {
    const files = TEXTS.filter((file) => /^(src|lab)\//.test(file) && CODE.test(file));
    const offences = files.flatMap((file) => {
      const lines = read(file).replace(/\n$/, '').split('\n').length;
      return lines > MAX_FILE_LINES ? [`${file}: ${lines} lines`] : [];
    });
    expect(files.length).toBeGreaterThan(0);
    expectNone(offences);
  });

  it(`functions have at most ${MAX_FUNCTION_LINES} lines`, () => {
    const offences: string[] = [];
    for (const file of SOURCES) {
      const source = parse(file);
      visit(source, (node) => {
        if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
        const first = lineOf(source, node.getStart(source));
        const lines = lineOf(source, node.getEnd()) - first + 1;
        if (lines > MAX_FUNCTION_LINES) offences.push(`${file}:${first}: ${lines} lines`);
      });
    }
    expectNone(offences);
  });
});

describe('pure layers', () => {
  it('use no clock, no chance, no timer and nothing of the machine', () => {
    const offences: string[] = [];
    for (const file of PURE) {
      const source = parse(file);
      visit(source, (node) => {
        const name = impurity(node);
        if (name === undefined) return;
        offences.push(`${file}:${lineOf(source, node.getStart(source))}: ${name}`);
      });
    }
    expectNone(offences);
  });

  it('import nothing of Node, and of ours what lies below them only', () => {
    const offences: string[] = [];
    for (const file of PURE) {
      const layer = layerOf(file);
      const allowed = [layer, ...(PURE_LAYERS[layer] ?? [])];
      for (const { fileName } of ts.preProcessFile(read(file), true, true).importedFiles) {
        const target = fileName.startsWith('.')
          ? posix.join(posix.dirname(file), fileName)
          : fileName;
        const isOurs = fileName.startsWith('.');
        const isFine = isOurs
          ? target.startsWith('src/') && allowed.includes(layerOf(target))
          : !fileName.startsWith('node:') && !builtinModules.includes(fileName);
        if (!isFine) offences.push(`${file}: ${fileName}`);
      }
    }
    expect(PURE.length).toBeGreaterThan(0);
    expectNone(offences);
  });
});

/** The name of what the node uses, if a pure layer must not. */
function impurity(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const name = `${node.expression.text}.${node.name.text}`;
    if (IMPURE_OBJECTS.has(node.expression.text) || IMPURE_MEMBERS.has(name)) return name;
  }
  if (ts.isIdentifier(node) && IMPURE_FUNCTIONS.has(node.text)) return node.text;
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression)) {
    if (node.expression.text === 'Date') return 'new Date';
  }
  return undefined;
}

/** What is left of Markdown without code blocks and code spans; lines stay where they are. */
function prose(markdown: string): string {
  const blank = (code: string): string => code.replaceAll(/[^\n]/g, ' ');
  return markdown.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, blank).replaceAll(/`[^`\n]*`/g, blank);
}

function anchorsOf(file: string): Set<string> {
  const text = read(file);
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)"/g)].map(([, id = '']) => id));
  for (const [, heading = ''] of text.matchAll(/^#+ +(.*)$/gm)) {
    const words = heading.replaceAll(/<[^>]*>/g, '').trim();
    anchors.add(
      words
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );
  }
  return anchors;
}

describe('documents', () => {
  it('number each decision once', () => {
    const numbers = FILES.filter((file) => file.startsWith('docs/decisions/')).map((file) =>
      posix.basename(file).slice(0, 4),
    );
    expectNone(numbers.filter((number, index) => numbers.indexOf(number) !== index));
  });

  it('link to files and anchors that exist', () => {
    const offences: string[] = [];
    for (const file of TEXTS.filter((name) => name.endsWith('.md'))) {
      for (const match of prose(read(file)).matchAll(/\]\(<?([^)\s>]+)>?[^)]*\)/g)) {
        const link = match[1] ?? '';
        if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
        const [path = '', anchor] = decodeURIComponent(link).split('#');
        const target = path === '' ? file : posix.join(posix.dirname(file), path);
        const isThere = isCommitted(target.replace(/\/$/, ''));
        const isAnchorThere =
          anchor === undefined ||
          !target.endsWith('.md') ||
          !isThere ||
          anchorsOf(target).has(anchor);
        if (!isThere || !isAnchorThere) offences.push(`${file}: ${link}`);
      }
    }
    expectNone(offences);
  });

  it('the protocol has every anchor that the code cites', () => {
    const anchors = new Set([...read(PROTOCOL).matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id));
    const offences = TEXTS.filter((file) => /^(src|test)\//.test(file)).flatMap((file) =>
      [...read(file).matchAll(/protocol\.md#([\w-]+)/g)]
        .filter(([, anchor]) => !anchors.has(anchor))
        .map(([citation]) => `${file}: ${citation}`),
    );
    expect(anchors.size).toBeGreaterThan(0);
    expectNone(offences);
  });

  it('the protocol numbers each sentence with a MUST, once, at its end', () => {
    const offences: string[] = [];
    const seen = new Set<string>();
    for (const paragraph of read(PROTOCOL).split(/\n\s*\n/)) {
      const text = prose(paragraph).replaceAll(/\s+/g, ' ').trim();
      // A number belongs to the sentence before it.
      for (const sentence of text.split(/(?<=\.|\[R-[^\]]*\]) (?!\[R-)/)) {
        const numbers = sentence.match(/\[R-[^\]]*\]/g) ?? [];
        const isRule = /\bMUST\b/.test(sentence) && !sentence.includes('RFC 2119');
        if (numbers.length !== (isRule ? 1 : 0)) offences.push(`${numbers.length}: ${sentence}`);
        for (const number of numbers) {
          if (!/^\[R-[A-Z]+(-[A-Z]+)*-[1-9]\d*\]$/.test(number)) offences.push(`form: ${number}`);
          if (seen.has(number)) offences.push(`twice: ${number}`);
          seen.add(number);
        }
      }
    }
    expect(seen.size).toBeGreaterThan(0);
    expectNone(offences);
  });

  it('requirements that the code and the tests cite exist', () => {
    const numbers = new Set(read(PROTOCOL).match(/R-[A-Z]+(-[A-Z]+)*-\d+(?=\])/g) ?? []);
    const offences = TEXTS.filter((file) => /^(src|test)\//.test(file)).flatMap((file) =>
      [...read(file).matchAll(/\bR-[A-Z]+(-[A-Z]+)*-\d+\b/g)]
        .filter(([number]) => !numbers.has(number))
        .map(([number]) => `${file}: ${number}`),
    );
    expectNone(offences);
  });
});

/** Files of the working tree that are not ignored; a link may come before its target's commit. */
const LINKABLE = new Set(
  (isCheckout ? git('ls-files', '-z', '--cached', '--others', '--exclude-standard') : undefined) ??
    FILES,
);

function isCommitted(target: string): boolean {
  if (target === '.' || LINKABLE.has(target)) return true;
  return [...LINKABLE].some((file) => file.startsWith(`${target}/`));
}

describe('frames', () => {
  const document = read(PROTOCOL);
  const table = document.slice(document.indexOf('\n## 7.'), document.indexOf('\n### 7.1'));
  const names = new Map<number, string>();
  for (const [, cell = '', name = ''] of table.matchAll(/^\| (0x[^|]*) \| ([A-Z_]+) \|/gm)) {
    const numbers = cell.split(/[-,] ?/).map(Number);
    const [first = 0, last = first] = numbers;
    for (let type = first; type <= last; type++) names.set(type, name);
  }

  it('of the table are those that the codec knows', () => {
    expect(names.size).toBeGreaterThan(0);
    const offences: string[] = [];
    for (let type = 0; type <= LAST_SHORT_TYPE; type++) {
      const isKnown = isKnownToCodec(type);
      if (isKnown === names.has(type)) continue;
      const where = isKnown ? 'codec, not in the table' : 'table, not in the codec';
      offences.push(`0x${type.toString(16)} ${names.get(type) ?? ''}: in the ${where}`);
    }
    expectNone(offences);
  });

  it('of the table all have a vector, and those of an encoder encode to it', () => {
    interface Vector {
      readonly name: string;
      readonly hex: string;
      readonly decodeOnly?: string;
    }
    const file = JSON.parse(read('test/vectors/frames.json')) as { valid: Vector[] };
    const covered = new Set<number>();
    const offences: string[] = [];
    for (const { name, hex, decodeOnly } of file.valid) {
      const bytes = fromHex(hex);
      const frames = decodeFrames(bytes);
      if (frames.length === 1) covered.add(bytes[0] as number);
      if (decodeOnly !== undefined) continue;
      const writer = new Writer();
      for (const frame of frames) encodeFrame(writer, frame);
      if (toHex(writer.take()) !== hex) offences.push(`${name}: encodes to something else`);
    }
    for (const [type, name] of names) {
      if (!covered.has(type)) offences.push(`0x${type.toString(16)} ${name}: no vector`);
    }
    expectNone(offences);
  });
});

function isKnownToCodec(type: number): boolean {
  try {
    decodeFrames(Uint8Array.of(type));
    return true;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return !error.message.includes('unknown type');
  }
}

describe('texts', () => {
  it('have no task without an owner', () => {
    // Put together, so that this file does not name what it looks for.
    const words = ['TO', 'FIX'].map((start, i) => start + ['DO', 'ME'][i]).join('|');
    expectNone(matches(TEXTS, new RegExp(`\\b(${words})\\b(?!\\([A-Za-z][^)]*\\))`)));
  });

  it('name no registry and no place on the machine of whoever wrote them', () => {
    const folders = ['work', 'root', 'home/[\\w.-]+', 'Users/[\\w.-]+'].join('|');
    const places = `(?<![\\w.:~)}\\]\\\\-])/(${folders})(?![\\w.-])`;
    const hosts = ['npmjs', 'yarnpkg', 'npmmirror']
      .map((name) => `registry\\.${name}\\.`)
      .join('|');
    expectNone(matches(TEXTS, new RegExp(`${places}|${hosts}`, 'i')));
  });

  it('the lock file holds no address', () => {
    expectNone(matches(['package-lock.json'], /"resolved"/));
  });
});
