import fc from 'fast-check';
import t from 'tap';
import { Compile } from 'typebox/compile';
import { WorkerError } from '../../src/errors.js';
import { SourceReference } from '../../src/sources/reference.js';
import { parseReference, textOf } from '../../src/sources/reference_text.js';

const isReference = Compile(SourceReference);

const word = fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/);
/** Text as the schema allows it, with the characters that separate parts. */
const text = fc
  .array(
    fc.oneof(word, fc.constantFrom('/', '@', ':', '#', '?', '%', '%2F', '?versionId=', ' ', '*', '模', 'é', '🐪')),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((parts) => parts.join(''));
const path = text.filter((path) => !path.startsWith('/'));
const optional = <K extends string, T>(key: K, value: fc.Arbitrary<T>) =>
  fc.option(value, { nil: undefined }).map((value) => (value === undefined ? {} : { [key]: value }));
const files = optional(
  'files',
  text.map((file) => [file]),
);
const hub = (type: 'hf' | 'hf_cache') =>
  fc
    .tuple(word, word, optional('revision', text), fc.oneof(files, optional('quantization', word)))
    .map(([org, name, revision, chosen]) => ({ type, repo: `${org}/${name}`, ...revision, ...chosen }));
const host = fc.constantFrom('registry.lab', 'registry.lab:5000', '127.0.0.1:80', '[::1]:5000');
const tag = fc.stringMatching(/^\w[\w.-]{0,12}$/);
const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);

const references = fc.oneof(
  path.map((path) => ({ type: 'file', path })),
  fc.webUrl({ withQueryParameters: true }).map((url) => ({ type: 'http', url })),
  hub('hf'),
  hub('hf_cache'),
  fc
    .tuple(optional('registry', host), fc.array(word, { minLength: 1, maxLength: 3 }), fc.oneof(tag, digest), files)
    .map(([registry, names, reference, files]) => ({
      ...{ type: 'oci', ...registry, repository: names.join('/'), reference, ...files },
    })),
  fc
    .tuple(fc.stringMatching(/^[a-z0-9][a-z0-9.-]{1,20}$/), text, optional('version_id', word))
    .map(([bucket, key, version]) => ({ type: 's3', bucket, key, ...version })),
);

t.test('parsing the text of a reference gives the reference', async (t) => {
  fc.assert(
    fc.property(references, (reference) => {
      if (!isReference.Check(reference)) throw new Error(`not a reference: ${JSON.stringify(reference)}`);
      t.strictSame(parseReference(textOf(reference)), reference);
    }),
    { numRuns: 200 },
  );
});

t.test('any text is either a valid reference or INVALID_PARAMS', async (t) => {
  const schemes = fc.constantFrom('', 'hf://', 'hf-cache://', 'oci://', 's3://', 'https://', 'file:', 'x:');
  fc.assert(
    fc.property(schemes, fc.oneof(text, fc.string()), (scheme, rest) => {
      try {
        const reference = parseReference(scheme + rest);
        t.ok(isReference.Check(reference), scheme + rest);
        t.strictSame(parseReference(textOf(reference)), reference, scheme + rest);
      } catch (error) {
        t.ok(error instanceof WorkerError && error.code === 'INVALID_PARAMS', String(error));
      }
    }),
    { numRuns: 400 },
  );
});

