// The models: what each network is, where its versions stand, how it runs here and why, and what it knows.

import { labelsOf, refresh, served } from './models.js';
import { short, Trouble } from './parts.js';
import { ask, pathOf } from './server.js';
import { useStore } from './store.js';
import { html, useEffect, useMemo, useState } from './htm-preact.js';

export function ModelsView() {
  const { models, loaded, error } = useStore(served);
  useEffect(() => void refresh(), []);
  return html`<div class="models">
    <h1>Models</h1>
    ${error && html`<${Trouble} message=${error} />`}
    ${loaded && !error && models.length === 0 && html`<p class="lead">Nothing is served.</p>`}
    ${models.map((model) => html`<${Card} key=${model.name} model=${model} />`)}
  </div>`;
}

function Card({ model: { name, versions } }) {
  const answering = versions.filter(({ state }) => state === 'AVAILABLE').map(({ version }) => version);
  const [picked, pick] = useState(undefined);
  const version = answering.includes(picked) ? picked : Math.max(...answering);
  const title = `model-${name}`;
  return html`<article class="card" aria-labelledby=${title}>
    <header>
      <h2 id=${title}>${name}</h2>
      <ul class="versions" aria-label=${`Versions of ${name}`}>
        ${versions.map((of) => html`<${Version} key=${of.version} of=${of} isShown=${of.version === version} pick=${answering.length > 1 && pick} />`)}
      </ul>
    </header>
    ${versions.filter(({ reason }) => reason).map((of) => html`<${Trouble} key=${of.version} message=${`Version ${of.version}: ${of.reason}`} />`)}
    ${answering.length > 0 && html`<${Inside} key=${version} name=${name} version=${version} />`}
  </article>`;
}

const STATES = { AVAILABLE: 'answers', LOADING: 'is loading', FAILED: 'failed', NOT_LOADED: 'is loaded when asked' };

function Version({ of: { version, state, labels }, isShown, pick }) {
  const text = html`<span class=${`dot ${state.toLowerCase()}`}></span>version ${version}${(labels || []).map((label) => html` <span class="tag" key=${label}>${label}</span>`)}
    <span class="quiet">${STATES[state] || state.toLowerCase()}</span>`;
  if (!pick || state !== 'AVAILABLE') return html`<li>${text}</li>`;
  return html`<li><button type="button" class="quiet" aria-pressed=${String(isShown)} onClick=${() => pick(version)}>${text}</button></li>`;
}

function Inside({ name, version }) {
  const [said, say] = useState({});
  const path = pathOf({ name, version });
  useEffect(() => {
    const stop = new AbortController();
    ask(`${path}/metadata`, { signal: stop.signal }).then((metadata) => say({ metadata }), (error) => stop.signal.aborted || say({ error }));
    return () => stop.abort(new DOMException('no longer shown', 'AbortError'));
  }, [path]);
  if (said.error) return html`<${Trouble} message=${said.error.message} code=${said.error.code} />`;
  if (!said.metadata) return html`<p class="quiet">Reading…</p>`;
  return html`<div class="inside">
    <${Facts} of=${said.metadata} />
    <${Drawing} name=${name} path=${path} of=${said.metadata} />
    <${Labels} path=${path} name=${name} />
  </div>`;
}

