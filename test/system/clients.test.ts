import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { unlessInstalled } from '../support/installed.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { sha256 } from '../support/requests.js';

const bytes = patternBytes(300_000);

const urllib = `
import os, urllib.request
request = urllib.request.Request(os.environ['TARGET'], open('shard', 'rb').read(), method='PUT')
request.add_header('Authorization', os.environ['AUTHORIZATION'])
request.add_header('Content-Type', 'application/octet-stream')
print(urllib.request.urlopen(request).read().decode())
`;

const httpClient = `
import http.client, os, urllib.parse
target = urllib.parse.urlparse(os.environ['TARGET'])
connection = http.client.HTTPConnection(target.netloc)
headers = {'Authorization': os.environ['AUTHORIZATION'], 'Content-Length': str(os.path.getsize('shard'))}
connection.request('PUT', target.path + '?' + target.query, open('shard', 'rb'), headers)
print(connection.getresponse().read().decode())
`;

/** Each uploads the file `shard` to TARGET and prints the answer. */
const clients: Readonly<Record<string, readonly [program: string, ...args: string[]]>> = {
  'curl -T': ['sh', '-c', 'curl -sS -T shard -H "Authorization: $AUTHORIZATION" "$TARGET"'],
  'curl, chunked': ['sh', '-c', 'curl -sS -T - -H "Authorization: $AUTHORIZATION" "$TARGET&vram_bytes=300000" < shard'],
  wget: [
    'sh',
    '-c',
    'wget -q -O - --method=PUT --body-file=shard --header="Content-Type: application/octet-stream" ' +
      '--header="Authorization: $AUTHORIZATION" "$TARGET"',
  ],
  'python3 urllib': ['python3', '-c', urllib],
  'python3 http.client': ['python3', '-c', httpClient],
};

const ruby = `
require 'net/http'
target = URI(ENV['TARGET'])
upload = Net::HTTP::Put.new(target)
upload.body = File.binread('shard')
upload['Content-Type'] = 'application/octet-stream'
verify = Net::HTTP::Post.new('/v1/shards/a/verify')
verify.set_form_data({})
release = Net::HTTP::Delete.new('/v1/shards/a')
release.body = ''
Net::HTTP.start(target.host, target.port) do |http|
  [upload, verify, release].each do |request|
    request['Authorization'] = ENV['AUTHORIZATION']
    puts http.request(request).code
  end
end
`;

const perl = `
use LWP::UserAgent;
my ($base) = $ENV{TARGET} =~ m{^(https?://[^/]+)};
my @token = (Authorization => $ENV{AUTHORIZATION});
my $agent = LWP::UserAgent->new(keep_alive => 1);
open(my $file, '<:raw', 'shard'); local $/; my $bytes = <$file>;
print $agent->put($ENV{TARGET}, @token, 'Content-Type' => 'application/octet-stream', Content => $bytes)->code, "\\n";
print $agent->post("$base/v1/shards/a/verify", {}, @token)->code, "\\n";
print $agent->request(HTTP::Request->new(DELETE => "$base/v1/shards/a", [@token], ''))->code, "\\n";
`;

const php = `
$base = preg_replace('{/v1/.*}', '', getenv('TARGET'));
function send($method, $url, $type, $content) {
  $header = ['Authorization: ' . getenv('AUTHORIZATION'), ...$type];
  $options = ['method' => $method, 'header' => $header, 'content' => $content, 'ignore_errors' => true];
  file_get_contents($url, false, stream_context_create(['http' => $options]));
  echo explode(' ', $http_response_header[0])[1], "\\n";
}
send('PUT', getenv('TARGET'), ['Content-Type: application/octet-stream'], file_get_contents('shard'));
send('POST', "$base/v1/shards/a/verify", ['Content-Type: application/x-www-form-urlencoded'], '');
send('DELETE', "$base/v1/shards/a", [], '');
`;

/**
 * Each uploads the file `shard`, verifies it without a body, releases it with an empty one, and prints the statuses.
 * Some of these libraries add a content type of their own.
 */
const sessions: Readonly<Record<string, readonly [program: string, ...args: string[]]>> = {
  ruby: ['ruby', '-e', ruby],
  'lwp-request': ['perl', '-e', perl],
  php: ['php', '-r', php],
};

function outputOf(cwd: string, env: NodeJS.ProcessEnv, [program, ...args]: readonly [string, ...string[]]) {
  return new Promise<string>((resolve) => {
    const child = spawn(program, args, { cwd, env: { PATH: process.env.PATH, ...env } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('close', () => resolve(output));
  });
}

for (const [name, command] of Object.entries(clients)) {
  const [program = ''] = name.split(/[ ,]/);
  t.test(`${name} uploads a shard`, unlessInstalled(program), async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'shard'), bytes);
    const { url, authorization } = await startProcess(t, directory);
    const target = `${url}/v1/commit?shard_id=a&model_ref=m`;
    const output = await outputOf(directory, { TARGET: target, AUTHORIZATION: authorization }, command);
    t.match(output, /^\{"handle"/);
    t.match(JSON.parse(output).shard, { state: 'sealed', digest: sha256(bytes), vram_bytes: bytes.length });
  });
}

for (const [name, command] of Object.entries(sessions)) {
  t.test(`${name} verifies without a body, and releases with an empty one`, unlessInstalled(name), async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'shard'), bytes);
    const { url, authorization } = await startProcess(t, directory);
    const target = `${url}/v1/commit?shard_id=a&model_ref=m`;
    const output = await outputOf(directory, { TARGET: target, AUTHORIZATION: authorization }, command);
    t.same(output.trim().split('\n'), ['201', '200', '204']);
  });
}
