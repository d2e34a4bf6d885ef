// The numbers of `GET /v1/stats` over time: what happened between two looks is the difference of two sums.

import { access } from './key.js';
import { ask } from './server.js';
import { store } from './store.js';

/** Between two looks. */
const EVERY_MS = 1000;

/** So many looks are kept: five minutes. */
const KEPT = 300;

/** stats: the last document; looks: by model, [{ t, … }] oldest first. */
export const live = store({ stats: undefined, looks: new Map(), error: '' });

/** How a version of a model is named among the looks. */
export const keyOf = ({ name, version }) => `${name}@${version}`;

let timer;
let last;

/** Looks until the function that it gives is called. */
export function observe() {
  const look = async () => {
    timer = setTimeout(look, EVERY_MS);
    if (document.hidden || access.value.wanted) return;
    try {
      note(await ask('v1/stats'));
    } catch (error) {
      if (error.status !== 401) live.set({ error: error.message });
    }
  };
  look();
  return () => clearTimeout(timer);
}

function note(stats) {
  const t = Date.now() / 1000;
  const { looks } = live.value;
  const sums = new Map(stats.models.map((model) => [keyOf(model), sumsOf(model)]));
  for (const model of stats.models) {
    const key = keyOf(model);
    const list = looks.get(key) || [];
    list.push({ t, ...between(last?.sums.get(key), sums.get(key), t - last?.t), ...now(model) });
    if (list.length > KEPT) list.shift();
    looks.set(key, list);
  }
  last = { t, sums };
  live.set({ stats, error: '' });
}

/** What only grows, as long as the server lives. */
function sumsOf({ latencies, batches, refused_images: refused }) {
  const add = (values) => values.reduce((all, value) => all + value, 0);
  return {
    requests: latencies.request.count,
    images: add(batches.map(({ images, runs }) => images * runs)),
    runs: add(batches.map(({ runs }) => runs)),
    runMs: add(batches.map(({ runs, mean_run_ms: mean }) => runs * mean)),
    refused: add(Object.values(refused)),
  };
}

/** The rates between two looks; `null` is a gap: at the first one, and where the server began anew or was away. */
export function between(before, after, seconds) {
  const gap = { requests: null, images: null, run: null, refused: null };
  if (!before || seconds > 10 || after.requests < before.requests || after.runs < before.runs) return gap;
  const rate = (name) => Math.max(after[name] - before[name], 0) / seconds;
  const runs = after.runs - before.runs;
  return { requests: rate('requests'), images: rate('images'), refused: rate('refused'), run: runs > 0 ? Math.max(after.runMs - before.runMs, 0) / runs : null };
}

function now({ latencies: { request }, queue }) {
  return { p50: request.p50_ms, p99: request.p99_ms, waiting: queue.waiting, inWork: queue.in_work, load: queue.load_ratio };
}
