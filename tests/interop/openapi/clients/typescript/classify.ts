// Classifies files with the TypeScript client that openapi-generator makes.
import { readFileSync } from 'node:fs';
import { Classification, Configuration, ResnetdApi } from './index';

async function main([url, ...files]: string[]) {
  const api = new ResnetdApi(new Configuration({ basePath: url }));
  for (const file of files) {
    const b64 = readFileSync(file).toString('base64');
    const answer = await api.classify({ model: 'resnet20-cifar10', classifyBody: { instances: [{ b64 }] }, topK: 10 });
    const { predictions } = answer as Classification;
    console.log(JSON.stringify(predictions[0].classes.map(({ label, probability }) => [label, probability])));
  }
}

void main(process.argv.slice(2));
