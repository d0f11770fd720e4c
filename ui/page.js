// @ts-check
// Shows what `GET /v1/overview`, `/v1/leases` and `/v1/audit` return. Text reaches the page only as text nodes and
// attributes. Every time that it shows is the worker's. This computer's clock may be wrong; if it is set, the page reads
// all data again.

/** @typedef {import('../clients/node/src/http/api.ts').components['schemas']} Schemas */
/** @typedef {Schemas['Overview']} Overview */
/** @typedef {Schemas['OverviewShard']} Shard */
/** @typedef {Schemas['OverviewDevice']} Device */
/** @typedef {Schemas['OverviewPull']} Pull */
/** @typedef {Schemas['Lease']} Lease */
/** @typedef {Schemas['AuditPage']['entries'][number]} AuditEntry */

const longPollSeconds = 10;
const leastPauseMs = 1000;
const hiddenPauseMs = 60_000;
const longestBackoffMs = 30_000;
const auditPauseMs = 5000;
/** Polls that do not wait, while the worker has no place for those that do. */
const plainPauseMs = 5000;
const plainPollsMs = 60_000;
/** The clocks of this computer drift apart by less. */
const mostDriftMs = 5000;
/** Data that the worker has not confirmed for longer is shown as old. */
const staleAfterMs = (longPollSeconds + 15) * 1000;
const answerTimeoutMs = 30_000;
const rowsPerPage = 50;
const leaseRows = 100;
const pullRows = 100;
const auditRows = 20;
/** The narrowest block of the map, as a part of a device. */
const narrowestBlock = 1 / 400;

// ---- Elements

/** @param {string} id */
const element = (id) => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found;
};
const tokenInput = /** @type {HTMLInputElement} */ (element('token'));
const searchInput = /** @type {HTMLInputElement} */ (element('search'));
const stateSelect = /** @type {HTMLSelectElement} */ (element('state'));

/**
 * An element with attributes and children. Texts become text nodes.
 * @param {string} name
 * @param {Record<string, string | number | undefined>} attributes
 * @param {...(Node | string)} children
 */
function create(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/** @param {Element} node @param {string} text */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Text of others, isolated from the direction of its surroundings, with invisible characters made visible. @param {string} text */
const foreign = (text, name = 'bdi') => create(name, name === 'bdi' ? {} : { dir: 'auto' }, visible(text));
/** @param {string} text */
const visible = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);

/**
 * Makes the children of a parent those of the items, in their order. Unchanged items keep their nodes as they are.
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {{ key: (item: T) => string, tag: string, fill: (node: HTMLElement, item: T) => void }} how
 */
function show(parent, items, { key, tag, fill }) {
  const known = shown.get(parent) ?? new Map();
  const after = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const text = JSON.stringify(item);
    let name = key(item);
    while (after.has(name)) name += ' again';
    const { node, text: previous } = known.get(name) ?? { node: create(tag) };
    if (text !== previous) fill(node, item);
    if (node === place) place = node.nextSibling;
    else parent.insertBefore(node, place);
    after.set(name, { node, text });
  }
  for (const [name, { node }] of known) if (!after.has(name)) node.remove();
  shown.set(parent, after);
}
/** @type {WeakMap<Element, Map<string, { node: HTMLElement, text: string }>>} */
const shown = new WeakMap();

// ---- Numbers and times

