// The least that lets a Node function speak the Runtime API. It is not AWS's own client, which has to be compiled first: it prints lines as they are,
// knows neither streams nor callbacks, and finds only handlers in files that end in .mjs or .js.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const environment = process.env;
const api = `http://${environment.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

function post(path, body, headers = {}) {
  return fetch(`${api}/${path}`, { method: "POST", body: JSON.stringify(body) ?? "null", headers });
}

function postError(path, error) {
  const body = { errorType: error.name, errorMessage: error.message, trace: error.stack.split("\n") };
  return post(path, body, { "Lambda-Runtime-Function-Error-Type": error.name });
}

async function load() {
  const handler = environment._HANDLER;
  const dot = handler.lastIndexOf(".");
  const module = resolve(environment.LAMBDA_TASK_ROOT, handler.slice(0, dot));
  const file = [`${module}.mjs`, `${module}.js`].find(existsSync);
  return (await import(pathToFileURL(file)))[handler.slice(dot + 1)];
}

function contextOf(headers) {
  const deadline = Number(headers.get("lambda-runtime-deadline-ms"));
  return {
    awsRequestId: headers.get("lambda-runtime-aws-request-id"),
    invokedFunctionArn: headers.get("lambda-runtime-invoked-function-arn"),
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

async function serve(handler) {
  const next = await fetch(`${api}/invocation/next`);
  environment._X_AMZN_TRACE_ID = next.headers.get("lambda-runtime-trace-id") ?? "";
  const context = contextOf(next.headers);
  const invocation = `invocation/${context.awsRequestId}`;
  try {
    await post(`${invocation}/response`, await handler(await next.json(), context));
  } catch (error) {
    await postError(`${invocation}/error`, error);
  }
}

let handler;
try {
  handler = await load();
} catch (error) {
  await postError("init/error", error);
  throw error;
}
for (;;) {
  await serve(handler);
}
