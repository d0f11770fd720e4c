import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { errorCodes, retryOf, WorkerError } from '../src/errors.js';
import { problemTypes } from '../src/http/errors/problem.js';
import { exitStatus } from '../src/process/exit_status.js';
import { root } from './support/paths.js';
import { startWorker } from './support/worker.js';

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.md'))
  .map((file) => `docs/${file}`);
const documents = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...pages];

/** The text of a document without its fenced blocks. */
const proseOf = (file: string): string => read(file).replaceAll(/^```.*?^```$/gms, '');

/** The fragments that lead to the headings of a document, as GitHub makes them. */
const fragmentsOf = (file: string): string[] =>
  [...proseOf(file).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** The cells of the rows of a Markdown table, by its header. */
function rowsOf(file: string, header: string): string[][] {
  const lines = read(file).split('\n');
  const first = lines.indexOf(header) + 2;
  const rest = lines.slice(first);
  const rows = rest.slice(
    0,
    Math.max(
      0,
      rest.findIndex((line) => !line.startsWith('|')),
    ),
  );
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

interface Operation {
  readonly security?: readonly unknown[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

/** The role that a client of an operation needs, by its documented errors. */
function roleOf(name: string, { security, responses }: Operation): string {
  if (security?.length === 0) return 'public';
  if (responses[403]?.description.includes('`FORBIDDEN`') !== true) return 'read';
  return name === 'POST /v1/plan' ? 'read; operator to reserve' : 'operator';
}

/** The words in backticks of a cell. */
const namesIn = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

t.test('every relative link leads to a file and a heading', async (t) => {
  for (const file of documents) {
    for (const [link, target = ''] of proseOf(file).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', fragment] = target.split('#');
      const linked = path === '' ? file : join(dirname(file), path);
      t.ok(existsSync(join(root, linked)), `${file}: ${link}`);
      if (fragment !== undefined) t.ok(fragmentsOf(linked).includes(fragment), `${file}: the heading of ${link}`);
    }
  }
});

t.test('no command needs a curl that is newer than 7.81', async (t) => {
  for (const file of [...documents, 'openapi/openapi.json', 'src/process/banner.ts']) {
    t.notMatch(read(file), /curl[^\n]* --json|ask [^\n]*--json|%header\{/, file);
  }
});

t.test('the API page lists every error code', async (t) => {
  const rows = rowsOf('docs/api.md', '| Code | Status | Retriable | Meaning |');
  const listed = Object.fromEntries(rows.map(([code, status]) => [namesIn(code)[0], Number(status)]));
  t.strictSame(listed, Object.fromEntries(Object.entries(problemTypes).map(([code, { status }]) => [code, status])));
  for (const [code, , retriable] of rows) {
    const known = errorCodes.find((name) => name === namesIn(code)[0]) ?? 'INTERNAL';
    t.equal(retriable === 'yes', retryOf(new WorkerError(known, '')).retriable, `${code} is retriable, or not`);
  }
});

t.test('the API page lists every route with its role', async (t) => {
  const roles = new Map(
    rowsOf('docs/api.md', '| Route | Role | Does |').flatMap(([route, role]) => {
      const names = namesIn(route);
      const path = names.at(-1)?.split(' ').at(-1);
      return names.map((name) => [name.includes(' ') ? name : `${name} ${path}`, role] as const);
    }),
  );
  const { paths } = JSON.parse(read('openapi/openapi.json'));
  for (const [path, operations] of Object.entries<Record<string, Operation>>(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method.toUpperCase()} ${path}`;
      t.equal(roles.get(name), roleOf(name, operation), name);
    }
  }
});

t.test('the reliability page has an entry for each fault test', async (t) => {
  const names = readdirSync(join(root, 'test', 'faults')).filter((file) => file.endsWith('.test.ts'));
  t.ok(names.length > 0);
  const page = read('docs/reliability.md');
  for (const name of names) t.match(page, `\n**\`${name.replace('.test.ts', '')}\`**: `, name);
});

t.test('the operations page lists every exit status', async (t) => {
  const listed = rowsOf('docs/operations.md', '| Status | Meaning |').map(([status]) => Number(status));
  t.strictSame(listed, [0, ...Object.values(exitStatus)]);
});

t.test('the operations page lists every metric', async (t) => {
  const { inject } = await startWorker(t);
  const { payload } = await inject({ url: '/metrics' });
  const served = [...payload.matchAll(/^# TYPE (vram_\w+)/gm)].map(([, name]) => name);
  const listed = rowsOf('docs/operations.md', '| Metric | Meaning |').flatMap(([metric]) =>
    namesIn(metric).map((name) => name.split('{')[0]),
  );
  t.strictSame([...listed].sort(), [...served].sort());
});

t.test('the audit log page lists every event', async (t) => {
  const union = /export type AuditEvent =([^;]*);/.exec(read('src/audit/event.ts'))?.[1] ?? '';
  const events = [...union.matchAll(/'(\w+)'/g)].map(([, name]) => name);
  const listed = rowsOf('docs/audit-log.md', '| Event | Written when |').flatMap(([event]) => namesIn(event));
  t.ok(events.length > 0);
  t.strictSame([...listed].sort(), [...events].sort());
});

t.test('the handles page lists every claim', async (t) => {
  const { components } = JSON.parse(read('openapi/openapi.json'));
  const listed = rowsOf('docs/handles.md', '| Claim | Meaning |').flatMap(([claim]) => namesIn(claim));
  t.strictSame([...listed].sort(), Object.keys(components.schemas.HandleClaims.properties).sort());
});
