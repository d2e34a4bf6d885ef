// Classifies image files over gRPC, all at a time; messages and client are made from the .proto when the program starts.
//
//     npm install --prefix examples/node
//     node examples/node/grpc_client.mjs MODEL FILE...
//
// RESNETD_GRPC is the server's address, 127.0.0.1:8001 by default.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const address = process.env.RESNETD_GRPC ?? "127.0.0.1:8001";
const timeoutMs = 10_000;

const proto = fileURLToPath(new URL("../../proto/resnetd/v1/classifier.proto", import.meta.url));
const { resnetd } = grpc.loadPackageDefinition(protoLoader.loadSync(proto, { keepCase: true }));

// gRPC's own retries: the server says in `grpc-retry-pushback-ms` when to come back, and the library keeps to it.
const retries = {
  methodConfig: [
    {
      name: [{ service: "resnetd.v1.Classifier", method: "Classify" }],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};
const client = new resnetd.v1.Classifier(address, grpc.credentials.createInsecure(), {
  "grpc.service_config": JSON.stringify(retries),
});

/** The predicted classes of one image file's bytes, the most probable first. */
function classify(model, image) {
  const request = { model, images: [image], top_k: 3 };
  return new Promise((resolve, reject) => {
    client.Classify(request, { deadline: Date.now() + timeoutMs }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer.predictions[0].classes);
    });
  });
}

const [model, ...files] = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node grpc_client.mjs MODEL FILE...");
  process.exit(2);
}
await Promise.all(
  files.map(async (file) => {
    try {
      const classes = await classify(model, await readFile(file));
      console.log([file, ...classes.map((c) => `${c.label} ${c.probability.toFixed(2)}`)].join("  "));
    } catch (error) {
      const id = error.metadata?.get("x-request-id")[0];
      console.error(`${file}: ${error.details ?? error.message}${id ? ` (request ${id})` : ""}`);
      process.exitCode = 1;
    }
  }),
);
client.close();
