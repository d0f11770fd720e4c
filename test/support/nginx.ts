import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from './free_port.js';
import { temporaryDirectory } from './temporary_directory.js';
import { until } from './until.js';

const configuration = (directory: string, port: number, location: string, upstream: string): string => `
daemon off;
pid ${directory}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  ${upstream}
  server {
    listen 127.0.0.1:${port};
${location}
  }
}
`;

/** Runs nginx with this `location` and `upstream` until the test ends. Resolves with its URL when it listens. */
export async function startNginx(t: Test, location: string, upstream = ''): Promise<string> {
  const directory = temporaryDirectory(t);
  const port = await freePort();
  mkdirSync(join(directory, 'logs'));
  writeFileSync(join(directory, 'nginx.conf'), configuration(directory, port, location, upstream));
  const child = spawn('nginx', ['-p', directory, '-c', join(directory, 'nginx.conf')], { stdio: 'pipe' });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  t.teardown(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${errors}`);
    return await fetch(url).then(
      () => true,
      () => false,
    );
  }, 'nginx listens');
  return url;
}
