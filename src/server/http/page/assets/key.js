// The key that the user gave, where the server wants one. It stays in this tab: in sessionStorage, and in the requests of this page.

import { store } from './store.js';

const PLACE = 'resnetd-key';

/** `key`: what is sent; `wanted`: the server asked for one, or would not have this one; `words`: what it said. */
export const access = store({ key: kept(), wanted: false, words: '' });

function kept() {
  try {
    return sessionStorage.getItem(PLACE) || '';
  } catch {
    // A browser that keeps nothing forgets it with the page.
    return '';
  }
}

/** From now on `key` is sent; none, where it is empty. */
export function take(key) {
  try {
    if (key) sessionStorage.setItem(PLACE, key);
    else sessionStorage.removeItem(PLACE);
  } catch {
    // As above.
  }
  access.set({ key, wanted: false, words: '' });
}

/** The headers of a request, with the key. */
export function withKey(headers) {
  const all = new Headers(headers);
  if (access.value.key) all.set('x-api-key', access.value.key);
  return all;
}

/** What can stand in a header: visible ASCII. */
export const isKey = (text) => /^[!-~]+$/.test(text);
