/** Reading what `--allow` gives. @module */

import { resolve } from 'node:path';
import { checkForwardGrant } from '../tunnel/index.js';
import { failUsage } from './failure.js';

/** Kinds of grants, and what may follow after a colon. */
const GRANTS: Readonly<Record<string, 'place' | 'folder'>> = {
  forward: 'place',
  listen: 'place',
  files: 'folder',
  'files-ro': 'folder',
};
const GRANT_HELP =
  '--allow knows forward, forward:HOST:PORT, listen:PORT, files:DIR and files-ro:DIR, ' +
  'separated by commas';

/** `forward,files:DIR`; folders become absolute, since a server may be started elsewhere. */
export function parseGrants(texts: readonly string[]): string[] {
  const grants = texts.flatMap((text) => text.split(',')).filter((grant) => grant !== '');
  return [...new Set(grants.map(parseGrant))];
}

function parseGrant(grant: string): string {
  const colon = grant.indexOf(':');
  const kind = colon < 0 ? grant : grant.slice(0, colon);
  const argument = colon < 0 ? '' : grant.slice(colon + 1);
  const rule = GRANTS[kind];
  if (rule === undefined) return failUsage(`${GRANT_HELP}; it does not know ${kind}`);
  if (rule === 'place') {
    checkForwardGrant(grant);
    return grant;
  }
  if (argument === '') return failUsage(`${kind} needs a folder: ${kind}:DIR`);
  return `${kind}:${resolve(argument)}`;
}
