// The client under test in the suite's client scenarios: omni2 as the client
// of an upstream. The suite starts this with the URL of its own server; this
// starts an omni2d with that URL as its only upstream and plays the scenario
// through it with the official SDK client.
//
//   conformance client --command "node client-driver.mjs" --scenario S
//
// Environment: OMNI2D (program), DATABASE_URL (with the tables, nobody else
// may use it meanwhile), NODE_MODULES_DIR (has
// @modelcontextprotocol/client), OMNI2_UID and OMNI2_GID (whom omni2d runs
// as; unset: as we do), DOWNSTREAM (legacy or modern: how the client speaks;
// unset: as the server does), KEEP_LOG (a file for omni2d's log). Exit 0: all
// that the scenario needs was done.
import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const upstream = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const wire = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION ?? '';
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT || '{}');
const isModern = process.env.DOWNSTREAM ? process.env.DOWNSTREAM === 'modern' : wire >= '2026-07-28';
const require = createRequire(path.join(process.env.NODE_MODULES_DIR, 'x.js'));
const sdk = await import(pathToFileURL(require.resolve('@modelcontextprotocol/client')).href);
const owner = { uid: Number(process.env.OMNI2_UID ?? process.getuid()), gid: Number(process.env.OMNI2_GID ?? process.getgid()) };

// ---- omni2 -----------------------------------------------------------------

const sleep = ms => new Promise(r => setTimeout(r, ms));
const freePort = () => new Promise(done => {
    const s = net.createServer().listen(0, '127.0.0.1', () => {
        const { port } = s.address();
        s.close(() => done(port));
    });
});

function token(secret) {
    const b64 = o => Buffer.from(JSON.stringify(o)).toString('base64url');
    const text = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64({ sub: 'ann@example.com', iss: 'omni2', aud: 'omni2', exp: Math.floor(Date.now() / 1000) + 3600 })}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

async function startGateway() {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'o2-driver-'));
    fs.chmodSync(dir, 0o755);
    for (const name of ['run', 'state']) {
        fs.mkdirSync(path.join(dir, name), { mode: 0o700 });
        fs.chownSync(path.join(dir, name), owner.uid, owner.gid);
    }
    const port = await freePort();
    const secret = randomBytes(32).toString('hex');
    const conf = path.join(dir, 'omni2.yaml');
    fs.writeFileSync(conf, JSON.stringify({
        server: { listen: [`127.0.0.1:${port}`], run_dir: path.join(dir, 'run'), state_dir: path.join(dir, 'state') },
        auth: { token_secret: secret },
        database: { url: process.env.DATABASE_URL },
        mcps: [{ name: 'up', protocol: 'http', url: upstream }],
        users: [{ email: 'ann@example.com', role: 'power_user', allowed_mcps: '*', rate_limit: { requests_per_hour: 0 } }]
    }), { mode: 0o640 });
    fs.chownSync(conf, owner.uid, owner.gid);
    const log = fs.openSync(process.env.KEEP_LOG || path.join(dir, 'log'), 'a');
    const child = spawn(process.env.OMNI2D, ['-f', '-c', conf], { stdio: ['ignore', log, log], cwd: '/', ...owner });
    const ended = new Promise(r => child.on('exit', r));
    const stop = async () => {
        child.kill('SIGTERM');
        const late = setTimeout(() => child.kill('SIGKILL'), 10000);
        await ended;
        clearTimeout(late);
        fs.rmSync(dir, { recursive: true, force: true });
    };
    // Ready means that every server has been looked at once.
    for (let i = 0; i < 200 && child.exitCode === null; i++) {
        const r = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null);
        await r?.arrayBuffer();
        if (r?.status === 200) return { url: `http://127.0.0.1:${port}/servers/up/mcp`, key: token(secret), stop };
        await sleep(50);
    }
    console.error(fs.readFileSync(path.join(dir, 'log'), 'utf8'));
    console.error(await fetch(`http://127.0.0.1:${port}/health/ready`).then(r => r.text(), String));
    await stop();
    throw new Error('omni2d did not become ready');
}

