/** Where copies go, by the rules of `cp -r`. @module */

import { CopyError } from './errors.js';
import type { Folder } from './folder.js';
import { checkName } from './names.js';
import type { Place } from './roots.js';

/** What was said of the destination, beside its path. */
export interface DestinationRules {
  /** The path ends in a slash: only a folder will do. */
  readonly isFolder: boolean;
  /** There are several sources, which need a folder to go to. */
  readonly isForSeveral: boolean;
}

/** A folder and the name in it; without one, what is in the source goes into the folder itself. */
export interface Spot {
  readonly folder: Folder;
  readonly name: Buffer | undefined;
}

/**
 * A folder that is there takes the sources under their own names; otherwise the one source gets the
 * destination's name.
 */
export class Destination {
  readonly #place: Place;
  readonly #isFolderOnly: boolean;

  /** @throws CopyError `ERR_COPY_DESTINATION` if several sources have no folder to go to. */
  constructor(place: Place, rules: DestinationRules) {
    if (place.kind !== 'folder' && rules.isForSeveral) {
      place.folder.release();
      const [message, systemCode] =
        place.kind === 'missing'
          ? ['several sources need a folder to go to: it does not exist', 'ENOENT']
          : ['several sources need a folder to go to: it is not one', 'ENOTDIR'];
      throw new CopyError('ERR_COPY_DESTINATION', message, { systemCode });
    }
    this.#place = place;
    this.#isFolderOnly = rules.isFolder;
  }

  /** The folder that the sources come into, whatever they are called there. */
  get folder(): Folder {
    return this.#place.folder;
  }

  /** @throws CopyError `ERR_COPY_NAME`, `ERR_COPY_DESTINATION`. */
  spot(name: Buffer, kind: 'file' | 'folder'): Spot {
    const place = this.#place;
    if (place.kind === 'folder') {
      if (name.length === 0 && kind === 'folder') return { folder: place.folder, name: undefined };
      checkName(name);
      return { folder: place.folder, name };
    }
    if (kind === 'file' && this.#isFolderOnly) {
      const message = 'the destination is to be a folder, and does not exist';
      throw new CopyError('ERR_COPY_DESTINATION', message, { systemCode: 'ENOTDIR' });
    }
    return { folder: place.folder, name: place.name };
  }

  release(): void {
    this.#place.folder.release();
  }
}
