// The TypeScript SDK of both eras. Arguments: the target, the era ("legacy", "auto", "2026-07-28"), the calls; JSON.
// Prints one line of JSON: the revision agreed on, the tools listed, the results.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [target, era, calls] = process.argv.slice(2).map((text) => JSON.parse(text));
const mode = era === 'legacy' || era === 'auto' ? era : { pin: era };
const transport = target.url
  ? new StreamableHTTPClientTransport(new URL(target.url))
  : new StdioClientTransport({ command: target.command[0], args: target.command.slice(1) });
const client = new Client({ name: 'margay-check', version: '1' }, { versionNegotiation: { mode } });
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const call of calls) results.push(await client.callTool(call));
const version = client.getNegotiatedProtocolVersion();
console.log(JSON.stringify({ version, tools: tools.map((tool) => tool.name), results }));
await client.close();