// ---- the scenarios ---------------------------------------------------------

async function open(g, capabilities = {}) {
    const client = new sdk.Client({ name: 'client-driver', version: '1' }, {
        capabilities, versionNegotiation: { mode: isModern ? { pin: '2026-07-28' } : 'legacy' }
    });
    if (capabilities.elicitation) {
        client.setRequestHandler('elicitation/create', async () => ({ action: 'accept', content: scenario.startsWith('sep-2322') ? { confirmed: true } : {} }));
    }
    await client.connect(new sdk.StreamableHTTPClientTransport(new URL(g.url), { requestInit: { headers: { authorization: `Bearer ${g.key}` } } }));
    return client;
}

const callAll = async client => {
    for (const t of (await client.listTools()).tools) await client.callTool({ name: t.name, arguments: sample(t.inputSchema) });
};

// Something valid for each required property.
const sample = schema => Object.fromEntries((schema?.required ?? []).map(name => {
    const type = schema.properties?.[name]?.type;
    return [name, type === 'number' || type === 'integer' ? 1 : type === 'boolean' ? true : type === 'object' ? {} : type === 'array' ? [] : 'x'];
}));

const scenarios = {
    async initialize(g) {
        await (await open(g)).listTools();
    },
    async tools_call(g) {
        const client = await open(g);
        await client.listTools();
        const r = await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
        if (!r.content?.[0]?.text?.includes('8')) throw new Error(`5 + 3: ${JSON.stringify(r)}`);
    },
    async 'elicitation-sep1034-client-defaults'(g) {
        const client = await open(g, { elicitation: { form: { applyDefaults: true } } });
        await client.listTools();
        await client.callTool({ name: 'test_client_elicitation_defaults', arguments: {} });
    },
    async 'sse-retry'(g) {
        const client = await open(g);
        await client.listTools();
        await client.callTool({ name: 'test_reconnection', arguments: {} });
    },
    async 'request-metadata'(g) {
        const client = await open(g, { elicitation: { form: {} }, sampling: {}, roots: {} });
        await client.listTools();
    },
    async 'sep-2322-client-request-state'(g) {
        const client = await open(g, { elicitation: { form: {} } });
        await client.listTools();
        for (const name of ['test_mrtr_echo_state', 'test_mrtr_unrelated', 'test_mrtr_no_state', 'test_mrtr_state_only', 'test_mrtr_no_result_type']) {
            const r = await client.callTool({ name, arguments: {} }).catch(e => e);
            if (r instanceof Error) console.error(`${name}: ${r.message}`);
        }
    },
    async 'http-standard-headers'(g) {
        const client = await open(g);
        await callAll(client);
        for (const r of (await client.listResources()).resources) await client.readResource({ uri: r.uri });
        for (const p of (await client.listPrompts()).prompts) await client.getPrompt({ name: p.name });
    },
    async 'http-custom-headers'(g) {
        const client = await open(g);
        await client.listTools();
        for (const call of context.toolCalls) await client.callTool(call);
    },
    async 'http-invalid-tool-headers'(g) {
        await callAll(await open(g));
    },
    async 'json-schema-ref-no-deref'(g) {
        await callAll(await open(g));
    },
    async 'json-schema-2020-12-preservation'(g) {
        const client = await open(g);
        const { tools } = await client.listTools();
        for (const t of tools) {
            await client.callTool({ name: t.name, arguments: t.name.includes('report') || t.name.includes('echo') ? { schema: tools[0].inputSchema } : sample(t.inputSchema) });
        }
    }
};

const play = scenarios[scenario];
if (!play || !upstream || !process.env.OMNI2D) {
    console.error(`client-driver: cannot play scenario "${scenario}" at "${upstream}"`);
    process.exit(2);
}
const gateway = await startGateway();
try {
    await play(gateway);
} catch (e) {
    console.error(e);
    process.exitCode = 1;
} finally {
    await gateway.stop();
}
process.exit();
