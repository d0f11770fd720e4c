import { readdirSync, readFileSync } from 'node:fs';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { connectionOf, requestState } from '../../../src/http/server/request_state.js';
import { root } from '../../support/paths.js';

t.test('only request_state.ts keeps state by weak references', async (t) => {
  const source = join(root, 'src', 'http');
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const owners = files.filter((file) => /new Weak(?:Map|Set|Ref)/.test(readFileSync(join(source, file), 'utf8')));
  t.same(owners, ['server/request_state.ts']);
});

t.test('each connection and each request has its own state', async (t) => {
  const socket = new Socket();
  const [first, second] = [new IncomingMessage(socket), new IncomingMessage(socket)];
  requestState(first).bodyConsumed = true;
  t.equal(requestState(first).bodyConsumed, true);
  t.equal(requestState(second).bodyConsumed, false);
  connectionOf(socket).handshakeFailed = true;
  t.equal(connectionOf(socket).handshakeFailed, true);
  t.equal(connectionOf(new Socket()).handshakeFailed, false);
});
