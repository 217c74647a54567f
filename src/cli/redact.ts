/** Secrets never reach a log, an error message or a trace: whatever goes there passes here. @module */

/** What stands for a secret. */
export const HIDDEN = '(secret)';

const TICKET = /roving:\/\/[^\s#'"]*(#[\w-]*)?/gi;
/** As base64url, 32 bytes have 43 characters, and a ticket's secrets 96; as hexadecimal, 64. */
const LONG_SECRET = /(?<![\w-])(?:[0-9a-f]{64}|[\w-]{43}|[\w-]{96})(?![\w-])/gi;
const SECRET_FIELDS = /^(secret|doorKey|serverSecret|ticket|password|authorization)$/i;
const PASSWORD_IN_URL = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s/@]*@/gi;
const MAX_DEPTH = 6;

/** The text with tickets, passwords in URLs, and whatever looks like a secret, taken out. */
export function redactText(text: string): string {
  return text
    .replaceAll(TICKET, `roving://${HIDDEN}`)
    .replaceAll(PASSWORD_IN_URL, `$1:${HIDDEN}@`)
    .replaceAll(LONG_SECRET, (word) => (isSecretLike(word) ? HIDDEN : word));
}

/** Words and paths of that length exist; random ones mix cases and digits. */
function isSecretLike(word: string): boolean {
  return (
    /\d/.test(word) && (/^[0-9a-f]{64}$/i.test(word) || (/[a-z]/.test(word) && /[A-Z]/.test(word)))
  );
}

/** A copy without secrets: fields named as such, byte arrays, and texts as {@link redactText}. */
export function redactValue(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return HIDDEN;
  if (value instanceof Date) return value;
  if (value instanceof Error) return redactText(`${value.name}: ${value.message}`);
  if (depth >= MAX_DEPTH) return '...';
  if (Array.isArray(value)) return value.map((one) => redactValue(one, depth + 1));
  const entries = Object.entries(value).map(([name, field]) => [
    name,
    SECRET_FIELDS.test(name) ? HIDDEN : redactValue(field, depth + 1),
  ]);
  return Object.fromEntries(entries) as unknown;
}
