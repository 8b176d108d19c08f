// The steps that both TypeScript SDKs take; what differs between them is in `features-v1.mjs` and `features-v2.mjs`.
// Each feature returns what was observed; `features.py` knows what that has to be.

export const CAPABILITIES = { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } };
const WATCHED = 'test://watched-resource';
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';

// Prints one line of JSON: what each feature observed, or the error it met.
export async function observe(features) {
  const observed = {};
  for (const [name, feature] of Object.entries(features)) {
    try {
      observed[name] = await feature();
    } catch (error) {
      observed[name] = { error: String(error?.stack ?? error) };
    }
  }
  console.log(JSON.stringify(observed));
}

// A peer is a connected client in the words that both SDKs share: `client`, `isModern`, `call(name, arguments, options)`,
// `onRequest(method, handler of parameters)`, `onNotification(method, handler of parameters)`.
export function featuresOf(peer) {
  const { client } = peer;
  answerQuestions(peer);
  return {
    progress: () => progress(peer),
    log: () => log(peer),
    elicitation: async () => [
      textOf(await peer.call('test_input_required_result_elicitation')),
      textOf(await declining(() => peer.call('test_input_required_result_elicitation'))),
    ],
    choices: async () => textOf(await peer.call('test_elicitation_sep1330_enums')),
    page: async () => textOf(await peer.call('test_elicitation_url')),
    sampling: async () => textOf(await peer.call('test_sampling', { prompt: 'Say it' })),
    roots: async () => textOf(await peer.call('test_input_required_result_list_roots')),
    'several at once': async () => textOf(await peer.call('test_input_required_result_multiple_inputs')),
    'several rounds': async () => textOf(await peer.call('test_input_required_result_multi_round')),
    state: async () => textOf(await peer.call('test_input_required_result_request_state')),
    resources: () => resources(client),
    changes: () => changes(peer),
    prompts: () => prompts(client),
    completion: () => completion(client),
    headers: () => headers(peer),
    cancellation: () => cancellation(peer),
  };
}

export const textOf = (result) => (result.isError ? `error: ${result.content[0].text}` : result.content[0].text);
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The person fills in forms by the names of their fields, unless told to decline.
const ANSWERS = {
  name: 'Ada',
  color: 'green',
  ok: true,
  context: 'rain',
  confirm: true,
  untitledSingle: 'option2',
  titledMulti: ['value1', 'value3'],
};
let declines = false;

function answerQuestions(peer) {
  peer.onRequest('elicitation/create', ({ mode, url, requestedSchema }) => {
    if (declines) return { action: 'decline' };
    if (mode === 'url') return { action: url === 'https://example.com/sign-in' ? 'accept' : 'cancel' };
    const names = Object.keys(requestedSchema.properties).filter((name) => name in ANSWERS);
    return { action: 'accept', content: Object.fromEntries(names.map((name) => [name, ANSWERS[name]])) };
  });
  peer.onRequest('sampling/createMessage', ({ messages }) => {
    const [content] = [messages[0].content].flat();
    return { role: 'assistant', model: 'echo', content: { type: 'text', text: `You said: ${content.text}` } };
  });
  peer.onRequest('roots/list', () => ({ roots: [{ uri: 'file:///a', name: 'A' }, { uri: 'file:///b' }] }));
}

async function declining(ask) {
  declines = true;
  try {
    return await ask();
  } finally {
    declines = false;
  }
}

async function progress(peer) {
  const values = [];
  const onprogress = ({ progress, total, message }) => values.push([progress, total, message]);
  return { text: textOf(await peer.call('test_tool_with_progress', {}, { onprogress })), values };
}

async function log(peer) {
  const levels = [];
  peer.onNotification('notifications/message', ({ level }) => levels.push(level));
  if (!peer.isModern) await peer.client.setLoggingLevel('warning');
  await peer.call('test_logging_tool', {}, {}, peer.isModern ? { [LOG_LEVEL]: 'warning' } : undefined);
  await pause(100);
  return levels;
}

