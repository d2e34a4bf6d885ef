// The server that this page came from: requests, refusals in its own words, and whether it is there.
//
// All paths are relative to the page, so that it also works behind a proxy that gives it a folder.

import { access, seen as keySeen, withKey } from './key.js';
import { store } from './store.js';

/** The server answered, and not as asked. `message` is what it says. */
export class Refusal extends Error {
  constructor(status, { error, code, request_id: id } = {}, retryAfterMs = 1000) {
    super(error || `the server answers with status ${status}`);
    Object.assign(this, { status, code: code || `HTTP ${status}`, id, retryAfterMs });
  }

  /** Whether the same request may be answered later. A proxy says 502 or 504 where the server behind it is away. */
  get passes() {
    return [429, 503].includes(this.status) || ([502, 504].includes(this.status) && !this.id);
  }
}

/** Nobody answered: the server ended, or the network is away. */
export class Unreachable extends Error {
  constructor() {
    super('the server does not answer');
  }
}

/** `state`: unknown | ready | refusing (it says why in `words`) | away. */
export const link = store({ state: 'unknown', words: '', since: 0 });

const HEARTBEAT_MS = 10_000;
const LONGEST_WAIT_MS = 5_000;

let looking = false;
let waiting = [];

function seen() {
  if (link.value.state === 'away') link.set({ state: 'unknown', words: '' });
  for (const resolve of waiting.splice(0)) resolve();
}

function lost() {
  if (link.value.state !== 'away') link.set({ state: 'away', words: '', since: Date.now() });
  lookAgain();
}

async function lookAgain() {
  if (looking) return;
  looking = true;
  for (let wait = 500; link.value.state === 'away'; wait = Math.min(wait * 1.5, LONGEST_WAIT_MS)) {
    await pause(wait);
    await look();
  }
  looking = false;
}

/** Asks whether the server is ready. */
export async function look() {
  try {
    const answer = await fetch('readyz', { cache: 'no-store', headers: withKey() });
    const said = await answer.json().catch(() => ({}));
    seen();
    const refuses = { state: 'refusing', words: said.error || `status ${answer.status}` };
    link.set(answer.ok ? { state: 'ready', words: '' } : refuses);
  } catch {
    lost();
  }
}

/** Looks now and then, as long as somebody looks at the page. */
export function watch() {
  look();
  setInterval(() => document.hidden || link.value.state === 'away' || look(), HEARTBEAT_MS);
  document.addEventListener('visibilitychange', () => document.hidden || look());
}

/** Resolves once the server answers again, whatever it says; rejects where `signal` is raised. */
export function back(signal) {
  if (link.value.state !== 'away') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    waiting.push(() => (signal?.removeEventListener('abort', stop), resolve()));
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** So many milliseconds, or until `signal` is raised, which rejects. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener('abort', stop), resolve()), ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** The body of the answer, read by `read`; throws a Refusal, an Unreachable, or what `signal` was raised with. */
export async function ask(path, options = {}, read = (answer) => answer.json()) {
  let answer;
  const { key } = access.value;
  try {
    answer = await fetch(path, { cache: 'no-store', redirect: 'error', ...options, headers: withKey(options.headers) });
    if (answer.ok) {
      keySeen(key, false);
      const body = await read(answer);
      seen();
      return body;
    }
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (error instanceof SyntaxError) throw new Refusal(answer.status, { error: 'the answer is not what this server gives: is there another one between?' });
    if (options.body instanceof Blob && !(await isReadable(options.body))) throw new Error('the browser cannot read this file any more: choose it again');
    lost();
    throw new Unreachable();
  }
  seen();
  const said = await answer.json().catch(() => ({}));
  keySeen(key, answer.status === 401, said.error);
  throw new Refusal(answer.status, said, retryAfter(answer.headers.get('retry-after')));
}

/** A file may be moved or changed after it was chosen; its request then breaks as if the server were away. */
async function isReadable(file) {
  try {
    // A stream, because Chromium's slice of a file that is gone is empty instead of failing.
    const reader = file.stream().getReader();
    await reader.read();
    await reader.cancel();
    return true;
  } catch {
    return false;
  }
}

/** Seconds or a date, as milliseconds from now. */
function retryAfter(value) {
  if (!value) return 1000;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), 600_000) : 1000;
}

/** The path of a model's routes. */
export function pathOf({ name, version }) {
  const model = `v1/models/${encodeURIComponent(name)}`;
  return version ? `${model}/versions/${version}` : model;
}
