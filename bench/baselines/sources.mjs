import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endWithServers, freePort, startServer, untilAnswers } from '../processes.mjs';

const script = (name) => new URL(name, import.meta.url).pathname;

/** A certificate for 127.0.0.1, which signs itself. @param {string} directory @returns {{ certificate: string, key: string }} */
function selfSigned(directory) {
  const [certificate, key] = [join(directory, 'certificate.pem'), join(directory, 'key.pem')];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', certificate];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files], {
    stdio: 'pipe',
    timeout: 60_000,
  });
  return { certificate, key };
}

/**
 * nginx with the files of a folder, over http and https. Below `/limited/`, a connection gets 32 MiB a second.
 * @param {string} directory @param {string} models
 */
export async function startNginx(directory, models) {
  const { certificate, key } = selfSigned(directory);
  const [port, tlsPort] = [await freePort(), await freePort()];
  const server = (listen, more) => `server {
    listen 127.0.0.1:${listen};
    ${more}
    location / { root ${models}; }
    location /limited/ { alias ${models}/; limit_rate 32m; }
  }`;
  const http = `access_log off; sendfile on;
  ${server(port, '')}
  ${server(`${tlsPort} ssl`, `ssl_certificate ${certificate}; ssl_certificate_key ${key};`)}`;
  writeFileSync(join(models, 'listens'), 'yes');
  const nginx = runNginx(directory, http);
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/listens`, nginx);
  return { url, tlsUrl: `https://127.0.0.1:${tlsPort}`, certificate, stop: nginx.stop };
}

/** nginx before another server. A connection gets 32 MiB a second. @param {string} directory @param {string} upstream */
export async function startSlowProxy(directory, upstream) {
  const port = await freePort();
  const pass = `proxy_pass ${upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host;`;
  const http = `access_log off; proxy_max_temp_file_size 0;
  server {
    listen 127.0.0.1:${port};
    location / { ${pass} limit_rate 32m; }
    location = /listens { return 200; }
  }`;
  const nginx = runNginx(directory, http);
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/listens`, nginx);
  return { url, stop: nginx.stop };
}

/** Runs nginx with an `http` block. @param {string} directory @param {string} http */
function runNginx(directory, http) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const paths = temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join(' ');
  // As root, nginx would read the files as another user, who cannot.
  const user = process.getuid() === 0 ? 'user root; ' : '';
  // In one process, so that none is left if it is killed.
  const main = `${user}daemon off; master_process off; pid ${directory}/nginx.pid; error_log stderr; events {}`;
  mkdirSync(join(directory, 'logs'), { recursive: true });
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, `${main}\nhttp {\n  ${paths}\n  ${http}\n}\n`);
  return startServer('nginx', ['-p', directory, '-c', file]);
}

/** A Node server that cuts each connection below `/cut/` after 64 MiB, and counts the bytes that it sent. */
export async function startCuttingServer(models) {
  const port = await freePort();
  const server = startServer(process.execPath, [script('cutting_server.mjs'), String(port), models]);
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/sent`, server);
  return { url, sentBytes: async () => Number(await (await fetch(`${url}/sent`)).text()), stop: server.stop };
}

/**
 * Ceph with an S3 gateway, as the tests start it. Undefined if the tests are not built, or it cannot be downloaded.
 * @param {number} storeBytes the memory that its objects may take
 */
export async function startCeph(storeBytes) {
  const compiled = new URL('../../build/test/support/peers/ceph.js', import.meta.url);
  if (!existsSync(compiled)) return undefined;
  const { startCeph: start } = await import(compiled.href);
  const ends = [];
  const hasStopped = endWithServers(() => {
    for (const end of ends.splice(0).reverse()) Promise.resolve(end()).catch(() => undefined);
  });
  const ceph = await start({ teardown: (end) => ends.push(end) }, storeBytes);
  if (ceph === undefined) return undefined;
  return {
    ...ceph,
    stop: async () => {
      for (const end of ends.splice(0).reverse()) await end();
      hasStopped();
    },
  };
}
