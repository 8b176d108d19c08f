// The TypeScript SDK of the legacy era. Arguments: the target, the era (always "legacy"), the calls; all JSON.
// Prints one line of JSON: the revision agreed on (null over stdio, where this SDK does not say it), the tools listed,
// the results.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [target, , calls] = process.argv.slice(2).map((text) => JSON.parse(text));
const transport = target.url
  ? new StreamableHTTPClientTransport(new URL(target.url))
  : new StdioClientTransport({ command: target.command[0], args: target.command.slice(1) });
const client = new Client({ name: 'margay-check', version: '1' });
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const call of calls) results.push(await client.callTool(call));
const version = transport.protocolVersion ?? null;
console.log(JSON.stringify({ version, tools: tools.map((tool) => tool.name), results }));
if (target.url) await transport.terminateSession();
await client.close();
