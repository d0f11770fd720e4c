import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { root } from './support/paths.js';

interface Semver {
  readonly minVersion: (range: string) => { readonly version: string } | null;
  readonly satisfies: (version: string, range: string) => boolean;
}
interface Package {
  readonly engines?: { readonly node?: string } | readonly string[];
}

const semver: Semver = createRequire(import.meta.url)('semver');
const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));

const oldest = semver.minVersion(read('package.json').engines.node)?.version ?? '';
const lockFiles = [
  'package-lock.json',
  'test/engine/package-lock.json',
  'test/openapi-typescript/package-lock.json',
  'test/orval/package-lock.json',
  'tools/package-lock.json',
];

for (const file of lockFiles) {
  t.test(`${file}: every package supports the oldest Node.js version that the project supports`, async (t) => {
    const packages = Object.entries<Package>(read(file).packages);
    t.ok(packages.length > 30, 'the lock file lists the packages');
    const unsupported = packages.filter(([, { engines }]) => {
      const range = engines !== undefined && 'node' in engines ? engines.node : undefined;
      return range !== undefined && !semver.satisfies(oldest, range);
    });
    t.same(unsupported, [], `Node.js ${oldest} must satisfy their engines`);
  });
}
