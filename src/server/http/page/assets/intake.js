// Where pictures come in: drop, paste, pick, a folder, a photograph; and which models are asked.

import { CameraDialog, hasCamera } from './camera.js';
import { add, choose, chosen, desk, show } from './desk.js';
import { fromDrop, fromInput, fromPaste } from './gather.js';
import { choices, served } from './models.js';
import { Trouble } from './parts.js';
import { store, useStore } from './store.js';
import { html, useRef, useState } from './htm-preact.js';

/** Whether something is dragged over the page. */
const dragged = store({ over: false });

/** Drops and pastes count wherever they happen; `arrive` is called before they are on the desk. */
export function listen(arrive) {
  const hasFiles = (event) => Array.from(event.dataTransfer?.types || []).includes('Files');
  let depth = 0;
  const move = (by) => {
    depth = by ? depth + by : 0;
    if (depth > 0 !== dragged.value.over) dragged.set({ over: depth > 0 });
  };
  addEventListener('dragenter', (event) => hasFiles(event) && move(1));
  addEventListener('dragleave', (event) => hasFiles(event) && move(-1));
  addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  addEventListener('drop', async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    move(0);
    arrive();
    add(await fromDrop(event.dataTransfer));
  });
  addEventListener('paste', (event) => {
    const pasted = fromPaste(event.clipboardData);
    if (pasted.pictures.length === 0) return;
    event.preventDefault();
    arrive();
    add(pasted);
  });
}

/** Phones have a camera behind a file input. */
const isTouched = () => matchMedia('(pointer: coarse)').matches;

export function Intake({ isOpen }) {
  const { over } = useStore(dragged);
  const [camera, setCamera] = useState(false);
  const inputs = { files: useRef(), folder: useRef(), photo: useRef() };
  const take = (event) => add(fromInput(event.currentTarget));
  const open = (which) => () => inputs[which].current.click();
  const photograph = () => (!isTouched() && hasCamera() ? setCamera(true) : inputs.photo.current.click());
  return html`<section class=${`intake ${isOpen ? 'open' : ''} ${over ? 'over' : ''}`} aria-label="Pictures in">
    ${!isOpen && html`<h1 class="spoken">Pictures</h1>`}
    ${isOpen && html`<h1>What is in this picture?</h1>
      <p class="lead">Drop pictures anywhere on this page, paste one, or choose some: JPEG, PNG, WebP, GIF, BMP, TIFF or PPM. They go to this server and nowhere else.</p>`}
    <div class="ways">
      <button type="button" class="primary" onClick=${open('files')}>Choose pictures</button>
      <button type="button" onClick=${open('folder')}>Choose a folder</button>
      <button type="button" onClick=${photograph}>Take a photograph</button>
    </div>
    <input type="file" hidden multiple accept="image/*,.ppm,.pgm,.tif,.tiff" ref=${inputs.files} onChange=${take} data-way="files" aria-label="Pictures" />
    <input type="file" hidden multiple webkitdirectory ref=${inputs.folder} onChange=${take} data-way="folder" aria-label="A folder of pictures" />
    <input type="file" hidden accept="image/*" capture="environment" ref=${inputs.photo} onChange=${take} data-way="photo" aria-label="A photograph" />
    <${Models} />
    ${camera && html`<${CameraDialog} close=${() => setCamera(false)} take=${(pictures) => add({ pictures, left: 0 })} />`}
  </section>`;
}

/** The classes that are asked for. */
const COUNTS = [1, 3, 5, 10, 20, 50];

function Models() {
  const { models, loaded, error } = useStore(served);
  const { topK } = useStore(desk);
  const all = choices(models);
  const asked = new Set(chosen().map(({ key }) => key));
  if (error && models.length === 0) return html`<${Trouble} message=${error} />`;
  // Nothing to choose from yet, or nobody is told without a key.
  if (!loaded) return '';
  if (all.length === 0) return html`<${Trouble} message="No model answers yet. The page looks again by itself; Models says where each stands." />`;
  // The server takes so many in one call.
  const MOST = 8;
  return html`<div class="asked">
    <fieldset class="chips">
      <legend>Ask</legend>
      ${all.map(({ key, name, version }) => html`<label key=${key} class="chip">
        <input type="checkbox" checked=${asked.has(key)} disabled=${!asked.has(key) && asked.size >= MOST}
          onChange=${(event) => choose(key, event.currentTarget.checked)} />
        <span>${name}${version && html` <small>version ${version}</small>`}</span>
      </label>`)}
    </fieldset>
    <label class="select">Classes
      <select value=${String(topK)} onChange=${(event) => show(Number(event.currentTarget.value))}>
        ${COUNTS.map((count) => html`<option key=${count} value=${String(count)}>${count}</option>`)}
      </select>
    </label>
  </div>`;
}
