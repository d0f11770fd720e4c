// Writes configuration.md and sources.schema.json from the tables of settings. Run it with `npm run docs`, which builds the code first.
import { writeFileSync } from 'node:fs';
import { configurationDocument } from '../dist/config/document.js';
import { sourcesSchema } from '../dist/config/sources_document.js';

writeFileSync(new URL('configuration.md', import.meta.url), configurationDocument());
writeFileSync(new URL('sources.schema.json', import.meta.url), sourcesSchema());
