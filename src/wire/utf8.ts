/**
 * UTF-8 for the few strings on the wire, since this layer has no TextEncoder. Nothing here throws:
 * what is not valid becomes U+FFFD.
 *
 * @module
 */

const REPLACEMENT = 0xfffd;

/** How many bytes the code point takes; lone surrogates count as the replacement they become. */
function codePointLength(point: number): number {
  if (point < 0x80) return 1;
  if (point < 0x800) return 2;
  return point < 0x1_0000 ? 3 : 4;
}

/** How many bytes {@link utf8Encode} makes of `text`. */
export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) length += codePointLength(character.codePointAt(0) as number);
  return length;
}

/** The longest beginning of `text` that takes at most `maxBytes` bytes and splits no character. */
export function utf8Truncate(text: string, maxBytes: number): string {
  let bytes = 0;
  let units = 0;
  for (const character of text) {
    bytes += codePointLength(character.codePointAt(0) as number);
    if (bytes > maxBytes) return text.slice(0, units);
    units += character.length;
  }
  return text;
}

/** `text` as UTF-8; a lone surrogate becomes U+FFFD. */
export function utf8Encode(text: string): Uint8Array {
  const bytes = new Uint8Array(utf8Length(text));
  let at = 0;
  for (const character of text) {
    let point = character.codePointAt(0) as number;
    if (point >= 0xd800 && point <= 0xdfff) point = REPLACEMENT;
    if (point < 0x80) {
      bytes[at++] = point;
      continue;
    }
    const length = codePointLength(point);
    const mark = length === 2 ? 0xc0 : length === 3 ? 0xe0 : 0xf0;
    bytes[at] = mark | (point >>> (6 * (length - 1)));
    for (let i = 1; i < length; i++) {
      bytes[at + i] = 0x80 | ((point >>> (6 * (length - 1 - i))) & 0x3f);
    }
    at += length;
  }
  return bytes;
}

/**
 * The text that UTF-8 `bytes` mean. Each longest piece that begins a valid sequence and does not
 * go on as one, and each byte that begins none, becomes one U+FFFD (Unicode §3.9, table 3-7).
 */
export function utf8Decode(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at++] as number;
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    let more = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (more === 0) {
      text += String.fromCharCode(REPLACEMENT);
      continue;
    }
    let point = first & (0x3f >> more);
    // The second byte's range is narrower where it excludes overlong forms, surrogates, > 10FFFF.
    let low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    while (more > 0) {
      const next = at < bytes.length ? (bytes[at] as number) : -1;
      if (next < low || next > high) break;
      point = (point << 6) | (next & 0x3f);
      at++;
      more--;
      low = 0x80;
      high = 0xbf;
    }
    text += String.fromCodePoint(more === 0 ? point : REPLACEMENT);
  }
  return text;
}
