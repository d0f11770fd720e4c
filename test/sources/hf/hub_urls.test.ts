import t from 'tap';
import { HubUrls } from '../../../src/sources/hf/hub_urls.js';

const sha = 'a'.repeat(40);
const hub = new HubUrls(new URL('https://huggingface.co/'));
const mirror = new HubUrls(new URL('https://mirror.lab:8443/api/hf/'));

t.test('URLs are below the endpoint, and keep each name in its place', async (t) => {
  t.equal(
    hub.revision('org/name', 'refs/pr/1').href,
    'https://huggingface.co/api/models/org/name/revision/refs%2Fpr%2F1',
  );
  t.equal(
    mirror.tree('org/name', sha).href,
    `https://mirror.lab:8443/api/hf/api/models/org/name/tree/${sha}?recursive=true&expand=false`,
  );
  t.equal(
    mirror.file('org/name', sha, 'a b/c?d#e%2e.gguf').href,
    `https://mirror.lab:8443/api/hf/org/name/resolve/${sha}/a%20b/c%3Fd%23e%252e.gguf`,
  );
});

t.test('a link of the original host belongs to the mirror, and no other link does', async (t) => {
  const moved = mirror.rewrite(new URL('https://huggingface.co/api/models/x?cursor=a%2Fb'));
  t.equal(moved.href, 'https://mirror.lab:8443/api/hf/api/models/x?cursor=a%2Fb');
  t.equal(
    mirror.rewrite(new URL('https://huggingface.co//evil.test/x')).href,
    'https://mirror.lab:8443/api/hf//evil.test/x',
  );
  for (const link of [
    'http://huggingface.co/x',
    'https://huggingface.co:8443/x',
    'https://huggingface.co.evil.test/x',
    'https://www.huggingface.co/x',
    'https://mirror.lab:8443/x',
  ]) {
    t.equal(mirror.rewrite(new URL(link)).href, link);
  }
  t.equal(hub.rewrite(new URL('https://huggingface.co/x')).href, 'https://huggingface.co/x');
});

t.test('the repository of a URL is known in each form, below the endpoint alone', async (t) => {
  for (const [path, repo] of [
    ['api/models/org/name/revision/main', 'org/name'],
    ['api/models/gpt2/revision/main', 'gpt2'],
    [`api/models/org/name/tree/${sha}?cursor=1`, 'org/name'],
    [`org/name/resolve/${sha}/a/resolve/b`, 'org/name'],
    [`gpt2/resolve/${sha}/model.gguf`, 'gpt2'],
    [`api/resolve-cache/models/org/name/${sha}/config.json`, 'org/name'],
    ['org/name/resolve', 'org/name'],
    ['login?next=/org/name', undefined],
    ['api/models/org/name', undefined],
    ['api/models/../../x/revision/main', undefined],
    ['a--b/name/resolve/main/x', undefined],
  ] as const) {
    t.equal(hub.repoOf(new URL(path, 'https://huggingface.co/')), repo, path);
    t.equal(mirror.repoOf(new URL(`https://mirror.lab:8443/api/hf/${path}`)), repo, `mirror: ${path}`);
    t.equal(mirror.repoOf(new URL(`https://mirror.lab:8443/${path}`)), undefined, `outside: ${path}`);
    t.equal(mirror.repoOf(new URL(path, 'https://huggingface.co/')), undefined, `another host: ${path}`);
  }
});
