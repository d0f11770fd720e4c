import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { document, type Operation, operations } from './document.js';

export interface FuzzedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
ajv.addSchema({ $id: 'openapi', components: document.components });

const validators = new Map<string, ValidateFunction>();
for (const { name, responses } of operations) {
  for (const [status, { content = {} }] of Object.entries(responses)) {
    for (const [type, { schema }] of Object.entries(content)) {
      const found = schema.$ref === undefined ? schema : { $ref: `openapi${schema.$ref}` };
      validators.set(`${name} ${status} ${type}`, ajv.compile(found));
    }
  }
}

/** The ways in which an answer violates the OpenAPI document. Empty if it conforms. */
export function faultOf({ name, path, responses }: Operation, answer: FuzzedAnswer): string {
  const promised = responses[String(answer.status)];
  if (promised === undefined) return `status ${answer.status} is not documented`;
  for (const [header, { description }] of Object.entries(promised.headers ?? {})) {
    // The description says when a header is absent.
    if (description.includes('Absent ')) continue;
    if (answer.headers[header.toLowerCase()] === undefined) return `the header ${header} is missing`;
  }
  const type = String(answer.headers['content-type'] ?? '').split(';')[0] ?? '';
  if (promised.content === undefined) return answer.body === '' ? '' : 'a body where none is documented';
  if (name.startsWith('HEAD ')) return answer.body === '' ? '' : 'a body after HEAD';
  const validate = validators.get(`${name} ${answer.status} ${type}`);
  if (validate === undefined) return `the type ${type} is not documented`;
  const value = type.endsWith('json') ? JSON.parse(answer.body) : answer.body;
  if (!validate(value)) return ajv.errorsText(validate.errors);
  return unfit(path, answer.status, value);
}

/**
 * Whether an answer is a 5xx that the worker's state does not justify. Two are justified: 507 if a commit needs more
 * memory than is available, and 503 from `ready` if no model is ready.
 */
// biome-ignore lint/suspicious/noExplicitAny: the value has just been validated.
function unfit(path: string, status: number, value: any): string {
  if (status < 500) return '';
  if (status === 507 && value.code === 'VRAM_OOM' && value.needed_bytes > value.available_bytes) return '';
  if (status === 503 && path === '/v1/ready' && value.ready === false) {
    const codes = value.reasons.map((reason: { code: string }) => reason.code);
    const fits = ['NO_MODEL_READY', 'MODEL_NOT_RESIDENT'];
    return codes.length > 0 && codes.every((code: string) => fits.includes(code)) ? '' : codes.join();
  }
  return 'a failure that nothing in the state of the worker calls for';
}
