// What is served: the list of models, and what can be asked of it. Followed while somebody looks.

import { ask, link } from './server.js';
import { store } from './store.js';

/** `models`: { name, versions } in the order of their names; `error` where the list could not be had. */
export const served = store({ models: [], loaded: false, error: '' });

const AGAIN_MS = 15_000;

/** States in which a version answers; what is not loaded yet is loaded by the request that asks for it. */
const ANSWERS = ['AVAILABLE', 'NOT_LOADED'];

/** Reads the list. */
export async function refresh() {
  try {
    const { models, model_versions: versions } = await ask('v1/models');
    const of = (name) => versions.filter((version) => version.name === name);
    served.set({ models: models.map((name) => ({ name, versions: of(name) })), loaded: true, error: '' });
  } catch (error) {
    // Where a key is wanted, its form says so.
    if (error.status !== 401) served.set({ loaded: true, error: error.message });
  }
}

/** Follows the list, and reads it at once when the server is back. */
export function follow() {
  refresh();
  setInterval(() => document.hidden || link.value.state === 'away' || refresh(), AGAIN_MS);
  let before = link.value.state;
  link.subscribe(() => {
    const now = link.value.state;
    if (now === 'ready' && before !== 'ready' && before !== 'unknown') refresh();
    before = now;
  });
}

/** What can be asked: each model, and each version where there are several. `key` is how several models are named in one call. */
export function choices(models) {
  return models.flatMap(({ name, versions }) => {
    const answering = versions.filter(({ state }) => ANSWERS.includes(state));
    if (answering.length === 0) return [];
    const classes = (of) => Math.min(...of.map((version) => version.classes || Infinity));
    const own = { key: name, name, version: undefined, classes: classes(answering) };
    const each = answering.map((of) => ({ key: `${name}@${of.version}`, name, version: of.version, classes: classes([of]) }));
    return each.length > 1 ? [own, ...each] : [own];
  });
}

/** Every label of the model of `path`, in the order of the indices. */
export async function labelsOf(path) {
  const { labels } = await ask(`${path}/labels`);
  return labels;
}
