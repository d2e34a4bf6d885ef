// One picture to one or several models, and back as one result a model; and why a model says a class.

import { ask, pathOf } from './server.js';

/** Kinds of refusal that pass; of several models each has its own, inside an answer. */
const PASSING = ['OVERLOADED', 'UNAVAILABLE'];

/** The path of a call to `choices`. */
export function pathFor(choices, topK) {
  const several = () => `v1/models/${choices.map(({ key }) => encodeURIComponent(key)).join(',')}`;
  const path = choices.length === 1 ? pathOf(choices[0]) : several();
  return `${path}:classify?top_k=${topK}`;
}

/** As many classes as are wanted, and no more than the smallest of the models has. */
export function fitting(choices, topK) {
  return Math.min(topK, ...choices.map(({ classes }) => classes));
}

/** The calls that `choices` are asked in. A model and a version of it may be the same one, which a call does not take twice. */
export function calls(choices) {
  const names = new Set(choices.filter(({ version }) => !version).map(({ name }) => name));
  const isApart = ({ name, version }) => Boolean(version) && names.has(name);
  return [choices.filter((choice) => !isApart(choice)), choices.filter(isApart)].filter((some) => some.length > 0);
}

/** The results of `choices`, by key. A result has classes, or `error` and `code`; `passes` where it is worth another try. */
export async function classify(file, choices, topK, signal) {
  const results = new Map();
  const options = { method: 'POST', body: file, headers: { 'content-type': 'application/octet-stream' }, signal };
  for (const some of calls(choices)) {
    const started = performance.now();
    const document = await ask(pathFor(some, fitting(some, topK)), options);
    const elapsed = performance.now() - started;
    const parts = document.models || [document];
    some.forEach(({ key }, place) => results.set(key, result(parts[place], topK, elapsed)));
  }
  return results;
}

function result(part, topK, elapsed) {
  if (part.error) return { topK, error: part.error, code: part.code, passes: PASSING.includes(part.code) };
  const [{ classes, answered_by: answeredBy }] = part.predictions;
  return {
    topK,
    classes,
    answeredBy,
    model: part.model,
    version: part.version,
    architecture: part.architecture,
    timing: part.timing_ms,
    batch: part.batch_size,
    cached: part.cached === true,
    elapsed,
  };
}

/** Why `choice` says a class of `file`: { class, crop }. A class is asked for by its index, unless its label is a number: those go first. */
export async function explain(file, choice, { index, label }, signal) {
  const options = { method: 'POST', body: file, headers: { 'content-type': 'application/octet-stream', accept: 'application/json' }, signal };
  const wanted = /^\d+$/.test(label) ? label : index;
  const { explanations } = await ask(`${pathOf(choice)}:explain?class=${wanted}`, options);
  const [{ classes, crop }] = explanations;
  return { class: classes[0], crop };
}

/** Whether the numbers are probabilities: a network without an activation says scores. */
export function areProbabilities(classes) {
  return classes.every(({ probability }) => probability >= 0 && probability <= 1.0001);
}

/** A probability for people. */
export function percent(probability) {
  if (probability > 0 && probability < 0.001) return '< 0.1 %';
  return `${(probability * 100).toFixed(1)} %`;
}

/** Milliseconds for people. */
export function ms(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}
