// Drives tasks through the official TypeScript SDK 1.x (experimental.tasks).
//   tasks.mjs URL
// Environment: NODE_MODULES_DIR, KEY, TOOL, ARGUMENTS (JSON).
// Output: one JSON object: what callToolStream() gave, the questions that
// came, the server's capability, and what tasks/list said.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.NODE_MODULES_DIR, 'x.js'));
const load = name => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { ElicitRequestSchema } = await load('@modelcontextprotocol/sdk/types.js');
const requestInit = { headers: { authorization: `Bearer ${process.env.KEY}` } };
const out = { events: [], questions: [] };

const client = new Client({ name: 'omni2-tests', version: '1' },
    { capabilities: { elicitation: { form: {} }, tasks: {} } });
client.setRequestHandler(ElicitRequestSchema, async request => {
    out.questions.push(request.params);
    const field = Object.keys(request.params.requestedSchema.properties)[0];
    return { action: 'accept', content: { [field]: 'historical' } };
});
try {
    await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2]), { requestInit }));
    out.capability = client.getServerCapabilities().tasks ?? null;
    await client.listTools();       // the SDK learns which tools need a task
    const stream = client.experimental.tasks.callToolStream(
        { name: process.env.TOOL, arguments: JSON.parse(process.env.ARGUMENTS) },
        undefined, { task: { ttl: 120000 }, timeout: 60000 });
    for await (const m of stream)
        out.events.push(m.type === 'error' ? { type: m.type, message: String(m.error?.message) } : m);
    const id = out.events.find(m => m.type === 'taskCreated')?.task.taskId;
    const all = [];
    let cursor;
    do {
        const page = await client.experimental.tasks.listTasks(cursor);
        all.push(...page.tasks);
        cursor = page.nextCursor;
    } while (cursor);
    out.listed = all.map(t => t.taskId);
    out.got = await client.experimental.tasks.getTask(id);
    await client.close();
} catch (e) {
    out.error = String(e?.stack ?? e);
}
console.log(JSON.stringify(out));
process.exit(0);
