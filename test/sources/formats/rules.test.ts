import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatError } from '../../../src/sources/formats/invalid_format.js';
import { formatRules } from '../../../src/sources/formats/rules.js';
import { dtypes } from '../../../src/sources/formats/safetensors/dtypes.js';
import { root } from '../../support/paths.js';

const page = readFileSync(join(root, 'docs', 'formats.md'), 'utf8');

t.test('the page of formats lists every rule once, in order, and every dtype', async (t) => {
  const listed = [...page.matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map(([, name]) => name);
  t.strictSame(listed.slice(3), Object.keys(formatRules), 'after the three fields');
  for (const dtype of dtypes.keys()) t.match(page, `\`${dtype}\``);
});

t.test('an error has the rule, the file and the offset', async (t) => {
  const fault = { rule: 'gguf_tensor_end', file: 'model.gguf', at: 1787 } as const;
  const error = formatError(fault);
  t.match(error, { code: 'FORMAT_INVALID', format: fault });
  t.match(page, `"detail": "${error.message}"`, 'as the example on the page');
});
