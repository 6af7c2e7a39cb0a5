// One row of the matrix: a TypeScript client does everything at one server.
//   matrix.mjs CLIENT TRANSPORT TARGET
// CLIENT: sdk1, sdk2-legacy, sdk2-modern, mcp-remote. TRANSPORT: http, sse or
// stdio; TARGET: an URL, or a JSON array (command and arguments).
// Environment: NODE_MODULES_DIR, KEY (may be empty), WHAT: JSON {operation:
// {tool, arguments} or {uri, tool}}. Output: JSON {operation: null or reason}.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.NODE_MODULES_DIR, 'x.js'));
const load = name => import(pathToFileURL(require.resolve(name)).href);
const [kind, transport, target] = process.argv.slice(2);
const what = JSON.parse(process.env.WHAT);
const headers = process.env.KEY ? { authorization: `Bearer ${process.env.KEY}` } : {};
const info = { name: 'omni2-tests', version: '1' };
const capabilities = { sampling: {}, elicitation: { form: {} } };
const sdk1 = !kind.startsWith('sdk2');
const asked = [];
let updates = 0, gotUpdate = () => {}, client, make;

const sampled = { role: 'assistant', model: 'none', content: { type: 'text', text: 'a sampled answer' } };
const accept = r => {
    const p = r.params.requestedSchema?.properties ?? {};
    const content = {};
    for (const [name, s] of Object.entries(p)) {
        if (s.type === 'string' && !s.format && !s.enum && !s.oneOf) content[name] = 'ann';
        else if (s.format === 'email') content[name] = 'a@example.com';
        else if (s.format === 'date') content[name] = '2026-08-01';
        else if (s.format === 'date-time') content[name] = '2026-08-01T00:00:00Z';
        else if (s.format === 'uri') content[name] = 'http://example.com/';
        else if (s.enum) content[name] = s.enum[0];
        else if (s.oneOf) content[name] = s.oneOf[0].const;
        else if (s.type === 'boolean') content[name] = true;
        else if (s.type === 'array') content[name] = [(s.items?.enum ?? s.items?.anyOf?.map(x => x.const) ?? ['x'])[0]];
        else content[name] = s.minimum ?? 5;
    }
    return { action: 'accept', content };
};
if (sdk1) {
    const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
    const t = await load('@modelcontextprotocol/sdk/types.js');
    client = new Client(info, { capabilities });
    client.setRequestHandler(t.CreateMessageRequestSchema, async () => (asked.push('sampling'), sampled));
    client.setRequestHandler(t.ElicitRequestSchema, async r => (asked.push('elicitation'), accept(r)));
    client.setNotificationHandler(t.ResourceUpdatedNotificationSchema, () => { updates++; gotUpdate(); });
    const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { SSEClientTransport } = await load('@modelcontextprotocol/sdk/client/sse.js');
    const { StdioClientTransport } = await load('@modelcontextprotocol/sdk/client/stdio.js');
    make = () => {
        if (kind === 'mcp-remote') {
            const args = [path.join(process.env.NODE_MODULES_DIR, '.bin', 'mcp-remote'), target,
                '--transport', transport === 'sse' ? 'sse-only' : 'http-only'];
            if (process.env.KEY) args.push('--header', `Authorization: Bearer ${process.env.KEY}`);
            return new StdioClientTransport({ command: process.execPath, args, env: process.env, stderr: 'pipe' });
        }
        if (transport === 'stdio') {
            const [command, ...args] = JSON.parse(target);
            return new StdioClientTransport({ command, args, env: process.env, stderr: 'pipe' });
        }
        const T = transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
        return new T(new URL(target), { requestInit: { headers } });
    };
} else {
    const m = await load('@modelcontextprotocol/client');
    client = new m.Client(info, {
        capabilities, versionNegotiation: { mode: kind === 'sdk2-modern' ? { pin: '2026-07-28' } : 'legacy' }
    });
    client.setRequestHandler('sampling/createMessage', async () => (asked.push('sampling'), sampled));
    client.setRequestHandler('elicitation/create', async r => (asked.push('elicitation'), accept(r)));
    client.setNotificationHandler('notifications/resources/updated', () => { updates++; gotUpdate(); });
    const { StdioClientTransport } = await load('@modelcontextprotocol/client/stdio');
    make = () => {
        if (transport === 'stdio') {
            const [command, ...args] = JSON.parse(target);
            return new StdioClientTransport({ command, args, env: process.env, stderr: 'pipe' });
        }
        const T = transport === 'sse' ? m.SSEClientTransport : m.StreamableHTTPClientTransport;
        return new T(new URL(target), { requestInit: { headers } });
    };
}
const within = (promise, ms, why) => Promise.race([promise,
    new Promise((_, no) => setTimeout(() => no(new Error(why)), ms))]);
