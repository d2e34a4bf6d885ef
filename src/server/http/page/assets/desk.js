// What lies on the desk: the pictures, which models are asked, and the answers so far. The view draws it, the line fills it.

import { classify } from './classify.js';
import { pieces } from './csv.js';
import { Line } from './line.js';
import { choices, served } from './models.js';
import { store } from './store.js';

/** With more pictures, another choice of models is not asked for by itself. */
const ASKED_BY_ITSELF = 20;

/** items: { id, file, name, state, error, results }; `state`: waiting | running | done | failed | cancelled. */
export const desk = store({ items: [], selected: undefined, keys: undefined, topK: 5, note: '' });

const line = new Line(answer, () => desk.changed());
let ids = 0;

/** The models that are asked: those that were chosen and are there, or the first one. */
export function chosen() {
  const all = choices(served.value.models);
  const { keys } = desk.value;
  return keys ? all.filter(({ key }) => keys.includes(key)) : all.slice(0, 1);
}

/** Asks for what `item` has no answer for yet. `isLast`: what is refused now stays refused. */
async function answer(item, signal, isLast) {
  const { topK } = desk.value;
  const missing = chosen().filter(({ key }) => isMissing(item, key, topK));
  if (missing.length === 0) return { more: false };
  const results = await classify(item.file, missing, topK, signal);
  for (const [key, result] of results) item.results.set(key, isLast ? { ...result, passes: false } : result);
  // The choice may have become another one meanwhile.
  const more = !isLast && chosen().some(({ key }) => isMissing(item, key, desk.value.topK));
  return { more, waitMs: [...results.values()].some(({ passes }) => passes) ? 1000 : 0 };
}

function isMissing(item, key, topK) {
  const result = item.results.get(key);
  return !result || result.passes || result.topK !== topK;
}

/** Whether a picture lacks an answer of a model that is asked, and nobody works on it. */
export function lacks(item) {
  if (item.state === 'waiting' || item.state === 'running' || item.state === 'failed') return false;
  return chosen().some(({ key }) => isMissing(item, key, desk.value.topK));
}

/** Puts pictures on the desk and asks for them. */
export function add({ pictures, left }) {
  const items = pictures.map(({ file, name }) => ({ id: (ids += 1), file, name, state: 'waiting', results: new Map() }));
  const note = left > 0 ? `${left.toLocaleString('en')} ${left === 1 ? 'file that is' : 'files that are'} no picture ${left === 1 ? 'was' : 'were'} left out.` : '';
  const none = items.length === 0 && left === 0 ? 'There was no file in that.' : note;
  const all = desk.value.items.concat(items);
  desk.set({ items: all, selected: items.length === 1 ? items[0] : desk.value.selected || items[0], note: none });
  if (chosen().length > 0) line.add(items);
  else for (const item of items) item.state = 'cancelled';
}

/** Asks for everything that lacks an answer, also what was cancelled or failed. */
export function askAgain(items = desk.value.items) {
  if (chosen().length === 0) return;
  line.add(items.filter((item) => item.state === 'failed' || lacks(item)));
}

/** Asks once more for what was refused. */
export function retry(item) {
  for (const [key, result] of item.results) if (result.error) item.results.delete(key);
  line.add([item]);
}

/** Sets which models are asked. */
export function choose(key, on) {
  const before = chosen().map((choice) => choice.key);
  desk.set({ keys: on ? [...before, key] : before.filter((other) => other !== key) });
  askBySelf();
}

/** Sets how many classes are asked for. */
export function show(topK) {
  desk.set({ topK });
  askBySelf();
}

function askBySelf() {
  const { items } = desk.value;
  const open = items.filter(lacks);
  if (open.length <= ASKED_BY_ITSELF) askAgain(open);
}

export function select(item) {
  desk.set({ selected: item });
}

export function cancel() {
  line.cancel();
}

/** Takes everything away. */
export function clear() {
  line.cancel();
  desk.set({ items: [], selected: undefined, note: '' });
}

/** How many are in which state. */
export function counts(items) {
  const counted = { waiting: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
  for (const { state } of items) counted[state] += 1;
  return counted;
}

/** The answers as a file. */
export async function exported() {
  const parts = [];
  for await (const piece of pieces(desk.value.items, chosen())) parts.push(piece);
  return new Blob(parts, { type: 'text/csv;charset=utf-8' });
}
