import { request as send } from 'node:https';
import type { FixtureHub } from './server.js';

/**
 * `fetch` for `@huggingface/hub` that trusts the fixture's authority and looks its hosts up at 127.0.0.1. It follows
 * redirects as the standard does: another origin gets no `Authorization`.
 */
export function clientFetch(hub: FixtureHub): typeof fetch {
  return async (input, init) => {
    let request = new Request(input, init);
    for (let hops = 0; hops < 5; hops += 1) {
      const response = await hop(hub, request);
      const location = response.headers.get('location');
      if (location === null || response.status < 300 || response.status > 399) return response;
      const next = new URL(location, request.url);
      const headers = new Headers(request.headers);
      if (next.origin !== new URL(request.url).origin) headers.delete('authorization');
      request = new Request(next, { headers });
    }
    throw new Error('too many redirects');
  };
}

async function hop(hub: FixtureHub, request: Request): Promise<Response> {
  const content = Buffer.from(await request.arrayBuffer());
  const url = new URL(request.url);
  const options = {
    host: '127.0.0.1',
    servername: url.hostname,
    port: url.port,
    path: `${url.pathname}${url.search}`,
    method: request.method,
    headers: { ...Object.fromEntries(request.headers), host: url.host },
    ca: hub.authority.certificate.cert,
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const sent = send(options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject);
      answer.on('end', () => {
        const headers = new Headers();
        for (const [name, value] of Object.entries(answer.headers))
          if (value !== undefined) headers.set(name, String(value));
        resolve(new Response(Buffer.concat(chunks), { status: answer.statusCode ?? 0, headers }));
      });
    });
    sent.on('error', reject).end(content);
  });
}