const call = (w, options = {}) => client.callTool({ name: w.tool, arguments: w.arguments ?? {} },
    ...(sdk1 ? [undefined] : []), { timeout: 20000, ...options });
const text = r => {
    const s = (r.content ?? []).map(c => c.text ?? '').join('\n');
    if (r.isError) throw new Error('the tool failed: ' + s);
    return s;
};
const holds = (s, part) => { if (!s.includes(part)) throw new Error(`"${part}" is not in: ${s.slice(0, 200)}`); };

const operations = {
    list: async w => {
        const names = (await client.listTools()).tools.map(t => t.name);
        for (const n of w.tools) if (!names.includes(n)) throw new Error(`no tool ${n}`);
    },
    call: async w => holds(text(await call(w)), w.text),
    progress: async w => {
        let n = 0;
        text(await call(w, { onprogress: () => n++ }));
        if (n < 2) throw new Error(`progress came ${n} times`);
    },
    cancel: async w => {
        const stop = new AbortController(), start = Date.now();
        let begun;
        const running = new Promise(ok => { begun = ok; });
        const p = call(w, { signal: stop.signal, onprogress: () => begun() });
        p.catch(() => {});
        await Promise.race([running, new Promise(ok => setTimeout(ok, 1500)), p]);
        stop.abort('enough');
        const how = await p.then(() => 'answered', () => 'cancelled');
        if (how !== 'cancelled' || Date.now() - start > 5000) throw new Error(`${how} after ${Date.now() - start} ms`);
        holds(text(await call(what.call)), what.call.text);
    },
    elicitation: async w => {
        const s = text(await call(w));
        if (!asked.includes('elicitation')) throw new Error('was not asked: ' + s.slice(0, 150));
    },
    sampling: async w => {
        const s = text(await call(w));
        if (!asked.includes('sampling')) throw new Error('was not asked: ' + s.slice(0, 150));
        holds(s, 'a sampled answer');
    },
    subscribe: async w => {
        updates = 0;
        const came = new Promise(ok => { gotUpdate = ok; });
        if (kind === 'sdk2-modern') await client.listen({ resourceSubscriptions: [w.uri] });
        else await client.subscribeResource({ uri: w.uri });
        if (w.tool) text(await call(w));
        await within(came, 12000, 'no update came');
    }
};
const out = {};
try {
    await within(client.connect(make()), 30000, 'cannot connect: too slow');
    for (const [name, w] of Object.entries(what)) {
        try {
            if (w === null) throw new Error('the server has nothing for this');
            await within(operations[name](w), 30000, 'too slow');
            out[name] = null;
        } catch (e) { out[name] = String(e?.message ?? e).slice(0, 300); }
    }
} catch (e) {
    for (const name of Object.keys(what)) out[name] ??= 'cannot connect: ' + String(e?.message ?? e).slice(0, 300);
}
console.log(JSON.stringify(out));
client.close().catch(() => {}).finally(() => process.exit(0));
setTimeout(() => process.exit(0), 3000);
