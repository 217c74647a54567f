/** Not there yet. @module */

import { EXIT } from '../exit-codes.js';
import { CliError } from '../failure.js';

export async function copyVerb(..._args: unknown[]): Promise<void> {
  throw new CliError(EXIT.UNAVAILABLE, 'this verb is not there yet');
}
