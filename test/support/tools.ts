import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './paths.js';

/** Loads a package of `tools`, which the root's `npm ci` does not install. */
export const requireTool = createRequire(join(root, 'tools', 'package.json'));

/** For `t.test`: skips it if a package of `tools` is not installed. */
export function unlessTool(name: string): { readonly skip?: string } {
  try {
    requireTool.resolve(name);
    return {};
  } catch {
    return { skip: `${name} is not installed here: \`npm run tools\`` };
  }
}
