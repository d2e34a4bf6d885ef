// Classifies image files over gRPC-Web, which is `fetch` and nothing else: the same code runs in a page and, as here, in Node 20.
//
//     npm install --prefix examples/web && npm run --prefix examples/web generate
//     node examples/web/client.mjs MODEL FILE...
//
// RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default. A page of another origin needs `[server] cors_origins`.

import { readFile } from "node:fs/promises";

import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { Classifier } from "./gen/resnetd/v1/classifier_pb.js";

const timeoutMs = 10_000;
const baseUrl = `http://${process.env.RESNETD_HTTP ?? "127.0.0.1:8000"}`;
const classifier = createClient(Classifier, createGrpcWebTransport({ baseUrl }));

const [model, ...files] = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node client.mjs MODEL FILE...");
  process.exit(2);
}
for (const file of files) {
  try {
    const image = await readFile(file); // in a page: new Uint8Array(await input.files[0].arrayBuffer())
    // The deadline travels as `grpc-timeout`: what nobody waits for is not run.
    const answer = await classifier.classify({ model, images: [image], topK: 3 }, { timeoutMs });
    const { classes } = answer.predictions[0];
    console.log([file, ...classes.map((c) => `${c.label} ${c.probability.toFixed(2)}`)].join("  "));
  } catch (cause) {
    const error = ConnectError.from(cause);
    const [code, id] = ["x-error-code", "x-request-id"].map((name) => error.metadata.get(name));
    console.error(`${file}: ${error.rawMessage}${code ? ` (${code}, request ${id})` : ""}`);
    process.exitCode = 1;
  }
}
