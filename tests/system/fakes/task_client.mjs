// A client that keeps tasks for what it is asked: the official TypeScript SDK
// 1.x with a task store.
//   task_client.mjs URL TOOL
// Environment: NODE_MODULES_DIR, KEY. Output: one JSON object.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.NODE_MODULES_DIR, 'x.js'));
const load = name => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { InMemoryTaskStore } = await load('@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js');
const { CreateMessageRequestSchema, ElicitRequestSchema } = await load('@modelcontextprotocol/sdk/types.js');
const requestInit = { headers: { authorization: `Bearer ${process.env.KEY}` } };
const out = {};

const client = new Client({ name: 'omni2-tests', version: '1' }, {
    capabilities: {
        sampling: {}, elicitation: { form: {} }, tasks: {
            list: {}, cancel: {}, requests: {
                sampling: { createMessage: {} }, elicitation: { create: {} } } } },
    taskStore: new InMemoryTaskStore() });

async function kept(request, extra, result) {
    if (!request.params.task)
        return result;
    const task = await extra.taskStore.createTask({ ttl: extra.taskRequestedTtl });
    await extra.taskStore.storeTaskResult(task.taskId, 'completed', result);
    out.task = task.taskId;
    return { task };
}
client.setRequestHandler(ElicitRequestSchema, (request, extra) => kept(request, extra,
    { action: 'accept', content: { name: 'Ann' } }));
client.setRequestHandler(CreateMessageRequestSchema, (request, extra) => kept(request, extra,
    { role: 'assistant', model: 'm', content: { type: 'text', text: 'said' } }));
try {
    await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2]), { requestInit }));
    out.result = await client.callTool({ name: process.argv[3], arguments: { prompt: 'x' } });
    await client.close();
} catch (e) {
    out.error = String(e?.stack ?? e);
}
console.log(JSON.stringify(out));
process.exit(0);
