/** `npm start`: everything that the demonstration needs, then the demonstration. @module */

import { prepare } from './prepare.mjs';

prepare();
await import('./demo.mjs');