t.test('the forms of users', async (t) => {
  const cases: readonly (readonly [string, object])[] = [
    ['file:a/b.gguf', { type: 'file', path: 'a/b.gguf' }],
    ['HTTPS://mirror.lab/m.gguf?x=1', { type: 'http', url: 'HTTPS://mirror.lab/m.gguf?x=1' }],
    ['hf://org/name', { type: 'hf', repo: 'org/name' }],
    ['hf://gpt2', { type: 'hf', repo: 'gpt2' }],
    ['hf://gpt2@main/model.safetensors', { type: 'hf', repo: 'gpt2', revision: 'main', files: ['model.safetensors'] }],
    ['hf://org/name@main/m.gguf', { type: 'hf', repo: 'org/name', revision: 'main', files: ['m.gguf'] }],
    ['hf://org/name@refs%2Fpr%2F1', { type: 'hf', repo: 'org/name', revision: 'refs/pr/1' }],
    ['hf://org/name:Q4_K_M', { type: 'hf', repo: 'org/name', quantization: 'Q4_K_M' }],
    ['hf://org/name@v1:Q8_0', { type: 'hf', repo: 'org/name', revision: 'v1', quantization: 'Q8_0' }],
    ['hf://org/name/sub/m@1:2.gguf', { type: 'hf', repo: 'org/name', files: ['sub/m@1:2.gguf'] }],
    ['hf-cache://org/name', { type: 'hf_cache', repo: 'org/name' }],
    ['oci://lab:5000/a/b', { type: 'oci', registry: 'lab:5000', repository: 'a/b' }],
    ['oci://lab/b:v1', { type: 'oci', registry: 'lab', repository: 'b', reference: 'v1' }],
    ['oci:///b:v1', { type: 'oci', repository: 'b', reference: 'v1' }],
    [`oci://lab/b:v1@sha256:${'0'.repeat(64)}`, { reference: `sha256:${'0'.repeat(64)}` }],
    ['oci://lab/b:v1#m.gguf', { reference: 'v1', files: ['m.gguf'] }],
    ['s3://models/a/', { type: 's3', bucket: 'models', key: 'a/' }],
    ['s3://models/a?versionId=x', { type: 's3', bucket: 'models', key: 'a', version_id: 'x' }],
  ];
  for (const [text, reference] of cases) t.match(parseReference(text), reference, text);
});

t.test('each kind of invalid text has its own message', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /^The source is empty: use file:/],
    ['org/name', /no type: use hf:\/\/org\/name or file:org\/name/],
    ['model.gguf', /no type: use file:, hf:\/\//],
    ['ftp://x/y', /Unknown type of source ftp: use file:/],
    ['hf://org/na\u001bme', /control characters/],
    [`file:${'x'.repeat(9000)}`, /at most 8192 characters/],
    ['file:', /needs a path/],
    ['file:/etc/passwd', /relative to the worker's model directory/],
    ['file:///m.gguf', /relative to the worker's model directory/],
    ['https:mirror.lab', /URL of the source is invalid/],
    ['https://', /URL of the source is invalid/],
    ['https://user:secret@mirror.lab/m', /must not contain a user or a password/],
    ['https://mirror.lab/m#x', /must not contain a fragment/],
    ['hf:org/name', /needs two slashes/],
    ['hf://', /repository is invalid: use hf:\/\/org\/name/],
    ['hf://org/', /repository is invalid/],
    ['hf://org/na me', /repository is invalid/],
    ['hf://org/name@', /revision after @ is empty/],
    ['hf://org/name@%', /revision % is invalid: write a slash as %2F/],
    ['hf://org/name/', /ends in a slash: name a file/],
    ['hf://org/name:', /quantization after : is invalid/],
    ['hf://org/name:a/b', /quantization after : is invalid/],
    ['oci:lab/b', /needs two slashes/],
    ['oci://lab', /no repository/],
    ['oci://l_b/b', /registry l_b is invalid: use a host/],
    ['oci://lab/', /repository is invalid/],
    ['oci://lab/b:', /tag after : is invalid/],
    ['oci://lab/b@sha256:12', /digest after @ is invalid/],
    ['oci://lab/b#', /name of the file after # is empty/],
    ['s3://', /bucket is invalid/],
    ['s3://models', /no key: use s3:\/\/bucket\/key/],
    ['s3:models/key', /bucket is invalid/],
  ];
  for (const [text, message] of cases) t.throws(() => parseReference(text), { code: 'INVALID_PARAMS', message }, text);
  t.throws(() => parseReference('https://user:secret@lab/'), { message: /^(?!.*secret)/ }, 'the secret is not shown');
});
