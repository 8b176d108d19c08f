// The features over the TypeScript SDK of both eras. Arguments: the target, the era ("legacy", "2026-07-28"), and, where it is
// servers that others wrote, which; JSON.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { CAPABILITIES, featuresOf, observe, textOf } from './features.mjs';
import { featuresOfUpstreams } from './upstreams.mjs';

const [target, era, upstreams] = process.argv.slice(2).map((text) => JSON.parse(text));
const mode = era === 'legacy' ? era : { pin: era };

async function connect(capabilities) {
  const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command[0], args: target.command.slice(1) });
  const client = new Client({ name: 'margay-check', version: '1' }, { capabilities, versionNegotiation: { mode } });
  await client.connect(transport);
  return client;
}

const client = await connect(CAPABILITIES);
const isModern = era !== 'legacy';
const peer = {
  client,
  isModern,
  call: (name, args = {}, options, meta) => client.callTool({ name, arguments: args, _meta: meta }, options),
  onRequest: (method, handler) => client.setRequestHandler(method, ({ params }) => handler(params)),
  onNotification: (method, handler) => client.setNotificationHandler(method, ({ params }) => handler(params)),
};
const features = { ...featuresOf(peer), undeclared };
if (target.url && !isModern) features.reconnection = reconnection;
await observe(upstreams ? featuresOfUpstreams(peer, upstreams) : features);
await client.close();

async function undeclared() {
  const other = await connect({});
  try {
    const result = await other.callTool({ name: 'test_missing_capability', arguments: {} });
    return { isError: result.isError, names: result.content[0].text.includes('sampling') };
  } catch (error) {
    return { code: error.code, names: 'sampling' in error.data.requiredCapabilities };
  } finally {
    await other.close();
  }
}

// The server lets the stream go in the middle of the call; the SDK comes back for the rest.
async function reconnection() {
  const values = [];
  const result = await peer.call('test_reconnection', {}, { onprogress: ({ progress }) => values.push(progress) });
  return { text: textOf(result), values };
}
