// Classifies files over gRPC with what buf and protoc-gen-es make of the .proto files.
import { readFileSync } from 'node:fs';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Classifier } from './gen/resnetd/v1/classifier_pb.js';

const [url, ...files] = process.argv.slice(2);
const client = createClient(Classifier, createGrpcTransport({ baseUrl: url }));
for (const file of files) {
  const answer = await client.classify({ model: 'resnet20-cifar10', images: [readFileSync(file)], topK: 10 });
  console.log(JSON.stringify(answer.predictions[0].classes.map(({ label, probability }) => [label, probability])));
}
process.exit(0);
