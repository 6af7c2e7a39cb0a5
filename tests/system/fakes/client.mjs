// Drives a server through an official TypeScript SDK and prints what came.
//   client.mjs sdk1|sdk2 MODE URL    MODE: legacy, auto or a revision (sdk2)
// Environment: NODE_MODULES_DIR, KEY (API key), OPS: JSON [[verb, ...args], ...]
// Output: one JSON array, {"ok": value} or {"error": {message, code, status}}
// for each operation. Never exits with an error for an answer it did not like.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.NODE_MODULES_DIR, 'x.js'));
const load = name => import(pathToFileURL(require.resolve(name)).href);
const [sdk, mode, url] = process.argv.slice(2);
const requestInit = { headers: { authorization: `Bearer ${process.env.KEY}` } };
const info = { name: 'omni2-tests', version: '1' };

let client, Transport;
if (sdk === 'sdk1') {
    const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
    ({ StreamableHTTPClientTransport: Transport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js'));
    client = new Client(info);
} else {
    const m = await load('@modelcontextprotocol/client');
    Transport = m.StreamableHTTPClientTransport;
    client = new m.Client(info, { versionNegotiation: { mode: ['legacy', 'auto'].includes(mode) ? mode : { pin: mode } } });
}

const verbs = {
    tools: async () => (await client.listTools()).tools.map(t => t.name),
    call: (name, args) => client.callTool({ name, arguments: args ?? {} }),
    resources: async () => (await client.listResources()).resources.map(r => r.uri),
    read: uri => client.readResource({ uri }),
    prompts: async () => (await client.listPrompts()).prompts.map(p => p.name),
    prompt: (name, args) => client.getPrompt({ name, arguments: args ?? {} }),
    ping: () => client.ping(),
    version: async () => client.getServerVersion?.(),
    // abort after some milliseconds: the SDK cancels as its era prescribes
    abort: (name, args, ms) => client.callTool({ name, arguments: args }, ...(sdk === 'sdk1' ? [undefined] : []),
        { signal: AbortSignal.timeout(ms) })
};
const failure = e => ({ error: { message: String(e?.message ?? e), code: e?.code ?? null, status: e?.status ?? e?.data?.status ?? null } });

const out = [];
try {
    await client.connect(new Transport(new URL(url), { requestInit }));
    for (const [verb, ...args] of JSON.parse(process.env.OPS)) {
        try { out.push({ ok: await verbs[verb](...args) ?? null }); } catch (e) { out.push(failure(e)); }
    }
    await client.close();
} catch (e) {
    out.push(failure(e));
}
console.log(JSON.stringify(out));
process.exit(0);
