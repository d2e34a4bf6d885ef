// The request that was sent, for other programs to send: curl, Python, grpcurl. File names and models are foreign text, and what is copied
// is run: each is quoted as its language wants it.

import { calls, fitting, pathFor } from './classify.js';
import { access } from './key.js';

/** `'…'`, in which a shell reads nothing. */
export function forShell(text) {
  return /^[\w./:@%,+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What a program opens, whatever it begins with: `-x.jpg` is an option and `@x` another file. */
export function asPath(name) {
  return /^[-@]/.test(name) ? `./${name}` : name;
}

/** A text as Python reads it: what JSON writes, and what is beyond ASCII escaped. */
export function forPython(text) {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}/g, (pair) => {
      const point = String.fromCharCode(parseInt(pair.slice(2, 6), 16), parseInt(pair.slice(8), 16)).codePointAt(0);
      return `\\U${point.toString(16).padStart(8, '0')}`;
    });
}

/** [{ name, text }], of one picture to `choices`. */
export function snippets(name, choices, topK, base) {
  const file = asPath(name);
  const urls = calls(choices).map((some) => new URL(pathFor(some, fitting(some, topK)), base));
  const each = (write) => urls.map((url) => write(file, url)).join('\n\n');
  return [
    { name: 'curl', text: each(curl) },
    { name: 'Python', text: each(python) },
    { name: 'grpcurl', text: choices.map((choice) => grpcurl(file, choice, fitting([choice], topK), new URL(base))).join('\n\n') },
  ];
}

/** Where a key is wanted, it comes out of the environment: what is copied is pasted where others read it. */
const keyOfShell = () => (access.value.key ? '-H "x-api-key: $RESNETD_API_KEY" ' : '');

function curl(file, url) {
  return `curl --data-binary @${forShell(file)} \\\n  -H 'content-type: application/octet-stream' \\\n  ${keyOfShell()}${forShell(url.href)}`;
}

function python(file, url) {
  return [
    access.value.key ? 'import json, os, urllib.request' : 'import json, urllib.request',
    '',
    `with open(${forPython(file)}, "rb") as picture:`,
    '    request = urllib.request.Request(',
    `        ${forPython(url.href)},`,
    '        data=picture.read(), headers={"content-type": "application/octet-stream"' + (access.value.key ? ', "x-api-key": os.environ["RESNETD_API_KEY"]})' : '})'),
    'with urllib.request.urlopen(request) as answer:',
    '    print(json.dumps(json.load(answer), indent=2))',
  ].join('\n');
}

/** Over the same port, which speaks gRPC too; the picture goes in through standard input, since it may be longer than an argument. */
function grpcurl(file, { name, version }, topK, url) {
  const fields = { model: name, ...(version && { version }), top_k: topK };
  const head = `${JSON.stringify(fields).slice(0, -1)},"images":["`;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const plain = url.protocol === 'https:' ? '' : '-plaintext ';
  return [
    `{ printf %s ${forShell(head)}; base64 < ${forShell(file)} | tr -d '\\n'; printf %s '"]}'; } |`,
    `  grpcurl ${plain}${keyOfShell()}-d @ ${forShell(`${url.hostname}:${port}`)} resnetd.v1.Classifier/Classify`,
  ].join('\n');
}
