import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  apiTokenFileOf,
  readAttachToken,
  readKeeperToken,
  readSealSecret,
  readTokens,
  type SecretFiles,
} from '../../src/config/secrets.js';
import { FileCalls } from '../../src/storage/file_calls.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

/** Records what was read. */
class RecordedCalls extends FileCalls {
  readonly results: Buffer[] = [];

  constructor() {
    super(10);
  }

  override async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const result = await super.run(name, work);
    if (result instanceof Buffer) this.results.push(result);
    return result;
  }
}

const token = 'a'.repeat(40);

/** Files with these contents. */
function secretFiles(t: Test, contents: Readonly<Record<string, string>>): SecretFiles {
  const directory = temporaryDirectory(t);
  const fileOf = (name: string): string => join(directory, name);
  for (const [name, content] of Object.entries(contents)) writeFileSync(fileOf(name), content, { mode: 0o600 });
  return {
    apiTokenFile: fileOf('api'),
    apiTokenName: 'WORKER_API_TOKEN_FILE',
    readTokenFile: fileOf('read'),
    attachTokenFile: fileOf('attach'),
    keeperTokenFile: undefined,
    sealKeyFile: fileOf('seal'),
    sealAlgorithm: 'HS256',
  };
}

const failing: readonly (readonly [RegExp, Readonly<Record<string, string>>])[] = [
  [/holds the API token/, { api: token, read: `${token}\n` }],
  [/READ_TOKEN_FILE names a file that does not exist/, { api: token }],
  [/READ_TOKEN_FILE must hold at least 32 bytes/, { api: token, read: 'short' }],
];

t.test('tokens of which one is invalid are wiped', async (t) => {
  for (const [message, contents] of failing) {
    const files = new RecordedCalls();
    await t.rejects(readTokens(secretFiles(t, contents), files), { message });
    t.ok(files.results.length > 0);
    for (const result of files.results) t.ok(isWiped(result), String(message));
  }
});

t.test('a secret that is invalid is wiped', async (t) => {
  const files = new RecordedCalls();
  const invalid = secretFiles(t, { seal: 'short', attach: `${'a'.repeat(40)} b` });
  await t.rejects(readSealSecret(invalid, files), { message: /at least 32 bytes/ });
  await t.rejects(readAttachToken(invalid, files), { message: /not a bearer token/ });
  t.equal(files.results.length, 2);
  for (const result of files.results) t.ok(isWiped(result));
});

t.test('valid secrets are not wiped', async (t) => {
  const { apiToken, readToken } = await readTokens(
    secretFiles(t, { api: token, read: 'b'.repeat(40) }),
    new FileCalls(10),
  );
  t.equal(apiToken.toString(), token);
  t.equal(readToken?.toString(), 'b'.repeat(40));
});

t.test('the tokens of processes that attach and of the keeper are read if their files are named', async (t) => {
  const files = new FileCalls(10);
  const named = secretFiles(t, { attach: token, keeper: 'c'.repeat(40) });
  const keeperTokenFile = String(named.attachTokenFile).replace(/attach$/, 'keeper');
  t.equal((await readAttachToken(named, files))?.toString(), token);
  t.equal((await readKeeperToken({ keeperTokenFile }, files))?.toString(), 'c'.repeat(40));
  t.equal(await readAttachToken({ ...named, attachTokenFile: undefined }, files), undefined);
  t.equal(await readKeeperToken(named, files), undefined);
});

t.test('the API token is a credential of systemd only if that file exists', async (t) => {
  const directory = temporaryDirectory(t);
  const options = { simulate: false, directory, files: new FileCalls(10) };
  await t.rejects(apiTokenFileOf(undefined, directory, options), { message: /WORKER_API_TOKEN_FILE is not set/ });
  const apiTokenFile = join(directory, 'worker-token');
  writeFileSync(apiTokenFile, token, { mode: 0o600 });
  t.match(await apiTokenFileOf(undefined, directory, options), { apiTokenFile });
});

/** A newline at the end is not secret. */
const isWiped = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0 || byte === 0x0a);