/** @param {number} bytes */
function size(bytes) {
  const exponent = bytes < 1024 ? 0 : Math.min(6, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** exponent;
  const digits = exponent === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'][exponent]}`;
}
/** @param {number} count */
const amount = (count) => count.toLocaleString('en');
/** @param {number} count @param {string} noun */
const several = (count, noun) => `${amount(count)} ${noun}${count === 1 ? '' : 's'}`;

/** @param {number} seconds */
function duration(seconds) {
  const total = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [
    Math.floor(total / 86_400),
    Math.floor(total / 3600) % 24,
    Math.floor(total / 60) % 60,
  ];
  if (days > 0) return hours === 0 ? `${days} d` : `${days} d ${hours} h`;
  if (hours > 0) return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`;
  if (minutes > 0) return total % 60 === 0 ? `${minutes} min` : `${minutes} min ${total % 60} s`;
  return `${total} s`;
}

const timeOfDay = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const dayAndTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
/** @param {number} ms */
const clockTime = (ms) => (Math.abs(ms - worker.nowMs()) < 12 * 3_600_000 ? timeOfDay : dayAndTime).format(ms);

/**
 * A time that the page keeps current: how long ago it was, or in how long it is expected.
 * @param {string} instant
 * @param {'ago' | 'due' | 'at'} form
 */
function time(instant, form) {
  const node = create('time', { datetime: visible(instant), 'data-form': form });
  updateTime(node);
  return node;
}

/** @param {Element} node */
function updateTime(node) {
  const instant = node.getAttribute('datetime') ?? '';
  const ms = Date.parse(instant);
  if (Number.isNaN(ms)) return setText(node, visible(instant));
  const form = node.getAttribute('data-form');
  const seconds = (worker.nowMs() - ms) / 1000;
  if (form === 'at') return setText(node, clockTime(ms));
  // Nothing is known about the time since, so an age would pretend to be current.
  if (worker.isStale()) return setText(node, form === 'ago' ? `at ${clockTime(ms)}` : `by ${clockTime(ms)}`);
  if (form === 'ago') return setText(node, `${duration(seconds)} ago`);
  node.classList.toggle('bad', seconds >= 1);
  setText(node, seconds < 1 ? `in ${duration(-seconds)}` : `overdue for ${duration(seconds)}`);
}

/** The worker's clock, and the moment for which it last confirmed what the page shows. */
const worker = {
  takenAtMs: 0,
  confirmedAtMs: 0,
  receivedAt: { monotonicMs: 0, wallMs: 0 },
  hasFailed: false,
  /** The later of two clocks: one may have been set back, and the other may stand still during suspension. */
  nowMs() {
    const { monotonicMs, wallMs } = this.receivedAt;
    return this.takenAtMs + Math.max(performance.now() - monotonicMs, Date.now() - wallMs);
  },
  /** By the clock that cannot be set. During suspension, it may fall behind. */
  monotonicNowMs() {
    return this.takenAtMs + performance.now() - this.receivedAt.monotonicMs;
  },
  /** Whether this computer was suspended, or its clock set, since the overview came. */
  hasLostTime() {
    const { monotonicMs, wallMs } = this.receivedAt;
    return Math.abs(performance.now() - monotonicMs - (Date.now() - wallMs)) > mostDriftMs;
  },
  isStale() {
    return this.hasFailed || this.nowMs() - this.confirmedAtMs > staleAfterMs;
  },
};

// ---- The token: in this tab alone, under the path of this worker

const tokenKey = `vram-residency token ${location.pathname}`;
/** In memory, if the browser denies storage. */
let fallbackToken = '';
const token = {
  read() {
    try {
      return sessionStorage.getItem(tokenKey) ?? fallbackToken;
    } catch {
      return fallbackToken;
    }
  },
  /** @param {string} value */
  keep(value) {
    fallbackToken = value;
    try {
      if (value === '') sessionStorage.removeItem(tokenKey);
      else sessionStorage.setItem(tokenKey, value);
    } catch {}
  },
};

// ---- Requests, one at a time

class Refusal extends Error {
  /** @param {number} status @param {string} message @param {number} retryAfterMs */
  constructor(status, message, retryAfterMs) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The connection failed before an answer was complete. */
class ConnectionLost extends Error {}

/** The end of this page's use of the current token. */
let session = new AbortController();
/** Ends a long poll early, for a request that cannot wait. */
let longPoll = new AbortController();

/**
 * The worker's answer, or its refusal as an error. Without a body if the answer is the one that `tag` names.
 * @param {string} path
 * @param {{ tag?: string, waitSeconds?: number }} options
 */
async function request(path, { tag = '', waitSeconds = 0 } = {}) {
  longPoll = new AbortController();
  const timeout = AbortSignal.timeout(waitSeconds * 1000 + answerTimeoutMs);
  const headers = { authorization: `Bearer ${token.read()}`, ...(tag === '' ? {} : { 'if-none-match': tag }) };
  try {
    const response = await fetch(new URL(`../v1/${path}`, location.href), {
      headers,
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.any([session.signal, timeout, ...(waitSeconds > 0 ? [longPoll.signal] : [])]),
    });
    const receivedAt = { monotonicMs: performance.now(), wallMs: Date.now() };
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    const body = isJson ? await response.json() : undefined;
    if (response.status !== 304 && !(response.ok && isJson)) {
      const { detail = `HTTP status ${response.status}`, retry_after_ms: retryAfterMs = 0 } = body ?? {};
      throw new Refusal(response.status, String(detail), Number(retryAfterMs) || 0);
    }
    const waitedMs = Number(/^wait;dur=(\d+)$/.exec(response.headers.get('server-timing') ?? '')?.[1] ?? 0);
    return { body, tag: response.headers.get('etag') ?? '', waitedMs, receivedAt };
  } catch (error) {
    throw error instanceof Refusal ? error : new ConnectionLost();
  }
}

/** @type {Overview | undefined} */
let overview;
let tag = '';

/** Until then, by the monotonic clock, polls do not wait: the worker refused one that did. */
let plainUntilMs = 0;

/** How long the worker may wait for a change: not at all while something else needs its answer first. */
function secondsToWait() {
  const isNeededNow = tag === '' || document.hidden || worker.hasFailed || audit.isTurned;
  return isNeededNow || performance.now() < plainUntilMs ? 0 : longPollSeconds;
}

/** Asks for an overview. Nothing changes before its leases are here too, or if the long poll ended early. */
async function refreshOverview() {
  if (worker.hasLostTime()) tag = '';
  const waitSeconds = secondsToWait();
  const sentAtMs = worker.monotonicNowMs();
  const query = waitSeconds > 0 ? `?wait_seconds=${waitSeconds}` : '';
  const answer = await request(`overview${query}`, { tag, waitSeconds }).catch((error) => {
    if (waitSeconds > 0 && isOnlyTheWaitOver(error)) return undefined;
    throw error;
  });
  if (answer === undefined) return;
  if (answer.body === undefined) {
    // The worker decided this after its wait. How long the answer was on its way is unknown.
    worker.confirmedAtMs = Math.max(worker.confirmedAtMs, sentAtMs + answer.waitedMs);
    return;
  }
  /** @type {Overview} */
  const next = answer.body;
  leases = next.leases.total === 0 ? [] : (await request(`leases?limit=${leaseRows}`)).body.leases;
  const takenAtMs = Date.parse(next.taken_at);
  Object.assign(worker, { takenAtMs, confirmedAtMs: takenAtMs, receivedAt: answer.receivedAt });
  overview = next;
  tag = answer.tag;
}

/** Whether a long poll ended for another request, or found no place at the worker. @param {unknown} error */
function isOnlyTheWaitOver(error) {
  if (!(error instanceof Refusal)) return longPoll.signal.aborted && !session.signal.aborted;
  if (error.status !== 429) return false;
  plainUntilMs = performance.now() + plainPollsMs;
  return true;
}

/** @type {readonly Lease[]} */
let leases = [];
/**
 * `asOfMs` is of the entries, `askedAtMs` of the last attempt. `isTurned` if a person waits for another page.
 * @typedef {{ entries: readonly AuditEntry[], asOfMs: number, askedAtMs: number, older: number | null, tag: string, isForbidden: boolean, problem: string, before: number | undefined, isTurned: boolean }} AuditView
 */
/** @type {AuditView} */
const noAudit = {
  entries: [],
  asOfMs: 0,
  askedAtMs: 0,
  older: null,
  tag: '',
  isForbidden: false,
  problem: '',
  before: undefined,
  isTurned: false,
};
const audit = { ...noAudit };

/** Only the API token may read the audit log. Each attempt is for the page that is wanted at its start. */
async function refreshAudit() {
  const isDue = audit.isTurned || Math.abs(worker.nowMs() - audit.askedAtMs) >= auditPauseMs;
  audit.isTurned = false;
  if (!isDue || audit.isForbidden || overview?.worker.audit_log === 'off') return;
  audit.askedAtMs = worker.nowMs();
  const asOfMs = worker.monotonicNowMs();
  const before = audit.before === undefined ? '' : `&before_seq=${audit.before}`;
  try {
    const { body, tag } = await request(`audit?limit=${auditRows}${before}`, { tag: audit.tag });
    if (audit.isTurned) return await refreshAudit();
    Object.assign(audit, { asOfMs, problem: '' });
    /** @type {Schemas['AuditPage'] | undefined} */
    const page = body;
    if (page !== undefined) Object.assign(audit, { entries: page.entries, older: page.next_before_seq, tag });
  } catch (error) {
    if (!(error instanceof Refusal) || error.status === 401) throw error;
    if (error.status === 403) audit.isForbidden = true;
    else audit.problem = error.message;
  }
}

// ---- The loop

let endPause = () => {};
/** @param {number} ms */
const pause = (ms) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    endPause = () => {
      clearTimeout(timer);
      resolve(undefined);
    };
  });
/** Ends the pause or the long poll, whichever the loop is in. */
const wake = () => {
  endPause();
  longPoll.abort();
};

/** Refreshes the page until the token is forgotten. @param {AbortSignal} signal */
async function run(signal) {
  let failures = 0;
  while (!signal.aborted) {
    let pauseMs = 0;
    try {
      await refreshOverview();
      const startMs = performance.now();
      await refreshAudit();
      if (signal.aborted) return;
      failures = 0;
      connected();
      render();
      // A page with very many shards takes at most a tenth of a processor.
      const leastMs = startMs < plainUntilMs ? plainPauseMs : leastPauseMs;
      pauseMs = document.hidden ? hiddenPauseMs : Math.max(leastMs, 10 * (performance.now() - startMs));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.status === 401) return signOut('The worker refused this token.');
      failures += 1;
      const least = error instanceof Refusal ? error.retryAfterMs : 0;
      const backoffMs = Math.min(longestBackoffMs, leastPauseMs * 2 ** (failures - 1));
      pauseMs = Math.max(least, backoffMs * (0.5 + Math.random() / 2));
      disconnected(error, pauseMs);
    }
    await pause(pauseMs);
  }
}

function signIn() {
  session = new AbortController();
  element('sign-in').hidden = true;
  element('forget').hidden = false;
  setText(element('freshness'), 'Connecting…');
  void run(session.signal);
}

/** Forgets the token, and every byte that it gave access to. */
function signOut(message = '') {
  session.abort();
  endPause();
  token.keep('');
  overview = undefined;
  tag = '';
  leases = [];
  Object.assign(audit, noAudit);
  Object.assign(worker, { takenAtMs: 0, confirmedAtMs: 0, hasFailed: false });
  for (const id of ['facts', 'reasons', 'devices', 'pulls', 'shards', 'models', 'scrub', 'leases', 'audit']) {
    element(id).replaceChildren();
    shown.delete(element(id));
  }
  for (const id of ['worker', 'freshness', 'banner']) setText(element(id), '');
  for (const id of ['content', 'banner', 'simulated', 'forget']) element(id).hidden = true;
  document.body.classList.remove('stale');
  document.title = 'vram-residency';
  lastAlarm = '';
  element('sign-in').hidden = false;
  setText(element('token-problem'), message);
  tokenInput.value = '';
  tokenInput.focus();
}

// ---- The connection, as the page shows it

/** @param {string} text */
const announce = (text) => setText(element('announcer'), text);

function connected() {
  if (worker.hasFailed) announce('The connection to the worker is back.');
  worker.hasFailed = false;
  element('banner').hidden = true;
}

/** @param {unknown} error @param {number} pauseMs */
function disconnected(error, pauseMs) {
  const cause =
    error instanceof ConnectionLost
      ? 'The connection to the worker is lost.'
      : error instanceof Refusal
        ? `The worker answered: ${error.message}`
        : `This page cannot show the answer of the worker: ${error}`;
  if (!worker.hasFailed) announce(cause);
  worker.hasFailed = true;
  const old = overview === undefined ? '' : ` The data is as of ${clockTime(worker.confirmedAtMs)}.`;
  setText(element('banner'), visible(`${cause}${old} Next attempt in ${duration(Math.ceil(pauseMs / 1000))}.`));
  element('banner').hidden = false;
  tick();
}

/** Keeps the times on the page current. */
function tick() {
  if (document.hidden || overview === undefined) return;
  const isStale = worker.isStale();
  const asOf = `as of ${clockTime(worker.confirmedAtMs)}`;
  document.body.classList.toggle('stale', isStale);
  element('freshness').classList.toggle('live', !isStale);
  const ageSeconds = (worker.nowMs() - worker.confirmedAtMs) / 1000;
  setText(element('freshness'), isStale ? `Old data, ${asOf}, ${duration(ageSeconds)} ago` : `Live, ${asOf}`);
  for (const node of document.querySelectorAll('.as-of')) setText(node, asOf);
  for (const node of document.querySelectorAll('time[data-form]')) updateTime(node);
}

// ---- The page

function render() {
  if (overview === undefined) return;
  element('content').hidden = false;
  renderWorker(overview);
  show(element('devices'), devicesOf(overview), { key: ({ device }) => device.uuid, tag: 'article', fill: fillDevice });
  renderPulls(overview.pulls);
  renderShards(overview.shards);
  renderScrub(overview);
  renderModels(overview);
  renderLeases(overview);
  renderAudit(overview);
  tick();
}

/** @param {Overview} overview */
function renderWorker({ worker: info, devices, shards, scrub, models, lost }) {
  setText(element('worker'), visible(info.worker_id));
  element('simulated').hidden = !info.simulated;
  document.title = `${info.ready ? 'Ready' : 'Not ready'} · ${visible(info.worker_id)}`;
  const total = sum(devices, ({ total_bytes }) => total_bytes);
  const free = sum(devices, ({ free_bytes }) => free_bytes);
  const corrupt = shards.filter(({ state }) => state === 'corrupt').length;
  const sealed = shards.filter(({ state }) => state === 'sealed').length;
  const oldest = scrub.oldest_verified_at;
  /** @type {[string, string]} */
  const headline = info.ready
    ? ['good', '✓ Ready']
    : shards.length === 0 && lost.length === 0 && info.accepting
      ? ['', '– No model yet']
      : ['bad', '✕ Not ready'];
  const damage = corrupt > 0 ? `✕ ${several(corrupt, 'damaged shard')}` : 'no known damage';
  /** @type {[string, string, string | Node, string | Node][]} */
  const facts = [
    ['Worker', ...headline, stateOf(info)],
    ['GPU memory free', '', size(free), `of ${size(total)} on ${several(devices.length, 'GPU')}`],
    ['Shards sealed', corrupt > 0 ? 'bad' : '', amount(sealed), `of ${amount(shards.length)}; ${damage}`],
    ['Oldest verification', '', oldest === null ? 'none' : time(oldest, 'ago'), scrubText(scrub)],
    ['Models ready', '', amount(models.filter(({ ready }) => ready).length), `of ${amount(models.length)}`],
  ];
  const groups = facts.map(([title, tone, value, detail]) =>
    create('div', {}, create('dt', {}, title), create('dd', { class: tone }, value), create('dd', {}, detail)),
  );
  element('facts').replaceChildren(...groups);
  const reasons = headline[0] === '' ? [] : info.ready_reasons;
  const listed = reasons.slice(0, 5).map(({ code, detail }) => `${code}: ${detail}`);
  if (reasons.length > 5) listed.push(`and ${reasons.length - 5} more reasons`);
  show(element('reasons'), listed, { key: String, tag: 'li', fill: (node, text) => setText(node, visible(text)) });
  const alarm = `${info.ready ? 'Ready' : 'Not ready'}, ${damage}`;
  if (alarm !== lastAlarm && lastAlarm !== '') announce(`The worker is now: ${alarm}.`);
  lastAlarm = alarm;
}
let lastAlarm = '';

/** @param {Schemas['OverviewWorker']} info */
function stateOf({ state, leaving, accepting, audit_log, commits_waiting }) {
  const parts = [leaving ? 'shutting down' : accepting ? 'accepts work' : `${state}, accepts no work`];
  if (audit_log === 'unavailable') parts.push('audit log unavailable');
  if (commits_waiting > 0) parts.push(`${several(commits_waiting, 'commit')} waiting`);
  return parts.join('; ');
}

/** @param {Schemas['Scrub']} scrub */
const scrubText = ({ state, overdue_shards }) =>
  `scrub ${state}${overdue_shards > 0 ? `; ${amount(overdue_shards)} overdue` : ''}`;

/** @template T @param {readonly T[]} items @param {(item: T) => number} of */
const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);

// ---- The map

/** @typedef {{ kind: string, bytes: number, count: number, label: string, model: string, part: number, hits: readonly { start: number, width: number }[] }} Block */

const uses = /** @type {const} */ ([
  ['shard', 'Shards'],
  ['receiving', 'Receiving'],
  ['reserved', 'Reserved'],
  ['zombie', 'Zombie: released, still attached'],
  ['other', 'Other processes'],
  ['free', 'Free'],
]);

/** The devices with the blocks of their maps. @param {Overview} overview */
function devicesOf({ devices, shards }) {
  const byDevice = Map.groupBy(shards, ({ gpu_device }) => gpu_device);
  return devices.map((device) => {
    const own = byDevice.get(device.gpu_device) ?? [];
    const damaged = own.filter(({ state }) => state === 'corrupt');
    return {
      device,
      blocks: blocksOf(device, own),
      counts: countsOf(own),
      damaged: damaged.slice(0, 5),
      more: damaged.length,
    };
  });
}

/** @param {readonly Shard[]} shards */
function countsOf(shards) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { counts_as: use } of shards) counts[use] = (counts[use] ?? 0) + 1;
  return counts;
}

/** @param {Device} device @param {readonly Shard[]} shards @returns {Block[]} */
function blocksOf(device, shards) {
  const narrow = device.total_bytes * narrowestBlock;
  /** @type {Block[]} */
  const blocks = [];
  const model = { name: '', isAlternate: true };
  for (const shard of shards.filter(({ device_bytes }) => device_bytes > 0).sort(inMap)) {
    if (shard.model_ref !== model.name)
      Object.assign(model, { name: shard.model_ref, isAlternate: !model.isAlternate });
    addBlock(blocks, shardBlock(shard, model.isAlternate ? 'shard alt' : 'shard'), narrow);
  }
  for (const [kind, label] of uses.filter(([kind]) => kind === 'reserved' || kind === 'other' || kind === 'free')) {
    const bytes = device[`${kind}_bytes`];
    if (bytes > 0) addBlock(blocks, { kind, bytes, count: 1, label, model: '', part: 1, hits: [] }, narrow);
  }
  return blocks;
}

/** Adds a block. Narrow ones of one kind and model become one. @param {Block[]} blocks @param {Block} block @param {number} narrow */
function addBlock(blocks, block, narrow) {
  const last = blocks.at(-1);
  const isAlike = last?.kind === block.kind && last.model === block.model;
  if (last === undefined || !isAlike || last.bytes >= narrow || block.bytes >= narrow) {
    blocks.push(block);
    return;
  }
  last.part = (last.part * last.bytes + block.part * block.bytes) / (last.bytes + block.bytes);
  Object.assign(last, { bytes: last.bytes + block.bytes, count: last.count + block.count, hits: [] });
  last.label = `${last.count} ${last.kind === 'damaged' ? 'damaged ' : ''}shards`;
}

/** `kind` is that of a whole shard. Neighboring models alternate. @param {Shard} shard @param {string} kind @returns {Block} */
function shardBlock(shard, kind) {
  const whole = shard.counts_as === 'shard' ? kind : shard.counts_as;
  return {
    kind: shard.state === 'corrupt' && whole !== 'zombie' ? 'damaged' : whole,
    bytes: shard.device_bytes,
    count: 1,
    label: shard.shard_id,
    model: shard.model_ref,
    part: shard.received_bytes / shard.vram_bytes,
    hits: shard.corrupt_ranges
      .slice(0, 64)
      .map(({ offset, length }) => ({ start: offset / shard.vram_bytes, width: length / shard.vram_bytes })),
  };
}

const useOrder = ['shard', 'receiving', 'zombie'];
/** @param {Shard} a @param {Shard} b */
const inMap = (a, b) =>
  useOrder.indexOf(a.counts_as) - useOrder.indexOf(b.counts_as) ||
  compare(a.model_ref, b.model_ref) ||
  a.shard_index - b.shard_index ||
  compare(a.shard_id, b.shard_id);
/** @param {string | number} a @param {string | number} b */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** @typedef {ReturnType<typeof devicesOf>[number]} DeviceItem */

/** @param {HTMLElement} node @param {DeviceItem} item */
function fillDevice(node, item) {
  const { device, blocks } = item;
  const total = device.total_bytes;
  const legend = legendOf(item);
  const texts = legend.map(({ text }) => text).join(', ');
  const label = `Memory of GPU ${device.gpu_device}: ${texts}${item.more > 0 ? `, ${several(item.more, 'damaged shard')}` : ''}`;
  const damage = damageOf(item);
  const scale = [0, 0.25, 0.5, 0.75, 1].map((part) => create('span', {}, part === 0 ? '0' : size(part * total)));
  node.className = 'device card';
  node.replaceChildren(
    create(
      'div',
      { class: 'head' },
      create('h3', {}, `GPU ${device.gpu_device}: `, foreign(device.name)),
      create('p', { class: 'quiet' }, `${size(device.free_bytes)} free of ${size(total)}`),
    ),
    mapOf(blocks, total, label),
    create('div', { class: 'models', 'aria-hidden': 'true' }, ...modelNodes(blocks, total)),
    create('div', { class: 'scale', 'aria-hidden': 'true' }, ...scale),
    create(
      'ul',
      { class: 'legend', 'aria-label': `Uses of the memory of GPU ${device.gpu_device}` },
      ...legend.map(({ use, text }) => legendNode(device, use, text)),
      ...(item.more > 0 ? [damageLegend(item.more)] : []),
    ),
    ...(damage.length > 0 ? [create('ul', { class: 'damage-list', 'aria-label': 'Damage' }, ...damage)] : []),
  );
}

/** The blocks in the order of the memory, with a mark above each damaged one. @param {readonly Block[]} blocks @param {number} total @param {string} label */
function mapOf(blocks, total, label) {
  const bar = create('div', { class: 'bar' });
  const map = create('div', { class: 'map', role: 'img', 'aria-label': label }, bar);
  let start = 0;
  for (const block of blocks) {
    bar.append(blockNode(block, total));
    if (block.kind === 'damaged') {
      const mark = create('span', { class: 'mark' }, '▼');
      mark.style.left = percent((start + block.bytes / 2) / total);
      map.append(mark);
    }
    start += block.bytes;
  }
  return map;
}

/** The uses of the memory that the legend names, with their sizes. @param {DeviceItem} item */
const legendOf = ({ device, counts }) =>
  uses
    .map(([use, name]) => ({ use, name, bytes: device[`${use}_bytes`], count: counts[use] }))
    .filter(({ use, bytes }) => bytes > 0 || use === 'shard' || use === 'free')
    .map(({ use, name, bytes, count }) => ({
      use,
      text: `${name} ${size(bytes)}${count === undefined ? '' : ` (${amount(count)})`}`,
    }));

/** @param {Device} device @param {string} use @param {string} text */
function legendNode({ reserved_until: end }, use, text) {
  const swatch = create('span', { class: `swatch ${use}`, 'aria-hidden': 'true' });
  if (use !== 'reserved' || end === null) return create('li', {}, swatch, text);
  return create('li', {}, swatch, text, create('span', { class: 'quiet' }, 'until ', time(end, 'at')));
}

/** @param {number} count */
function damageLegend(count) {
  const swatch = create('span', { class: 'swatch damaged', 'aria-hidden': 'true' });
  return create('li', { class: 'bad' }, swatch, `▼ Damaged: ${several(count, 'shard')}`);
}

/** @param {DeviceItem} item */
function damageOf({ damaged, more }) {
  const items = damaged.map((shard) =>
    create('li', {}, '✕ ', foreign(shard.shard_id), `: ${damageText(shard)}; ${visible(shard.repair ?? '')}`),
  );
  const rest = more - damaged.length;
  return rest > 0 ? [...items, create('li', {}, `and ${several(rest, 'more damaged shard')}`)] : items;
}

/** @param {readonly Block[]} blocks @param {number} total */
const modelNodes = (blocks, total) =>
  modelsOf(blocks).map(({ model, bytes }) => {
    const text = bytes / total > 0.06 ? [foreign(model)] : [];
    const group = create('span', { class: model === '' ? '' : 'model' }, ...text);
    group.style.width = percent(bytes / total);
    return group;
  });

/** Neighboring blocks of one model, for its name below them. @param {readonly Block[]} blocks */
function modelsOf(blocks) {
  /** @type {{ model: string, bytes: number }[]} */
  const groups = [];
  for (const { model, bytes } of blocks) {
    const last = groups.at(-1);
    if (last?.model === model) last.bytes += bytes;
    else groups.push({ model, bytes });
  }
  return groups;
}

/** @param {number} part */
const percent = (part) => `${(part * 100).toFixed(4)}%`;

/** @param {Block} block @param {number} total */
function blockNode({ kind, bytes, label, part, hits }, total) {
  const node = create('div', { class: `segment ${kind}`, title: visible(`${label}: ${size(bytes)}`) });
  node.style.width = percent(bytes / total);
  if (kind === 'receiving') {
    const received = create('div', { class: 'received' });
    received.style.width = percent(part);
    node.append(received);
  }
  if (bytes / total > 0.03)
    node.append(foreign(bytes / total > 0.1 ? label : tail(label)), create('small', {}, size(bytes)));
  for (const { start, width } of hits) {
    const hit = create('div', { class: 'hit' });
    hit.style.left = percent(start);
    hit.style.width = percent(width);
    node.append(hit);
  }
  return node;
}

/** The end of a name, which tells shards of one model apart. @param {string} text */
const tail = (text) => (text.length <= 8 ? text : `…${text.slice(-6)}`);

/** @param {Shard} shard */
function damageText({ corrupt_ranges, corrupt_range_count, corrupt_bytes }) {
  const [first] = corrupt_ranges;
  if (first === undefined) return '';
  const where =
    corrupt_range_count === 1
      ? `at byte ${amount(first.offset)}`
      : `in ${amount(corrupt_range_count)} ranges, the first at byte ${amount(first.offset)}`;
  return `${size(corrupt_bytes)} damaged ${where}`;
}

// ---- Shards

const stateMarks = /** @type {const} */ ({
  receiving: ['↓', ''],
  sealing: ['…', ''],
  sealed: ['✓', 'good'],
  corrupt: ['✕', 'bad'],
  releasing: ['–', 'warn'],
});

/** @param {string} text @param {string} small */
const cell = (text, small = '', name = 'td') =>
  create(name, {}, text, ...(small === '' ? [] : [create('small', {}, small)]));

/** @typedef {{ title: string, sort: (shard: Shard) => string | number, isNumber?: boolean, cell: (shard: Shard) => Node }} Column */
/** @type {[Column, ...Column[]]} */
const columns = [
  {
    title: 'Shard',
    sort: ({ shard_id }) => shard_id,
    cell: ({ shard_id, model_ref, shard_index, total_shards }) => {
      const part = total_shards > 1 ? ` (${shard_index + 1} of ${total_shards})` : '';
      const name = create('bdi', { class: 'name', title: visible(shard_id) }, visible(shard_id));
      const model = create('bdi', { class: 'name', title: visible(model_ref) }, visible(model_ref), part);
      return create('th', { scope: 'row' }, name, create('small', {}, model));
    },
  },
  {
    title: 'State',
    sort: ({ state }) => ['corrupt', 'releasing', 'receiving', 'sealing', 'sealed'].indexOf(state),
    cell: ({ state, received_bytes, vram_bytes, counts_as }) => {
      const [mark, tone] = stateMarks[state];
      const icon = create('span', { 'aria-hidden': 'true' }, `${mark} `);
      const zombie = counts_as === 'zombie' ? 'zombie' : '';
      const detail = state === 'receiving' ? `${((received_bytes / vram_bytes) * 100).toFixed(0)} %` : zombie;
      const text = create('span', { class: `nowrap ${tone}` }, icon, state);
      return create('td', {}, text, ...(detail === '' ? [] : [create('small', {}, detail)]));
    },
  },
  {
    title: 'GPU',
    sort: ({ gpu_device }) => gpu_device,
    isNumber: true,
    cell: ({ gpu_device }) => create('td', { class: 'number' }, String(gpu_device)),
  },
  {
    title: 'Size',
    sort: ({ vram_bytes }) => -vram_bytes,
    isNumber: true,
    cell: ({ vram_bytes }) => create('td', { class: 'number', title: `${amount(vram_bytes)} bytes` }, size(vram_bytes)),
  },
  {
    title: 'Verified',
    sort: ({ last_verified_at }) => last_verified_at ?? '~',
    cell: ({ last_verified_at: at }) =>
      at === null
        ? cell('not yet')
        : create('td', { class: 'nowrap' }, time(at, 'ago'), create('small', {}, 'began ', time(at, 'at'))),
  },
  {
    title: 'Expected by',
    sort: ({ verification_due_at }) => verification_due_at ?? '~',
    cell: ({ verification_due_at: at }) =>
      at === null ? cell('–') : create('td', { class: 'nowrap' }, time(at, 'at'), create('small', {}, time(at, 'due'))),
  },
  {
    title: 'Leases',
    sort: ({ leases }) => -leases,
    isNumber: true,
    cell: ({ leases, exportable, kept }) => {
      const small = [exportable ? '' : 'not exportable', kept ? 'kept' : ''].filter((text) => text !== '').join(', ');
      const node = cell(amount(leases), small);
      node.className = 'number';
      return node;
    },
  },
  {
    title: 'Damage',
    sort: ({ corrupt_bytes }) => -corrupt_bytes,
    cell: (shard) =>
      shard.state === 'corrupt'
        ? create('td', {}, create('span', { class: 'note bad' }, damageText(shard) || 'yes'))
        : cell('none known'),
  },
  {
    title: 'Repair',
    sort: ({ repair }) => (repair === null ? '~' : repair),
    cell: ({ repair }) => create('td', {}, create('span', { class: 'note' }, visible(repair ?? '–'))),
  },
];

const view = { column: 0, isDescending: false, page: 0 };

/** The shards that the filter selects, in the order of the selected column. @param {readonly Shard[]} shards */
function selected(shards) {
  const words = searchInput.value.toLowerCase();
  const state = stateSelect.value;
  const found = shards.filter(
    (shard) =>
      (state === '' || shard.state === state) &&
      (words === '' || `${shard.shard_id} ${shard.model_ref}`.toLowerCase().includes(words)),
  );
  const { sort } = columns[view.column] ?? columns[0];
  const sign = view.isDescending ? -1 : 1;
  // The worker orders shards by id, and sorting keeps that order among equals.
  return view.column === 0 && sign === 1 ? found : found.sort((a, b) => sign * compare(sort(a), sort(b)));
}

/** @param {readonly Shard[]} shards */
function renderShards(shards) {
  element('no-shards').hidden = shards.length > 0;
  element('shards-view').hidden = shards.length === 0;
  const found = selected(shards);
  const pages = Math.max(1, Math.ceil(found.length / rowsPerPage));
  view.page = Math.min(view.page, pages - 1);
  const first = view.page * rowsPerPage;
  const rows = found.slice(first, first + rowsPerPage);
  element('shard-table').setAttribute('aria-rowcount', String(found.length + 1));
  show(element('shards'), rows, {
    key: ({ shard_id }) => shard_id,
    tag: 'tr',
    fill: (node, shard) => node.replaceChildren(...columns.map(({ cell }) => cell(shard))),
  });
  for (const [index, row] of [...element('shards').children].entries())
    row.setAttribute('aria-rowindex', String(first + index + 2));
  setText(
    element('count'),
    found.length === shards.length
      ? several(found.length, 'shard')
      : `${amount(found.length)} of ${several(shards.length, 'shard')}`,
  );
  element('pager').hidden = pages === 1;
  setText(element('range'), `${amount(first + 1)} to ${amount(first + rows.length)} of ${amount(found.length)}`);
  setDisabled(element('previous'), view.page === 0);
  setDisabled(element('next'), view.page >= pages - 1);
}

/** A button that has the focus keeps it. @param {Element} button @param {boolean} isDisabled */
const setDisabled = (button, isDisabled) => button.setAttribute('aria-disabled', String(isDisabled));

/** The header has a button for each column. */
function createHeader() {
  const heads = columns.map(({ title, isNumber }, index) => {
    const button = create('button', { type: 'button' }, title, create('span', { 'aria-hidden': 'true' }));
    button.addEventListener('click', () => {
      view.isDescending = view.column === index && !view.isDescending;
      Object.assign(view, { column: index, page: 0 });
      showSort();
      if (overview !== undefined) renderShards(overview.shards);
    });
    return create('th', { scope: 'col', class: isNumber ? 'number' : undefined }, button);
  });
  element('shard-head').replaceChildren(...heads);
  showSort();
}

function showSort() {
  for (const [index, head] of [...element('shard-head').children].entries()) {
    const isSorted = index === view.column;
    if (isSorted) head.setAttribute('aria-sort', view.isDescending ? 'descending' : 'ascending');
    else head.removeAttribute('aria-sort');
    const arrow = head.querySelector('span');
    if (arrow !== null) setText(arrow, isSorted ? (view.isDescending ? ' ↓' : ' ↑') : '');
  }
}

// ---- The other sections

/** Pulls that have not ended come first. @param {readonly Pull[]} pulls */
function renderPulls(pulls) {
  element('pulls-section').hidden = pulls.length === 0;
  const sorted = [...pulls].sort((a, b) => Number(a.ended_at !== null) - Number(b.ended_at !== null));
  setText(element('pulls-note'), pulls.length > pullRows ? `and ${amount(pulls.length - pullRows)} more` : '');
  show(element('pulls'), sorted.slice(0, pullRows), {
    key: ({ pull_id }) => pull_id,
    tag: 'tr',
    fill: (node, pull) => node.replaceChildren(...pullCells(pull)),
  });
}

/** @param {Pull} pull */
function pullCells(pull) {
  const { bytes, received_bytes, remaining_seconds, ended_at, problem } = pull;
  const name = create('bdi', { class: 'name' }, visible(pull.pull_id));
  const model = create('bdi', { class: 'name', title: visible(pull.model_ref ?? '') }, visible(pull.model_ref ?? ''));
  const bar = create('progress', {
    max: Math.max(1, bytes),
    value: received_bytes,
    'aria-label': visible(`Received bytes of ${pull.pull_id}`),
  });
  const received = `${size(received_bytes)}${bytes > 0 ? ` of ${size(bytes)}, ${((received_bytes / bytes) * 100).toFixed(0)} %` : ''}`;
  const isEnded = ended_at !== null;
  const files = `${amount(pull.files_received)} of ${several(pull.files, 'file')}`;
  const left = remaining_seconds === null ? 'unknown' : duration(remaining_seconds);
  const note = problem === null ? files : `${problem.code}: ${problem.detail}`;
  return [
    create('th', { scope: 'row' }, name, create('small', {}, model)),
    create('td', {}, pull.state, ...(isEnded ? [create('small', {}, time(ended_at, 'ago'))] : [])),
    create('td', {}, bar, received),
    create('td', { class: 'number' }, isEnded ? '–' : `${size(pull.bytes_per_second)}/s`),
    create('td', { class: 'number' }, isEnded ? '–' : left),
    create('td', {}, create('span', { class: 'note' }, visible(note))),
  ];
}

/** @param {Overview} overview */
function renderScrub({ scrub }) {
  show(element('scrub'), [scrub], {
    key: () => 'scrub',
    tag: 'div',
    fill: (
      node,
      { state, shards_done, shards_total, period_seconds, bytes_per_second, last_pass_finished_at, overdue_shards },
    ) => {
      const bar = create('progress', {
        max: Math.max(1, shards_total),
        value: shards_done,
        'aria-label': 'Shards verified in this pass',
      });
      const every =
        state === 'off'
          ? 'Shards are verified only on request.'
          : `Each shard at least every ${duration(period_seconds)}, at up to ${size(bytes_per_second)}/s.`;
      const last =
        last_pass_finished_at === null
          ? ['No pass has ended yet.']
          : ['The last pass ended ', time(last_pass_finished_at, 'ago'), '.'];
      node.replaceChildren(
        create('p', {}, `${state}: ${amount(shards_done)} of ${several(shards_total, 'shard')} in this pass`),
        bar,
        create('p', { class: 'quiet' }, every, ' ', ...last),
        ...(overdue_shards > 0 ? [create('p', { class: 'bad' }, `✕ ${several(overdue_shards, 'shard')} overdue`)] : []),
      );
    },
  });
}

/** Models that are not ready come first. @param {Overview} overview */
function renderModels({ models, lost }) {
  const most = 12;
  const sorted = [...models].sort((a, b) => Number(a.ready) - Number(b.ready)).slice(0, most);
  const lines = [
    ...lost.slice(0, most).map(({ shard_id, detail }) => ({ name: shard_id, tone: 'bad', text: `✕ lost: ${detail}` })),
    ...sorted.map(({ model_ref, ready, resident_shards, total_shards }) => ({
      name: model_ref,
      tone: ready ? 'good' : 'warn',
      text: `${ready ? '✓ ready' : '… not ready'}, ${amount(resident_shards)} of ${several(total_shards, 'shard')}`,
    })),
  ];
  const more = models.length + lost.length - lines.length;
  if (more > 0) lines.push({ name: '', tone: '', text: `and ${amount(more)} more` });
  if (lines.length === 0) lines.push({ name: '', tone: '', text: 'No models yet' });
  show(element('models'), lines, {
    key: ({ name, text }) => JSON.stringify([name, text]),
    tag: 'li',
    fill: (node, { name, tone, text }) =>
      node.replaceChildren(foreign(name), create('span', { class: tone }, visible(text))),
  });
}

/** @param {Overview} overview */
function renderLeases({ leases: counts }) {
  const { total } = counts;
  const parts = ['active', 'granted', 'lingering', 'orphaned'].flatMap((state) => {
    const count = counts[/** @type {'active'} */ (state)];
    return count > 0 ? [`${amount(count)} ${state}`] : [];
  });
  const shownText = total > leases.length ? ` The first ${amount(leases.length)} are shown.` : '';
  setText(
    element('leases-note'),
    total === 0 ? 'No process has attached a shard.' : `${several(total, 'lease')}: ${parts.join(', ')}.${shownText}`,
  );
  element('leases-view').hidden = leases.length === 0;
  show(element('leases'), leases, {
    key: ({ lease_id }) => lease_id,
    tag: 'tr',
    fill: (node, { shard_id, state, pid, uid, label, granted_at }) =>
      node.replaceChildren(
        create('th', { scope: 'row' }, create('bdi', { class: 'name' }, visible(shard_id))),
        cell(state),
        cell(pid === null ? 'another pid namespace' : `pid ${pid}`, `uid ${uid}`),
        create('td', {}, create('span', { class: 'note' }, foreign(label ?? '–'))),
        create('td', { class: 'nowrap' }, time(granted_at, 'ago')),
      ),
  });
}

/** @param {Overview} overview */
function renderAudit({ worker: { audit_log } }) {
  const note = audit.isForbidden
    ? 'The audit log needs the API token. This page has the read token.'
    : audit_log === 'off'
      ? 'The audit log is off. The setting WORKER_AUDIT_LOG turns it on.'
      : audit.problem;
  setText(element('audit-note'), visible(note));
  const hasEntries = audit.entries.length > 0 && !audit.isForbidden;
  setText(element('audit-as-of'), hasEntries ? `as of ${clockTime(audit.asOfMs)}` : '');
  element('audit-view').hidden = !hasEntries;
  element('older').hidden = audit.older === null || !hasEntries;
  element('newest').hidden = audit.before === undefined;
  show(element('audit'), audit.entries, {
    key: ({ seq }) => String(seq),
    tag: 'tr',
    fill: (node, entry) => node.replaceChildren(...auditCells(entry)),
  });
}

/** @param {AuditEntry} entry */
function auditCells({ seq, time: at, event, severity, actor, ...rest }) {
  const hidden = ['previous', 'checksum', 'request_id', 'signature'];
  const details = Object.entries(rest).filter(([name]) => !hidden.includes(name));
  const text = details
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
  const tone = severity === 'critical' ? 'bad' : severity === 'warning' ? 'warn' : '';
  return [
    create('td', { class: 'number' }, String(seq)),
    create('td', { class: 'nowrap' }, time(at, 'at')),
    create('th', { scope: 'row' }, visible(String(event))),
    create('td', { class: tone }, visible(String(severity))),
    create('td', {}, foreign(String(actor))),
    create(
      'td',
      {},
      create(
        'span',
        { class: 'note', title: visible(text) },
        foreign(text.length > 300 ? `${text.slice(0, 300)}…` : text),
      ),
    ),
  ];
}

// ---- Events

element('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = tokenInput.value.trim();
  setText(element('token-problem'), '');
  if (!/^[\w\-.~+/]+=*$/.test(value))
    return setText(element('token-problem'), 'A token has only letters, digits and - . _ ~ + / =');
  token.keep(value);
  tokenInput.value = '';
  signIn();
  element('main').focus();
});
element('forget').addEventListener('click', () => signOut());

const reRender = () => {
  view.page = 0;
  if (overview === undefined) return;
  renderShards(overview.shards);
  tick();
};
/** @type {ReturnType<typeof setTimeout> | undefined} */
let announcement;
for (const input of [searchInput, stateSelect]) {
  input.addEventListener('input', () => {
    reRender();
    clearTimeout(announcement);
    announcement = setTimeout(() => announce(element('count').textContent ?? ''), 700);
  });
}
element('filter').addEventListener('submit', (event) => event.preventDefault());

/** @param {string} button @param {number} step */
const turnPage = (button, step) => {
  if (element(button).getAttribute('aria-disabled') === 'true' || overview === undefined) return;
  view.page += step;
  renderShards(overview.shards);
  announce(element('range').textContent ?? '');
};
element('previous').addEventListener('click', () => turnPage('previous', -1));
element('next').addEventListener('click', () => turnPage('next', 1));

/** @param {number | undefined} before */
const turnAudit = (before) => {
  Object.assign(audit, { before, tag: '', isTurned: true });
  wake();
};
element('older').addEventListener('click', () => turnAudit(audit.older ?? undefined));
element('newest').addEventListener('click', () => turnAudit(undefined));

document.addEventListener('visibilitychange', () => {
  tick();
  if (!document.hidden) endPause();
});
window.addEventListener('online', () => endPause());

for (const state of Object.keys(stateMarks)) stateSelect.append(create('option', { value: state }, state));
const base = new URL('..', location.href).href.replace(/\/$/, '');
setText(element('pull-line'), `npx vram-worker pull hf://org/name:Q4_K_M --url ${base}`);
setText(
  element('curl-line'),
  `curl -T model.gguf -H "Authorization: Bearer $(cat .worker/token)" \\\n  "${base}/v1/commit?shard_id=model-0&model_ref=model"`,
);
createHeader();
setInterval(tick, 1000);
if (token.read() === '') signOut();
else signIn();
