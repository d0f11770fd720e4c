import { SourcesFile, schemasByType } from '../sources/settings/schema.js';

/** The JSON schema of `WORKER_SOURCES_FILE`, as `docs/sources.schema.json` holds it. */
export function sourcesSchema(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'WORKER_SOURCES_FILE',
    ...SourcesFile,
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** The section of `docs/configuration.md` about remote sources. */
export function sourcesDocument(): string {
  const lists = Object.entries(schemasByType).map(([type, schema]) => {
    const required = new Set<string>(schema.required);
    const fields = Object.entries<object>(schema.properties).filter(([name]) => name !== 'type');
    const items = fields.map(([name, field]) => {
      return `- \`${name}\`${required.has(name) ? '' : ' (optional)'}: ${descriptionOf(field)}\n`;
    });
    return `### \`${type}\`\n\n${descriptionOf(schema)}\n\n${items.join('')}`;
  });
  return [introduction, ...lists].join('\n');
}

const descriptionOf = (schema: object): string => ('description' in schema ? String(schema.description) : '');

const introduction = `## The sources file

\`WORKER_SOURCES_FILE\` is a JSON file with the list \`sources\`. Without it, clients cannot name remote sources.
[sources.schema.json](sources.schema.json) is its JSON schema. [sources.md](sources.md) has an
example for each type. All together:

\`\`\`json
{ "sources": [
  { "name": "hub", "type": "hf", "endpoint": "https://huggingface.co", "token_file": "/etc/vram/hf-token",
    "repos": ["ggml-org/*"],
    "redirect_hosts": ["*.cdn.hf.co", "*.xethub.hf.co", "cdn-lfs*.huggingface.co", "cdn-lfs*.hf.co"] },
  { "name": "lab", "type": "oci", "endpoint": "https://registry.lab:5000", "ca_file": "/etc/vram/lab.pem",
    "docker_config_file": "/etc/vram/docker.json", "realm_hosts": ["auth.lab"], "addresses": ["10.0.0.0/8"] },
  { "name": "ceph", "type": "s3", "endpoint": "http://s3.lab:7480", "region": "us-east-1", "path_style": true,
    "credentials_file": "/etc/vram/s3.json", "buckets": ["models"], "addresses": ["10.0.0.0/8"] },
  { "name": "mirror", "type": "http", "prefixes": ["https://mirror.lab/models/"], "digest": "allow" } ] }
\`\`\`

- The worker refuses to start if the file, or a file that it names, is invalid. An unknown field is invalid.
- Other users must not be able to write or replace these files. Files of credentials need mode 0600, as other secrets.
- The worker connects to public addresses only. \`addresses\` allows private or loopback ranges for one source. No
  setting allows link-local addresses.
- Plain http is used only if an endpoint or a prefix begins with \`http://\`.
- A host without a port means the default port of the scheme.
- Credentials go to the origin of the endpoint only. Token servers on \`realm_hosts\` get those of the registry.
- The worker connects without a proxy.
`;
