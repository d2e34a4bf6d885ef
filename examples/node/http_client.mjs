// Classifies image files over HTTP. Node 18 or newer, nothing to install.
//
//     node examples/node/http_client.mjs MODEL FILE...
//
// RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default.

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const address = process.env.RESNETD_HTTP ?? "127.0.0.1:8000";
const timeoutMs = 10_000;
const attempts = 4;

/** The predicted classes of one image file's bytes, the most probable first. */
async function classify(model, image, topK = 3) {
  const url = `http://${address}/v1/models/${encodeURIComponent(model)}:classify?top_k=${topK}&timeout_ms=${timeoutMs}`;
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/octet-stream" },
      body: image,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = await response.json();
    if (response.ok) return answer.predictions[0].classes;
    const retry = [429, 503].includes(response.status) && attempt < attempts;
    if (!retry) throw new Error(`${answer.error} (${answer.code}, request ${answer.request_id})`);
    await sleep(1000 * Number(response.headers.get("retry-after") ?? 1));
  }
}

const [model, ...files] = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node http_client.mjs MODEL FILE...");
  process.exit(2);
}
for (const file of files) {
  try {
    const classes = await classify(model, await readFile(file));
    console.log([file, ...classes.map((c) => `${c.label} ${c.probability.toFixed(2)}`)].join("  "));
  } catch (error) {
    console.error(`${file}: ${error.cause?.message ?? error.message}`);
    process.exitCode = 1;
  }
}
