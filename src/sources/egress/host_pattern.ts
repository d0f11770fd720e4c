/**
 * A host of an allow-list: `cdn.example.com`, `*.cdn.example.com` for every host below a name, or `cdn-*.example.com`
 * for part of one label. A pattern without a port allows the default port alone.
 */
export class HostPattern {
  readonly #expression: RegExp;
  readonly #port: string;

  constructor(text: string) {
    const [, host = '', port = ''] = /^(.*?)(?::([0-9]+))?$/.exec(text.toLowerCase()) ?? [];
    this.#port = port;
    const isBelow = host.startsWith('*.');
    const labels = (isBelow ? host.slice(2) : host).split('.').map(labelExpression).join('\\.');
    this.#expression = new RegExp(`^${isBelow ? '(?:[a-z0-9_-]+\\.)+' : ''}${labels}$`);
  }

  /** Compares the host that the URL parser normalized. An IP literal matches its own text alone. */
  matches(url: URL): boolean {
    return this.#expression.test(url.hostname) && url.port === this.#port;
  }
}

const labelExpression = (label: string): string =>
  label
    .split('*')
    .map((part) => part.replace(/[^a-z0-9_-]/g, '\\$&'))
    .join('[a-z0-9_-]*');

/**
 * The form of a pattern in the settings. Only the first label may have `*`. At least two labels follow `*.`, or the
 * pattern would allow a whole zone.
 */
export const hostPatternForm =
  '^(?:\\*\\.[A-Za-z0-9_-]+(?:\\.[A-Za-z0-9_-]+)+|(?!\\*+(?:[.:]|$))[A-Za-z0-9_*-]+(?:\\.[A-Za-z0-9_-]+)*|\\[[0-9A-Fa-f:.]+\\])(?::[0-9]{1,5})?$';
