// What the TypeScript SDKs do with servers that others wrote, alone or behind the gateway: `upstreams.py` compares.
import { textOf } from './features.mjs';

const TEXT = 'Grüße, "☃" \\ 𝄞';

// `servers` says which there are, `prefixes` what stands before the names of each of the first kind, `file` what can be read.
export function featuresOfUpstreams(peer, { servers, prefixes, file }) {
  const features = { tools: async () => (await listed(peer.client)).sort() };
  if (servers.includes('everything')) {
    for (const prefix of prefixes) {
      features[`${prefix}everything`] = () => everything(peer, prefix);
      features[`${prefix}questions`] = () => questions(peer, prefix);
    }
  }
  if (servers.includes('files')) features.files = () => files(peer, file);
  if (servers.includes('time')) features.time = () => time(peer);
  return features;
}

async function listed(client) {
  const names = [];
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? undefined : { cursor });
    names.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return names;
}

async function everything(peer, prefix) {
  const call = (name, args, options) => peer.call(prefix + name, args, options);
  // A moment after its handshake the server asks for roots. Where clients share it, that is taken for a question of the call that is
  // on its way just then: here it meets none.
  await new Promise((done) => setTimeout(done, 600));
  const values = [];
  const onprogress = ({ progress, total }) => values.push([progress, total]);
  const long = await call('trigger-long-running-operation', { duration: 0.3, steps: 3 }, { onprogress });
  const image = await call('get-tiny-image');
  const structured = await call('get-structured-content', { location: 'New York' });
  const prompt = await peer.client.getPrompt({ name: `${prefix}args-prompt`, arguments: { city: 'Bern' } });
  const resource = await peer.client.readResource({ uri: 'demo://resource/static/document/features.md' });
  const templated = await peer.client.readResource({ uri: 'demo://resource/dynamic/text/7' });
  return {
    echo: textOf(await call('echo', { message: TEXT })),
    sum: textOf(await call('get-sum', { a: 2, b: 40 })),
    refused: (await call('get-sum', { a: 'two' }).catch(() => ({ isError: true }))).isError,
    progress: { text: textOf(long), values: values.slice(0, 2) }, // the last may be overtaken by the answer
    image: image.content.map((block) => block.type),
    structured: structured.structuredContent,
    prompt: prompt.messages[0].content.text,
    resource: resource.contents[0].text.slice(0, 20),
    templated: templated.contents[0].text.slice(0, 10),
  };
}

// The server has these tools only for clients that can be asked.
async function questions(peer, prefix) {
  return {
    sampling: textOf(await peer.call(`${prefix}trigger-sampling-request`, { prompt: 'Say it', maxTokens: 7 })),
    elicitation: textOf(await peer.call(`${prefix}trigger-elicitation-request`)),
  };
}

async function files(peer, file) {
  const missing = await peer.call('read_text_file', { path: `${file}.none` });
  return {
    text: textOf(await peer.call('read_text_file', { path: file })),
    size: textOf(await peer.call('get_file_info', { path: file })).split('\n')[0],
    missing: missing.isError,
  };
}

async function time(peer) {
  const args = { source_timezone: 'Europe/Berlin', time: '12:00', target_timezone: 'Asia/Tokyo' };
  return { difference: JSON.parse(textOf(await peer.call('convert_time', args))).time_difference };
}
