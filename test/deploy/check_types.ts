import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/paths.js';
import type { Manifest } from './manifests.js';

const folder = join(root, 'test/deploy/generated');

/** The module of kubernetes-models that declares a kind, such as `kubernetes-models/apps/v1/DaemonSet`. */
function moduleOf({ apiVersion, kind }: Manifest): string {
  const group = apiVersion.split('/')[0] ?? '';
  const name = group.endsWith('monitoring.coreos.com') ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models';
  return `${name}/${apiVersion}/${kind}`;
}

/**
 * Compiles the objects against the types of their kinds. Returns the errors of the compiler, empty if there are none. It
 * also finds unknown fields.
 */
export function typeErrors(name: string, manifests: readonly Manifest[]): string {
  mkdirSync(folder, { recursive: true });
  const lines = manifests.flatMap((manifest, index) => [
    `import type { I${manifest.kind} as Kind${index} } from '${moduleOf(manifest)}';`,
    `export const object${index} = ${JSON.stringify(manifest, null, 2)} satisfies Kind${index};`,
  ]);
  const file = join(folder, `${name}.ts`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023'];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [compiler, ...options, '--ignoreConfig', file], { encoding: 'utf8' });
  return stdout;
}
