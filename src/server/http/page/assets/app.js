// The page: its head, its three views, and whether the server is there.
//
// A client of the server like any other: it uses the public routes only. Text from elsewhere (labels, names of files and models, what the
// server says) is only ever put into the page as text.

import { listen } from './intake.js';
import { access, isKey, take } from './key.js';
import { follow, refresh } from './models.js';
import { link, look, watch } from './server.js';
import { store, useStore } from './store.js';
import { html, render, useEffect, useRef } from './htm-preact.js';
import { ClassifyView } from './view_classify.js';
import { LiveView } from './view_live.js';
import { ModelsView } from './view_models.js';

const VIEWS = [
  { path: '#/', title: 'Classify', view: ClassifyView },
  { path: '#/models', title: 'Models', view: ModelsView },
  { path: '#/live', title: 'Live', view: LiveView },
];

const here = () => VIEWS.find(({ path }) => path === location.hash) || VIEWS[0];

const place = store({ view: here() });

function App() {
  const { view } = useStore(place);
  const main = useRef();
  useEffect(() => {
    document.title = view.path === '#/' ? 'resnetd' : `${view.title} · resnetd`;
  }, [view]);
  const skip = (event) => {
    event.preventDefault();
    main.current.focus();
  };
  return html`
    <a class="skip" href="#main" onClick=${skip}>To the content</a>
    <header class="top">
      <a class="mark" href="#/">resnetd</a>
      <nav aria-label="Views">${VIEWS.map(({ path, title }) => html`<a key=${path} href=${path} aria-current=${path === view.path ? 'page' : undefined}>${title}</a>`)}</nav>
      <${State} />
    </header>
    <${Away} />
    <${Key} />
    <main id="main" tabindex="-1" ref=${main}><${view.view} /></main>
    <footer>
      <a href="docs">API</a> <a href="openapi.json">OpenAPI</a> <${Plain} />
    </footer>`;
}

function State() {
  const { state } = useStore(link);
  const words = { unknown: 'looking', ready: 'ready', refusing: 'not ready', away: 'away' };
  return html`<p class="state"><span class=${`dot ${state}`}></span>${words[state]}</p>`;
}

/** What a link alone does not get where the server wants a key. */
function Plain() {
  const { key, wanted } = useStore(access);
  const forget = () => {
    take('');
    refresh();
  };
  if (key) return html`<button type="button" class="link" onClick=${forget}>Forget the key</button>`;
  return wanted ? '' : html`<a href="metrics">Metrics</a> <a href="v1/stats">Statistics</a>`;
}

/** Asks for a key where the server wants one. */
function Key() {
  const { wanted, words } = useStore(access);
  const field = useRef();
  const give = (event) => {
    event.preventDefault();
    const key = field.current.value.trim();
    if (!isKey(key)) {
      access.set({ words: 'A key has no blanks, and no letters beyond ASCII.' });
      return;
    }
    take(key);
    look();
    refresh();
  };
  return html`<div class="alert">
    ${wanted && html`<div class="asks">
      <p role="alert"><b>The server wants an API key.</b> ${words || 'It stays in this tab, until that is closed.'}</p>
      <form class="key" aria-label="API key" onSubmit=${give}>
        <label>API key <input ref=${field} type="password" autocomplete="off" spellcheck=${false} required /></label>
        <button class="primary">Use it</button>
      </form>
    </div>`}
  </div>`;
}

/** What is wrong with the server as a whole. */
function Away() {
  const { state, words } = useStore(link);
  return html`<div role="alert" class="alert">
    ${state === 'away' && html`<p><b>The server does not answer.</b> It may have ended, or the network is away. This page looks again by itself and goes on where it stopped.</p>
      <button type="button" onClick=${look}>Look now</button>`}
    ${state === 'refusing' && html`<p><b>The server is not ready:</b> ${words}</p>`}
  </div>`;
}

addEventListener('hashchange', () => {
  place.set({ view: here() });
  scrollTo(0, 0);
});
listen(() => {
  location.hash = '#/';
});
watch();
follow();
render(html`<${App} />`, document.getElementById('app'));
