import t from 'tap';
import { ResponseHead } from '../../../src/sources/egress/response_head.js';
import { httpSource } from '../../support/http_sources.js';

const { egress } = httpSource({ settings: { prefixes: ['https://hub.test/api/'] } });
const url = new URL('https://hub.test/api/list?limit=1');
const nextOf = (link: string) => egress.nextPage({ head: new ResponseHead(200, ['Link', link]), url })?.href;

t.test('the next page of a list is found in each form of the header', async (t) => {
  const next = 'https://hub.test/api/list?cursor=2';
  for (const link of [
    `<${next}>; rel="next"`,
    `<${next}>;rel=next`,
    '</api/list?cursor=2>; rel="next"',
    `<https://hub.test/api/x>; rel="prev", <${next}>; rel="next"; title="a"`,
    `<${next}>; title="x"; rel="first next"`,
  ]) {
    t.equal(nextOf(link), next, link);
  }
  for (const link of [
    '',
    `<${next}>; rel="prev"`,
    `<${next}>`,
    `<${next}>; title="rel=next"`,
    `<${next}>; rel="nextpage"`,
  ]) {
    t.equal(nextOf(link), undefined, link);
  }
});

t.test('the next page must stay on the origin and below the endpoint', async (t) => {
  for (const target of [
    'https://evil.test/api/',
    'http://hub.test/api/',
    'https://hub.test:444/api/',
    '//evil.test/api/',
    '/other',
  ]) {
    t.throws(() => nextOf(`<${target}>; rel="next"`), { code: 'SOURCE_FORBIDDEN' }, target);
  }
  for (const target of ['https://u@hub.test/api/', '/api/%2e%2e/x', 'file:///etc/passwd']) {
    t.throws(() => nextOf(`<${target}>; rel="next"`), { code: 'SOURCE_INVALID' }, target);
  }
});
