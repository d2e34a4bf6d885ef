// What the parts of the page share: a value, and who wants to know that it changed.
//
// Changes are told once a frame, however many there were: ten thousand answers must not be ten thousand renderings.

import { useLayoutEffect, useState } from './htm-preact.js';

/** A value that is watched. `set` takes a patch; `changed` is for whoever changed the value in place. */
export function store(value) {
  const listeners = new Set();
  let turn = 0;
  let due = false;
  const tell = () => {
    due = false;
    for (const listener of [...listeners]) listener();
  };
  const changed = () => {
    turn += 1;
    if (due) return;
    due = true;
    // A page that is not looked at has no frames.
    if (document.hidden) setTimeout(tell, 200);
    else requestAnimationFrame(tell);
  };
  return {
    get value() {
      return value;
    },
    get turn() {
      return turn;
    },
    set(patch) {
      value = { ...value, ...patch };
      changed();
    },
    changed,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The value, for a component that is drawn anew when it changes. */
export function useStore(watched) {
  const [seen, draw] = useState(watched.turn);
  useLayoutEffect(() => {
    const look = () => draw(watched.turn);
    // It may have changed between the drawing and this.
    if (watched.turn !== seen) look();
    return watched.subscribe(look);
  }, [watched]);
  return watched.value;
}
