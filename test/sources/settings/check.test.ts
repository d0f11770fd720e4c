import Ajv2020 from 'ajv/dist/2020.js';
import t from 'tap';
import { sourcesSchema } from '../../../src/config/sources_document.js';
import { checkS3Credentials, checkSources } from '../../../src/sources/settings/check.js';
import { dockerLogins } from '../../../src/sources/settings/docker_config.js';

const hub = { name: 'hub', type: 'hf', endpoint: 'https://huggingface.co', repos: ['ggml-org/*'], revisions: 'any' };
const lab = { name: 'lab', type: 'oci', endpoint: 'https://registry.lab:5000', realm_hosts: ['auth.lab'] };
const ceph = { name: 'ceph', type: 's3', endpoint: 'http://s3.lab:7480', region: 'us-east-1', path_style: true };
const mirror = { name: 'mirror', type: 'http', prefixes: ['https://mirror.lab/models/'], digest: 'allow' };

const validate = new Ajv2020.default({ strict: false }).compile(JSON.parse(sourcesSchema()));

t.test('the examples of each type are valid, by the documented schema as well', async (t) => {
  const value = { $schema: './sources.schema.json', sources: [hub, lab, ceph, mirror] };
  t.strictSame(checkSources(value), value.sources);
  t.ok(validate(value));
  t.strictSame(checkSources({ sources: [] }), []);
});

t.test('each mistake is refused, and the message names the place', async (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [[], /object/],
    [{}, /sources/],
    [{ sources: {} }, /array/],
    [{ sources: [hub], other: 1 }, /unknown field other/],
    [{ sources: [hub, hub] }, /two sources have the name hub/],
    [{ sources: [hub, { ...mirror, token: 'x' }] }, /sources\/1.*unknown field token/],
    [{ sources: [{ ...hub, type: 'ftp' }] }, /sources\/0 has an invalid type: use http, hf, oci, s3/],
    [{ sources: [{ ...hub, type: '__proto__' }] }, /invalid type/],
    [{ sources: [null] }, /invalid type/],
    [{ sources: [{ ...hub, name: 'A b' }] }, /sources\/0\/name/],
    [{ sources: [{ ...hub, endpoint: 'ftp://x' }] }, /endpoint/],
    [{ sources: [{ ...hub, endpoint: 'https://u:p@x' }] }, /hub has an invalid URL/],
    [{ sources: [{ ...hub, endpoint: 'https://x/?a' }] }, /invalid URL|query/],
    [{ sources: [{ ...hub, token_file: 'relative' }] }, /token_file/],
    [{ sources: [{ ...hub, redirect_hosts: ['*'] }] }, /^(?!.*\*)|redirect_hosts/],
    [{ sources: [{ ...hub, redirect_hosts: ['*.com'] }] }, /redirect_hosts/],
    [{ sources: [{ ...hub, redirect_hosts: ['https://x'] }] }, /redirect_hosts/],
    [{ sources: [{ ...hub, redirect_hosts: [] }] }, /redirect_hosts/],
    [{ sources: [{ ...hub, addresses: ['10.0.0.0/33'] }] }, /addresses/],
    [{ sources: [{ ...hub, addresses: ['10.0.0'] }] }, /addresses/],
    [{ sources: [{ ...hub, addresses: ['::ffff:10.0.0.0/104'] }] }, /addresses/],
    [{ sources: [{ ...hub, addresses: ['::/0/0'] }] }, /addresses/],
    [{ sources: [{ ...hub, revisions: 'main' }] }, /revisions/],
    [{ sources: [{ ...mirror, prefixes: ['https://mirror.lab/models'] }] }, /prefixes/],
    [{ sources: [{ ...mirror, prefixes: [] }] }, /prefixes/],
    [{ sources: [{ ...mirror, prefixes: ['https://mirror.lab/a%2fb/'] }] }, /mirror has an invalid URL/],
    [{ sources: [{ ...mirror, prefixes: ['https://a.lab/', 'https://b.lab/'], token_file: '/t' }] }, /several origins/],
    [{ sources: [{ ...ceph, region: undefined }] }, /region/],
    [{ sources: [{ ...ceph, path_style: 'yes' }] }, /path_style/],
    [{ sources: [{ ...ceph, endpoint: 'http://10.0.0.1:7480', path_style: false }] }, /address .* path_style/],
    [{ sources: [{ ...ceph, endpoint: 'https://[fd00::1]/', path_style: undefined }] }, /path_style/],
  ];
  for (const [value, message] of cases) {
    t.throws(() => checkSources(value), { name: 'SettingsError', message }, JSON.stringify(value));
  }
});

t.test('the documented schema refuses what the worker refuses by its schema', async (t) => {
  for (const source of [
    { ...hub, other: 1 },
    { ...hub, endpoint: undefined },
    { ...mirror, prefixes: ['https://x/y'] },
    { ...hub, redirect_hosts: ['*.com'] },
  ]) {
    t.notOk(validate(JSON.parse(JSON.stringify({ sources: [source] }))), JSON.stringify(source));
  }
});

t.test('credentials of S3 are closed, and a message shows none of them', async (t) => {
  const keys = { access_key_id: 'AKIA', secret_access_key: 'very-secret' };
  t.strictSame(checkS3Credentials(keys), keys);
  for (const value of [{}, { ...keys, extra: 1 }, { ...keys, access_key_id: '' }, 'very-secret', null]) {
    t.throws(() => checkS3Credentials(value), { message: /^(?!.*very-secret).*access_key_id/ });
  }
});

t.test('the logins of Docker are found by host and namespace, in each form', async (t) => {
  const auth = Buffer.from('ada:pass:word').toString('base64');
  const logins = dockerLogins({
    auths: {
      'registry.lab:5000': { auth },
      'https://index.docker.io/v1/': { username: 'bob', password: 'x' },
      'Quay.lab/Team/': { auth },
      'helper.lab': {},
      'broken.lab': { auth: 'AAAA' },
    },
    credsStore: 'desktop',
  });
  t.strictSame([...(logins?.keys() ?? [])], ['registry.lab:5000', 'index.docker.io', 'quay.lab/Team']);
  const login = logins?.get('registry.lab:5000');
  t.strictSame([login?.username, login?.password.reveal()], ['ada', 'pass:word']);
  for (const value of [null, [], {}, { auths: [] }, 'x']) t.equal(dockerLogins(value), undefined);
});
