import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { timeProcess } from '../processes.mjs';

/** @typedef {import('../content.mjs').Content} Content */

/** The baseline programs, their Debian packages, and their version options. */
const tools = {
  curl: { debianPackage: 'curl', version: ['--version'] },
  openssl: { debianPackage: 'openssl', version: ['version'] },
  fsverity: { debianPackage: 'fsverity', version: ['--version'] },
  b3sum: { debianPackage: 'b3sum', version: ['--version'] },
  'docker-registry': { debianPackage: 'docker-registry', version: ['--version'] },
};

/** The version of each installed tool, or the reason why it is missing. @returns {Record<string, { version?: string, missing?: string }>} */
export function findTools() {
  const found = Object.entries(tools).map(([name, { debianPackage, version }]) => {
    try {
      const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 10_000 };
      const output = execFileSync(name, version, options);
      return [name, { version: output.split('\n', 1)[0] }];
    } catch {
      return [name, { missing: `${name} is not installed (Debian package ${debianPackage})` }];
    }
  });
  return Object.fromEntries(found);
}

/** @param {Content} content @returns {Promise<number>} seconds */
export async function openssl(content) {
  const { seconds, output } = await timeProcess('openssl', ['dgst', '-sha256', content.path]);
  assert.ok(output.includes(content.digest), 'the openssl digest differs');
  return seconds;
}

/** @param {Content} content @returns {Promise<number>} seconds */
export async function fsverity(content) {
  const { seconds, output } = await timeProcess('fsverity', ['digest', content.path]);
  assert.ok(output.includes(content.treeDigest), 'the fsverity digest differs');
  return seconds;
}

/** @param {Content} content @returns {Promise<number>} seconds */
export async function b3sum(content) {
  const { seconds, output } = await timeProcess('b3sum', ['--num-threads', '2', content.path]);
  assert.match(output, /^[0-9a-f]{64} /);
  return seconds;
}
