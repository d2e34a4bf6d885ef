// The key that the user gave, where the server wants one. It stays in this tab: in sessionStorage, and in the requests of this page.

import { store } from './store.js';

const PLACE = 'resnetd-key';

/** `key`: what is sent; `wanted`: the server asked for one and has taken none yet; `words`: what is wrong with the one that it was given. */
export const access = store({ key: kept(), wanted: false, words: '' });

function kept() {
  try {
    return sessionStorage.getItem(PLACE) || '';
  } catch {
    // A browser that keeps nothing forgets it with the page.
    return '';
  }
}

/** From now on `key` is sent; none, where it is empty. Whether it is the right one shows with the next answer. */
export function take(key) {
  try {
    if (key) sessionStorage.setItem(PLACE, key);
    else sessionStorage.removeItem(PLACE);
  } catch {
    // As above.
  }
  access.set({ key, words: '' });
}

/** What the server said to a request with this key: an answer under way with an earlier one says nothing of the one that counts by now. */
export function seen(key, refused, words) {
  if (key !== access.value.key) return;
  if (refused) access.set({ wanted: true, words: key && words ? `It says: ${words}.` : '' });
  else if (access.value.wanted) access.set({ wanted: false, words: '' });
}

/** Resolves once the server has the key that it wants; rejects where `signal` is raised. */
export function opened(signal) {
  if (!access.value.wanted) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const stop = () => (end(), reject(signal.reason));
    const end = access.subscribe(() => {
      if (access.value.wanted) return;
      end();
      signal?.removeEventListener('abort', stop);
      resolve();
    });
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** The headers of a request, with the key. */
export function withKey(headers) {
  const all = new Headers(headers);
  if (access.value.key) all.set('x-api-key', access.value.key);
  return all;
}

/** What can stand in a header: visible ASCII. */
export const isKey = (text) => /^[!-~]+$/.test(text);
