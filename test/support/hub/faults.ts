/** A refusal by the hub. */
export interface HubRefusal {
  readonly status: number;
  /** `X-Error-Code` (huggingface_hub utils/_http.py, `hf_raise_for_status`). */
  readonly code?: string;
  /** `X-Error-Message` (the same). */
  readonly message?: string;
  /** Further headers, such as `RateLimit` (huggingface.co/docs/hub/rate-limits). */
  readonly headers?: Readonly<Record<string, string>>;
  /** How many requests it refuses. Default: all. */
  times?: number;
}

/** The faults of the fixture. All are off at first; a test turns them on, also in the middle of a file. */
export interface HubFaults {
  /** The hub refuses requests of its API. */
  api?: HubRefusal | undefined;
  /** The hub refuses requests for files. */
  resolve?: HubRefusal | undefined;
  /** The origin in `Link` and `Location` of the hub, as mirrors repeat it. Default: relative, or its own. */
  linkOrigin?: string | undefined;
  /** The target of the redirect of each request of the API and for files. */
  redirect?: ((target: string) => string | undefined) | undefined;
  /** Replaces the next page. */
  nextPage?: string | undefined;
  /** The hub lists one page and does not mention the others. */
  hidesPages?: boolean | undefined;
  /** The hub cuts the JSON of a page. */
  cutsPages?: boolean | undefined;
  /** Further entries of the first page. */
  entries?: readonly unknown[] | undefined;
  /** Replaces headers of the answers for files; undefined removes one. */
  answer?: Readonly<Record<string, string | undefined>> | undefined;
  /** Further headers of the CDN. */
  cdnHeaders?: Readonly<Record<string, string>> | undefined;
  /** The hub sends files of LFS itself, as some mirrors do. */
  isDirect?: boolean | undefined;
  /** The CDN closes the connection after this many bytes of each response. */
  cutBytes?: number | undefined;
  /** Signed URLs expire when the CDN has served them once. */
  expires?: boolean | undefined;
  /** What the CDN, or the hub for a file in Git, sends instead of the content. */
  content?: ((content: Buffer) => Buffer) | undefined;
  /** Called before the CDN answers. */
  beforeCdn?: (() => void) | undefined;
}
