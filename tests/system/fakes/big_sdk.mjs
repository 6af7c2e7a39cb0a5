// A server on the official TypeScript SDK 1.x whose tool gives large results.
// The SDK writes "result" before "id".
//   big_sdk.mjs PORT       /json: answers as JSON, /sse: as event streams
// Environment: NODE_MODULES_DIR.
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.NODE_MODULES_DIR, 'x.js'));
const load = name => import(pathToFileURL(require.resolve(name)).href);
const { McpServer } = await load('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = await load('@modelcontextprotocol/sdk/server/streamableHttp.js');
const { z } = await load('zod');
const BLOCK = 'abc"d\\ \u00e9\n{[]}:, 0123456789 ';

function makeServer() {
    const server = new McpServer({ name: 'big', version: '1' });
    server.registerTool('big', { inputSchema: { blocks: z.number() } },
        async ({ blocks }) => ({ content: [{ type: 'text', text: BLOCK.repeat(blocks) }] }));
    return server;
}

http.createServer(async (request, response) => {
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: undefined, enableJsonResponse: request.url === '/json' });
    const server = makeServer();
    response.on('close', () => { transport.close(); server.close(); });
    await server.connect(transport);
    await transport.handleRequest(request, response);
}).listen(Number(process.argv[2]), '127.0.0.1');
