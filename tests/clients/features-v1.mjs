// The features over the TypeScript SDK of the legacy era. Arguments: the target, the era (always "legacy"), and, where it is
// servers that others wrote, which; JSON.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { CAPABILITIES, featuresOf, observe, pause, textOf } from './features.mjs';
import { featuresOfUpstreams } from './upstreams.mjs';

const [target, , upstreams] = process.argv.slice(2).map((text) => JSON.parse(text));
const SCHEMAS = {
  'elicitation/create': types.ElicitRequestSchema,
  'sampling/createMessage': types.CreateMessageRequestSchema,
  'roots/list': types.ListRootsRequestSchema,
  'notifications/message': types.LoggingMessageNotificationSchema,
  'notifications/resources/updated': types.ResourceUpdatedNotificationSchema,
  'notifications/tools/list_changed': types.ToolListChangedNotificationSchema,
  'notifications/prompts/list_changed': types.PromptListChangedNotificationSchema,
  'notifications/resources/list_changed': types.ResourceListChangedNotificationSchema,
};

const newTransport = (options) =>
  target.url
    ? new StreamableHTTPClientTransport(new URL(target.url), options)
    : new StdioClientTransport({ command: target.command[0], args: target.command.slice(1) });

async function connect(capabilities, transport = newTransport()) {
  const client = new Client({ name: 'margay-check', version: '1' }, { capabilities });
  await client.connect(transport);
  return client;
}

const client = await connect(CAPABILITIES);
const peer = {
  client,
  isModern: false,
  call: (name, args = {}, options) => client.callTool({ name, arguments: args }, undefined, options),
  onRequest: (method, handler) => client.setRequestHandler(SCHEMAS[method], ({ params }) => handler(params)),
  onNotification: (method, handler) => client.setNotificationHandler(SCHEMAS[method], ({ params }) => handler(params)),
};
const features = { ...featuresOf(peer), undeclared, tasks };
if (target.url) Object.assign(features, { reconnection, 'a cut stream': cutStream, resumption });
await observe(upstreams ? featuresOfUpstreams(peer, upstreams) : features);
await client.close();

async function undeclared() {
  const other = await connect({});
  const result = await other.callTool({ name: 'test_missing_capability', arguments: {} });
  await other.close();
  return { isError: result.isError, names: result.content[0].text.includes('sampling') };
}

// The form of tasks that the revision of 2025-11-25 tries out.
async function tasks() {
  const { tasks } = client.experimental;
  await client.listTools(); // tells this client which tools may be tasks
  const run = async (name, args) => {
    const seen = [];
    for await (const message of tasks.callToolStream({ name, arguments: args }, undefined, { task: { ttl: 60_000 } })) {
      seen.push(message);
    }
    return seen;
  };
  const computed = await run('slow_compute', { seconds: 0.5, label: 'sum' });
  const confirmed = await run('confirm_delete', { filename: 'notes.txt' });
  const failed = await run('failing_job', {});
  const broken = await run('protocol_error_job', {});
  const endless = await tasks.callToolStream({ name: 'slow_compute', arguments: { seconds: 25 } }, undefined, { task: {} }).next();
  const cancelled = await tasks.cancelTask(endless.value.task.taskId);
  const listed = await tasks.listTasks();
  const ids = listed.tasks.map((task) => task.taskId);
  return {
    created: computed[0].type,
    computed: textOf(computed.at(-1).result),
    confirmed: textOf(confirmed.at(-1).result),
    // In this form of tasks a tool's error makes its task a failed one, whose result is still there.
    failed: [failed.at(-1).type, textOf(await tasks.getTaskResult(failed[0].task.taskId, types.CallToolResultSchema))],
    broken: broken.at(-1).type,
    cancelled: cancelled.status,
    listed: [computed[0], endless.value].every(({ task }) => ids.includes(task.taskId)),
  };
}

// The server lets the stream go in the middle of the call; the SDK comes back for the rest.
async function reconnection() {
  const values = [];
  const result = await peer.call('test_reconnection', {}, { onprogress: ({ progress }) => values.push(progress) });
  return { text: textOf(result), values };
}

// The network breaks after the first progress; the SDK reconnects on its own.
async function cutStream() {
  let isCut = false;
  const cutting = async (url, init) => {
    const response = await fetch(url, init);
    if (isCut || !String(init?.body).includes('"tools/call"')) return response;
    const reader = response.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        if (isCut) {
          await reader.cancel();
          return controller.error(new Error('the wire is cut'));
        }
        const { value, done } = await reader.read();
        if (done) return controller.close();
        controller.enqueue(value);
        isCut = new TextDecoder().decode(value).includes('"progress"');
      },
    });
    return new Response(body, response);
  };
  const reconnectionOptions = {
    initialReconnectionDelay: 50,
    maxReconnectionDelay: 500,
    reconnectionDelayGrowFactor: 1,
    maxRetries: 5,
  };
  const other = await connect(CAPABILITIES, newTransport({ fetch: cutting, reconnectionOptions }));
  const values = [];
  const options = { onprogress: ({ progress }) => values.push(progress) };
  const call = { name: 'slow_compute', arguments: { seconds: 1, label: 'cut' } };
  const result = await other.callTool(call, undefined, options);
  await other.close();
  return { isCut, text: textOf(result), grows: grows(values), last: values.at(-1) };
}

// The client goes away in the middle of the call; another takes its session and its token, and is told the rest.
async function resumption() {
  const first = newTransport();
  const gone = await connect(CAPABILITIES, first);
  const values = [];
  let token;
  const call = { name: 'slow_compute', arguments: { seconds: 2, label: 'resumed' } };
  const options = { onprogress: ({ progress }) => values.push(progress), onresumptiontoken: (next) => (token = next) };
  const lost = gone.callTool(call, undefined, options).catch(() => 'lost');
  while (values.length < 3) await pause(10);
  const { sessionId, protocolVersion } = first;
  await gone.close();
  const before = values.length;

  const second = newTransport({ sessionId });
  second.setProtocolVersion(protocolVersion);
  const back = await connect(CAPABILITIES, second);
  // The token of the progress is the first client's; this one has no handler under it.
  back.setNotificationHandler(types.ProgressNotificationSchema, ({ params }) => values.push(params.progress));
  const request = { method: 'tools/call', params: call };
  const result = await back.request(request, types.CallToolResultSchema, { resumptionToken: token });
  await second.terminateSession();
  await back.close();
  return {
    first: await lost,
    text: textOf(result),
    more: values.length > before,
    grows: grows(values),
    last: values.at(-1),
  };
}

function grows(values) {
  return values.every((value, index) => index === 0 || value > values[index - 1]);
}
