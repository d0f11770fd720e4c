import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { root } from '../support/paths.js';

const src = join(root, 'src');

/** The only file of the running worker that may connect. */
const connector = 'sources/egress/connect.ts';

/** Other users of Node's network modules, by what they may import from them. Types are always allowed. */
const allowed: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'config/tls_files.ts': { 'node:tls': ['createSecureContext'] },
  'config/service_links.ts': { 'node:net': ['isIP'] },
  'http/plugins/security_headers.ts': { 'node:http': ['IncomingMessage', 'ServerResponse'], 'node:net': ['Socket'] },
  'http/server/listen.ts': { 'node:net': ['createServer'] },
  'http/server/tls_server.ts': { 'node:https': ['createServer'] },
  'http/server/http_server.ts': { 'node:http': ['createServer', 'METHODS', 'ServerResponse', 'IncomingMessage'] },
  'http/server/network.ts': { 'node:net': ['isIPv4', 'isIPv6'] },
  'sources/egress/address_rules.ts': { 'node:net': ['BlockList', 'isIP', 'isIPv4'] },
  'sources/egress/connect.ts': { 'node:net': ['connect', 'isIP'], 'node:tls': ['checkServerIdentity', 'connect'] },
  // Over the socket that connect.ts opened.
  'sources/egress/exchange.ts': { 'node:http': ['request'] },
  'sources/egress/resolve.ts': { 'node:dns/promises': ['lookup'], 'node:net': ['isIP'] },
  // Its class AwsV4Signer only computes headers; its class AwsClient connects.
  'sources/s3/credential.ts': { aws4fetch: ['AwsV4Signer'] },
  'sources/settings/check.ts': { 'node:net': ['isIP', 'isIPv4'] },
};

const networkModules = /^(?:node:)?(?:net|tls|http|https|http2|dns|dns\/promises|dgram)$/;
const clients = /^(?:undici|axios|got|node-fetch|ws|aws4fetch)$/;
const networkGlobals = new Set(['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest']);

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => /\.[cm]?ts$/.test(file));
const treeOf = (file: string) =>
  ts.createSourceFile(file, readFileSync(join(src, file), 'utf8'), ts.ScriptTarget.Latest, true);

/** The values that a file imports from a module: `*` for all of it. */
function valuesOf(declaration: ts.ImportDeclaration): string[] {
  const clause = declaration.importClause;
  if (clause === undefined) return ['*'];
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return [];
  const names = clause.name === undefined ? [] : ['*'];
  const bindings = clause.namedBindings;
  if (bindings === undefined) return names;
  if (ts.isNamespaceImport(bindings)) return [...names, '*'];
  const elements = bindings.elements.filter(({ isTypeOnly }) => !isTypeOnly);
  return [...names, ...elements.map(({ name, propertyName }) => (propertyName ?? name).text)];
}

/** Parsing takes time, and few files have such a word. */
const words =
  /node:(?:net|tls|http|https|http2|dns|dgram)|\b(?:fetch|WebSocket|EventSource|XMLHttpRequest|undici|axios|got|ws|aws4fetch)\b|\b(?:import|require|getBuiltinModule)\(/;

/** Every way to a connection that a file has: `module: value`, or a global. */
function waysOut(file: string): string[] {
  const ways: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const { text } = node.moduleSpecifier;
      if (networkModules.test(text) || clients.test(text))
        ways.push(...valuesOf(node).map((name) => `${text}: ${name}`));
    }
    const isLoad =
      ts.isCallExpression(node) &&
      /^(?:import|require|getBuiltinModule|process\.getBuiltinModule)$/.test(node.expression.getText());
    if (isLoad) {
      const [argument] = node.arguments;
      if (argument !== undefined && (!ts.isStringLiteral(argument) || networkModules.test(argument.text))) {
        ways.push(`import(${argument.getText()})`);
      }
    }
    if (ts.isIdentifier(node) && networkGlobals.has(node.text) && isUse(node)) ways.push(`global: ${node.text}`);
    ts.forEachChild(node, visit);
  };
  if (words.test(readFileSync(join(src, file), 'utf8'))) visit(treeOf(file));
  return ways;
}

/** Whether an identifier reads a global, and is not the name of a property or a parameter. */
function isUse({ parent, text }: ts.Identifier): boolean {
  if (ts.isPropertyAccessExpression(parent)) return /^global(This)?$/.test(parent.expression.getText());
  if ('name' in parent && parent.name !== undefined && (parent.name as ts.Node).getText() === text) return false;
  return !ts.isTypeReferenceNode(parent);
}

t.test('only the egress can open outgoing connections', async (t) => {
  const found = files.filter((file) => !file.startsWith('commands/'));
  t.ok(found.includes(connector));
  for (const file of found) {
    const known = Object.entries(allowed[file] ?? {}).flatMap(([module, names]) =>
      names.map((name) => `${module}: ${name}`),
    );
    for (const way of waysOut(file)) t.ok(known.includes(way), `${file}: ${way}`);
  }
});

t.test('a command connects to the worker alone: health, and the client of the HTTP API', async (t) => {
  const connecting = files.filter((file) => file.startsWith('commands/') && waysOut(file).length > 0);
  t.strictSame(connecting.sort(), [
    'commands/client/credentials.ts',
    'commands/client/worker_client.ts',
    'commands/health.ts',
  ]);
  t.strictSame(waysOut('commands/client/credentials.ts'), ['node:tls: createSecureContext']);
});

t.test('one call opens plain connections, and one TLS connections', async (t) => {
  const text = readFileSync(join(src, connector), 'utf8');
  t.equal(text.split('connectTcp(').length, 2);
  t.equal(text.split('connectTls(').length, 2);
});