async function resources(client) {
  const listed = await client.listResources();
  const templates = await client.listResourceTemplates();
  const text = await client.readResource({ uri: 'test://static-text' });
  const binary = await client.readResource({ uri: 'test://static-binary' });
  const templated = await client.readResource({ uri: 'test://template/7/data' });
  const unknown = await client.readResource({ uri: 'test://unknown' }).catch((error) => error.code);
  return {
    listed: listed.resources.map((resource) => resource.uri),
    templates: templates.resourceTemplates.map((template) => template.uriTemplate),
    text: text.contents[0].text,
    binary: Buffer.from(binary.contents[0].blob, 'base64').subarray(1, 4).toString(),
    templated: JSON.parse(templated.contents[0].text).id,
    unknown,
  };
}

// What is heard while somebody listens, and after.
async function changes(peer) {
  const heard = new Set();
  for (const kind of ['tools', 'prompts', 'resources']) {
    peer.onNotification(`notifications/${kind}/list_changed`, () => heard.add(kind));
  }
  peer.onNotification('notifications/resources/updated', ({ uri }) => heard.add(uri));
  const subscription = peer.isModern
    ? await peer.client.listen({
        toolsListChanged: true,
        promptsListChanged: true,
        resourcesListChanged: true,
        resourceSubscriptions: [WATCHED],
      })
    : await peer.client.subscribeResource({ uri: WATCHED });
  await pause(200); // the legacy client opens its stream in the background
  await peer.call('test_trigger_resource_change', { uri: 'test://static-text' }); // nobody asked for this one
  for (const what of ['resource_change', 'tool_change', 'prompt_change', 'resource_list_change']) {
    await peer.call(`test_trigger_${what}`);
  }
  for (let tries = 0; heard.size < 4 && tries < 100; tries += 1) await pause(50);
  const during = [...heard].sort();
  if (peer.isModern) await subscription.close();
  else await peer.client.unsubscribeResource({ uri: WATCHED });
  heard.clear();
  await peer.call('test_trigger_resource_change');
  await pause(300);
  return { during, after: [...heard] };
}

async function prompts(client) {
  const listed = await client.listPrompts();
  const filled = await client.getPrompt({
    name: 'test_prompt_with_arguments',
    arguments: { arg1: 'one', arg2: 'two' },
  });
  const picture = await client.getPrompt({ name: 'test_prompt_with_image' });
  const asking = await client.getPrompt({ name: 'test_input_required_result_prompt' });
  const missing = await client
    .getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'one' } })
    .catch((error) => error.code);
  return {
    listed: listed.prompts.map((prompt) => prompt.name).sort(),
    filled: filled.messages[0].content.text,
    picture: picture.messages.map((message) => message.content.type),
    asking: asking.messages[0].content.text,
    missing,
  };
}

async function completion(client) {
  const word = await client.complete({
    ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
    argument: { name: 'arg1', value: 'pa' },
  });
  const number = await client.complete({
    ref: { type: 'ref/resource', uri: 'test://template/{id}/data' },
    argument: { name: 'id', value: '' },
  });
  const { values, total, hasMore } = number.completion;
  return { word: word.completion.values, number: [values.length, total, hasMore] };
}

// A client of the modern era repeats these arguments in headers, once it has seen the tool's schema.
async function headers(peer) {
  await peer.client.listTools();
  const result = await peer.call('test_x_mcp_header', { region: 'Zürich', limit: 7 });
  return result.structuredContent;
}

async function cancellation(peer) {
  const controller = new AbortController();
  const begun = Date.now();
  const options = { signal: controller.signal, onprogress: () => controller.abort('enough') };
  const outcome = await peer.call('slow_compute', { seconds: 25 }, options).then(() => 'answered', () => 'given up');
  const soon = Date.now() - begun < 10_000;
  return { outcome, soon, next: textOf(await peer.call('greet', { name: 'Ada' })) };
}