function Facts({ of }) {
  const { architecture: { name, parameters, macs, resnet, unusual = [] } } = of;
  const [input] = of.inputs;
  const shape = input.shape.map((size) => (size < 0 ? 'N' : size)).join(' × ');
  const stages = resnet?.stages?.map(({ modules }) => modules).join(', ');
  const threads = `${of.instances} ${of.instances === 1 ? 'session' : 'sessions'} of ${of.intra_threads} ${of.intra_threads === 1 ? 'thread' : 'threads'}`;
  const facts = [
    ['Network', of.untrained ? `${name}, untrained: its answers mean nothing` : name],
    resnet && ['Layers', `${resnet.depth}, in ${resnet.block} modules ${stages ? `[${stages}]` : ''}`],
    resnet?.shortcut && ['Shortcuts', resnet.shortcut.replaceAll('-', ', ')],
    parameters && ['Parameters', short(parameters)],
    macs && ['Multiplications', `${short(macs)} a picture`],
    ['Input', `${shape}, ${of.color}`],
    ['Classes', of.classes.toLocaleString('en')],
    of.features && ['Features', of.features.toLocaleString('en')],
    unusual.length > 0 && ['Unusual', unusual.join('; ')],
  ];
  const here = [
    ['Runs on', `${of.provider}, ${of.precision}`],
    ['Side by side', threads],
    of.alone_threads && ['Alone', `a picture that is alone has ${of.alone_threads} threads`],
    ['Largest batch', of.max_batch_size],
    typeof of.probability_drift === 'number' && ['Drift', `${of.probability_drift.toPrecision(2)} from fp32, at most`],
    ['Why', of.choice],
  ];
  return html`<div class="facts">
    <${List} title="The network" entries=${facts} />
    <${List} title="On this machine" entries=${here} />
  </div>`;
}

function List({ title, entries }) {
  return html`<section><h3>${title}</h3><dl>
    ${entries.filter(Boolean).map(([term, what]) => html`<div key=${term}><dt>${term}</dt><dd>${what}</dd></div>`)}
  </dl></section>`;
}

/** The drawing is the server's. It is shown as a picture, in which no script runs and nothing is loaded. */
function Drawing({ name, path, of: { architecture } }) {
  const [said, say] = useState({});
  useEffect(() => {
    const stop = new AbortController();
    let made;
    const show = (blob) => say({ url: (made = URL.createObjectURL(new Blob([blob], { type: 'image/svg+xml' }))) });
    const options = { headers: { accept: 'image/svg+xml' }, signal: stop.signal };
    ask(`${path}/architecture.svg`, options, (answer) => answer.blob()).then(show, (error) => stop.signal.aborted || say({ error }));
    return () => {
      stop.abort(new DOMException('no longer shown', 'AbortError'));
      URL.revokeObjectURL(made);
    };
  }, [path]);
  const words = architecture.resnet ? `${architecture.name}, ${architecture.resnet.depth} layers in ${architecture.resnet.stages.length} stages` : architecture.name;
  return html`<section class="drawing"><h3>Drawn</h3>
    ${said.error && html`<p class="quiet">There is no drawing: ${said.error.message}</p>`}
    ${said.url && html`<div class="sheet" tabindex="0" role="region" aria-label=${`The network of ${name}, drawn`}><img src=${said.url} alt=${`The network drawn: ${words}`} /></div>`}
  </section>`;
}

/** Of very many labels so many are shown; a search finds the others. */
const MOST_SHOWN = 120;

function Labels({ path, name }) {
  const [isOpen, setOpen] = useState(false);
  const [said, say] = useState({});
  const [wanted, setWanted] = useState('');
  useEffect(() => {
    if (isOpen && !said.labels) labelsOf(path).then((labels) => say({ labels }), (error) => say({ error }));
  }, [isOpen, path]);
  const found = useMemo(() => matching(said.labels || [], wanted), [said.labels, wanted]);
  const rest = found.length - MOST_SHOWN;
  return html`<details class="labels" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>Labels</summary>
    ${said.error && html`<${Trouble} message=${said.error.message} />`}
    ${said.labels && html`
      <input type="search" placeholder="Find a label or an index" aria-label=${`Find a label of ${name}`} value=${wanted} onInput=${(event) => setWanted(event.currentTarget.value)} />
      <p class="quiet" role="status">${found.length.toLocaleString('en')} of ${said.labels.length.toLocaleString('en')}${rest > 0 && `, the first ${MOST_SHOWN} shown`}</p>
      <ol>${found.slice(0, MOST_SHOWN).map(([index, label]) => html`<li key=${index}><span class="quiet">${index}</span> ${label}</li>`)}</ol>`}
  </details>`;
}

function matching(labels, wanted) {
  const text = wanted.trim().toLowerCase();
  const all = labels.map((label, index) => [index, label]);
  return text ? all.filter(([index, label]) => label.toLowerCase().includes(text) || String(index) === text) : all;
}
