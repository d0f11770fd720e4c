/** A challenge of `WWW-Authenticate` (RFC 9110 §11.3). The names of scheme and parameters are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const quotedText = '(?:[^"\\\\\\u0000-\\u0008\\u000a-\\u001f\\u007f]|\\\\[\\t -~\\u0080-\\u00ff])*';
const separators = /[ \t]*(?:,[ \t,]*|$)/y;
const schemeForm = new RegExp(`(${token})(?=[ \\t]|,|$)`, 'y');
const parameterForm = new RegExp(`(${token})[ \\t]*=[ \\t]*(?:"(${quotedText})"|(${token}))(?=[ \\t]*(?:,|$))`, 'y');
/** A value without a name, as of `Negotiate`. */
const token68Form = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/**
 * The challenges of a response. Undefined if the text is malformed, or a challenge has a parameter twice, because other
 * clients could take the other value.
 */
export function parseChallenges(text: string): readonly Challenge[] | undefined {
  return new ChallengeParser(text).parse();
}

class ChallengeParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): readonly Challenge[] | undefined {
    const challenges: Challenge[] = [];
    this.#match(/[ \t,]*/y);
    while (this.#at < this.#text.length) {
      const [, scheme] = this.#match(schemeForm) ?? [];
      if (scheme === undefined) return undefined;
      const parameters = this.#parameters();
      if (parameters === undefined) return undefined;
      challenges.push({ scheme: scheme.toLowerCase(), parameters });
    }
    return challenges;
  }

  /** The parameters of one challenge, up to the next scheme or the end. */
  #parameters(): ReadonlyMap<string, string> | undefined {
    const parameters = new Map<string, string>();
    this.#match(/[ \t]+/y);
    for (;;) {
      const [, name, quoted, plain] = this.#match(parameterForm) ?? [];
      if (name === undefined) break;
      if (parameters.has(name.toLowerCase())) return undefined;
      parameters.set(name.toLowerCase(), plain ?? (quoted ?? '').replace(/\\(.)/gs, '$1'));
      if (this.#match(separators) === undefined) return undefined;
    }
    if (parameters.size > 0) return parameters;
    this.#match(token68Form);
    return this.#match(separators) === undefined ? undefined : parameters;
  }

  #match(form: RegExp): RegExpExecArray | undefined {
    form.lastIndex = this.#at;
    const found = form.exec(this.#text) ?? undefined;
    if (found !== undefined) this.#at = form.lastIndex;
    return found;
  }
}
