// Writes configuration.md from the table of settings. Run it with `npm run docs`, which builds the code first.
import { writeFileSync } from 'node:fs';
import { configurationDocument } from '../dist/config/document.js';

writeFileSync(new URL('configuration.md', import.meta.url), configurationDocument());
